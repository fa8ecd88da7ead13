"""The reader: alone or in a batch, from any source, from either file format."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from lively import SMALL, scribble, write_checkpoint
from torch.nn import functional as F

from utils.checkpoint import load_checkpoint, save_checkpoint
from utils.networks import TorchNetwork
from utils.picture import ImageSpec, prepare
from utils.recognizer import Recognizer
from utils.text.charset import Charset
from utils.text.decoding import greedy_decode

MIXED = ImageSpec(height=32, width=160, keep_ratio=True)
WIDTHS = (150, 24, 97, 40, 41, 160, 8)


@pytest.fixture(params=["light", "basic"])
def mixed_widths(request: pytest.FixtureRequest, tmp_path: Path) -> Recognizer:
    path = write_checkpoint(tmp_path / "m.pth", image=MIXED, backbone=request.param, spread=3)
    return Recognizer.load(path, "cpu")


def test_picture_reads_alone_as_in_a_batch_of_mixed_widths(mixed_widths: Recognizer):
    pictures = [scribble(width, width) for width in WIDTHS]
    together = mixed_widths.read(pictures)
    [batch] = mixed_widths.batches(pictures)
    assert len({prediction.text for prediction in together}) == len(WIDTHS)
    for row, picture in enumerate(pictures):
        [alone] = mixed_widths.read([picture])
        assert alone.text == together[row].text
        assert alone.confidence == pytest.approx(together[row].confidence, abs=1e-5)
        log_probs, [length] = mixed_widths.log_probs([prepare(picture, MIXED)])
        assert length == batch.lengths[row]
        np.testing.assert_allclose(batch.log_probs[row, :length], log_probs[0], atol=5e-4)


def test_confidence_is_the_ctc_probability_of_the_text(mixed_widths: Recognizer):
    pictures = [scribble(width, width) for width in WIDTHS]
    predictions = mixed_widths.read(pictures)
    [batch] = mixed_widths.batches(pictures)
    targets = [mixed_widths.charset.encode(prediction.text) for prediction in predictions]
    losses = F.ctc_loss(
        torch.from_numpy(batch.log_probs).double().transpose(0, 1),
        torch.tensor(sum(targets, [])),
        torch.from_numpy(batch.lengths),
        torch.tensor([len(target) for target in targets]),
        reduction="none",
    )
    for prediction, loss in zip(predictions, losses.tolist(), strict=True):
        assert prediction.confidence == pytest.approx(math.exp(-loss), abs=1e-5)
        assert math.log(prediction.confidence) == pytest.approx(-loss, abs=1e-4)
    assert max(prediction.confidence for prediction in predictions) > 0.01
    assert max(prediction.confidence for prediction in predictions) < 1


def test_text_is_the_collapse_of_the_best_path(tmp_path: Path):
    reader = Recognizer.load(write_checkpoint(tmp_path / "m.pth", "甲乙丙丁"), "cpu")
    [prediction] = reader.read([scribble(3)])
    [batch] = reader.batches([scribble(3)])
    [ids] = greedy_decode(batch.log_probs, batch.lengths)
    assert prediction.text == "".join("甲乙丙丁"[label_id - 1] for label_id in ids)
    assert prediction.text


def test_every_kind_of_source_reads_alike(tmp_path: Path):
    reader = Recognizer.load(write_checkpoint(tmp_path / "m.pth"), "cpu")
    picture, data = scribble(5), io.BytesIO()
    picture.save(data, "PNG")
    (tmp_path / "图 1.png").write_bytes(data.getvalue())
    path = tmp_path / "图 1.png"
    sources = [path, str(path), data.getvalue(), picture, np.asarray(picture)]
    readings = [reader.read([source])[0] for source in sources]
    assert readings == readings[:1] * len(sources)


def test_unreadable_pictures_keep_their_place(tmp_path: Path):
    reader = Recognizer.load(write_checkpoint(tmp_path / "m.pth"), "cpu")
    good = [scribble(seed) for seed in range(4)]
    mixed = [b"", good[0], good[1], b"junk", b"\x89PNG", good[2], good[3], tmp_path / "gone.png"]
    found = reader.read(mixed, batch_size=2)  # one batch holds nothing but bad ones
    assert [bool(prediction.error) for prediction in found] == [1, 0, 0, 1, 1, 0, 0, 1]
    read = [prediction.text for prediction in found if not prediction.error]
    assert read == [prediction.text for prediction in reader.read(good)]
    assert all(p.text == "" and p.confidence == 0 for p in found if p.error)
    assert "0 bytes" in str(found[0].error)
    assert "no such file" in str(found[-1].error)


def test_no_pictures_give_no_predictions(tmp_path: Path):
    assert Recognizer.load(write_checkpoint(tmp_path / "m.pth"), "cpu").read([]) == []


def test_both_file_formats_read_alike(tmp_path: Path):
    checkpoint = load_checkpoint(write_checkpoint(tmp_path / "m.pth"))
    save_checkpoint(tmp_path / "m.safetensors", checkpoint.header, checkpoint.state_dict)
    pictures = [scribble(seed) for seed in range(3)]
    pth = Recognizer.load(tmp_path / "m.pth", "cpu")
    safetensors = Recognizer.load(tmp_path / "m.safetensors", "cpu")
    assert pth.read(pictures) == safetensors.read(pictures)
    assert safetensors.header == pth.header


def test_reading_during_training_leaves_the_model_in_training(tmp_path: Path):
    model = load_checkpoint(write_checkpoint(tmp_path / "m.pth")).build()
    reader = Recognizer(TorchNetwork(model), SMALL, Charset("0123456789"))
    before = reader.read([scribble(1)])
    model.train()
    assert reader.read([scribble(1)]) == before
    assert model.training
