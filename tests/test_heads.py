"""A head in chunks: the same as the whole, and readers that never hold it."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from models import heads
from models.config import ModelConfig
from models.heads import HeadSteps, best_classes
from models.registry import build_model
from utils.networks import TorchNetwork
from utils.picture import ImageSpec
from utils.recognizer import Recognizer
from utils.text.alignment import text_log_probs
from utils.text.asked import Decoding
from utils.text.charset import Charset
from utils.text.constraints import Constraints
from utils.text.decoding import greedy_decode, log_probs_at
from utils.text.reading import Decoder
from utils.training.calibrate import tempered
from utils.training.weights import initial_model, new_head

MANY = Charset("".join(map(chr, range(0x4E00, 0x4E00 + 1500))), "many")
SPEC = ImageSpec(32, 96, mean=(0.9,), std=(0.2,))


@pytest.fixture(scope="module")
def network() -> TorchNetwork:
    torch.manual_seed(1)
    model = build_model(ModelConfig("light", MANY.num_classes, 32, 1, 16, 1, head_size=12)).eval()
    with torch.no_grad():
        model.head.weight.mul_(8)
    return TorchNetwork(model, temperature=1.3)


@pytest.fixture
def batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    return rng.normal(0, 1, (5, 1, 32, 96)).astype(np.float32), np.array([96, 40, 96, 72, 96])


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(heads, "CHUNK", 7 * MANY.num_classes)


def test_a_head_in_chunks_is_the_whole_head():
    torch.manual_seed(0)
    features, head = torch.randn(3, 11, 6), nn.Linear(6, 40)
    log_probs = (head(features) / 0.7).log_softmax(dim=2)
    found = HeadSteps(features, head, 0.7)
    assert (found.best == log_probs.argmax(dim=2)).all()
    rows, classes = torch.tensor([2, 0, 2, 1]), torch.randint(0, 40, (4, 5))
    expected = log_probs[rows].gather(2, classes[:, None].expand(-1, 11, -1))
    torch.testing.assert_close(found.at(rows, classes), expected)


@pytest.mark.parametrize("chunk", [1, 200, 2**23])
def test_the_best_classes_are_those_of_all_logits(monkeypatch, chunk):
    monkeypatch.setattr(heads, "CHUNK", chunk)
    torch.manual_seed(0)
    features, head = torch.randn(3, 11, 6, requires_grad=True), nn.Linear(6, 40)
    found = best_classes(features.bfloat16(), head)
    assert not found.requires_grad
    assert torch.equal(found, head(features.bfloat16().float()).argmax(dim=2))


def test_steps_decode_as_log_probs_do(network, batch):
    log_probs, lengths = network.log_probs(*batch)
    steps, same = network.steps(*batch)
    assert not isinstance(steps, np.ndarray)
    assert steps.shape == log_probs.shape
    np.testing.assert_array_equal(lengths, same)
    found = greedy_decode(steps, lengths)
    assert found == greedy_decode(log_probs, lengths)
    assert any(found)
    targets = [*found, [3, 3, 9]]
    rows = [0, 1, 2, 3, 4, 1]
    np.testing.assert_allclose(
        text_log_probs(steps, lengths, targets, rows),
        text_log_probs(log_probs, lengths, targets, rows),
        rtol=1e-5, atol=1e-4,
    )  # fmt: skip


def test_steps_are_of_the_networks_precision(network, batch):
    half = TorchNetwork(network.model, amp_dtype=torch.bfloat16)
    log_probs, lengths = half.log_probs(*batch)
    steps, _ = half.steps(*batch)
    targets = greedy_decode(steps, lengths)
    found = text_log_probs(steps, lengths, targets)
    np.testing.assert_allclose(found, text_log_probs(log_probs, lengths, targets), rtol=0.02)


def test_columns_round_as_the_head_does(network, batch):
    """In half precision too: else a single step could be more than certain."""
    half = TorchNetwork(copy.deepcopy(network.model), amp_dtype=torch.bfloat16)
    with torch.no_grad():
        half.model.head.bias.normal_(0, 5)
    steps, _ = half.steps(*batch)
    log_probs, _ = half.log_probs(*batch)
    rows, best = np.arange(5), steps.best()
    gaps = np.abs(steps.at(rows, best) - log_probs_at(log_probs, rows, best))  # (N, T, T)
    assert np.mean(gaps < 1e-3) > 0.95


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_steps_of_another_temperature(network, batch, temperature):
    log_probs, lengths = network.log_probs(*batch)
    steps, _ = network.steps(*batch)
    targets = greedy_decode(steps, lengths)
    np.testing.assert_allclose(
        text_log_probs(steps.tempered(temperature), lengths, targets),
        text_log_probs(tempered(log_probs, temperature), lengths, targets),
        rtol=1e-5, atol=1e-4,
    )  # fmt: skip


def test_readings_are_the_same(network, batch):
    decoder = Decoder(MANY)
    assert not decoder.needs_whole
    one = decoder.read(*network.log_probs(*batch))
    other = decoder.read(*network.steps(*batch))
    assert [reading.text for reading in one] == [reading.text for reading in other]
    np.testing.assert_allclose(
        [reading.confidence for reading in one], [reading.confidence for reading in other], 1e-3
    )


@pytest.mark.parametrize(
    "decoding",
    [Decoding("beam"), Decoding(constraints=Constraints(allow="一")), Decoding(ignore_case=True)],
)
def test_other_decoders_take_the_whole(decoding, network, batch):
    decoder = Decoder(Charset(MANY.characters[:-2] + "aA"), decoding)
    assert decoder.needs_whole
    with pytest.raises(AssertionError):
        decoder.read(*network.steps(*batch))
    assert len(decoder.read(*network.log_probs(*batch))) == 5


def test_a_reader_of_many_classes_never_holds_them(network, batch, monkeypatch):
    pictures = [np.full((32, 96), level, np.uint8) for level in range(0, 250, 25)]
    reader = Recognizer(network, SPEC, MANY)
    wanted = reader.read(pictures, decoder=Decoder(MANY, Decoding("beam", beam_width=1)))
    sizes = []
    whole = TorchNetwork.log_probs
    monkeypatch.setattr(TorchNetwork, "log_probs", lambda *_: pytest.fail("the whole was held"))
    monkeypatch.setattr("utils.recognizer.MAX_VALUES", 2 * 24 * MANY.num_classes)
    steps = TorchNetwork.steps
    monkeypatch.setattr(
        TorchNetwork,
        "steps",
        lambda net, images, _: sizes.append(len(images)) or steps(net, images, _),
    )
    found = reader.read(pictures, batch_size=5)
    assert sizes == [5, 5]  # as many as were asked for
    assert [each.text for each in found] == [each.text for each in wanted]
    monkeypatch.setattr(TorchNetwork, "log_probs", whole)
    assert reader.fitting(5) == 2


def test_a_narrow_head_has_two_factors(network):
    model = network.model
    assert model.head.weight.shape == (MANY.num_classes, 12)
    assert model.narrow is not None
    assert model.narrow.weight.shape == (12, 32)
    features, _ = model.encode(torch.zeros(1, 1, 32, 96))
    assert features.shape == (1, 24, 12)
    plain = build_model(ModelConfig("light", 63, 32, 1, 16, 1))
    assert plain.narrow is None
    assert not any(name.startswith("narrow") for name in plain.state_dict())


def test_a_new_head_of_many_classes_starts_with_blanks():
    torch.manual_seed(0)
    features = torch.randn(50, 12)
    many = new_head(12, MANY.num_classes)
    shares = many(features).softmax(dim=1)[:, 0]
    assert 0.3 < float(shares.detach().mean()) < 0.7
    config = ModelConfig("light", MANY.num_classes, 32, 1, 16, 1)
    model, _ = initial_model(config, MANY, None, False, None)
    assert float(model.head.bias[0].detach()) == pytest.approx(math.log(1500), abs=1e-5)
    torch.manual_seed(0)
    few, plain = new_head(12, 63), nn.Linear(12, 63)
    assert few.bias.abs().max() < 1
    assert few.weight.shape == plain.weight.shape
