"""generate_data.py --shard and --format: the same set, whoever draws it and however it is kept."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import generate_data
from utils.dataset import BadRows, open_dataset
from utils.errors import UserError
from utils.picture import open_picture
from utils.synth import captcha, shards

FLAGS = ["--num_samples", "60", "--charset", "digits", "--max_length", "5", "--width", "64"]
FLAGS += ["--height", "32", "--num_workers", "1", "--seed", "5"]


def make(root: Path, *flags: str) -> None:
    assert generate_data.main(["--output_dir", str(root), *FLAGS, *flags]) == 0


def rows(root: Path) -> dict[str, list[tuple[str, bytes]]]:
    """Labels and pixels of each split, in the order in which they are read."""
    data = open_dataset(root, BadRows(0))
    return {
        name: [(row.label, open_picture(row.picture, 3).tobytes()) for row in data.split(name)]
        for name in ("train", "val", "test")
    }


def is_complete(root: Path) -> bool:
    return json.loads((root / "dataset.json").read_text("utf-8"))["complete"]


@pytest.mark.parametrize("renderer", ["package", "fast"])
@pytest.mark.parametrize("form", ["files", "lmdb"])
def test_all_shards_are_the_set_whatever_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renderer: str, form: str
) -> None:
    monkeypatch.setattr(captcha, "BLOCK_PIXELS", 8 * 64 * 32)  # shards cut through blocks
    flags = ["--renderer", renderer]
    make(tmp_path / "whole", *flags)
    whole = rows(tmp_path / "whole")
    assert [len(each) for each in whole.values()] == [48, 6, 6]
    for count in (1, 3, 7):
        root = tmp_path / f"{count} shards"
        for number in range(count, 0, -1):
            assert not (root / "dataset.json").exists() or not is_complete(root)
            make(root, *flags, "--format", form, "--shard", f"{number}/{count}")
        assert is_complete(root)
        assert rows(root) == whole
        assert not list(root.rglob("*.drawn"))
        assert len(list(root.glob("samples*.png"))) == count


def test_a_shard_that_was_killed_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "whole")
    root, shard = tmp_path / "set", ["--format", "lmdb", "--shard", "2/3"]
    write_lmdb = shards.write_lmdb

    def killed(folder: Path, pictures: object) -> int:
        if folder.parent.name == "val":
            raise MemoryError
        return write_lmdb(folder, pictures)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(shards, "write_lmdb", killed)
        with pytest.raises(MemoryError):
            make(root, *shard)
    with pytest.raises(UserError, match="a data set stands there already"):
        make(root, *shard)
    capsys.readouterr()
    make(root, *shard, "--resume")
    assert "drew 2 in" in capsys.readouterr().out  # of test; val's were drawn
    make(root, *shard, "--resume")
    assert "drew 0 in" in capsys.readouterr().out
    for number in (1, 3):
        make(root, "--format", "lmdb", "--shard", f"{number}/3")
    assert rows(root) == rows(tmp_path / "whole")


def test_shards_may_be_drawn_at_the_same_time(tmp_path: Path) -> None:
    make(tmp_path / "whole")
    root = tmp_path / "set"
    script = Path(generate_data.__file__)
    command = [sys.executable, str(script), "--output_dir", str(root), *FLAGS, "--shard"]
    running = [subprocess.Popen([*command, f"{number}/6"]) for number in range(1, 7)]
    assert [process.wait() for process in running] == [0] * 6
    assert is_complete(root)
    assert rows(root) == rows(tmp_path / "whole")


def test_what_is_no_shard_of_the_set_is_refused(tmp_path: Path) -> None:
    for text in ("0/3", "4/3", "3", "a/b", "1/0", "-1/2"):
        with pytest.raises(UserError, match=f"--shard {text}: expected I/N"):
            make(tmp_path / "set", f"--shard={text}")
    make(tmp_path / "set", "--shard", "1/3")
    for flags in (["--shard", "2/4"], ["--shard", "2/3", "--seed", "6"], ["--resume"],
                  ["--shard", "2/3", "--num_samples", "90"]):  # fmt: skip
        with pytest.raises(UserError, match="was made with"):
            make(tmp_path / "set", *flags)
    make(tmp_path / "packed", "--format", "lmdb")
    with pytest.raises(UserError, match="--num_samples 90: the set in"):
        make(tmp_path / "packed", "--format", "lmdb", "--resume", "--num_samples", "90")
