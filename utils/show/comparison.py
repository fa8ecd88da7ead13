"""Two readers on one set: their figures side by side, where they differ, and whether by chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from utils.files import write_text
from utils.picture import Source
from utils.show.cases import Case, as_json
from utils.show.evaluation import Evaluation
from utils.show.html import gallery, page_html, picture_html, strip_html
from utils.show.report import MOST_SHOWN


@dataclass(frozen=True)
class Comparison:
    """Two evaluations of the same rows.

    Labels and texts are compared with all that either reader takes for one as one: else one that
    ignores case would be wrong wherever the other tells the cases apart.
    """

    one: Evaluation
    other: Evaluation

    def fold(self, text: str) -> str:
        return self.other.fold(self.one.fold(text))

    def _is_right(self, case: Case) -> bool:
        return self.fold(case.guess) == self.fold(case.label or "")

    @cached_property
    def counts(self) -> dict[str, int]:
        """Pictures that both, one, the other, and neither read exactly."""
        pairs = [
            (self._is_right(a), self._is_right(b))
            for a, b in zip(self.one.cases, self.other.cases, strict=True)
        ]
        keys = {"both": (True, True), "one": (True, False), "other": (False, True),
                "neither": (False, False)}  # fmt: skip
        return {name: pairs.count(key) for name, key in keys.items()}

    @cached_property
    def p_value(self) -> float:
        return sign_test(self.counts["one"], self.counts["other"])

    def differing(self) -> list[int]:
        """Places of the pictures on which the texts differ, the more confident ones first."""
        cases = list(zip(self.one.cases, self.other.cases, strict=True))
        places = [i for i, (a, b) in enumerate(cases) if self.fold(a.guess) != self.fold(b.guess)]
        return sorted(places, key=lambda i: -max(case.confidence for case in cases[i]))

    def to_text(self) -> str:
        """For people: the figures, who alone is right how often, and the test."""
        counts, p = self.counts, self.p_value
        lines = [
            f"A: {self.one.model}: {self.one.score.line()}",
            f"B: {self.other.model}: {self.other.score.line()}",
            f"exact: both {counts['both']:,}, only A {counts['one']:,}, only B "
            f"{counts['other']:,}, neither {counts['neither']:,}",
            f"texts that differ: {len(self.differing()):,}",
            *self._own_labels_line(),
            *self._folded_lines(),
            f"exact McNemar test: p = {p:.3g}; " + verdict(counts["one"], counts["other"], p),
        ]
        return "\n".join(lines) + "\n"

    def _own_labels_line(self) -> list[str]:
        pairs = zip(self.one.cases, self.other.cases, strict=True)
        differ = sum(self.one.label(a) != self.other.label(b) for a, b in pairs)
        if not differ:
            return []
        return [
            f"labels that A and B write differently: {differ:,}; the counts and the test take for "
            "one what either takes for one"
        ]

    def _folded_lines(self) -> list[str]:
        pairs = zip("AB", (self.one, self.other), strict=True)
        return [
            f"{name}, with {', '.join(each.alike.groups)} as one each: "
            f"{each.folded_score.sequence_accuracy:.2%} exact"
            for name, each in pairs
            if each.alike.groups
        ]

    def metrics(self) -> dict[str, Any]:
        return {
            "a": self.one.metrics(),
            "b": self.other.metrics(),
            "counts": {"a" if k == "one" else "b" if k == "other" else k: v
                       for k, v in self.counts.items()},
            "p_value": self.p_value,
        }  # fmt: skip


def sign_test(one: int, other: int) -> float:
    """Two-sided p of so uneven a split, or a more uneven one, were both as likely (McNemar's test,
    exact: a binomial test of the pictures that only one of two reads right)."""
    n, fewer = one + other, min(one, other)
    ways = math.lgamma(n + 1) - n * math.log(2)
    tail = sum(
        math.exp(ways - math.lgamma(k + 1) - math.lgamma(n - k + 1)) for k in range(fewer + 1)
    )
    return min(1.0, 2 * tail)


def verdict(one: int, other: int, p: float) -> str:
    if p >= 0.05:
        return "the difference may well be chance"
    return f"{'A' if one > other else 'B'} is better, and hardly by chance"


def write_comparison(
    comparison: Comparison, pictures: Sequence[Source], folder: str | Path
) -> Path:
    """comparison.json and comparison.html in the folder; returns the page."""
    folder = Path(folder)
    write_text(folder / "comparison.json", as_json(comparison.metrics()))
    places = comparison.differing()
    cards = gallery(_card(comparison, i, pictures[i]) for i in places[:MOST_SHOWN])
    lines = "".join(f"<p>{escape(line)}</p>" for line in comparison.to_text().splitlines())
    shown = f"{len(cards)} of {len(places):,}"
    page = folder / "comparison.html"
    body = f'{lines}<h2>Texts that differ ({shown})</h2><div class="cases">{"".join(cards)}</div>'
    write_text(page, page_html(f"Two readers of {comparison.one.data}", body))
    return page


def _card(comparison: Comparison, place: int, picture: Source) -> str:
    one, other = comparison.one.cases[place], comparison.other.cases[place]
    strips = [("A", comparison.one.label(one), one.guess),
              ("B", comparison.other.label(other), other.guess)]  # fmt: skip
    return (
        f'<div class="case">{picture_html(picture, one.file)}{strip_html(strips)}'
        f"<small>confidence A {one.confidence:.4f}, B {other.confidence:.4f}<br>"
        f"{escape(one.file)}</small></div>"
    )
