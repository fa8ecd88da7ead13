"""export.py --format aoti: the package reads as the checkpoint does, and says what it needs."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from lively import scribble, write_checkpoint
from test_export import call, untrained

from models.registry import NECKS
from utils.checkpoint import METADATA_KEY, Header, load_checkpoint
from utils.errors import UserError
from utils.export import aoti_file, onnx_file
from utils.export.aoti_file import AotiNetwork, metadata, without_sources, write_aoti
from utils.export.parity import Parity
from utils.picture import ImageSpec
from utils.recognizer import Recognizer

COLOUR = ImageSpec(32, 80, 3, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), True, "vertical")
NETWORKS = [
    *(("light", name) for name in NECKS if name != "bigru"),  # as of torch 2.14 its loop does not
    *((name, "bilstm") for name in ("vgg7", "resnet18", "mobilenet_v3_small")),
]


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
    }


def test_sources_which_say_where_they_were_compiled_stay_at_home(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "whole.pt2", "w") as archive:
        for name in ("m/archive_format", "m/data/a.so", "m/data/a.cpp", "m/data/b.h"):
            archive.writestr(name, name)
    without_sources(tmp_path / "whole.pt2", tmp_path / "kept.pt2")
    with zipfile.ZipFile(tmp_path / "kept.pt2") as archive:
        assert archive.namelist() == ["m/archive_format", "m/data/a.so"]
        assert archive.read("m/data/a.so") == b"m/data/a.so"


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
def test_every_network_compiles(backbone, neck, tmp_path: Path):
    pictures = [scribble(seed, 90) for seed in range(8)]
    parity = write_aoti(untrained(backbone, neck), tmp_path / "m.pt2", pictures)  # or it raises
    assert parity.holds
    assert parity.batches == 9


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


@pytest.mark.long
def test_a_package_that_reads_otherwise_is_not_written(tiny_checkpoint: Path, monkeypatch):
    monkeypatch.setattr(aoti_file, "compare", lambda *_: Parity(0.5, True, 9))
    with pytest.raises(UserError, match="the package reads otherwise .*; not written"):
        call(tiny_checkpoint, "--format", "aoti")
    assert [path.name for path in tiny_checkpoint.parent.iterdir()] == [tiny_checkpoint.name]


@pytest.mark.long
@pytest.mark.parametrize(
    ("backbone", "neck"),
    [("light", "bilstm"), ("light", "transformer"), ("light", "none"), ("basic", "bilstm")],
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
