"""The figures of several sets in one table, as scene-text benchmarks give them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from utils.metrics import Score

BENCHMARK = (
    "IC03_860", "IC03_867", "IC13_857", "IC13_1015", "IC15_1811", "IC15_2077", "IIIT5k_3000", "SVT",
    "SVTP", "CUTE80",
)  # fmt: skip

VGG7 = (94.53, 94.00, 92.18, 90.74, 71.95, 66.06, 84.10, 83.93, 73.33, 69.44)
RESNET34_VD = (94.42, 94.23, 93.35, 92.02, 75.92, 70.15, 87.73, 86.40, 76.28, 73.96)

PUBLISHED: tuple[tuple[str, dict[str, float], str], ...] = (
    ("MindOCR CRNN, VGG7", dict(zip(BENCHMARK, VGG7, strict=True)), "82.03"),
    ("MindOCR CRNN, ResNet34_vd", dict(zip(BENCHMARK, RESNET34_VD, strict=True)), "84.45"),
    ("PaddleOCR CRNN, ResNet34_vd", {}, "81.04 to 83.99"),
    ("PaddleOCR CRNN, MobileNetV3", {}, "77.95"),
)
"""Accuracies that others publish, ignoring case and punctuation, and their mean over the ten sets
(MindOCR's configs/rec/crnn/README.md of February 2024, PaddleOCR's algorithm_rec_crnn; both trained
on MJ and ST)."""


@dataclass(frozen=True)
class SetScores:
    """The Score of each set by its name."""

    scores: dict[str, Score]

    @property
    def mean_by_set(self) -> float:
        """Of sequence accuracy: every set counts alike."""
        return sum(score.sequence_accuracy for score in self.scores.values()) / len(self.scores)

    @property
    def mean_by_picture(self) -> float:
        """Every picture counts alike."""
        return sum((score for score in self.scores.values()), Score()).sequence_accuracy

    def rows(self) -> list[list[str]]:
        rows = [
            [name, f"{score.n:,}", f"{score.sequence_accuracy:.2%}", f"{_one_minus_ned(score):.4f}"]
            for name, score in self.scores.items()
        ]
        total = sum(score.n for score in self.scores.values())
        rows.append(["mean of the sets", "", f"{self.mean_by_set:.2%}", ""])
        rows.append(["mean of the pictures", f"{total:,}", f"{self.mean_by_picture:.2%}", ""])
        return rows

    def to_text(self) -> list[str]:
        """For a terminal: a line each."""
        table = [["set", "n", "accuracy", "1-NED"], *self.rows()]
        widths = [max(len(row[i]) for row in table) for i in range(4)]
        return [
            "  " + "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in table
        ]  # fmt: skip

    def to_markdown(self, model: str, protocol: str) -> str:
        """The table, and what others publish on the same sets."""
        lines = [
            f"{model}; {protocol}",
            "",
            *_table(["set", "n", "accuracy", "1-NED"], self.rows()),
        ]
        known = [name for name in BENCHMARK if name in self.scores]
        if known:
            ours = {name: 100 * self.scores[name].sequence_accuracy for name in known}
            ten = f"{_mean(ours, known):.2f}" if len(known) == len(BENCHMARK) else ""
            rows = [
                [
                    who,
                    *(f"{values[name]:.2f}" if values else "" for name in known),
                    f"{_mean(values, known):.2f}" if values else "",
                    mean,
                ]
                for who, values, mean in ((model, ours, ten), *PUBLISHED)
            ]
            lines += ["", "Beside what others publish:", ""]
            lines += _table(
                ["model", *known, f"mean of these {len(known)}", "mean of the 10"], rows
            )
        return "\n".join(lines) + "\n"

    def to_json(self) -> dict[str, Any]:
        return {
            "sets": {
                name: {
                    "n": score.n,
                    "right": score.exact,
                    "accuracy": score.sequence_accuracy,
                    "one_minus_ned": _one_minus_ned(score),
                }
                for name, score in self.scores.items()
            },
            "mean_by_set": self.mean_by_set,
            "mean_by_picture": self.mean_by_picture,
        }


def _one_minus_ned(score: Score) -> float:
    return 1 - score.normalized_edit_distance


def _mean(values: dict[str, float], names: Sequence[str]) -> float:
    return sum(values[name] for name in names) / len(names)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """In Markdown; a | in a cell is no wall."""
    return [
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
        for cells in (header, ["---"] * len(header), *rows)
    ]
