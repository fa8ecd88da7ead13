"""The CTC loss that never holds all logits: the same as the one that does, gradients too."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from models import losses
from models.losses import chunked_ctc_loss, full_ctc_loss

COUNT, STEPS, FEATURES, CLASSES = 6, 17, 16, 200


@pytest.fixture
def batch() -> tuple[Tensor, nn.Linear, Tensor, Tensor, Tensor]:
    """Features that want a gradient, head, lengths, targets with repeats, their lengths."""
    torch.manual_seed(0)
    features = torch.randn(COUNT, STEPS, FEATURES)
    head = nn.Linear(FEATURES, CLASSES)
    with torch.no_grad():
        head.weight *= 3
        head.bias *= 9
    lengths = torch.tensor([17, 15, 9, 17, 12, 1])
    targets = torch.randint(1, CLASSES, (COUNT, 6))
    targets[0, 1] = targets[0, 0]  # a blank must stand between them
    targets[3, 3] = targets[3, 0]
    sizes = torch.tensor([6, 3, 2, 5, 0, 1])
    return features.requires_grad_(), head, lengths, targets, sizes


def results(loss, batch, scale: float = 1.0) -> list[Tensor]:
    """Loss, and its gradients by features, weight and bias."""
    features, head, *rest = batch
    found = loss(features, head, *rest)
    found.mul(scale).backward()
    gradients = [features.grad, head.weight.grad, head.bias.grad]
    for each in (features, head.weight, head.bias):
        each.grad = None
    return [found.detach(), *gradients]


@pytest.mark.parametrize("chunk", [1, 7 * CLASSES, 2**23])
@pytest.mark.parametrize("filler", [None, 0, -1, 10_000])
def test_loss_and_gradients_are_those_of_all_logits(batch, monkeypatch, chunk, filler):
    monkeypatch.setattr(losses, "CHUNK", chunk)
    _, _, _, targets, sizes = batch
    if filler is not None:
        for row, size in zip(targets, sizes, strict=True):
            row[size:] = filler
    wanted = results(full_ctc_loss, batch, 3.0)
    found = results(chunked_ctc_loss, batch, 3.0)
    for one, other in zip(wanted, found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)
    assert wanted[1].abs().max() > 0.01


def test_steps_past_the_length_get_no_gradient(batch):
    by_features = results(chunked_ctc_loss, batch)[1]
    reached = by_features.abs().sum(dim=2) > 0
    assert reached.sum(dim=1).tolist() == batch[2].tolist()


def test_only_the_chunk_is_held(batch, monkeypatch):
    sizes = []
    logsumexp = Tensor.logsumexp
    monkeypatch.setattr(
        Tensor, "logsumexp", lambda x, dim: sizes.append(x.numel()) or logsumexp(x, dim)
    )
    monkeypatch.setattr(losses, "CHUNK", 5 * CLASSES)
    results(chunked_ctc_loss, batch)
    steps = int(batch[2].sum())
    assert len(sizes) == -(-steps // 5)
    assert max(sizes) == 5 * CLASSES
    assert sum(sizes) == steps * CLASSES  # each once, and no padding


def test_without_gradients_it_is_the_same(batch):
    with torch.no_grad():
        torch.testing.assert_close(chunked_ctc_loss(*batch), full_ctc_loss(*batch))


def test_a_frozen_head_leaves_the_features_their_gradient(batch):
    features, head, *rest = batch
    head.requires_grad_(False)
    wanted = torch.autograd.grad(full_ctc_loss(features, head, *rest), features)
    found = torch.autograd.grad(chunked_ctc_loss(features, head, *rest), features)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_target_that_cannot_fit_is_infinite_in_both(batch):
    batch[2][0] = 5
    assert full_ctc_loss(*batch).isposinf()
    assert chunked_ctc_loss(*batch).isposinf()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_it_is_near(batch, dtype):
    wanted = results(full_ctc_loss, batch)
    with torch.autocast("cpu", dtype):
        found = results(chunked_ctc_loss, batch)
    assert found[0].dtype == torch.float32
    for one, other in zip(wanted, found, strict=True):
        torch.testing.assert_close(other, one, rtol=0.03, atol=0.02 * float(one.abs().max()))
