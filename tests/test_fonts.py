"""Font files: found, looked into, and written with."""

from __future__ import annotations

import shutil
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from utils.errors import UserError
from utils.synth.faces import without_glyph
from utils.synth.fonts import Face, charmap, find_fonts

FONTS = Path(matplotlib.get_data_path()) / "fonts/ttf"
MONO, MATHS = str(FONTS / "DejaVuSansMono.ttf"), str(FONTS / "cmsy10.ttf")


def test_files_folders_and_the_system(tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    for name in ("b.OTF", "a.ttf", "below/c.ttc"):
        shutil.copy(MONO, tmp_path / name)
    (tmp_path / "notes.txt").touch()
    below = tuple(str(tmp_path / name) for name in ("a.ttf", "b.OTF", "below/c.ttc"))
    assert find_fonts([str(tmp_path)]).paths == below
    assert find_fonts([below[1], str(tmp_path)]).paths == (below[1], below[0], below[2])
    monkeypatch.chdir(tmp_path)
    assert find_fonts(["a.ttf", "."]).paths == below
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: [MONO, MATHS])
    assert find_fonts(["system"]).paths == (MONO, MATHS)
    assert find_fonts([]).paths == ()


def test_a_font_that_cannot_be_opened_is_left_out_of_many_and_told_alone(tmp_path):
    (tmp_path / "bad.ttf").write_text("emoji", encoding="utf-8")
    shutil.copy(MONO, tmp_path / "good.ttf")
    found = find_fonts([str(tmp_path)])
    assert found.paths == (str(tmp_path / "good.ttf"),)
    assert found.left_out[0].startswith(f"--fonts {tmp_path / 'bad.ttf'}: not a font that can be")
    with pytest.raises(UserError, match=r"bad\.ttf: not a font that can be opened"):
        find_fonts([str(tmp_path / "bad.ttf"), MONO])
    (tmp_path / "good.ttf").unlink()
    with pytest.raises(UserError, match="no font that can be opened is in there"):
        find_fonts([str(tmp_path)])


def test_a_system_without_fonts_has_those_of_matplotlib(monkeypatch):
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", list)
    found = find_fonts(["system"]).paths
    assert MONO in found
    assert {Path(path).name[:6] for path in found} == {"DejaVu"}


def test_every_place_without_a_font_is_named(tmp_path):
    with pytest.raises(UserError) as told:
        find_fonts(["no 1.ttf", str(tmp_path), MONO])
    sentences = str(told.value).splitlines()
    assert [sentence.partition(": ")[0] for sentence in sentences] == [
        "--fonts no 1.ttf",
        f"--fonts {tmp_path}",
    ]


def test_a_font_says_what_it_has(monkeypatch):
    said = charmap(MONO)
    assert said is not None
    face = Face(MONO, 40)
    assert all(ord(character) in said for character in "Ab1?é ")
    assert not any(ord(character) in said for character in "中\U0010ffff")
    assert [ch for ch in map(chr, range(0x20, 0x500)) if face.has(ch) and ord(ch) not in said] == []

    def unknown(path, face_index):
        raise RuntimeError("unknown file format")

    monkeypatch.setattr("matplotlib.ft2font.FT2Font", unknown)
    assert charmap(MONO) is None
    assert without_glyph("中A", [(MONO, 0)]) == ["中"]  # drawn, to see


def test_a_face_has_what_it_has_ink_for(tmp_path):
    face = Face(MONO, 40)
    assert face.has("Ab1?é")
    assert not face.has("a中")
    assert not face.has("a b")
    assert not Face(MATHS, 40).has("é")
    (tmp_path / "text.ttf").write_text("not a font", encoding="utf-8")
    with pytest.raises(UserError, match=r"text\.ttf: not a font that can be opened"):
        Face(str(tmp_path / "text.ttf"), 40)


def test_it_writes_as_pillow_does():
    """A monospaced font has no kerning, which is all that Pillow would add."""
    text = "gjH1,Qp|y"
    font = ImageFont.truetype(MONO, 40, layout_engine=ImageFont.Layout.BASIC)
    image = Image.new("L", (400, 80))
    ImageDraw.Draw(image).text((10, 10), text, 255, font)
    drawn, ink = np.asarray(image.crop(image.getbbox())), Face(MONO, 40).write(text)
    assert ink.shape == drawn.shape
    assert np.abs(ink.astype(int) - drawn).mean() < 3


def test_spacing_moves_letters_apart_and_never_back_over_each_other():
    face = Face(MONO, 40)
    assert face.write("abc", 7).shape[1] == face.write("abc").shape[1] + 14
    assert face.write("abc", -1000).shape[1] < face.write("abc").shape[1]
