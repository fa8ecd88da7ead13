"""The CTC loss that never holds all logits: the same as the one that does, gradients too."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from small_run import run
from torch import Tensor, nn

from models import losses
from models.losses import chunked_ctc_loss, ctc_of, full_ctc_loss
from utils import recognizer
from utils.dataset import BadRows, read_split
from utils.ranks import Ranks
from utils.recognizer import Recognizer
from utils.training import validation
from utils.training.stop import StopRequest

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


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_it_is_the_same_and_computes_none(batch, monkeypatch, mode):
    monkeypatch.setattr(losses._Parts, "gradients", None)
    with mode():
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


@pytest.fixture
def learned() -> tuple[Tensor, nn.Linear, Tensor, Tensor, Tensor]:
    """A batch that is nearly learned: probabilities and paths cancel but for a small rest."""
    torch.manual_seed(0)
    count, steps, size, classes = 16, 26, 64, 3000
    head = nn.Linear(size, classes)
    with torch.no_grad():
        head.weight.copy_(torch.randn(classes, size) / 8)
    targets = torch.randint(1, classes, (count, 12))
    path = torch.zeros(count, steps, dtype=torch.long)
    path[:, 1:25:2] = targets
    features = 14 * head.weight.detach()[path] + 0.1 * torch.randn(count, steps, size)
    whole = torch.full((count,), steps)
    return features.requires_grad_(), head, whole, targets, torch.full((count,), 12)


def errors(batch, dtype: torch.dtype, loss, scale: float) -> list[float]:
    """Of the gradients under autocast, beside those in fp32 of the same rounded numbers."""
    features, head, *rest = batch
    with torch.no_grad():
        features.copy_(features.to(dtype).float())
        head.weight.copy_(head.weight.to(dtype).float())
    wanted = results(full_ctc_loss, batch)[1:]
    with torch.autocast("cpu", dtype):
        found = results(loss, batch, scale)[1:]
    return [float((x / scale - y).norm() / y.norm()) for x, y in zip(found, wanted, strict=True)]


@pytest.mark.parametrize(("dtype", "scale"), [(torch.bfloat16, 1.0), (torch.float16, 65_536.0)])
def test_under_autocast_it_is_as_exact_as_the_full_one(learned, dtype, scale):
    full = errors(learned, dtype, full_ctc_loss, scale)
    chunked = errors(learned, dtype, chunked_ctc_loss, scale)
    for one, other in zip(full, chunked, strict=True):
        assert other < max(2 * one, 0.01)


def test_small_gradients_outlive_fp16_as_the_scaled_loss_means_them_to(batch):
    features, _, *rest = batch
    head = nn.Linear(FEATURES, 200_000)
    with torch.no_grad():
        head.weight *= 0.01
    many = (features, head, *rest)
    wanted = results(full_ctc_loss, many)[2]
    with torch.autocast("cpu", torch.float16):
        found = results(chunked_ctc_loss, many, 65_536.0)[2] / 65_536
    assert float((found - wanted).norm() / wanted.norm()) < 0.01
    assert (found == 0).float().mean() < 0.01


def test_a_head_without_bias_and_targets_without_room(batch):
    features, head, lengths, targets, sizes = batch
    bare = nn.Linear(FEATURES, CLASSES, bias=False)
    rest = (lengths, targets, sizes)
    torch.testing.assert_close(
        chunked_ctc_loss(features, bare, *rest), full_ctc_loss(features, bare, *rest)
    )
    chunked_ctc_loss(features, bare, *rest).backward()
    assert bare.weight.grad is not None
    empty = (lengths, targets[:, :0], torch.zeros_like(sizes))
    wanted = full_ctc_loss(features, head, lengths, targets, empty[2])
    torch.testing.assert_close(chunked_ctc_loss(features, head, *empty), wanted)


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


def test_readers_take_fewer_at_a_time_where_there_are_many_classes(
    tiny_checkpoint: Path, tiny_data: Path, monkeypatch
):
    reader = Recognizer.load(tiny_checkpoint, "cpu")
    rows = read_split(tiny_data / "val", BadRows(0))
    sizes: list[int] = []
    log_probs = reader.network.log_probs
    monkeypatch.setattr(
        reader.network, "log_probs", lambda x, widths: sizes.append(len(x)) or log_probs(x, widths)
    )
    texts = []
    for most in (2**27, 2 * 20 * 11 + 7, 1):
        monkeypatch.setattr(recognizer, "MAX_VALUES", most)
        sizes.clear()
        found = validation.validate(reader, rows, Ranks(), StopRequest(), 32)
        assert found is not None
        texts.append(found.texts)
        assert sizes[-1] == {2**27: 6, 2 * 20 * 11 + 7: 2, 1: 1}[most]
    assert texts[0] == texts[1] == texts[2]
