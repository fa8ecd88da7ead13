"""Data sets in LMDB: made, joined, checked and shown, read as folders are, and what is damaged."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
from pathlib import Path

import lmdb
import numpy as np
import pytest
from edit_lmdb import edit
from small_run import run, weights
from stored_lmdb import call, rows_of

import inference
from utils.data import lmdb_writer
from utils.data.lmdb_set import read_lmdb
from utils.data.lmdb_writer import write_lmdb
from utils.dataset import BadRows, Row, open_dataset, read_labels
from utils.errors import UserError
from utils.recognizer import Recognizer


def test_it_holds_the_files_as_they_are(tiny_data: Path, stored: Path):
    expected = read_labels(tiny_data / "test" / "labels.txt", BadRows(0))
    found = rows_of(stored / "test")
    assert len(found) == len(expected) == 6
    for row, other in zip(found, expected, strict=True):
        assert row.label == other.label
        assert row.picture.read_bytes() == other.picture.read_bytes()
    assert found[-1].path == stored / "test" / "image-000000006"
    assert found[-1].where.endswith("test: label-000000006")
    assert [row.label for row in found[1:3]] == [row.label for row in expected[1:3]]
    with pytest.raises(IndexError):
        found[6]
    assert sorted(path.name for path in (stored / "test").iterdir()) == ["data.mdb"]


def test_rows_travel_to_another_process(stored: Path):
    rows = pickle.loads(pickle.dumps(rows_of(stored / "val")))
    assert rows[0].picture.read_bytes()  # open here, and anew in a process that is forked from here
    if hasattr(os, "fork"):
        context = multiprocessing.get_context("fork")
        with context.Pool(1) as pool:
            assert pool.apply(rows[1].picture.read_bytes) == rows[1].picture.read_bytes()
    assert [row.label for row in rows] == [row.label for row in rows_of(stored / "val")]
    assert rows[2].picture.read_bytes()[:4] == b"\x89PNG"


def test_labels_that_are_changed(tmp_path: Path):
    write_lmdb(tmp_path / "set", [(b"", "Ab京"), (b"", "-"), (b"", "é")])
    rows = rows_of(tmp_path / "set").relabelled(lambda text: text.lower().strip("-"))
    assert [(row.label, row.where[-1]) for row in rows] == [("ab京", "1"), ("é", "3")]


def test_training_and_evaluation_read_it_as_a_folder(tiny_data: Path, stored: Path, tmp_path: Path):
    """The same weights in the end, with workers too, and the same log_probs picture by picture."""
    for name, data in (("files", tiny_data), ("lmdb", stored)):
        assert run(data, tmp_path / name, "--num_epochs", "1", "--num_workers", "1") == 0
    one, other = (weights(tmp_path / name / "last.pth") for name in ("files", "lmdb"))
    assert all(bool((one[key] == other[key]).all()) for key in one)
    assert run(stored, tmp_path / "lmdb", "--num_epochs", "1", "--resume", "auto") == 0
    reader = Recognizer.load(tmp_path / "files" / "best.pth", "cpu")
    outputs = []
    for root in (tiny_data, stored):
        rows = open_dataset(root, BadRows(0)).split("test")
        [output] = reader.batches([row.picture for row in rows])
        outputs.append(output.log_probs)
    assert np.abs(outputs[0] - outputs[1]).max() < 1e-4
    model = str(tmp_path / "files" / "best.pth")
    words = ["--mode", "evaluate", "--model_path", model, "--data_root", str(stored / "test")]
    assert inference.main([*words, "--output_path", str(tmp_path / "r.json"),
                           "--report", str(tmp_path / "report")]) == 0  # fmt: skip
    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert report["cases"][0]["file"] == "image-000000001"
    assert report["metrics"]["n"] == 6


def test_a_changed_set_is_not_resumed(stored: Path, tmp_path: Path):
    assert run(stored, tmp_path / "run", "--num_epochs", "1") == 0
    edit(stored / "train", label_000000003="99")
    with pytest.raises(UserError, match="the data set has changed"):
        run(stored, tmp_path / "run", "--num_epochs", "1", "--resume", "auto")


def test_the_fingerprint_knows_where_labels_end_and_which_rows_there_are(tmp_path: Path):
    write_lmdb(tmp_path / "one", [(b"", "ab"), (b"", "c"), (b"", "")])
    write_lmdb(tmp_path / "other", [(b"", "a"), (b"", "bc"), (b"", "")])
    found = [read_lmdb(tmp_path / name, BadRows(9)) for name in ("one", "other")]
    edit(tmp_path / "one", label_000000001="", label_000000003="ab")
    found.append(read_lmdb(tmp_path / "one", BadRows(9)))
    assert len({str(rows.fingerprint(tmp_path)) for rows in found}) == 3


def test_a_disk_that_is_full_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A small map stands for the disk."""
    monkeypatch.setattr(lmdb_writer, "FIRST_SIZE", 2**15)
    monkeypatch.setattr(lmdb, "MapFullError", KeyError)
    with pytest.raises(
        UserError, match=r"cannot be written \(.*MDB_MAP_FULL.*whether the disk is full"
    ):
        write_lmdb(tmp_path / "set", [(b"x" * 100_000, "x")])
    assert list(tmp_path.iterdir()) == []


