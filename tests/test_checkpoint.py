"""Checkpoints: what is written is what is read, and a failed write changes nothing."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from models.config import ModelConfig
from models.registry import build_model
from utils.checkpoint import Checkpoint, Header, load_checkpoint, save_checkpoint, versions
from utils.picture import ImageSpec
from utils.text.charset import Charset

HEADER = Header(
    ModelConfig("light", 5, img_height=32, hidden_size=4, num_layers=2),
    ImageSpec(height=32, width=80, mean=(0.4,), keep_ratio=True),
    Charset('a京é"', "two words"),
    metrics={"n": 3, "sequence_accuracy": 1 / 3, "counts": {"edits": 2}},
    train={"lr": 1e-3, "data_root": "données", "resume": None},
    versions=versions(),
)
KINDS = ("pth", "safetensors")

every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return build_model(HEADER.model).state_dict()


@pytest.fixture
def saved(tmp_path: Path, weights, kind) -> Path:
    path = tmp_path / "some models" / f"best.{kind}"
    save_checkpoint(path, HEADER, weights)
    return path


def assert_same(checkpoint: Checkpoint, weights: dict[str, torch.Tensor]) -> None:
    assert checkpoint.header == HEADER
    assert set(checkpoint.state_dict) == set(weights)
    for name, value in weights.items():
        assert checkpoint.state_dict[name].dtype == value.dtype
        assert torch.equal(checkpoint.state_dict[name], value)


@every_kind
def test_round_trip(saved, weights):
    checkpoint = load_checkpoint(str(saved))
    assert_same(checkpoint, weights)
    assert checkpoint.path == saved
    assert checkpoint.training is None
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


@every_kind
@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/home/somebody/my sets/données", "données"),
        ("C:\\Users\\somebody\\runs", "runs"),
        ("\\\\server\\somebody\\sets", "sets"),
        ("../somebody/set", "set"),
        ("./data/set", "./data/set"),
        ("checkpoints\\best.pth", "checkpoints\\best.pth"),
    ],
)
def test_no_folder_outside_the_project_is_written(tmp_path: Path, weights, kind, path, kept):
    header = replace(HEADER, train={"data_root": path, "lr": 0.1, "resume": None})
    save_checkpoint(tmp_path / f"best.{kind}", header, weights)
    file = tmp_path / f"best.{kind}"
    assert load_checkpoint(file).header.train == {"data_root": kept, "lr": 0.1, "resume": None}
    assert b"somebody" not in file.read_bytes()


@every_kind
def test_the_network_is_built_as_it_was(saved, weights):
    original = build_model(HEADER.model)
    original.load_state_dict(weights)
    built = load_checkpoint(saved).build()
    assert not built.training
    images = torch.randn(2, 1, 32, 40)
    with torch.no_grad():
        assert torch.equal(built(images)[0], original.eval()(images)[0])


def test_both_kinds_hold_the_same_header(tmp_path: Path, weights):
    for kind in KINDS:
        save_checkpoint(tmp_path / f"m.{kind}", HEADER, weights)
    with safe_open(tmp_path / "m.safetensors", framework="pt") as file:
        metadata = file.metadata()
    content = torch.load(tmp_path / "m.pth", weights_only=True)
    assert metadata == {"crnn": HEADER.to_json()}
    assert set(content) == {"header", "model"}
    assert content["header"] == metadata["crnn"]
    values = json.loads(metadata["crnn"])
    assert (values["format"], values["format_version"]) == ("crnn-reader", 4)
    assert values["charset"] == {
        "characters": 'a京é"', "name": "two words", "alike": [], "drops": False,
        "nfc": False,
    }  # fmt: skip


def test_headers_of_older_versions_still_load():
    values = json.loads(HEADER.to_json()) | {"format_version": 1}
    del values["temperature"], values["charset"]["alike"]
    assert Header.from_json(json.dumps(values), "old") == HEADER
    values = json.loads(HEADER.to_json()) | {"format_version": 3}
    del values["charset"]["nfc"], values["model"]["head_size"]
    assert Header.from_json(json.dumps(values), "old") == HEADER


def test_kinds_are_told_apart_by_content(tmp_path: Path, weights):
    for kind, other in (KINDS, KINDS[::-1]):
        save_checkpoint(tmp_path / f"a.{kind}", HEADER, weights)
        renamed = (tmp_path / f"a.{kind}").replace(tmp_path / f"renamed.{other}")
        assert_same(load_checkpoint(renamed), weights)


def test_training_state_fits_only_in_pth(tmp_path: Path, weights):
    training = {"epoch": 3, "optimizer": {"state": {0: {"step": torch.tensor(5.0)}}}, "seen": [1]}
    save_checkpoint(tmp_path / "last.pth", HEADER, weights, training)
    checkpoint = load_checkpoint(tmp_path / "last.pth")
    assert_same(checkpoint, weights)
    assert checkpoint.training == training
    with pytest.raises(ValueError, match="no training state"):
        save_checkpoint(tmp_path / "last.safetensors", HEADER, weights, training)
    assert [path.name for path in tmp_path.iterdir()] == ["last.pth"]


@every_kind
def test_weights_that_share_storage_or_are_not_contiguous(tmp_path: Path, kind):
    """cuDNN's flattened LSTM weights are views of one storage; channels_last ones are strided."""
    flat = torch.randn(12)
    odd = {"a": flat[:6].view(2, 3), "b": flat[6:], "c": flat.view(3, 4).T, "d": nn.Parameter(flat)}
    path = tmp_path / f"m.{kind}"
    save_checkpoint(path, HEADER, odd)
    loaded = load_checkpoint(path).state_dict
    assert all(torch.equal(loaded[name], value) for name, value in odd.items())
    assert path.stat().st_size < 10_000 + 4 * 42


@every_kind
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(saved, weights, monkeypatch, call):
    before = saved.read_bytes()

    def full(*_) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    other = {name: value + 1 for name, value in weights.items()}
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        save_checkpoint(saved, HEADER, other)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what is mapped")
def test_what_was_read_can_be_replaced(tmp_path: Path, weights) -> None:
    """Windows replaces no file that is mapped into memory."""
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, HEADER, weights)
    checkpoint = load_checkpoint(path)
    assert checkpoint.state_dict
    assert str(path) not in Path("/proc/self/maps").read_text("utf-8")
