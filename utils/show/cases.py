"""One picture and what was read on it, and the files that list them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from utils.recognizer import Prediction
from utils.text.reading import Character


@dataclass(frozen=True)
class Case:
    """A picture: its name with /, its Prediction, and its label where it has one."""

    file: str
    text: str
    confidence: float
    error: str | None = None
    label: str | None = None
    rejected: bool = False
    guess: str = ""
    fits: bool = True
    alternatives: tuple[tuple[str, float], ...] = ()
    characters: tuple[Character, ...] = ()

    @classmethod
    def of(cls, file: str, prediction: Prediction, label: str | None = None) -> Case:
        # A file name that is not UTF-8 comes with lone surrogates, which no file could hold.
        name = file.encode("utf-8", "backslashreplace").decode("utf-8")
        return cls(name, label=label, **vars(prediction))

    def to_json(self) -> dict[str, Any]:
        """All of it, without what nobody asked for."""
        values = asdict(self)
        for name in ("label", "alternatives", "characters"):
            if not values[name]:
                del values[name]
        if not self.rejected:
            del values["rejected"], values["guess"]
        if self.fits:
            del values["fits"]
        return values


def reading_text(prediction: Prediction, reject_below: float, characters: bool) -> str:
    """One reading for people: the text or the refusal, its rivals, and its characters if asked."""
    confidence = f"confidence: {prediction.confidence:.4f}"
    if not prediction.fits:
        lines = ["no allowed text goes with this picture"]
    elif prediction.rejected:
        guess = prediction.guess or "(none)"
        lines = [f"don't know   {confidence}, less than {reject_below:g}; at best: {guess}"]
    else:
        lines = [f"text: {prediction.text or '(none)'}   {confidence}"]
    for place, (text, share) in enumerate(prediction.alternatives, start=1):
        lines.append(f"  {place}. {text or '(none)'}   {share:.4f}")
    for each in prediction.characters if characters else ():
        where = f"from {each.left:.1%} to {each.right:.1%} of the picture"
        lines.append(f"  {each.text}   {each.confidence:.4f}   {where}")
    return "\n".join(lines) + "\n"


def to_tsv(cases: list[Case]) -> str:
    """`file<TAB>text<TAB>confidence`, no header; tabs and line ends within are escaped."""
    return "".join(
        f"{escaped(case.file)}\t{escaped(case.text)}\t{case.confidence:.6f}\n" for case in cases
    )


def remark(case: Case) -> str:
    """Why a picture that could be read has no text, or nothing."""
    if not (case.fits or case.error):
        return "no allowed text"
    return "rejected" if case.rejected else ""


def to_csv(cases: list[Case]) -> str:
    """With a header: file, text, confidence, error and remark (empty where there is none)."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["file", "text", "confidence", "error", "remark"])
    for case in cases:
        row = [case.file, case.text, f"{case.confidence:.6f}", case.error or "", remark(case)]
        writer.writerow(row)
    return buffer.getvalue()


def to_jsonl(cases: list[Case]) -> str:
    """One object a line: file, text, confidence, error (null where there is none), and the guess of
    what was rejected, alternatives and characters where they were asked for."""
    return "".join(json.dumps(case.to_json(), ensure_ascii=False) + "\n" for case in cases)


def as_json(content: dict[str, Any]) -> str:
    """For a file that people may look into too."""
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def side(character: str) -> str:
    """One side of a confusion, in quotes; the empty one is nothing."""
    return repr(character) if character else "nothing"


def escaped(text: str) -> str:
    """For a field of a .tsv."""
    return text.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


PREDICTION_FORMATS: dict[str, Callable[[list[Case]], str]] = {
    ".tsv": to_tsv,
    ".txt": to_tsv,
    ".csv": to_csv,
    ".jsonl": to_jsonl,
}
