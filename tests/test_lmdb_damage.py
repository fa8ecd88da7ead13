"""LMDBs that are damaged, lie or are none: told, or skipped, counted and named up to the limit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from edit_lmdb import edit
from small_run import SMALL, run
from stored_lmdb import call, rows_of

import utils.lmdb
from utils.checkpoint import load_checkpoint
from utils.data import lmdb_set
from utils.dataset import BadRows, open_dataset
from utils.errors import UserError

ROOT = Path(__file__).parent.parent


def test_what_is_wrong_inside_is_named(stored: Path, tmp_path: Path, capsys):
    folder = stored / "test"
    edit(folder, image_000000002=None, label_000000003=None, image_000000005="no picture",
         label_000000006=b"\xff")  # fmt: skip
    with pytest.raises(UserError, match="label-000000003: missing, and num-samples says 6"):
        rows_of(folder)
    assert len(rows_of(folder, 2)) == 4
    assert call("check", folder) == 1
    told = capsys.readouterr().out
    assert "has no image-000000002" in told
    assert "image-000000005: not a picture" in told
    assert "label-000000006: not UTF-8" in told
    assert "2 pictures, 4 bad\n" in told
    clean = tmp_path / "clean"
    with pytest.raises(UserError, match="--max_bad_rows 2"):
        call("make", folder, "--output_dir", clean)
    assert not clean.exists()
    assert not list(tmp_path.glob(".clean*"))
    with pytest.raises(UserError, match="--max_bad_rows 4"):
        call("make", folder, "--output_dir", clean, "--max_bad_rows", "3")
    assert not list(tmp_path.glob("*clean*"))
    assert call("make", folder, "--output_dir", clean, "--max_bad_rows", "4") == 0
    told = capsys.readouterr().out
    assert told.count("skipped: ") == 4
    assert "skipped 4 bad rows of at most 4" in told
    assert len(rows_of(clean)) == 2


def test_a_bad_picture_ends_a_training_and_is_named(stored: Path, tmp_path: Path):
    edit(stored / "train", image_000000004="no picture")
    with pytest.raises(UserError, match=r"label-000000004: image-000000004: not a picture"):
        run(stored, tmp_path / "run", "--num_epochs", "1")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_samples": None}, "no num-samples; expected num-samples, image-000000001"),
        ({"num_samples": "many"}, "num-samples b'many'; expected"),
        ({"num_samples": "1000000"}, "num-samples says 1,000,000, and it has 12 other entries"),
        ({"num_samples": "5"}, "label-000000006: beyond num-samples, which says 5"),
        ({"num_samples": "7"}, "label-000000007: missing, and num-samples says 7"),
        ({"label_000000002": ""}, "label-000000002: an empty label"),
    ],
)
def test_sets_that_lie(stored: Path, changes: dict, sentence: str):
    edit(stored / "test", **changes)
    with pytest.raises(UserError, match=sentence):
        rows_of(stored / "test")


@pytest.mark.parametrize("content", [b"", b"foreign", b"\0" * 50_000])
def test_files_that_are_no_lmdb(tmp_path: Path, content: bytes):
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises(UserError, match="not an LMDB that can be opened|num-samples"):
        open_dataset(tmp_path, BadRows(0))


def test_a_truncated_one(stored: Path):
    path = stored / "train" / "data.mdb"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3 // 4096 * 4096])
    lmdb_set.close_all()
    with pytest.raises(UserError, match="train: truncated, .* bytes where it needs"):
        rows_of(stored / "train")


def test_check_survives_a_file_that_ends_its_reader(stored: Path, monkeypatch, capsys):
    """Bytes of page headers, such that a page lies beyond the end of the file."""
    path = stored / "train" / "data.mdb"
    whole = path.read_bytes()
    monkeypatch.setattr(utils.lmdb, "read_through", die_of_a_bus_error)
    with pytest.raises(UserError, match=r"train: damaged: what reads it is ended .*copy or make"):
        call("check", stored / "train")
    monkeypatch.undo()
    assert call("check", stored / "train") == 0
    for seed in range(8):
        generator, data = random.Random(seed), bytearray(whole)
        for _ in range(3):
            data[generator.randrange(2, len(data) // 4096) * 4096 + generator.randrange(64)] ^= 255
        path.write_bytes(data)
        lmdb_set.close_all()
        code = subprocess.run(
            [sys.executable, "-m", "utils.lmdb", "check", str(stored / "train")],
            cwd=ROOT, capture_output=True, check=False,
        ).returncode  # fmt: skip
        assert code in (0, 1, 2)


@pytest.mark.skipif(not hasattr(signal, "SIGBUS"), reason="the system has no such signal")
def test_a_training_says_that_a_page_cannot_be_read(stored: Path, tmp_path: Path):
    """Of a worker that ends by it; what was saved before stays."""
    data = stored / "train" / "data.mdb"
    save_dir = tmp_path / "run"
    flags = ["--data_root", str(stored), "--save_dir", str(save_dir), *SMALL, "--num_workers", "1",
             "--num_epochs", "300", "--early_stop", "0"]  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "train.py", *flags], cwd=ROOT, encoding="utf-8",
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            while process.poll() is None and not (save_dir / "last.pth").is_file():
                time.sleep(0.05)
            os.truncate(data, 0)
            _, told = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 2
    assert "a process that prepares pictures was killed (by a bus error: a picture of an LM" in told
    assert "Traceback" not in told
    assert load_checkpoint(save_dir / "last.pth").training is not None


def die_of_a_bus_error(folder: Path) -> None:
    os._exit(135)
