"""Data sets on disk: what is read, and the sentence for what is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from utils.dataset import SPLITS, BadRows, check_pictures, open_dataset, read_labels
from utils.errors import UserError
from utils.synth.captcha import CaptchaRecipe


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """A folder with a.png, `b c.png` and sub/d.png."""
    folder = tmp_path / "a split"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.png", "b c.png", "sub/d.png"):
        Image.new("L", (8, 8)).save(folder / name)
    return folder


def read(folder: Path, text: str | bytes, allowed: int = 0) -> list[tuple[str, str]]:
    """(file below the folder, label) of each row."""
    data = text.encode("utf-8") if isinstance(text, str) else text
    (folder / "labels.txt").write_bytes(data)
    bad_rows = BadRows(allowed)
    rows = read_labels(folder / "labels.txt", bad_rows)
    bad_rows.settle()
    return [(row.path.relative_to(folder).as_posix(), row.label) for row in rows]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.png\tx\nb c.png\ty\n", [("a.png", "x"), ("b c.png", "y")]),
        ("a.png\tx\r\nb c.png\ty\r\n", [("a.png", "x"), ("b c.png", "y")]),
        ("\ufeffa.png\tx\n", [("a.png", "x")]),
        ("\n\na.png\tx\n   \n\r\nb c.png\ty", [("a.png", "x"), ("b c.png", "y")]),
        ("a.png\t x y \n", [("a.png", " x y ")]),
        ("a.png\t \n", [("a.png", " ")]),
        ("a.png\tx\ty\n", [("a.png", "x\ty")]),
        ("a.png\tx\u2028y\x0bz\n", [("a.png", "x\u2028y\x0bz")]),
        ("a.png\tx\na.png\ty\n", [("a.png", "x"), ("a.png", "y")]),
        ("sub/d.png\tx\nsub\\d.png\ty\n", [("sub/d.png", "x"), ("sub/d.png", "y")]),
        ("./a.png\tna\u00efve \u4e2d\n", [("a.png", "na\u00efve \u4e2d")]),
        ("", []),
    ],
    ids=[
        "LF",
        "CRLF",
        "BOM",
        "blank",
        "spaces",
        "space",
        "tab",
        "unicode",
        "duplicate",
        "sub-folder",
        "dot",
        "empty",
    ],
)
def test_labels_that_are_read(split, text, expected):
    assert read(split, text) == expected


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"a.png x", "'a.png x' has no tab; expected file name<TAB>text"),
        (b"a.png\t", "'a.png' has an empty label"),
        (b"e.png\tx", "'e.png' is not in "),
        (b"sub\tx", "'sub' is not in "),
        (b"\tx", "'' is not in "),
        (b"../a split/a.png\tx", "'../a split/a.png' lies outside the folder"),
        (b"..\\a.png\tx", "lies outside the folder"),
        (b"/etc/hosts\tx", "'/etc/hosts' lies outside the folder"),
        (b"a.png\tna\xefve", "not UTF-8"),
    ],
)
def test_rows_that_are_named(split, row, reason):
    with pytest.raises(UserError) as caught:
        read(split, b"a.png\tx\n\n" + row + b"\r\nb c.png\ty\n")
    first, *_, last = str(caught.value).splitlines()
    assert first.startswith(f"{split / 'labels.txt'}:3: ")
    assert reason in first
    assert "--max_bad_rows 1" in last


def test_bad_rows_are_skipped_up_to_the_limit_counted_and_named(split, capsys):
    text = "a.png\tx\nno tab\ngone.png\ty\n"
    assert read(split, text, allowed=2) == [("a.png", "x")]
    printed = capsys.readouterr().out
    assert "labels.txt:2: " in printed
    assert "labels.txt:3: " in printed
    assert "skipped 2 bad rows of at most 2" in printed
    with pytest.raises(UserError, match="--max_bad_rows 2"):
        read(split, text, allowed=1)


def test_many_bad_rows_are_counted_not_listed(split):
    with pytest.raises(UserError) as caught:
        read(split, "no tab\n" * 25)
    sentences = str(caught.value).splitlines()
    assert len(sentences) == 12
    assert sentences[10] == "and 15 more"


def test_a_root_with_splits(tiny_data):
    data = open_dataset(tiny_data, BadRows(0))
    assert {name: len(rows) for name, rows in data.splits.items()} == {
        "train": 12,
        "val": 6,
        "test": 6,
    }
    assert not data.is_one_split
    assert data.recipe == CaptchaRecipe("0123456789", "digits", 2, 2, 80, 32)
    row = data.split("val")[1]
    assert row.path == tiny_data / "val" / "001.png"
    assert row.where == f"{tiny_data / 'val' / 'labels.txt'}:2"


def test_one_split_stands_under_every_name(tiny_data):
    data = open_dataset(tiny_data / "test", BadRows(0))
    assert data.is_one_split
    assert data.recipe is not None, "dataset.json lies one folder up"
    for name in SPLITS:
        assert [row.path.parent for row in data.split(name)] == [tiny_data / "test"] * 6


def test_only_the_wanted_splits_are_read(tiny_data):
    (tiny_data / "train" / "labels.txt").unlink()
    data = open_dataset(tiny_data, BadRows(0), only=("test",))
    assert list(data.splits) == ["test"]
    with pytest.raises(UserError, match=r"train.labels\.txt: no such file"):
        open_dataset(tiny_data, BadRows(0))


def test_a_missing_root(tmp_path):
    with pytest.raises(UserError, match=r"no such folder; make a set with python generate_data"):
        open_dataset(tmp_path / "gone", BadRows(0))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="it is a file"):
        open_dataset(tmp_path / "file", BadRows(0))
    with pytest.raises(UserError, match=r"no labels\.txt, no LMDB and no folder train"):
        open_dataset(tmp_path, BadRows(0))


def test_a_missing_or_empty_split(tiny_data):
    import shutil

    shutil.rmtree(tiny_data / "val")
    (tiny_data / "test" / "labels.txt").write_text("\n", encoding="utf-8")
    data = open_dataset(tiny_data, BadRows(0))
    with pytest.raises(UserError, match="no split 'val'.*it has train, test"):
        data.split("val")
    with pytest.raises(UserError, match="the split 'test' is empty"):
        data.split("test")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"recipe": null}', '{"recipe": {"fonts": []}}', "\xff"]
)
def test_a_damaged_description(tiny_data, text):
    (tiny_data / "dataset.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"dataset\.json: not a data set's description"):
        open_dataset(tiny_data, BadRows(0))


def test_a_set_without_description_is_read(tiny_data):
    (tiny_data / "dataset.json").unlink()
    assert open_dataset(tiny_data, BadRows(0)).recipe is None


def test_a_description_that_knows_more_is_read(tiny_data):
    path = tiny_data / "dataset.json"
    content = {**json.loads(path.read_text(encoding="utf-8")), "complete": True, "seed": 0}
    path.write_text(json.dumps(content), encoding="utf-8")
    assert open_dataset(tiny_data, BadRows(0)).recipe is not None


def test_pictures_that_cannot_be_decoded_are_named_with_their_row(tiny_data):
    whole = (tiny_data / "val" / "002.png").read_bytes()
    (tiny_data / "val" / "002.png").write_bytes(whole[: len(whole) // 2])
    (tiny_data / "val" / "004.png").write_bytes(b"")
    rows = open_dataset(tiny_data, BadRows(0)).split("val")
    bad_rows = BadRows(0)
    good = check_pictures(rows, bad_rows)
    assert [row.path.name for row in good] == ["000.png", "001.png", "003.png", "005.png"]
    first, second = bad_rows.sentences
    assert first.startswith(f"{tiny_data / 'val' / 'labels.txt'}:3: 002.png: ")
    assert second.endswith(":5: 004.png: the file is empty (0 bytes)")
