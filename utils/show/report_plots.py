"""The plots of a report: where a reader is wrong, and what its confidence is worth."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from utils.metrics import wilson_interval
from utils.show.evaluation import Evaluation
from utils.show.plots import drawable, installed_fonts, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CONFUSED = 20


def confusions(evaluation: Evaluation) -> Figure:
    """The most frequent pairs, as bars."""
    pairs, fonts = evaluation.score.confusions.most_common(MOST_CONFUSED)[::-1], installed_fonts()

    def named(character: str) -> str:
        return drawable(character, fonts) if character else "nothing"

    figure = new_figure(6, 1.2 + 0.24 * max(len(pairs), 3))
    axes = figure.subplots()
    bars = axes.barh(range(len(pairs)), [count for _, count in pairs])
    axes.bar_label(bars, padding=3)
    axes.set_yticks(
        range(len(pairs)), [f"{named(wanted)} → {named(got)}" for (wanted, got), _ in pairs]
    )
    axes.set(title="Most confused: label → text", xlabel="characters")
    return figure


def by_length(evaluation: Evaluation) -> Figure:
    """Exact texts over the number of characters in the label."""
    score = evaluation.score
    return _shares(
        "Texts read exactly, by length", "characters of the label",
        dict(score.lengths), dict(score.lengths_exact),
    )  # fmt: skip


def by_position(evaluation: Evaluation) -> Figure:
    """Characters read right over their place in the label."""
    score = evaluation.score
    return _shares(
        "Characters read right, by place", "place in the label",
        dict(score.positions), dict(score.positions_hit),
    )  # fmt: skip


def _shares(title: str, label: str, counts: dict[int, int], hits: dict[int, int]) -> Figure:
    """Shares in percent with their 95 % intervals, and n below each."""
    keys = sorted(counts)
    shares = np.array([hits.get(key, 0) / counts[key] for key in keys])
    ends = np.array([wilson_interval(hits.get(key, 0), counts[key]) for key in keys]).reshape(-1, 2)
    figure = new_figure(min(max(3.0 + 0.45 * len(keys), 5.0), 14.0), 3.6)
    axes = figure.subplots()
    spread = np.abs(ends.T - shares) * 100
    axes.errorbar(range(len(keys)), shares * 100, spread, fmt="o", capsize=3)
    ticks = [f"{key}\nn = {counts[key]:,}" if len(keys) <= 6 else str(key) for key in keys]
    axes.set_xticks(range(len(keys)), ticks)
    axes.set(title=title, xlabel=label, ylabel="%")
    axes.grid(axis="y", alpha=0.3)
    return figure


def reliability(evaluation: Evaluation) -> Figure:
    """How often texts of a confidence are right; on the diagonal it is as often as they say."""
    found = evaluation.reliability
    figure = new_figure(4.8, 4.4)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--", label="as they say")
    axes.plot(found.confidence, found.right, marker="o", label=f"{len(found.count)} bins")
    axes.set(
        title=f"Confidence and truth: calibration error {found.error:.4f}",
        xlabel="mean confidence of a bin", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1),
    )  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")
    return figure


def coverage(evaluation: Evaluation) -> Figure:
    """What is right of the answers that are left, if the least confident are rejected."""
    answered, right, _ = zip(*evaluation.coverage, strict=True)
    figure = new_figure(4.8, 4.4)
    axes = figure.subplots()
    axes.plot(np.array(answered) * 100, np.array(right) * 100)
    axes.set(
        title="Rejecting the least confident", xlabel="answered, %",
        ylabel="of those, right, %", xlim=(100, 0),
    )  # fmt: skip
    axes.grid(alpha=0.3)
    return figure


PLOTS: dict[str, Callable[[Evaluation], Figure]] = {
    "confusions": confusions,
    "by_length": by_length,
    "by_position": by_position,
    "reliability": reliability,
    "coverage": coverage,
}
"""By the names of their files."""
