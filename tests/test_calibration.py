"""Whether confidences are what they say, by hand and on texts of a known temperature."""

from __future__ import annotations

import math

import numpy as np
import pytest

from utils.calibration import COLDEST, HOTTEST, Reliability, coverage_curve, fit_temperature


def test_bins_hold_as_many_each():
    confidences = [0.1, 0.9, 0.2, 0.8, 0.5, 0.6]
    right = [False, True, True, True, False, True]
    found = Reliability.of(confidences, right, num_bins=3)
    assert found.count == [2, 2, 2]
    assert found.confidence == pytest.approx([0.15, 0.55, 0.85])
    assert found.right == [0.5, 0.5, 1.0]
    assert found.error == pytest.approx((0.35 + 0.05 + 0.15) / 3)


def test_fewer_texts_than_bins():
    found = Reliability.of([0.5, 1.0], [True, True])
    assert (found.count, found.error) == ([1, 1], 0.25)
    assert Reliability.of([], []).error == 0.0


def test_honest_confidences_have_little_error():
    rng = np.random.default_rng(0)
    confidences = rng.random(20_000)
    right = rng.random(20_000) < confidences
    assert Reliability.of(confidences, right).error < 0.02
    assert Reliability.of(confidences**3, right).error > 0.1


def test_rejecting_the_least_confident():
    curve = coverage_curve([0.9, 0.2, 0.8, 0.1], [True, False, True, True], points=5)
    assert curve == [
        (1.0, 0.75, 0.1),
        (0.75, pytest.approx(2 / 3), 0.2),
        (0.5, 1.0, 0.8),
        (0.25, 1.0, 0.9),
    ]
    assert coverage_curve([0.5], [False]) == [(1.0, 0.0, 0.5)]


@pytest.mark.parametrize("true", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_found(true):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, size=(20_000, 5))
    shares = np.exp(logits / true)
    shares /= shares.sum(axis=1, keepdims=True)
    labels = (rng.random(20_000)[:, None] > shares.cumsum(axis=1)).sum(axis=1).clip(max=4)

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        return float((np.logaddexp.reduce(scaled, axis=1) - scaled[range(20_000), labels]).mean())

    assert fit_temperature(loss) == pytest.approx(true, rel=0.05)


@pytest.mark.parametrize(("slope", "end"), [(1, COLDEST), (-1, HOTTEST)])
def test_it_stays_within_its_range(slope, end):
    assert fit_temperature(lambda temperature: slope * math.log(temperature)) == pytest.approx(
        end, rel=0.01
    )