def test_a_map_that_is_full_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lmdb_writer, "FIRST_SIZE", 2**16)
    monkeypatch.setattr(lmdb_writer, "AT_ONCE", 7)
    pictures = [bytes([i]) * 5000 for i in range(100)]
    assert write_lmdb(tmp_path / "set", ((data, "x") for data in pictures)) == 100
    assert [row.picture.read_bytes() for row in rows_of(tmp_path / "set")] == pictures


def test_join_and_check(tiny_data: Path, stored: Path, tmp_path: Path, capsys):
    joined = tmp_path / "both"
    assert call("join", "--output_dir", joined, stored / "val", tiny_data / "test") == 0
    assert capsys.readouterr().out.endswith(f"12 pictures: {joined}\n")
    labels = [row.label for row in rows_of(joined)]
    parts = (rows_of(stored / "val"), rows_of(stored / "test"))
    assert labels == [row.label for rows in parts for row in rows]
    assert call("check", joined, "--img_width", "16") == 0
    told = capsys.readouterr().out
    assert "12 pictures, 0 bad\n" in told
    assert "label lengths 2: 12\n" in told
    assert "sizes 80 x 32: 12\n" in told
    assert "every label fits into 4 time steps" in told
    assert call("join", stored / "val", stored / "val", "--output_dir", tmp_path / "twice") == 0
    edit(tmp_path / "twice", label_000000007="77777")
    assert call("check", tmp_path / "twice", "--img_width", "32") == 0
    told = capsys.readouterr().out
    assert "pictures that are there twice: 6, such as" in told
    assert "with another label: 1\n" in told
    assert "labels that do not fit into 8 time steps (--img_width 32): 1; --img_width 36" in told


def test_show(stored: Path, tmp_path: Path, capsys):
    sheet = tmp_path / "a sheet.png"
    assert call("show", stored / "train", "--output_path", sheet) == 0
    assert capsys.readouterr().out.endswith(f"12 of 12 pictures: {sheet}\n")
    assert sheet.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "no command is given; expected one of make, join, check, show"),
        (["mak", "x"], "command mak: expected one of .*did you mean 'make'"),
        (["make"], "no source is given"),
        (["make", "x"], "make needs --output_dir"),
        (["join", "x", "--output_dir", "y"], "join: one source is given"),
        (["check", "x", "y"], "check: 2 sources are given"),
        (["check", "none"], "none: neither an LMDB nor a folder with labels.txt"),
        (["make", "x", "--output_dir", "."], "--output_dir .: it is there already"),
    ],
)
def test_commands_that_are_refused(words: list[str], sentence: str):
    with pytest.raises(UserError, match=sentence):
        call(*words)


def test_without_the_package_the_pip_line_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "lmdb", None)
    with pytest.raises(UserError, match="pip install -r requirements-lmdb.txt"):
        call("check", "x")


def test_a_row_of_a_file_is_its_path(tmp_path: Path):
    assert Row(tmp_path / "a.png", "a", "here").path == tmp_path / "a.png"
