"""Whether confidences can be trusted: how often texts of a confidence are right, and the
temperature that makes it so.

Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

NUM_BINS = 15
COLDEST, HOTTEST = 0.25, 8.0
PRIOR = 2.0
"""Nats for each unit of the temperature's squared logarithm: a few pictures that are all right are
no reason to be sure of everything."""
ROUNDS = 14
"""Of the search for the temperature; each makes the range smaller by two fifths."""


@dataclass(frozen=True)
class Reliability:
    """Texts sorted by confidence, in bins of as many texts each: (bins,) of the mean confidence,
    the share that is right, and the number."""

    confidence: list[float]
    right: list[float]
    count: list[int]

    @classmethod
    def of(
        cls, confidences: Sequence[float], right: Sequence[bool], num_bins: int = NUM_BINS
    ) -> Reliability:
        order = np.argsort(np.asarray(confidences, float), kind="stable")
        bins = [some for some in np.array_split(order, num_bins) if len(some)]
        shares, hits = np.asarray(confidences, float), np.asarray(right, float)
        return cls(
            [float(shares[some].mean()) for some in bins],
            [float(hits[some].mean()) for some in bins],
            [len(some) for some in bins],
        )

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance of confidence and share, by number."""
        gaps = np.abs(np.subtract(self.confidence, self.right))
        return float(gaps @ self.count / sum(self.count)) if self.count else 0.0


def coverage_curve(
    confidences: Sequence[float], right: Sequence[bool], points: int = 101
) -> list[tuple[float, float, float]]:
    """What is left if the least confident are rejected: (share that is answered, share of those
    that is right, least confidence among them), from all to few."""
    order = np.argsort(-np.asarray(confidences, float), kind="stable")
    hits = np.asarray(right, float)[order].cumsum()
    sizes = sorted({max(1, round(len(order) * k / (points - 1))) for k in range(1, points)})
    return [
        (size / len(order), float(hits[size - 1] / size), float(confidences[order[size - 1]]))
        for size in reversed(sizes)
        if size <= len(order)
    ]


def fit_temperature(loss: Callable[[float], float]) -> float:
    """The temperature with the least loss, between COLDEST and HOTTEST.

    `loss` is the negative log-likelihood of the true texts at a temperature, in which more than one
    valley has not been seen; a golden-section search over the logarithm.
    """
    golden = (5**0.5 - 1) / 2
    low, high = np.log(COLDEST), np.log(HOTTEST)
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = loss(float(np.exp(left))), loss(float(np.exp(right)))
    for _ in range(ROUNDS):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = loss(float(np.exp(left)))
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = loss(float(np.exp(right)))
    return float(np.exp((low + high) / 2))
