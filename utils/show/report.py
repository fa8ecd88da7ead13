"""What inference.py writes: predictions of a folder, and the report on a labelled set."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from utils.metrics import Score, score_texts
from utils.recognizer import Prediction

WORST = 10
"""Confused pairs and worst cases that are shown; the .json report holds all."""


@dataclass(frozen=True)
class Case:
    """One picture: its name with /, what was read, and its label where it has one."""

    file: str
    text: str
    confidence: float
    error: str | None = None
    label: str | None = None

    @classmethod
    def of(cls, file: str, prediction: Prediction, label: str | None = None) -> Case:
        # A file name that is not UTF-8 comes with lone surrogates, which no file could hold.
        name = file.encode("utf-8", "backslashreplace").decode("utf-8")
        return cls(name, prediction.text, prediction.confidence, prediction.error, label)


def to_tsv(cases: list[Case]) -> str:
    """`file<TAB>text<TAB>confidence`, no header; tabs and line ends within are escaped."""
    escapes = str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r"})
    rows = ((case.file.translate(escapes), case.text.translate(escapes)) for case in cases)
    return "".join(
        f"{file}\t{text}\t{case.confidence:.6f}\n"
        for (file, text), case in zip(rows, cases, strict=True)
    )


def to_csv(cases: list[Case]) -> str:
    """With a header: file, text, confidence, error (empty where there is none)."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["file", "text", "confidence", "error"])
    for case in cases:
        writer.writerow([case.file, case.text, f"{case.confidence:.6f}", case.error or ""])
    return buffer.getvalue()


def to_jsonl(cases: list[Case]) -> str:
    """One object a line: file, text, confidence, error (null where there is none)."""
    names = ("file", "text", "confidence", "error")
    rows = ({name: getattr(case, name) for name in names} for case in cases)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


PREDICTION_FORMATS: dict[str, Callable[[list[Case]], str]] = {
    ".tsv": to_tsv,
    ".txt": to_tsv,
    ".csv": to_csv,
    ".jsonl": to_jsonl,
}


@dataclass(frozen=True)
class Evaluation:
    """Every case of a labelled set. An unreadable picture is an error, and stays in n."""

    model: str
    data: str
    cases: list[Case]
    left_out: list[str]
    """Rows of labels.txt that give no label or no picture, named; they are not in n."""
    outside_charset: dict[str, int]
    """Characters of the labels that the model cannot write, with counts; errors all of them."""

    @property
    def score(self) -> Score:
        return score_texts((case.label or "", case.text) for case in self.cases)

    def worst(self) -> list[Case]:
        """The wrong cases, the most confident first."""
        wrong = [case for case in self.cases if case.text != case.label]
        return sorted(wrong, key=lambda case: -case.confidence)

    def to_text(self, max_cases: int | None = WORST) -> str:
        """The report for people; `max_cases` None lists every wrong case."""
        score, wrong = self.score, self.worst()
        unreadable = sum(case.error is not None for case in self.cases)
        lines = [f"model {self.model}, data {self.data}", score.line()]
        summary = score.summary()
        for level in ("sequence", "characters"):
            lines.append(
                f"{level}: precision {summary[level]['precision']:.2%}, "
                f"recall {summary[level]['recall']:.2%}, F1 {summary[level]['f1']:.2%}"
            )
        if unreadable:
            lines.append(f"unreadable pictures, counted as errors: {unreadable}")
        if self.outside_charset:
            counts = ", ".join(f"{ch!r} x {n}" for ch, n in self.outside_charset.items())
            lines.append(f"label characters outside the model's charset, all errors: {counts}")
        if self.left_out:
            lines.append(f"rows without a label or a picture, not in n: {len(self.left_out)}")
        if score.confusions:
            lines += ["", "most confused (label -> text, count):"]
        for (wanted, got), count in score.confusions.most_common(WORST):
            lines.append(f"  {_side(wanted)} -> {_side(got)}  {count}")
        shown = wrong[:max_cases]
        if shown:
            lines += ["", f"wrong with the highest confidence ({len(shown)} of {len(wrong)}):"]
        for case in shown:
            lines.append(
                f"  {case.file}: label {case.label!r}, text {case.text!r}, "
                f"confidence {case.confidence:.4f}" + (f" ({case.error})" if case.error else "")
            )
        return "\n".join(lines) + "\n"

    def to_json(self) -> str:
        """Everything: the metrics, all confusions, and every case in the order of labels.txt."""
        score = self.score
        content: dict[str, Any] = {
            "model": self.model,
            "data": self.data,
            "metrics": score.summary(),
            "confusions": [
                {"label": wanted, "text": got, "count": count}
                for (wanted, got), count in score.confusions.most_common()
            ],
            "outside_charset": self.outside_charset,
            "left_out": self.left_out,
            "cases": [asdict(case) for case in self.cases],
        }
        return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _side(character: str) -> str:
    return repr(character) if character else "nothing"


EVALUATION_FORMATS: dict[str, Callable[[Evaluation], str]] = {
    ".txt": lambda evaluation: evaluation.to_text(max_cases=None),
    ".json": lambda evaluation: evaluation.to_json(),
}
