"""Learning-rate factors against torch's own schedulers."""

from __future__ import annotations

import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, StepLR

from utils.training.schedule import SCHEDULERS, lr_factor

TOTAL = 200


def rates(make, steps: int) -> list[float]:
    """The learning rate at each step under a scheduler of torch; base rate 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler: LRScheduler = make(optimizer)
    found = []
    for step in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < steps - 1:
            scheduler.step()
    return found


@pytest.mark.parametrize("total", [TOTAL, 7, 33])
def test_onecycle_is_torchs(total):
    expected = rates(
        lambda optimizer: OneCycleLR(
            optimizer, max_lr=1.0, total_steps=total, pct_start=0.1, cycle_momentum=False
        ),
        total,
    )
    found = [lr_factor("onecycle", step, total, 10) for step in range(total)]
    assert found == pytest.approx(expected, rel=1e-6, abs=0)


def test_onecycle_starts_peaks_and_ends():
    factors = [lr_factor("onecycle", step, TOTAL, 10, warmup=0.25) for step in range(TOTAL)]
    assert factors[0] == pytest.approx(1 / 25)
    assert max(factors) == pytest.approx(1.0)
    assert factors.index(max(factors)) == 49
    assert factors[-1] == pytest.approx(1 / 25 / 1e4)


def test_step_is_torchs():
    epochs = rates(lambda optimizer: StepLR(optimizer, step_size=3, gamma=0.5), 10)
    for epoch, expected in enumerate(epochs):
        for step in (epoch * 7, epoch * 7 + 6):
            found = lr_factor("step", step, 70, 7, 0.0, step_size=3, gamma=0.5)
            assert found == pytest.approx(expected)


def test_cosine_warms_up_and_ends_at_zero():
    factors = [lr_factor("cosine", step, TOTAL, 10) for step in range(TOTAL + 1)]
    assert factors[0] == pytest.approx(1 / 21)
    assert factors[20] == max(factors) == 1.0
    assert factors[:21] == sorted(factors[:21])
    assert factors[20:] == sorted(factors[20:], reverse=True)
    assert factors[110] == pytest.approx(0.5)
    assert factors[TOTAL - 1] < 1e-3
    assert factors[TOTAL] == 0.0


def test_constant():
    assert {lr_factor("constant", step, TOTAL, 10, 0.0) for step in range(TOTAL)} == {1.0}


@pytest.mark.parametrize("scheduler", ["step", "plateau", "constant"])
def test_these_warm_up_in_a_line(scheduler):
    factors = [lr_factor(scheduler, step, TOTAL, 10) for step in range(22)]
    assert factors == pytest.approx([*(step / 21 for step in range(1, 21)), 1.0, 1.0])


def test_plateau_goes_by_the_drops():
    assert lr_factor("plateau", 100, TOTAL, 10, gamma=0.3) == 1.0
    assert lr_factor("plateau", 100, TOTAL, 10, gamma=0.3, drops=2) == pytest.approx(0.09)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("warmup", [0.0, 0.1, 1.0])
def test_factors_stay_between_zero_and_one(scheduler, warmup):
    for total in (1, 2, 3, 50):
        factors = [lr_factor(scheduler, step, total, 1, warmup) for step in range(total)]
        assert all(0.0 <= factor <= 1.0 for factor in factors)


@pytest.mark.parametrize(("scheduler", "end"), [("onecycle", 1 / 25 / 1e4), ("cosine", 0.0)])
def test_past_the_end_the_factor_stays(scheduler, end):
    """A resumed run may have more steps than it was planned for."""
    for step in (TOTAL, TOTAL + 1, 2 * TOTAL):
        assert lr_factor(scheduler, step, TOTAL, 10) == pytest.approx(end, rel=1e-9)
