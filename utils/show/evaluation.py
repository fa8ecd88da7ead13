"""What a reader made of a labelled set: in numbers, for people and for programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

from utils.calibration import Reliability, coverage_curve
from utils.metrics import REPEAT, Score, wilson_interval
from utils.show.cases import Case, as_json, side
from utils.show.sets import SetScores
from utils.text.alike import Alike

WORST = 10
"""Confused pairs and worst cases that are shown; the .json report holds all."""


@dataclass(frozen=True)
class Evaluation:
    """Every case of a labelled set. An unreadable picture is an error, and stays in n.

    `fold` gives a label as this reader writes it: without case where it ignores that, and with one
    character for all that count as one to the model. All figures compare such labels.
    """

    model: str
    data: str
    cases: list[Case]
    left_out: list[str]
    """Rows of labels.txt that give no label or no picture, named; they are not in n."""
    outside_charset: dict[str, int]
    """Characters of the labels that the model cannot write, with counts; errors all of them."""
    alike: Alike = field(default_factory=Alike)
    fold: Callable[[str], str] = str
    sets: dict[str, int] = field(default_factory=dict)
    """Names of the sets that the cases come from, one after the other, and their cases."""
    protocol: str = ""
    """How labels are compared with texts."""

    @cached_property
    def by_set(self) -> SetScores | None:
        """Where there are several sets."""
        if not self.sets:
            return None
        cases, scores = iter(self.cases), {}
        for name, count in self.sets.items():
            if count:
                scores[name] = Score()
            for case in islice(cases, count):
                scores[name].add(self.label(case), case.guess, case.rejected)
        return SetScores(scores)

    @cached_property
    def score(self) -> Score:
        return self._scored(str)

    def _scored(self, fold: Callable[[str], str]) -> Score:
        score = Score()
        for case in self.cases:
            score.add(fold(self.label(case)), fold(case.guess), case.rejected)
        return score

    def label(self, case: Case) -> str:
        return self.fold(case.label or "")

    def is_right(self, case: Case) -> bool:
        return case.guess == self.label(case)

    @cached_property
    def folded_score(self) -> Score:
        """With the characters of each group of `alike` as one."""
        return self._scored(self.alike.fold)

    @cached_property
    def reliability(self) -> Reliability:
        return Reliability.of(*self._confidences())

    @cached_property
    def coverage(self) -> list[tuple[float, float, float]]:
        return coverage_curve(*self._confidences())

    def _confidences(self) -> tuple[list[float], list[bool]]:
        return [case.confidence for case in self.cases], list(map(self.is_right, self.cases))

    def worst(self) -> list[Case]:
        """The wrong cases, the most confident first; before all, those that stay wrong with alike
        characters as one."""
        wrong = [case for case in self.cases if not self.is_right(case)]
        return sorted(wrong, key=lambda case: (self._only_alike(case), -case.confidence))

    def hardest(self) -> list[tuple[str, float, int]]:
        """Characters of the labels with the least recall, that, and n; and repeats, as they are."""
        found = [(name, values["recall"], int(values["n"]))
                 for name, values in self.score.by_class().items() if values["n"]]  # fmt: skip
        found.sort(key=lambda one: (one[0] == REPEAT, one[1], -one[2]))
        repeats = [one for one in found if one[0] == REPEAT]
        return found[: min(WORST, len(found) - len(repeats))] + repeats

    @property
    def worst_title(self) -> str:
        last = ", alike characters last" if self.alike.groups else ""
        return f"Wrong with the highest confidence{last}"

    def _only_alike(self, case: Case) -> bool:
        return self.alike.fold(case.guess) == self.alike.fold(self.label(case))

    def to_text(self, max_cases: int | None = WORST) -> str:
        """The report for people; `max_cases` None lists every wrong case."""
        score, wrong = self.score, self.worst()
        unreadable = sum(case.error is not None for case in self.cases)
        rejected = sum(case.rejected for case in self.cases)
        low, high = wilson_interval(score.exact, score.n)
        lines = [f"model {self.model}, data {self.data}", score.line()]
        most, least = score.cer_interval
        lines.append(
            f"95 % intervals: exact {low:.2%} to {high:.2%}, characters {1 - least:.2%} to "
            f"{1 - most:.2%}"
        )
        folded_labels = sum(self.label(case) != case.label for case in self.cases)
        if folded_labels:
            lines.append(f"labels compared as this reader writes them: {folded_labels} change")
        if self.protocol:
            lines.append(f"protocol: {self.protocol}")
        if self.by_set:
            lines += ["", *self.by_set.to_text(), ""]
        if self.alike.groups:
            folded = self.folded_score
            lines.append(
                f"with {', '.join(self.alike.groups)} as one each: {folded.sequence_accuracy:.2%} "
                f"exact, character accuracy {folded.character_accuracy:.2%}"
            )
        summary = score.summary()
        for level in ("sequence", "characters"):
            lines.append(
                f"{level}: precision {summary[level]['precision']:.2%}, "
                f"recall {summary[level]['recall']:.2%}, F1 {summary[level]['f1']:.2%}"
            )
        lines.append(
            f"1 - normalised edit distance {1 - score.normalized_edit_distance:.4f}; expected "
            f"calibration error {self.reliability.error:.4f}"
        )
        if rejected:
            lines.append(f"rejected, no answer: {rejected} ({rejected / score.n:.1%})")
        if unreadable:
            lines.append(f"unreadable pictures, counted as errors: {unreadable}")
        if self.outside_charset:
            counts = ", ".join(f"{ch!r} x {n}" for ch, n in self.outside_charset.items())
            lines.append(f"label characters outside the model's charset, all errors: {counts}")
        if self.left_out:
            lines.append(f"rows without a label or a picture, not in n: {len(self.left_out)}")
        by_length = _shares(score.lengths_exact, score.lengths)
        by_place = _shares(score.positions_hit, score.positions)
        for what, found in (("length", by_length), ("place", by_place)):
            shares = (f"{key}: {share['accuracy']:.1%}" for key, share in found.items())
            lines.append(f"right by {what}  {', '.join(shares)}")
        hardest = ", ".join(f"{name} {share:.1%}" for name, share, _ in self.hardest())
        lines.append(f"least often right  {hardest}")
        lines += _confusions("most confused", score)
        if self.alike.groups:
            lines += _confusions("still confused, with those as one", self.folded_score)
        shown = wrong[:max_cases]
        if shown:
            title = f"{self.worst_title} ({len(shown)} of {len(wrong)}):"
            lines += ["", title[0].lower() + title[1:]]
        for case in shown:
            lines.append(
                f"  {case.file}: label {self.label(case)!r}, text {case.guess!r}, "
                f"confidence {case.confidence:.4f}" + (f" ({case.error})" if case.error else "")
            )
        return "\n".join(lines) + "\n"

    def metrics(self) -> dict[str, Any]:
        """The figures without the cases: what metrics.json holds."""
        score = self.score
        content: dict[str, Any] = {
            "model": self.model,
            "data": self.data,
            "protocol": self.protocol,
            "metrics": score.summary(),
            "by_length": _shares(score.lengths_exact, score.lengths),
            "by_position": _shares(score.positions_hit, score.positions),
            "by_class": score.by_class(),
            "confusions": _confusion_list(score),
            "expected_calibration_error": self.reliability.error,
            "reliability": vars(self.reliability),
            "coverage": [
                dict(zip(("answered", "right", "least_confidence"), point, strict=True))
                for point in self.coverage
            ],
            "outside_charset": self.outside_charset,
            "left_out": self.left_out,
        }
        if self.by_set:
            content["by_set"] = self.by_set.to_json()
        if self.alike.groups:
            content["alike"] = {
                "groups": list(self.alike.groups), "metrics": self.folded_score.summary(),
                "confusions": _confusion_list(self.folded_score),
            }  # fmt: skip
        return content

    def to_markdown(self) -> str:
        """The table of the sets, of one set too."""
        scores = self.by_set or SetScores({self.data: self.score})
        return scores.to_markdown(self.model, self.protocol)

    def to_json(self) -> str:
        """Everything: the metrics, all confusions, and every case in the order of labels.txt."""
        cases = [{"label": case.label} | case.to_json() for case in self.cases]
        content = self.metrics() | {"cases": cases}
        return as_json(content)


def _shares(hits, counts) -> dict[str, dict[str, Any]]:
    """By length or by place, in their order."""
    return {
        str(key): {
            "n": counts[key],
            "right": hits[key],
            "accuracy": hits[key] / counts[key],
            "interval_95": list(wilson_interval(hits[key], counts[key])),
        }
        for key in sorted(counts)
    }


def _confusions(title: str, score: Score) -> list[str]:
    if not score.confusions:
        return []
    pairs = score.confusions.most_common(WORST)
    return ["", f"{title} (label -> text, count):"] + [
        f"  {side(wanted)} -> {side(got)}  {count}" for (wanted, got), count in pairs
    ]


def _confusion_list(score: Score) -> list[dict[str, Any]]:
    return [
        {"label": wanted, "text": got, "count": count}
        for (wanted, got), count in score.confusions.most_common()
    ]


EVALUATION_FORMATS: dict[str, Callable[[Evaluation], str]] = {
    ".txt": lambda evaluation: evaluation.to_text(max_cases=None),
    ".json": lambda evaluation: evaluation.to_json(),
    ".md": lambda evaluation: evaluation.to_markdown(),
}
