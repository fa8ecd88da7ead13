"""The CTC loss against the sum over all paths."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from models.losses import ctc_loss

TARGETS = [[1, 2], [1, 1], [2], [], [3, 1, 2]]


def collapse(path: tuple[int, ...]) -> list[int]:
    return [label for label, _ in itertools.groupby(path) if label]


def brute_force(logits: Tensor, target: list[int]) -> float:
    """-log of the summed probability of every path over logits (T, C) that reads as target."""
    probabilities = logits.double().softmax(1).tolist()
    total = 0.0
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        if collapse(path) == target:
            total += math.prod(row[k] for row, k in zip(probabilities, path, strict=True))
    return -math.log(total) if total else math.inf


def padded(targets: list[list[int]], filler: int) -> tuple[Tensor, Tensor]:
    width = max(len(target) for target in targets)
    rows = [target + [filler] * (width - len(target)) for target in targets]
    return torch.tensor(rows), torch.tensor([len(target) for target in targets])


def one(logits: Tensor, steps: int, target: list[int]) -> Tensor:
    targets, sizes = padded([target or [0]], 0)
    sizes = sizes if target else torch.tensor([0])
    return ctc_loss(logits[None], torch.tensor([steps]), targets, sizes)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("steps", [3, 5])
def test_equals_the_sum_over_all_paths(steps, target):
    torch.manual_seed(0)
    logits = 2 * torch.randn(5, 4)
    expected = brute_force(logits[:steps], target) / max(len(target), 1)
    assert one(logits, steps, target).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("filler", [0, -1, 99])
def test_mean_over_a_padded_batch(filler):
    """Each loss is divided by its target's length, whatever pads the targets and the logits."""
    torch.manual_seed(1)
    logits = torch.randn(5, 5, 4)
    lengths = torch.tensor([5, 3, 2, 4, 5])
    for row, steps in zip(logits, lengths, strict=True):
        row[steps:] = 50 * torch.randn_like(row[steps:])
    targets, sizes = padded(TARGETS, filler)
    found = ctc_loss(logits, lengths, targets, sizes)
    expected = [
        brute_force(row[:steps], target) / max(len(target), 1)
        for row, steps, target in zip(logits, lengths.tolist(), TARGETS, strict=True)
    ]
    assert found.shape == ()
    assert found.item() == pytest.approx(sum(expected) / 5, rel=1e-5)
    log_probs = logits.log_softmax(2).transpose(0, 1)
    flat = torch.tensor([label for target in TARGETS for label in target])
    assert torch.equal(found, nn.CTCLoss()(log_probs, flat, lengths, sizes))


def test_steps_past_the_length_get_no_gradient():
    torch.manual_seed(2)
    logits = torch.randn(2, 6, 4, requires_grad=True)
    targets, sizes = padded([[1, 2], [3]], 0)
    ctc_loss(logits, torch.tensor([6, 4]), targets, sizes).backward()
    assert logits.grad is not None
    reached = logits.grad.abs().sum(dim=2) > 0
    assert reached.tolist() == [[True] * 6, [True] * 4 + [False] * 2]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_logits_are_scored_in_fp32(dtype):
    torch.manual_seed(3)
    half = (8 * torch.randn(1, 40, 63)).to(dtype).requires_grad_()
    lengths, targets, sizes = torch.tensor([40]), torch.tensor([[5, 9, 9, 1]]), torch.tensor([4])
    with torch.autocast("cpu", torch.bfloat16):
        loss = ctc_loss(half, lengths, targets, sizes)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, ctc_loss(half.float(), lengths, targets, sizes))
    loss.backward()
    assert half.grad is not None
    assert half.grad.dtype == dtype


@pytest.mark.parametrize(("steps", "fits"), [(2, False), (3, True)])
def test_a_target_that_cannot_fit_is_infinite(steps, fits):
    loss = one(torch.zeros(5, 3), steps, [1, 1])
    assert loss.isfinite().item() is fits
