"""Labels from file names or a CSV become a data set, checked and told."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

import utils.import_labels
from utils.dataset import BadRows, open_dataset
from utils.errors import UserError
from utils.import_labels import label_of


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twenty named by their texts, two of them of the same bytes."""
    folder = tmp_path / "my pictures"
    (folder / "sub").mkdir(parents=True)
    for index in range(20):
        name = f"sub/a{index}b_{index}.png" if index % 2 else f"a{index}b.png"
        Image.new("L", (40, 16), 10 * index if index != 7 else 0).save(folder / name)
    return folder


def call(*words: object) -> int:
    return utils.import_labels.main([str(word) for word in words])


def rows_of(root: Path) -> dict[str, dict[str, str]]:
    data = open_dataset(root, BadRows(0))
    return {
        name: {row.path.relative_to(root / name).as_posix(): row.label for row in rows}
        for name, rows in data.splits.items()
    }


@pytest.mark.parametrize(
    ("name", "label"),
    [("x7Rq.png", "x7Rq"), ("x7Rq_0012.png", "x7Rq"), ("a_b.png", "a_b"), ("_7.png", "_7"),
     ("12_3.png", "12"), ("京_1_2.png", "京_1")],
)  # fmt: skip
def test_labels_of_names(name: str, label: str):
    assert label_of(Path("some") / name) == label


def test_by_name(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root = tmp_path / "set"
    assert call(pictures, "--output_dir", root, "--img_width", "16") == 0
    splits = rows_of(root)
    assert {name: len(rows) for name, rows in splits.items()} in (
        {"train": 16, "val": 2, "test": 2}, {"train": 15, "val": 3, "test": 2},
        {"train": 15, "val": 2, "test": 3},
    )  # fmt: skip
    found = {name: label for rows in splits.values() for name, label in rows.items()}
    assert found["a4b.png"] == "a4b"
    assert found["sub/a5b_5.png"] == "a5b"
    assert len(found) == 20
    for name, rows in splits.items():
        for file in rows:
            assert (root / name / file).read_bytes() == (pictures / file).read_bytes()
    same = [
        name
        for name, rows in splits.items()
        for file in rows
        if file in ("a0b.png", "sub/a7b_7.png")
    ]
    assert len(set(same)) == 1
    told = capsys.readouterr().out
    assert "charset of 12: 0123456789ab" in told
    assert "label lengths 3: 10, 4: 10\n" in told
    assert "pictures that are there twice: 1, such as" in told
    assert "with another label: 1\n" in told
    assert "do not fit into 4 time steps (--img_width 16): 1; --img_width 20 would do" in told
    assert told.splitlines()[-1].endswith(f": {root}, with samples.png")
    assert (root / "samples.png").is_file()
    again = tmp_path / "again"
    assert call(pictures, "--output_dir", again) == 0
    assert rows_of(again) == splits
    assert call(pictures, "--output_dir", tmp_path / "other", "--seed", "1") == 0
    assert rows_of(tmp_path / "other") != splits


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a0b.png,one\nsub/a1b_1.png,two", []),
        ("file,text\na0b.png,one\nsub/a1b_1.png,two\n", []),
        ("\ufefffile;text\r\na0b.png;one\r\nsub\\a1b_1.png;two\r\n", []),
        (
            "n\tlabel\tpath\n1\tone\ta0b.png\n\n2\ttwo\tsub/a1b_1.png\n",
            ["--columns", "path", "label"],
        ),
        ('file,text\na0b.png,"one"\nsub/a1b_1.png,two,more\n', []),
    ],
)
def test_from_a_csv(pictures: Path, tmp_path: Path, text: str, words: list[str]):
    table, root = tmp_path / "labels.csv", tmp_path / "set"
    table.write_text(text, encoding="utf-8", newline="")
    given = ("--label_from", table, "--output_dir", root, "--split_ratio", 1, 0, 0)
    assert call(pictures, *given, *words) == 0
    assert rows_of(root) == {"train": {"a0b.png": "one", "sub/a1b_1.png": "two"}}


