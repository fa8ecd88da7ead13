"""The CTC loss that never holds all logits: the same as the one that does, gradients too."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from small_run import run
from torch import Tensor, nn

from models import losses
from models.losses import best_classes, chunked_ctc_loss, ctc_of, full_ctc_loss
from utils.dataset import BadRows, read_split
from utils.recognizer import Recognizer
from utils.training import validation

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


@pytest.mark.parametrize("chunk", [1, 5 * CLASSES, 2**23])
def test_the_best_classes_are_those_of_all_logits(batch, monkeypatch, chunk):
    monkeypatch.setattr(losses, "CHUNK", chunk)
    features, head, *_ = batch
    found = best_classes(features.bfloat16(), head)
    assert not found.requires_grad
    assert torch.equal(found, head(features.bfloat16().float()).argmax(dim=2))


def test_large_charsets_take_the_chunked_one():
    assert ctc_of("auto", 63) == "full"
    assert ctc_of("auto", 30_657) == ctc_of("chunked", 63) == "chunked"
    assert ctc_of("full", 30_657) == "full"


def test_a_training_takes_either(tiny_data: Path, tmp_path: Path, monkeypatch):
    def losses_of(name: str, *flags: str) -> list[float]:
        assert run(tiny_data, tmp_path / name, "--num_epochs", "2", "--no-amp", *flags) == 0
        with (tmp_path / name / "history.csv").open(encoding="utf-8") as file:
            return [float(row["loss"]) for row in csv.DictReader(file)]

    full = losses_of("full")
    chunked = losses_of("chunked", "--ctc", "chunked")
    assert chunked == pytest.approx(full, rel=1e-3)
    monkeypatch.setattr(losses, "_ChunkedCTC", None)
    with pytest.raises(AttributeError, match="apply"):
        losses_of("which", "--ctc", "chunked")


def test_validation_reads_fewer_at_a_time_where_there_are_many_classes(
    tiny_checkpoint: Path, tiny_data: Path, monkeypatch
):
    recognizer = Recognizer.load(tiny_checkpoint, "cpu")
    rows = read_split(tiny_data / "val", BadRows(0))
    asked = []
    batches = Recognizer.batches
    monkeypatch.setattr(
        Recognizer, "batches", lambda *words: asked.append(words[2]) or batches(*words)
    )
    wanted = validation.validate(recognizer, rows)
    monkeypatch.setattr(validation, "MOST_VALUES", 2 * 20 * 11 + 7)
    found = validation.validate(recognizer, rows)
    monkeypatch.setattr(validation, "MOST_VALUES", 1)
    validation.validate(recognizer, rows)
    assert asked == [250, 2, 1]
    assert found.texts == wanted.texts
