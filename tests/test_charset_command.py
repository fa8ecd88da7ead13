"""python -m utils.charset, and the presets that are made from codecs."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from utils import charset as command
from utils.errors import UserError
from utils.text.charset import preset_charset, read_charset_file
from utils.text.presets import PRESETS


def call(*words: object) -> int:
    return command.main([str(word) for word in words])


def two_bytes(codec: str) -> set[str]:
    """Every character of Unicode's first plane that the codec writes with two bytes."""
    found = set()
    for code in range(0x80, 0x10000):
        character = chr(code)
        if 0xD800 <= code < 0xE000 or character.isspace():
            continue
        if unicodedata.normalize("NFC", character) != character:
            continue  # a twin of another
        if len(character.encode(codec, "ignore")) == 2:
            found.add(character)
    return found


@pytest.mark.parametrize(("name", "size"), [("gb2312", 7538), ("gbk", 21875), ("big5", 13797)])
def test_presets_are_all_that_the_codec_knows(name: str, size: int):
    charset = preset_charset(name)
    assert len(charset) == len(set(charset.characters)) == size
    assert charset.characters.startswith(PRESETS["printable"])
    wanted = two_bytes(name)
    if name == "gb2312":  # as GBK reads the same codes
        wanted = wanted - set("\u2015\u30fb") | set("—·")
    assert set(charset.characters) - set(PRESETS["printable"]) == wanted


def test_the_everyday_characters():
    common = PRESETS["chinese_common"]
    assert len(common) == 3755
    assert (common[0], common[-1]) == ("啊", "座")
    assert set("的一是在不了有和人这") <= set(common)
    assert set(common) < set(PRESETS["gb2312"])
    assert set(PRESETS["gb2312"]) < set(PRESETS["gbk"])
    assert set("马克·吐温——") <= set(PRESETS["gb2312"])


def test_show(capsys, tmp_path: Path):
    path = tmp_path / "mine.txt"
    path.write_text("永\n和\n\ue234\n\u0305\n\u212b\n" + "\n".join("0123456789"), "utf-8")
    assert call("show", path) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "mine: 15 characters, 16 classes"
    assert lines == [
        "  DIGIT                10  0123456789",
        "  others                5  永和\\ue234\\u0305\u212b",
        "1 are written otherwise in NFC: \u212b",
    ]
    assert call("show", "chinese_common") == 0
    assert "  CJK               3,755  啊阿埃" in capsys.readouterr().out


def test_compare(capsys):
    assert call("compare", "digits", "clear") == 0
    assert capsys.readouterr().out.splitlines() == [
        "digits 10, clear 19; 4 in both",
        "only in digits: 6  012568",
        "only in clear: 15  ACEFHJKMNPRTWXY",
    ]


def test_build(capsys, tmp_path: Path):
    corpus, output = tmp_path / "a corpus.txt", tmp_path / "mine.txt"
    corpus.write_text("aab\tbe\u0301 e\u0301\u3000\nc\x07", "utf-8-sig")
    assert call("build", corpus, "--output_path", output) == 0
    assert read_charset_file(output).characters == " abce\u0301"
    assert "6 of 6 characters, 100.00% of the text" in capsys.readouterr().out
    assert call("build", corpus, "--nfc", "--min_count", 2, "--output_path", output) == 0
    assert read_charset_file(output).characters == "abé"
    assert "3 of 5 characters, 75.00% of the text: abé" in capsys.readouterr().out
    assert call("build", corpus, "--max_size", 1, "--output_path", output) == 0
    assert len(read_charset_file(output)) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "no command is given; expected one of show, compare, build"),
        (["compare", "gbk"], "compare: 1 sources are given, not 2"),
        (["show", "gone.txt"], "charset file gone.txt: no such file"),
        (["build", "gone.txt"], "gone.txt: cannot be read as UTF-8 text"),
        (["build", "gbk", "--output_path", "."], "--output_path"),
        (["build", "c.txt", "--output_path", "c.txt"], "c.txt: it is the corpus; choose another"),
    ],
)
def test_what_cannot_be_asked_for(words, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=sentence):
        call(*words)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "it is empty; expected one character or more"),
        (b"a\nbc\n", r"2: 'bc' has 2 characters; expected one character a line"),
        (b"a\nb\na\n", "'a' stands in it more than once"),
        (b"a\n\xed\xa0\x80\n", "cannot be read as UTF-8"),
    ],
)
def test_bad_files(data: bytes, sentence: str, tmp_path: Path):
    (tmp_path / "bad.txt").write_bytes(data)
    with pytest.raises(UserError, match=sentence):
        call("show", tmp_path / "bad.txt")


def test_nothing_to_show_makes_no_charset(tmp_path: Path):
    (tmp_path / "c.txt").write_text("\n\t\n", "utf-8")
    with pytest.raises(UserError, match=r"c\.txt: it has no character that a line can show"):
        call("build", tmp_path / "c.txt", "--output_path", tmp_path / "o.txt")


def test_rare_characters_make_no_charset(tmp_path: Path):
    (tmp_path / "c.txt").write_text("abc", "utf-8")
    with pytest.raises(UserError, match="no character occurs 2 times; lower --min_count"):
        call("build", tmp_path / "c.txt", "--min_count", 2, "--output_path", tmp_path / "o.txt")
    assert not (tmp_path / "o.txt").exists()
