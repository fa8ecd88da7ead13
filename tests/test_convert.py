"""convert_to_safetensors.py: proved, without training state, and nothing left of a failure."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from lively import scribble, write_checkpoint

import convert_to_safetensors
from utils.checkpoint import load_checkpoint, save_checkpoint
from utils.errors import UserError, run_script
from utils.recognizer import Recognizer


def run(*arguments: object) -> int:
    return convert_to_safetensors.main([*map(str, arguments), "--num_threads", "1"])


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_one_file_becomes_one_that_reads_alike(
    tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
):
    assert run(tiny_checkpoint) == 0
    output = tiny_checkpoint.with_suffix(".safetensors")
    old, new = load_checkpoint(tiny_checkpoint), load_checkpoint(output)
    assert new.header == old.header
    assert all(torch.equal(new.state_dict[name], old.state_dict[name]) for name in old.state_dict)
    pictures = [scribble(seed) for seed in range(3)]
    readings = [Recognizer.load(path, "cpu").read(pictures) for path in (tiny_checkpoint, output)]
    assert readings[0] == readings[1]
    printed = capsys.readouterr().out
    assert f"{tiny_checkpoint} -> {output}\n" in printed
    assert "equal" in printed
    sizes = [path.stat().st_size / 1e6 for path in (tiny_checkpoint, output)]
    assert f"size: {sizes[0]:.2f} -> {sizes[1]:.2f} MB" in printed
    assert "(median of 5)" in printed
    assert files(tiny_checkpoint.parent) == ["best.pth", "best.safetensors"]


def test_training_state_is_left_behind(tmp_path: Path):
    state = {"optimizer": torch.zeros(100_000)}
    last = write_checkpoint(tmp_path / "last.pth", training=state)
    assert run(last) == 0
    converted = load_checkpoint(tmp_path / "last.safetensors")
    assert converted.training is None
    assert converted.header.metrics == {"n": 7}
    assert (tmp_path / "last.safetensors").stat().st_size < last.stat().st_size - 400_000


def test_a_folder_passes_over_what_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "check points"
    for name in ("best.pth", "模型.pth"):
        write_checkpoint(folder / name)
    whole = (folder / "best.pth").read_bytes()
    (folder / "cut.pth").write_bytes(whole[: len(whole) // 2])
    torch.save({"weights": torch.zeros(2)}, folder / "foreign.pth")
    (folder / "notes.txt").write_text("no checkpoint")
    assert run(folder, "--batch", "--output_dir", tmp_path / "out") == 0
    assert files(tmp_path / "out") == ["best.safetensors", "模型.safetensors"]
    captured = capsys.readouterr()
    assert "passed over: " in captured.err
    assert "cut.pth: truncated or damaged" in captured.err
    assert "foreign.pth: a .pth file, but not a checkpoint of this project" in captured.err
    assert captured.out.endswith("converted 2 of 4 files\n")


def test_a_folder_of_nothing_readable_ends_with_1(tmp_path: Path):
    (tmp_path / "empty.pth").touch()
    assert run(tmp_path, "--batch") == 1
    assert files(tmp_path) == ["empty.pth"]


def test_an_older_output_is_replaced_and_told(
    tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
):
    output = tiny_checkpoint.with_suffix(".safetensors")
    output.write_bytes(b"old")
    assert run(tiny_checkpoint) == 0
    assert "(replaces the one that was there)" in capsys.readouterr().out
    assert load_checkpoint(output).header == load_checkpoint(tiny_checkpoint).header


def test_weights_without_a_proof_leave_nothing_behind(tiny_checkpoint: Path):
    checkpoint = load_checkpoint(tiny_checkpoint)
    checkpoint.state_dict["head.bias"][0] = float("nan")
    save_checkpoint(tiny_checkpoint, checkpoint.header, checkpoint.state_dict)
    with pytest.raises(UserError, match=r"other logits, or its weights are not finite; nothing"):
        run(tiny_checkpoint)
    assert files(tiny_checkpoint.parent) == ["best.pth"]


def test_the_proof_reads_the_written_file(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    def save_something_else(path, header, state_dict):
        changed = {name: value + 1e-3 for name, value in state_dict.items()}
        save_checkpoint(path, header, changed)

    output = tiny_checkpoint.with_suffix(".safetensors")
    output.write_bytes(b"old")
    monkeypatch.setattr(convert_to_safetensors, "save_checkpoint", save_something_else)
    with pytest.raises(UserError, match="gives other logits"):
        run(tiny_checkpoint)
    assert output.read_bytes() == b"old"
    assert files(tiny_checkpoint.parent) == ["best.pth", "best.safetensors"]


def test_a_header_that_changes_is_refused(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    from dataclasses import replace

    def save_another_header(path, header, state_dict):
        save_checkpoint(path, replace(header, metrics={"n": 8}), state_dict)

    monkeypatch.setattr(convert_to_safetensors, "save_checkpoint", save_another_header)
    with pytest.raises(UserError, match="the header did not come through"):
        run(tiny_checkpoint)
    assert files(tiny_checkpoint.parent) == ["best.pth"]


def test_a_full_disk_leaves_nothing_behind(
    tiny_checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    assert run_script(lambda: run(tiny_checkpoint)) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert files(tiny_checkpoint.parent) == ["best.pth"]


def test_one_unreadable_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "bad.pth").write_bytes(b"junk")
    assert run_script(lambda: run(tmp_path / "bad.pth")) == 2
    assert "neither a .pth nor a .safetensors checkpoint" in capsys.readouterr().err
    assert files(tmp_path) == ["bad.pth"]


def test_an_output_that_is_a_folder(tiny_checkpoint: Path):
    tiny_checkpoint.with_suffix(".safetensors").mkdir()
    with pytest.raises(UserError, match="it is a folder; give the name of a file"):
        run(tiny_checkpoint)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("", "nothing to convert; give FILE.pth, or a folder and --batch"),
        ("gone.pth", "gone.pth: no such file or folder"),
        ("folder", "folder: it is a folder; add --batch"),
        ("folder --batch", "folder: no .pth file in this folder"),
        ("m.pth --batch", "m.pth: it is a file, and --batch takes a folder; leave it out"),
        ("m.safetensors", "m.safetensors: it is a .safetensors file already; give a .pth"),
        ("m.pth --output_dir m.safetensors", "--output_dir m.safetensors: it is not a folder"),
        ("m.pth --num_threads 0", "--num_threads 0: expected 1 or more"),
    ],
)
def test_arguments_that_cannot_be(
    arguments: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    for name in ("m.pth", "m.safetensors"):
        Path(name).write_bytes(b"some")
    with pytest.raises(UserError) as error:
        convert_to_safetensors.main(arguments.split())
    assert str(error.value).startswith(sentence)
