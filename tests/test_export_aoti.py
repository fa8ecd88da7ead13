"""export.py --format aoti: the package reads as the checkpoint does, and says what it needs."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch
from lively import scribble, write_checkpoint
from test_export import call, untrained

from models.registry import NECKS
from utils.checkpoint import METADATA_KEY, Header, load_checkpoint
from utils.errors import UserError
from utils.export import aoti_file
from utils.export.aoti_file import AotiNetwork, metadata, reason_of, without_places, write_aoti
from utils.export.parity import Parity
from utils.picture import ImageSpec
from utils.recognizer import Recognizer

COLOUR = ImageSpec(32, 80, 3, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), True, "vertical")
NETWORKS = [
    *(("light", name) for name in NECKS if name != "bigru"),
    *((name, "bilstm") for name in ("vgg7", "resnet18", "mobilenet_v3_small")),
]
"""One backbone of each family: compiling takes its time."""


def test_programs_that_read_no_json_find_each_fact_by_itself(tmp_path: Path):
    header = load_checkpoint(write_checkpoint(tmp_path / "m.pth", "永和九年", COLOUR)).header
    found = metadata(header)
    assert Header.from_json(found.pop(METADATA_KEY), "m") == header
    assert found == {
        "crnn.height": "32",
        "crnn.width": "80",
        "crnn.channels": "3",
        "crnn.mean": "0.4 0.5 0.6",
        "crnn.std": "0.2 0.25 0.3",
        "crnn.keep_ratio": "1",
        "crnn.direction": "vertical",
        "crnn.characters": "永和九年",
        "crnn.torch": torch.__version__,
        "crnn.cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def test_what_says_where_it_was_compiled_stays_at_home(tmp_path: Path):
    home = f"{Path.home()}/".encode()
    with zipfile.ZipFile(tmp_path / "whole.pt2", "w") as archive:
        for name in ("m/archive_format", "m/data/a.cpp", "m/data/b.h"):
            archive.writestr(name, name)
        archive.writestr("m/data/a.so", b"\x7fELF " + home + b"a.cpp\0end")
    without_places(tmp_path / "whole.pt2", tmp_path / "kept.pt2")
    with zipfile.ZipFile(tmp_path / "kept.pt2") as archive:
        assert archive.namelist() == ["m/archive_format", "m/data/a.so"]
        hidden = b"_" * (len(home) - 1) + b"/"
        assert archive.read("m/data/a.so") == b"\x7fELF " + hidden + b"a.cpp\0end"


def test_of_a_compilers_message_the_line_that_says_why():
    error = RuntimeError(
        "C++ compile error\n\nCommand: g++ ...\na.cpp:3:10: fatal error: no omp.h\n"
    )
    assert reason_of(error) == "a.cpp:3:10: fatal error: no omp.h"
    assert reason_of(RuntimeError("something\nelse")) == "something"


def test_a_package_is_no_checkpoint(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as archive:
        archive.writestr("m/archive_format", "pt2")
    with pytest.raises(UserError, match=r"m\.pt2: compiled for programs in C\+\+; give the check"):
        Recognizer.load(tmp_path / "m.pt2")


def test_without_a_compiler_it_says_so_first(tiny_checkpoint: Path, monkeypatch):
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-compiler-of-this-name",))
    with pytest.raises(UserError, match=r"takes a C\+\+ compiler \(.*\); install one, such as g"):
        call(tiny_checkpoint, "--format", "aoti")
    assert [path.name for path in tiny_checkpoint.parent.iterdir()] == [tiny_checkpoint.name]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--output_path", "m.onnx"], r"--output_path m.onnx: expected a name that ends with .pt2"),
        (["--bundle", "b"], r"--bundle fights --format aoti: the reader is a program in C\+\+"),
    ],
)
def test_what_cannot_be_asked_for(words, sentence):
    with pytest.raises(UserError, match=sentence):
        call("m.pth", "--format", "aoti", *words)


@pytest.mark.long
@pytest.mark.parametrize(("backbone", "neck"), NETWORKS)
def test_every_neck_and_kind_of_backbone_compiles(backbone, neck, tmp_path: Path):
    pictures = [scribble(seed, 90) for seed in range(8)]
    parity = write_aoti(untrained(backbone, neck), tmp_path / "m.pt2", pictures)  # or it raises
    assert parity.holds
    assert parity.batches == 9


def test_a_gru_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="its neck is bigru, .* use --format onnx"):
        write_aoti(untrained("light", "bigru"), tmp_path / "m.pt2", [scribble(0)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_a_package_tells_what_it_is_worth(tiny_checkpoint: Path, tiny_data: Path, capsys):
    assert call(tiny_checkpoint, "--format", "aoti", "--data_root", tiny_data) == 0
    printed = capsys.readouterr().out
    assert "compiled by AOTInductor: the same texts" in printed
    assert "exact, n = 6" in printed
    network = AotiNetwork(tiny_checkpoint.with_suffix(".pt2"))
    header = load_checkpoint(tiny_checkpoint).header
    assert network.metadata.items() >= metadata(header).items()
    assert network.num_steps(header.image) == 20
    with zipfile.ZipFile(tiny_checkpoint.with_suffix(".pt2")) as archive:
        held = b"".join(map(archive.read, archive.namelist()))
    for place in (Path(torch.__file__).parent, Path.home(), Path(__file__).parent):
        assert f"{place}/".encode() not in held


def cannot(*_):
    raise RuntimeError("it cannot be compared")


@pytest.mark.long
@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (lambda *_: Parity(0.5, True, 9), "the package reads otherwise .*; nothing was written"),
        (cannot, r"cannot be compiled \(it cannot be compared\); nothing was written"),
    ],
)
def test_what_does_not_read_alike_leaves_no_file(tmp_path, monkeypatch, found, sentence):
    monkeypatch.setattr(aoti_file, "compare", found)
    with pytest.raises(UserError, match=sentence):
        write_aoti(untrained("light", "none"), tmp_path / "m.pt2", [scribble(0)])
    assert list(tmp_path.iterdir()) == []
