"""A disk that is full in the middle of something: a sentence, no half file, and it goes on later.

What each of these writes first, and last, finds no room; and what comes between.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from lively import scribble, write_checkpoint
from small_disk import SmallDisk, small_disk
from small_run import run, weights
from small_set import contents, flags

import generate_data
import inference
from utils.checkpoint import load_checkpoint
from utils.errors import run_script

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk as Linux does")

ROOM = 64 * 1024
"""KiB: more than all of this together."""

SHARES = (0.02, 0.3, 0.6, 0.9, 0.97)
"""Of the room that a whole run takes."""


def kib(folder: Path) -> int:
    """What a folder takes on a disk in pages of 4 KiB."""
    pages = sum(-(-path.stat().st_size // 4096) for path in folder.rglob("*") if path.is_file())
    return 4 * pages


def disk_of(place: Path, share: float, whole: Path) -> AbstractContextManager[SmallDisk]:
    return small_disk(place, max(4, int(kib(whole) * share)))


def is_refused(call: Callable[[], int], capsys: pytest.CaptureFixture[str]) -> None:
    """It ends with 2 and one sentence, which says what to do."""
    capsys.readouterr()
    assert run_script(call) == 2
    (sentence,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert "make room there" in sentence


def temporary(folder: Path) -> list[Path]:
    return list(folder.rglob("*.tmp"))


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("format", ["files", "lmdb"])
def test_a_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], share: float, format: str
) -> None:
    def draw(root: Path, *more: str) -> Callable[[], int]:
        line = flags(root, num_samples=60, num_workers=1, format=format)
        return lambda: generate_data.main([*line, *more])

    whole = tmp_path / "whole"
    assert draw(whole)() == 0
    with disk_of(tmp_path, share, whole) as disk:
        root = disk.folder / "set"
        is_refused(draw(root), capsys)
        assert not temporary(disk.folder)
        disk.grow(ROOM)
        assert draw(root, "--resume")() == 0
        assert pictures(root) == pictures(whole)


def pictures(root: Path) -> dict[str, bytes]:
    """What a set has, but for the sheet, on which a split that is packed already is not shown."""
    found = contents(root)
    assert found.pop("samples.png")
    return found


@pytest.mark.parametrize("share", SHARES[1::2])
def test_a_training(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], share: float
) -> None:
    line = ["--num_epochs", "2", "--save_every_steps", "2"]
    assert run(tiny_data, tmp_path / "whole", *line) == 0
    with disk_of(tmp_path, share, tmp_path / "whole") as disk:
        folder = disk.folder / "run"
        is_refused(lambda: run(tiny_data, folder, *line), capsys)
        assert not temporary(disk.folder)
        for path in folder.glob("*.pth"):
            load_checkpoint(path)
        disk.grow(ROOM)
        assert run(tiny_data, folder, *line, "--resume", "auto") == 0
        for name in ("last.pth", "best.pth"):
            after, unbroken = weights(folder / name), weights(tmp_path / "whole" / name)
            assert all(torch.equal(after[key], unbroken[key]) for key in unbroken)


@pytest.mark.parametrize("share", [*SHARES, 1])  # 1: they fit, but not joined
def test_readings(tmp_path: Path, capsys: pytest.CaptureFixture[str], share: float) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(40):
        scribble(index).save(folder / f"{index}.png")
    model = write_checkpoint(tmp_path / "model.pth")

    def read(output: Path, *more: str) -> Callable[[], int]:
        line = ["--mode", "batch", "--image_dir", str(folder), "--model_path", str(model)]
        line += ["--part_size", "2", "--num_threads", "1", "--output_path", str(output), *more]
        return lambda: inference.main(line)

    whole = tmp_path / "whole.tsv"
    assert read(whole)() == 0
    with small_disk(tmp_path, 4 + max(4, int(80 * share))) as disk:  # a page for each of 20 parts
        output = disk.folder / "texts.tsv"
        is_refused(read(output), capsys)
        assert not output.exists()
        assert not temporary(disk.folder)
        disk.grow(ROOM)
        parts = output.with_name("texts.tsv.parts")
        assert read(output, *(["--resume"] if parts.exists() else []))() == 0
        assert output.read_bytes() == whole.read_bytes()
