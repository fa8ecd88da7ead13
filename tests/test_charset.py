"""Charsets: the presets, ids, what is missing, and files of one character a line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.errors import UserError
from utils.text.charset import (
    BLANK,
    PRESETS,
    Charset,
    charset_of_texts,
    preset_charset,
    read_charset_file,
)


@pytest.mark.parametrize(
    ("name", "size"),
    [("digits", 10), ("lower", 26), ("upper", 26), ("alnum36", 36), ("alnum62", 62)],
)
def test_presets(name, size):
    charset = preset_charset(name)
    assert (len(charset), charset.num_classes, charset.name) == (size, size + 1, name)
    assert charset.characters.isalnum()
    assert charset.characters.isascii()


def test_alnum_presets_are_made_of_the_others():
    assert PRESETS["alnum36"] == PRESETS["digits"] + PRESETS["lower"]
    assert PRESETS["alnum62"] == PRESETS["alnum36"] + PRESETS["upper"]


@pytest.mark.parametrize("alike", ["0OQD", "1IL", "2Z", "5S", "6G", "8B", "UV"])
def test_clear_has_no_look_alikes(alike):
    clear = preset_charset("clear").characters
    assert len(set(clear) & set(alike)) <= 1
    assert clear.upper() == clear
    assert set(clear) <= set(PRESETS["digits"] + PRESETS["upper"])


@settings(deadline=None, max_examples=50)
@given(st.text(alphabet=PRESETS["alnum62"]))
def test_encode_and_decode_of_a_preset(text):
    charset = preset_charset("alnum62")
    ids = charset.encode(text)
    assert charset.decode(ids) == text
    assert all(BLANK < i < charset.num_classes for i in ids)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.characters(codec="utf-8"), min_size=1, unique=True), st.data())
def test_encode_and_decode_of_any_charset(characters, data):
    charset = Charset("".join(characters))
    assert charset.encode(charset.characters) == list(range(1, len(characters) + 1))
    text = "".join(data.draw(st.lists(st.sampled_from(characters))))
    assert charset.decode(charset.encode(text)) == text
    assert charset.missing([text]) == {}


def test_encode_refuses_what_it_does_not_know():
    with pytest.raises(KeyError, match="x"):
        preset_charset("digits").encode("1x")


def test_missing_counts_most_frequent_first():
    missing = preset_charset("digits").missing(["12a", "é3éb", "éa", "45"])
    assert list(missing.items()) == [("é", 3), ("a", 2), ("b", 1)]


def test_charset_of_texts():
    assert charset_of_texts(["bab", "", "ça"]).characters == "abç"
    with pytest.raises(UserError, match="empty"):
        charset_of_texts([""])


@pytest.mark.parametrize(
    ("content", "characters"),
    [
        ("a\nb\n", "ab"),
        ("a\nb", "ab"),
        ("a\r\nb\r\n", "ab"),
        ("\ufeffa\nb\n", "ab"),
        ("\ufeffa\r\n\r\nb\r\n", "ab"),
        (" \na\n", " a"),
        ("京\n沪\nA\n😀\n", "京沪A😀"),
    ],
    ids=["lf", "no end", "crlf", "bom", "bom crlf blank", "space", "chinese"],
)
def test_charset_files(tmp_path: Path, content, characters):
    path = tmp_path / "my plates.txt"
    path.write_bytes(content.encode("utf-8"))
    assert read_charset_file(path) == Charset(characters, "my plates")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a\nb\na\n", "'a' stands in it more than once"),
        (b"a\nbc\n", r"chars\.txt:2: 'bc' has 2 characters; expected one character a line"),
        (b"", "it is empty"),
        (b"\n\r\n", "it is empty"),
        ("é\n".encode("latin-1"), r"chars\.txt: cannot be read as UTF-8"),
        ("a\n".encode("utf-16"), r"chars\.txt: cannot be read as UTF-8"),
    ],
    ids=["duplicate", "two on a line", "empty", "blank", "latin-1", "utf-16"],
)
def test_bad_charset_files(tmp_path: Path, content, sentence):
    path = tmp_path / "chars.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=sentence) as caught:
        read_charset_file(path)
    assert "chars" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_charset_files_that_are_none(tmp_path: Path):
    with pytest.raises(UserError, match="nowhere.txt: no such file"):
        read_charset_file(tmp_path / "nowhere.txt")
    with pytest.raises(UserError, match="cannot be read"):
        read_charset_file(tmp_path)
