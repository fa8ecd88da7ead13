"""Scores of texts against labels, counted in integers so that they add up across batches."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from rapidfuzz.distance import Levenshtein

Z_95 = 1.959964
"""Standard errors that 19 of 20 lie within."""

REPEAT = "repeats"
"""The class of characters that equal the one before them in the label."""


@dataclass
class Score:
    """Integer counts over (label, text) pairs; a text of None (unreadable) is an empty one.

    sequence_accuracy: share of exact matches; the same ignoring case; cer: total edits / total
    reference characters; character_accuracy = 1 - cer. Precision, recall and F1 count whole
    pictures (a text that is empty, or rejected, is no answer) and characters (hits of the
    alignment). A rejected text counts as it is everywhere else.
    """

    n: int = 0
    exact: int = 0
    exact_ignoring_case: int = 0
    answered: int = 0
    answered_exact: int = 0
    edits: int = 0
    hits: int = 0
    reference_characters: int = 0
    text_characters: int = 0
    edits_squared: int = 0
    """Sums over pictures, for the interval of cer: of edits and label's characters squared, and of
    one times the other."""
    characters_squared: int = 0
    edits_times_characters: int = 0
    confusions: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(label's character, text's character) -> count; an empty side is a miss or an extra."""
    distances: Counter[tuple[int, int]] = field(default_factory=Counter)
    """(edits, characters of the longer one) -> pictures, of wrong texts."""
    lengths: Counter[int] = field(default_factory=Counter)
    """Characters of the label -> pictures, and those of them that are exact."""
    lengths_exact: Counter[int] = field(default_factory=Counter)
    positions: Counter[int] = field(default_factory=Counter)
    """Place in the label, from 1 -> characters, and those of them that are hits."""
    positions_hit: Counter[int] = field(default_factory=Counter)
    characters: Counter[str] = field(default_factory=Counter)
    """Character, or REPEAT -> how often in labels, in texts, and as a hit."""
    characters_read: Counter[str] = field(default_factory=Counter)
    characters_hit: Counter[str] = field(default_factory=Counter)

    def add(self, label: str, text: str | None, rejected: bool = False) -> None:
        text = text or ""
        is_exact = text == label
        self.n += 1
        self.exact += is_exact
        self.exact_ignoring_case += text.casefold() == label.casefold()
        self.answered += bool(text) and not rejected
        self.answered_exact += bool(text) and not rejected and is_exact
        self.reference_characters += len(label)
        self.text_characters += len(text)
        self.lengths[len(label)] += 1
        self.lengths_exact[len(label)] += is_exact
        edits, missed = (0, set()) if is_exact else self._add_edits(label, text)
        self.edits += edits
        self.edits_squared += edits * edits
        self.characters_squared += len(label) * len(label)
        self.edits_times_characters += edits * len(label)
        self.hits += len(label) - len(missed)
        self.characters.update(label)
        self.characters_read.update(text)
        for place, character in enumerate(label):
            is_hit = place not in missed
            self.positions[place + 1] += 1
            self.positions_hit[place + 1] += is_hit
            self.characters_hit[character] += is_hit
            if place and label[place - 1] == character:
                self.characters[REPEAT] += 1
                self.characters_hit[REPEAT] += is_hit

    def _add_edits(self, label: str, text: str) -> tuple[int, set[int]]:
        """How many edits lie between a label and another text; the label's places that are no
        hit."""
        operations = Levenshtein.editops(label, text)
        self.distances[len(operations), max(len(label), len(text))] += 1
        for op in operations:
            wanted = label[op.src_pos] if op.tag != "insert" else ""
            got = text[op.dest_pos] if op.tag != "delete" else ""
            self.confusions[wanted, got] += 1
        return len(operations), {op.src_pos for op in operations if op.tag != "insert"}

    def __add__(self, other: Score) -> Score:
        names = [part.name for part in fields(self)]
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

    @property
    def cer_interval(self) -> tuple[float, float]:
        """Where cer lies, 19 times of 20: of a ratio of two sums over pictures, whose errors come
        several in a picture (Cochran, "Sampling techniques", 1977, section 6.3). Of fewer than two
        pictures nothing is known."""
        if self.n < 2 or not self.reference_characters:
            return 0.0, max(1.0, self.cer)
        spread = (
            self.edits_squared
            - 2 * self.cer * self.edits_times_characters
            + self.cer**2 * self.characters_squared
        )
        error = math.sqrt(max(0.0, spread) * self.n / (self.n - 1)) / self.reference_characters
        return max(0.0, self.cer - Z_95 * error), self.cer + Z_95 * error

    @property
    def normalized_edit_distance(self) -> float:
        """Mean over pictures of edits / characters of the longer of label and text (1-NED is 1
        minus this)."""
        far = sum(edits / longest * n for (edits, longest), n in self.distances.items())
        return far / self.n if self.n else 0.0

    def by_class(self) -> dict[str, dict[str, Any]]:
        """Precision, recall with its interval, F1 and n of each character of the labels or texts,
        and of REPEAT.

        Repeats have no precision: a text does not say which of its characters are repeats.
        """
        found = {}
        for name in sorted({*self.characters, *self.characters_read}):
            hits, n = self.characters_hit[name], self.characters[name]
            scores = _precision_recall_f1(hits, self.characters_read[name], n)
            if name == REPEAT:
                scores = {"recall": scores["recall"]}
            found[name] = scores | {"n": n, "recall_interval_95": list(wilson_interval(hits, n))}
        return found

    def summary(self) -> dict[str, Any]:
        """The figures by name, with n and the counts behind them; what a checkpoint stores."""
        counts = {name: getattr(self, name) for name in _INTEGERS}
        low, high = self.cer_interval
        return {
            "n": self.n,
            "sequence_accuracy": self.sequence_accuracy,
            "sequence_accuracy_ignoring_case": self.sequence_accuracy_ignoring_case,
            "character_accuracy": self.character_accuracy,
            "cer": self.cer,
            "normalized_edit_distance": self.normalized_edit_distance,
            "sequence": _precision_recall_f1(self.answered_exact, self.answered, self.n),
            "characters": _precision_recall_f1(
                self.hits, self.text_characters, self.reference_characters
            ),
            "interval_95": {
                "sequence_accuracy": list(wilson_interval(self.exact, self.n)),
                "sequence_accuracy_ignoring_case": list(
                    wilson_interval(self.exact_ignoring_case, self.n)
                ),
                "cer": [low, high],
                "character_accuracy": [1 - high, 1 - low],
                "sequence_precision": list(wilson_interval(self.answered_exact, self.answered)),
                "sequence_recall": list(wilson_interval(self.answered_exact, self.n)),
            },
            "counts": counts,
        }

    def line(self) -> str:
        """One line for people: exact, ignoring case, character accuracy, n."""
        return (
            f"sequence accuracy {self.sequence_accuracy:.2%} exact, "
            f"{self.sequence_accuracy_ignoring_case:.2%} ignoring case, "
            f"character accuracy {self.character_accuracy:.2%}, n = {self.n:,}"
        )


_INTEGERS = [part.name for part in fields(Score) if part.default == 0]


def score_texts(pairs: Iterable[tuple[str, str | None]]) -> Score:
    """The Score of (label, text) pairs."""
    score = Score()
    for label, text in pairs:
        score.add(label, text)
    return score


def wilson_interval(right: int, n: int) -> tuple[float, float]:
    """Where a share lies, 19 times of 20, that was `right` of n (Wilson, 1927); 0 to 1 for n 0."""
    if not n:
        return 0.0, 1.0
    share, spread = right / n, Z_95**2 / n
    centre = (share + spread / 2) / (1 + spread)
    reach = Z_95 * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, centre - reach), min(1.0, centre + reach)


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
