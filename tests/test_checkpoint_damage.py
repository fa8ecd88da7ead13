"""Each checkpoint that cannot be read is answered with one sentence that opens with its name."""

from __future__ import annotations

import contextlib
import json
import pickle
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from utils.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from utils.errors import UserError

every_kind = pytest.mark.parametrize("kind", ["pth", "safetensors"])


@pytest.fixture
def sound(tiny_checkpoint: Path) -> Checkpoint:
    return load_checkpoint(tiny_checkpoint)


@pytest.fixture
def saved(tmp_path: Path, sound, kind) -> Path:
    path = tmp_path / f"best.{kind}"
    save_checkpoint(path, sound.header, sound.state_dict)
    return path


def sentence(path: Path, read: Callable[[Path], Any] = load_checkpoint) -> str:
    """The one sentence that reading a bad file ends in; it opens with the file's name."""
    with pytest.raises(UserError) as caught:
        read(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


def test_files_that_are_not_there(tmp_path: Path):
    assert sentence(tmp_path / "no.pth").startswith("no such file; train.py writes")
    assert sentence(tmp_path).startswith("it is a folder; expected a .pth, .safetensors or .onnx")
    (tmp_path / "empty.pth").touch()
    assert sentence(tmp_path / "empty.pth").startswith("the file is empty (0 bytes)")


@every_kind
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.999])
def test_truncated(saved, share):
    data = saved.read_bytes()
    saved.write_bytes(data[: int(share * len(data))])
    assert sentence(saved).startswith("truncated or damaged (")


@every_kind
def test_truncated_by_one_byte_or_to_a_few(saved):
    data = saved.read_bytes()
    for size in (1, 2, 3, 5, 8, 9, 20, 200, len(data) - 1):
        saved.write_bytes(data[:size])
        assert sentence(saved).startswith(("truncated or damaged (", "neither a .pth nor"))


@every_kind
def test_damaged_bytes_never_end_in_a_traceback(saved):
    """The weights themselves have no checksum; what surrounds them must be readable."""
    data = saved.read_bytes()
    read = []
    for seed in range(60):
        rng = random.Random(seed)
        start = rng.randrange(2500)
        saved.write_bytes(data[:start] + rng.randbytes(30) + data[start + 30 :])
        with contextlib.suppress(UserError):
            load_checkpoint(saved).build()
            read.append(seed)
    assert len(read) < 20


def test_a_pickle_that_takes_from_an_empty_stack(tiny_checkpoint: Path):
    data = tiny_checkpoint.read_bytes()
    opening = b"\x80\x02}"  # protocol 2, then an empty dict
    tiny_checkpoint.write_bytes(data.replace(opening, b"\x80\x02a", 1))
    assert sentence(tiny_checkpoint).startswith("truncated or damaged (")


@every_kind
@pytest.mark.parametrize(
    "start", [b"", b"PK", b"PK\x03\x04", b"\x80\x02", b"\x08" + 7 * b"\0" + b"{"]
)
def test_random_bytes(tmp_path: Path, kind, start):
    path = tmp_path / f"noise.{kind}"
    path.write_bytes(start + random.Random(0).randbytes(3000))
    assert sentence(path).startswith(("truncated or damaged (", "neither a .pth nor"))


def test_foreign_safetensors(tmp_path: Path):
    path = tmp_path / "foreign.safetensors"
    for metadata in (None, {"format": "pt"}):
        save_file({"weight": torch.zeros(2)}, path, metadata)
        assert sentence(path) == "a .safetensors file, but not a checkpoint of this project"


def test_foreign_pth(tmp_path: Path, sound):
    path = tmp_path / "foreign.pth"
    header, weights = sound.header.to_json(), sound.state_dict
    for content in (
        weights,
        {"header": {}, "model": weights},
        {"header": header},
        {"header": header, "model": [1]},
        [header, weights],
        torch.zeros(2),
    ):
        torch.save(content, path)
        assert sentence(path) == "a .pth file, but not a checkpoint of this project"
    torch.save(nn.Linear(2, 2), path)
    assert "holds pickled code or objects, which are never run here" in sentence(path)
    torch.save(weights, path, _use_new_zipfile_serialization=False)
    assert sentence(path).startswith("neither a .pth nor a .safetensors checkpoint")


class Malicious:
    """Unpickling it makes a file."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), "w")


def test_pickled_code_is_never_run(tmp_path: Path, sound):
    target, path = tmp_path / "made by the pickle", tmp_path / "evil.pth"
    pickle.loads(pickle.dumps(Malicious(target))).close()
    target.unlink()  # it works, where pickles are trusted
    torch.save({"header": sound.header.to_json(), "model": Malicious(target)}, path)
    assert "never run here" in sentence(path)
    path.write_bytes(pickle.dumps(Malicious(target)))
    assert sentence(path).startswith("neither a .pth nor")
    assert not target.exists()


def write_header(path: Path, text: str, sound: Checkpoint) -> Path:
    """A checkpoint whose weights are sound and whose header is this text."""
    if path.suffix == ".pth":
        torch.save({"header": text, "model": sound.state_dict}, path)
    else:
        save_file(sound.state_dict, path, metadata={"crnn": text})
    return path


@every_kind
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"format_version": 5}, "format version 5 is newer than 4, the newest that this project"),
        ({"format_version": "1"}, "its header is damaged or foreign"),
        ({"temperature": 0}, "its header is damaged or foreign"),
        ({"temperature": "warm"}, "its header is damaged or foreign"),
        ({"format": "other"}, "its header is damaged or foreign"),
        ({"model": {"backbone": "light", "layers": 3}}, "its header is damaged or foreign"),
        ({"image": [60, 160]}, "its header is damaged or foreign"),
        ({"charset": {"characters": "abc"}}, "its header is damaged or foreign"),
        ({"more": 1}, "its header is damaged or foreign"),
    ],
)
def test_bad_headers(tmp_path: Path, sound, kind, changes, expected):
    text = json.dumps({**json.loads(sound.header.to_json()), **changes})
    assert sentence(write_header(tmp_path / f"m.{kind}", text, sound)).startswith(expected)


@every_kind
@pytest.mark.parametrize("text", ["{}", "[1, 2]", "7", "", "not JSON"])
def test_headers_that_are_none(tmp_path: Path, sound, kind, text):
    path = write_header(tmp_path / f"m.{kind}", text, sound)
    assert sentence(path).startswith("its header is damaged or foreign (")


@every_kind
def test_weights_that_do_not_fit_the_header(tmp_path: Path, sound, kind):
    path = tmp_path / f"m.{kind}"
    header, weights = sound.header, sound.state_dict
    fewer = {name: value for name, value in weights.items() if name != "head.bias"}
    for wrong_header, wrong_weights in (
        (replace(header, model=replace(header.model, hidden_size=5)), weights),
        (replace(header, model=replace(header.model, backbone="lite")), weights),
        (header, fewer),
        (header, {**weights, "extra": torch.zeros(1)}),
    ):
        save_checkpoint(path, wrong_header, wrong_weights)
        found = sentence(path, lambda path: load_checkpoint(path).build())
        assert found.startswith("its weights do not fit its own header (")
        assert found.endswith("); the file is damaged")
