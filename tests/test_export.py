"""export.py: what it writes reads as the checkpoint does, and nothing else is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lively import SMALL, scribble, write_checkpoint

import export
from models.config import ModelConfig
from models.registry import BACKBONES, NECKS, build_model
from utils.checkpoint import Checkpoint, Header, load_checkpoint
from utils.errors import UserError
from utils.export import onnx_file
from utils.export.parity import Parity, check_batches, compare
from utils.networks import TorchNetwork
from utils.picture import ImageSpec
from utils.recognizer import Recognizer
from utils.text.charset import preset_charset

MIXED = ImageSpec(height=32, width=160, keep_ratio=True)
WIDTHS = (150, 24, 97, 40, 41, 160, 8)


def call(*arguments: object) -> int:
    return export.main([str(argument) for argument in arguments])


def untrained(backbone: str, neck: str) -> Checkpoint:
    torch.manual_seed(0)
    channels = BACKBONES[backbone].defaults.get("img_channels", 1)
    assert isinstance(channels, int)
    config = ModelConfig(backbone, 11, 32, channels, 16, 1, neck=neck)
    spec = ImageSpec(32, 80, channels, (0.5,) * channels, (0.5,) * channels)
    header = Header(config, spec, preset_charset("digits"))
    return Checkpoint(Path("untrained"), header, build_model(config).state_dict())


@pytest.mark.parametrize(
    ("backbone", "neck"),
    [(name, "bilstm") for name in BACKBONES] + [("light", name) for name in NECKS],
)
def test_every_network_reads_alike_in_any_batch_and_width(backbone, neck, tmp_path: Path):
    pictures = [scribble(seed, 90) for seed in range(8)]
    _, parity = onnx_file.write_onnx(
        untrained(backbone, neck), tmp_path / "m.onnx", pictures
    )  # or it raises
    assert parity.holds
    assert parity.batches == 9


def test_an_onnx_file_reads_as_its_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write_checkpoint(tmp_path / "my model.pth", image=MIXED, spread=3)
    checkpoint = load_checkpoint(path)
    assert call(path) == 0
    printed = capsys.readouterr().out
    assert "exported by tracing: the same texts" in printed
    assert f"--model_path {tmp_path / 'my model.onnx'}" in printed
    one = Recognizer.load(path, "cpu")
    other = Recognizer.load(tmp_path / "my model.onnx", "cpu", 1)
    assert other.header == checkpoint.header
    assert (other.image, other.charset) == (one.image, one.charset)
    assert other.max_steps == one.max_steps == 40
    pictures = [scribble(width, width) for width in WIDTHS]
    for wanted, found in zip(one.read(pictures), other.read(pictures), strict=True):
        assert found.text == wanted.text
        assert found.confidence == pytest.approx(wanted.confidence, abs=1e-5)
    for wanted, picture in zip(one.read(pictures), pictures, strict=True):
        [alone] = other.read([picture])
        assert alone.text == wanted.text
        assert alone.confidence == pytest.approx(wanted.confidence, abs=1e-5)


def test_the_temperature_is_in_the_file(tmp_path: Path):
    checkpoint = load_checkpoint(write_checkpoint(tmp_path / "m.pth", spread=3))
    warm = replace(checkpoint, header=replace(checkpoint.header, temperature=2.0))
    picture, found = scribble(3), []
    for name, each in (("cold", checkpoint), ("warm", warm)):
        onnx_file.write_onnx(each, tmp_path / f"{name}.onnx", [picture])
        [output] = Recognizer.load(tmp_path / f"{name}.onnx", "cpu", 1).batches([picture])
        found.append(output.log_probs)
    halved = torch.from_numpy(found[0] / 2).log_softmax(dim=2).numpy()
    np.testing.assert_allclose(found[1], halved, atol=1e-4)


def test_pictures_to_check_with_are_of_many_widths():
    batches = check_batches(SMALL, [scribble(0)])
    assert [len(images) for images, _ in batches] == [1, 3, 8] * 3
    assert [images.shape[3] for images, _ in batches] == [40] * 3 + [80] * 3 + [120] * 3
    assert all(len(set(widths)) == len(widths) for _, widths in batches)
    with pytest.raises(UserError, match="a picture to check the export with: .*0 bytes"):
        check_batches(SMALL, [b""])


class Shifted(TorchNetwork):
    """Says the same, but for what it is told to change."""

    change = staticmethod(lambda log_probs, lengths: (log_probs, lengths))

    def log_probs(self, images, widths):
        return self.change(*super().log_probs(images, widths))


def spoiled(log_probs, lengths):
    log_probs = log_probs.copy()
    log_probs[0, 0, 3] = np.nan
    return log_probs, lengths


def past_the_end(log_probs, lengths):
    log_probs = log_probs.copy()
    for row, length in enumerate(lengths):
        log_probs[row, length:] = 7
    return log_probs, lengths


@pytest.mark.parametrize(
    ("change", "difference", "same", "holds"),
    [
        (lambda log_probs, lengths: (log_probs, lengths), 0, True, True),
        (past_the_end, 0, True, True),
        (lambda log_probs, lengths: (log_probs - 1e-3, lengths), 1e-3, True, False),
        (lambda log_probs, lengths: (log_probs, lengths - 1), np.inf, False, False),
        (lambda log_probs, lengths: (log_probs[:, 1:], lengths), np.inf, False, False),
        (lambda log_probs, lengths: (log_probs[..., ::-1].copy(), lengths), None, False, False),
        (spoiled, np.inf, False, False),
    ],
)
def test_parity_sees_values_shapes_lengths_and_texts(tmp_path, change, difference, same, holds):
    model = load_checkpoint(write_checkpoint(tmp_path / "m.pth", spread=3)).build()
    other = Shifted(model)
    other.change = change  # type: ignore[method-assign]
    batches = check_batches(SMALL, [scribble(seed) for seed in range(8)])
    found = compare(TorchNetwork(model), other, batches)
    assert (found.same, found.holds) == (same, holds)
    if difference is not None:
        assert found.difference == pytest.approx(difference, rel=0.01)


def failing(*_, **__):
    raise RuntimeError("of no use\nand more")


def test_another_exporter_is_tried_and_named(tiny_checkpoint: Path, monkeypatch, capsys):
    exporters = {"the first": failing, "the second": onnx_file.trace}
    monkeypatch.setattr(onnx_file, "EXPORTERS", exporters)
    assert call(tiny_checkpoint) == 0
    assert "exported by the second: the same texts" in capsys.readouterr().out


def test_an_export_that_reads_otherwise_is_not_written(tiny_checkpoint: Path, monkeypatch):
    before = sorted(tiny_checkpoint.parent.iterdir())
    exporters = {"the first": failing, "the second": onnx_file.trace}
    monkeypatch.setattr(onnx_file, "EXPORTERS", exporters)
    monkeypatch.setattr(onnx_file, "compare", lambda *_: Parity(0.5, True, 9))
    wanted = r"nothing was written \(the first: of no use; the second: the same texts, log_probs"
    with pytest.raises(UserError, match=wanted):
        call(tiny_checkpoint)
    assert sorted(tiny_checkpoint.parent.iterdir()) == before


@pytest.mark.long
@pytest.mark.parametrize(
    ("backbone", "neck"),
    [("light", name) for name in ("bilstm", "transformer", "none")]
    + [(name, "bilstm") for name in ("basic", "vgg7", "resnet18", "mobilenet_v3_small")],
)
def test_the_second_exporter_of_onnx_reads_alike_too(backbone, neck, tmp_path, monkeypatch):
    only = {"torch.export": onnx_file.torch_export}
    monkeypatch.setattr(onnx_file, "EXPORTERS", only)
    pictures = [scribble(seed, 90) for seed in range(8)]
    exporter, parity = onnx_file.write_onnx(
        untrained(backbone, neck), tmp_path / "m.onnx", pictures
    )
    assert exporter == "torch.export"
    assert parity.holds


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "nothing to export; give a checkpoint"),
        (["m.pth", "--format", "onnx-int8"], "--format onnx-int8 needs --data_root"),
        (["m.pth", "--format", "caffe"], "--format"),
        (["m.pth", "--output_path", "m.bin"], "expected a name that ends with .onnx"),
        (["gone.pth"], "gone.pth: no such file"),
    ],
)
def test_what_cannot_be_asked_for(words, sentence):
    with pytest.raises(UserError, match=sentence):
        call(*words)


def test_a_package_that_is_missing_is_named(tiny_checkpoint: Path, monkeypatch):
    monkeypatch.setattr(onnx_file, "PACKAGES", ("onnx_that_is_not_there",))
    with pytest.raises(UserError, match=r"pip install -r requirements-export.txt"):
        call(tiny_checkpoint)


def test_an_onnx_file_is_no_checkpoint_to_export(tiny_checkpoint: Path):
    assert call(tiny_checkpoint) == 0
    with pytest.raises(UserError, match="only reads; give the checkpoint it was made from"):
        call(tiny_checkpoint.with_suffix(".onnx"))


def test_a_picture_of_the_data_that_cannot_be_read_is_named(tiny_checkpoint, tiny_data):
    bad = tiny_data / "test" / "003.png"
    bad.write_bytes(bad.read_bytes()[:60])
    with pytest.raises(UserError, match=r"labels\.txt:4: 003\.png: damaged or unreadable"):
        call(tiny_checkpoint, "--data_root", tiny_data)
    assert not tiny_checkpoint.with_suffix(".onnx").exists()


def test_flags_without_effect_are_told(tiny_checkpoint: Path, capsys):
    assert call(tiny_checkpoint, "--num_calibration", 3, "--num_pictures", 3) == 0
    told = capsys.readouterr().err
    assert "--num_calibration has no effect without --format onnx-int8" in told
    assert "--num_pictures has no effect without --data_root" in told
