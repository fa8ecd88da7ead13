"""Scores of texts against labels, counted in integers so that they add up across batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rapidfuzz.distance import Levenshtein


@dataclass
class Score:
    """Integer counts over (label, text) pairs; a text of None (unreadable) is an empty one.

    sequence_accuracy: share of exact matches; the same ignoring case; cer: total edits / total
    reference characters; character_accuracy = 1 - cer. Precision, recall and F1 count whole
    pictures (a text that is empty is no answer) and characters (hits of the alignment).
    """

    n: int = 0
    exact: int = 0
    exact_ignoring_case: int = 0
    answered: int = 0
    edits: int = 0
    hits: int = 0
    reference_characters: int = 0
    text_characters: int = 0
    confusions: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(label's character, text's character) -> count; an empty side is a miss or an extra."""

    def add(self, label: str, text: str | None) -> None:
        text = text or ""
        self.n += 1
        self.exact += text == label
        self.exact_ignoring_case += text.casefold() == label.casefold()
        self.answered += bool(text)
        self.reference_characters += len(label)
        self.text_characters += len(text)
        if text == label:
            self.hits += len(label)
            return
        operations = Levenshtein.editops(label, text)
        self.edits += len(operations)
        self.hits += len(label) - sum(op.tag != "insert" for op in operations)
        for op in operations:
            wanted = label[op.src_pos] if op.tag != "insert" else ""
            got = text[op.dest_pos] if op.tag != "delete" else ""
            self.confusions[wanted, got] += 1

    def __add__(self, other: Score) -> Score:
        names = self.__dataclass_fields__
        return Score(**{name: getattr(self, name) + getattr(other, name) for name in names})

    @property
    def sequence_accuracy(self) -> float:
        return _share(self.exact, self.n)

    @property
    def sequence_accuracy_ignoring_case(self) -> float:
        return _share(self.exact_ignoring_case, self.n)

    @property
    def cer(self) -> float:
        return _share(self.edits, self.reference_characters)

    @property
    def character_accuracy(self) -> float:
        return 1.0 - self.cer

    def summary(self) -> dict[str, Any]:
        """The figures by name, with n and the counts behind them; what a checkpoint stores."""
        return {
            "n": self.n,
            "sequence_accuracy": self.sequence_accuracy,
            "sequence_accuracy_ignoring_case": self.sequence_accuracy_ignoring_case,
            "character_accuracy": self.character_accuracy,
            "cer": self.cer,
            "sequence": _precision_recall_f1(self.exact, self.answered, self.n),
            "characters": _precision_recall_f1(
                self.hits, self.text_characters, self.reference_characters
            ),
            "counts": {
                name: getattr(self, name)
                for name in self.__dataclass_fields__
                if name != "confusions"
            },
        }

    def line(self) -> str:
        """One line for people: exact, ignoring case, character accuracy, n."""
        return (
            f"sequence accuracy {self.sequence_accuracy:.2%} exact, "
            f"{self.sequence_accuracy_ignoring_case:.2%} ignoring case, "
            f"character accuracy {self.character_accuracy:.2%}, n = {self.n:,}"
        )


def score_texts(pairs: Iterable[tuple[str, str | None]]) -> Score:
    """The Score of (label, text) pairs."""
    score = Score()
    for label, text in pairs:
        score.add(label, text)
    return score


def _share(count: int, total: int) -> float:
    return count / total if total else 0.0


def _precision_recall_f1(hits: int, answered: int, wanted: int) -> dict[str, float]:
    precision, recall = _share(hits, answered), _share(hits, wanted)
    total = precision + recall
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / total if total else 0.0,
    }