def test_bad_rows_are_named_and_left_out_up_to_the_limit(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (pictures / "a2b.png").write_bytes(b"no picture")
    table, root = tmp_path / "labels.csv", tmp_path / "set"
    table.write_text(
        "a0b.png,one\nnone.png,x\na4b.png\n../a,x\na6b.png,\na2b.png,two\na8b.png,eight\n",
        encoding="utf-8",
    )
    words = ("--label_from", table, "--output_dir", root, "--split_ratio", "0.5", "0.5", "0")
    with pytest.raises(UserError, match="--max_bad_rows 5") as caught:
        call(pictures, *words)
    for sentence in ("labels.csv:2: 'none.png' is not in", "labels.csv:3: 1 columns; expected 2",
                     "labels.csv:4: '../a' lies outside", "labels.csv:5: 'a6b.png' has no text",
                     "labels.csv:6: a2b.png: not a picture"):  # fmt: skip
        assert sentence in str(caught.value)
    assert not root.exists()
    assert call(pictures, *words, "--max_bad_rows", 5) == 0
    assert sum(map(len, rows_of(root).values())) == 2
    assert "skipped 5 bad rows of at most 5" in capsys.readouterr().out


def test_lines_and_cells_as_they_come(pictures: Path, tmp_path: Path, capsys):
    """A line separator within a text, a space before a quote, a semicolon set with commas in it."""
    table, root = tmp_path / "labels.csv", tmp_path / "set"
    table.write_text('a0b.png; "o,n\u2028e"\nsub\\a1b_1.png;t,w,o\n', encoding="utf-8")
    given = ("--label_from", table, "--output_dir", root, "--split_ratio", 1, 0, 0)
    assert call(pictures, *given) == 0
    assert rows_of(root) == {"train": {"a0b.png": "o,n\u2028e", "sub/a1b_1.png": "t,w,o"}}
    assert "header" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("none.png,x\na0b.png,one\n", "labels.csv:1: 'none.png' is not in"),
        ("sub\\none.png,x\na0b.png,one\n", "labels.csv:1: 'sub.*none.png' is not in"),
        ('a0b.png,"one\nsub/a1b_1.png,two\na2b.png,x\n', "labels.csv:3: a quote that was opened"),
        ('a0b.png,"' + "x" * 200_000, "not a CSV that can be read"),
        ("a0b.png,one\n" + "x" * 300 + ".png,two\n", "labels.csv:2: 'xxx.* is not in"),
    ],
)
def test_first_rows_and_quotes_are_not_lost(pictures: Path, tmp_path: Path, text, sentence):
    table = tmp_path / "labels.csv"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        call(pictures, "--label_from", table, "--output_dir", tmp_path / "set")
    assert not (tmp_path / "set").exists()


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
@pytest.mark.parametrize("name", [b"a\tb.png", b"a\nb.png", b"a\\b.png", b"a\xffb.png"])
def test_names_that_no_labels_txt_can_hold(pictures: Path, tmp_path: Path, name: bytes):
    shutil.copy(pictures / "a0b.png", os.fsdecode(os.fsencode(pictures) + b"/" + name))
    root = tmp_path / "set"
    with pytest.raises(UserError, match="a name that no labels.txt can hold; rename it"):
        call(pictures, "--output_dir", root)
    assert call(pictures, "--output_dir", root, "--max_bad_rows", 1) == 0
    assert sum(map(len, rows_of(root).values())) == 20


def test_what_a_killed_one_left_is_removed(pictures: Path, tmp_path: Path):
    left = tmp_path / ".set.99999999.tmp"
    left.mkdir()
    assert call(pictures, "--output_dir", tmp_path / "set") == 0
    assert not left.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "no folder of pictures is given"),
        (["x"], "--output_dir DIR is missing"),
        (["x", "--output_dir", "."], "--output_dir .: it is not empty"),
        (["x", "--output_dir", "y", "--columns", "a", "b"], "--columns: expected two names, and"),
        (["x", "--output_dir", "y", "--split_ratio", "1", "1", "0"], "--split_ratio 1.0 1.0 0.0"),
        (["none", "--output_dir", "y"], "none: no such folder"),
        (["none", "--output_dir", "y", "--label_from", "no.csv"], "no.csv: no such file, and not"),
    ],
)
def test_commands_that_are_refused(words: list[str], sentence: str):
    with pytest.raises(UserError, match=sentence):
        call(*words)


def test_a_csv_that_has_no_such_column(pictures: Path, tmp_path: Path):
    table = tmp_path / "labels.csv"
    table.write_text("file,text\na0b.png,one\n", encoding="utf-8")
    words = ("--label_from", table, "--output_dir", tmp_path / "set", "--columns", "file", "label")
    with pytest.raises(UserError, match="--columns label: .* has file, text; choose two"):
        call(pictures, *words)
    table.write_bytes(b"")
    with pytest.raises(UserError, match="it is empty"):
        call(pictures, *words[:4])
