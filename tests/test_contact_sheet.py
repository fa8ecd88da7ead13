"""Contact sheets: pictures of any size, captions of any character."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageFont

from tests.small_fonts import font_file
from utils.dataset import Row
from utils.errors import UserError
from utils.show import contact_sheet
from utils.show.contact_sheet import write_contact_sheet, write_readings


def sheet(path, pictures, captions, **options) -> Image.Image:
    write_contact_sheet(path, pictures, captions, **options)
    return read(path)


def read(path) -> Image.Image:
    with Image.open(path) as image:
        return image.copy()


def colours(image: Image.Image) -> set:
    return {colour for _, colour in image.getcolors(1 << 24) or []}


def grey(size=(160, 60)) -> Image.Image:
    return Image.new("L", size, 128)


def test_a_grid_of_equal_cells(tmp_path):
    small = sheet(tmp_path / "1.png", [grey()], ["a"])
    row = sheet(tmp_path / "5.png", [grey()] * 5, ["a"] * 5)
    grid = sheet(tmp_path / "6.png", [grey()] * 6, ["a"] * 6)
    three = sheet(tmp_path / "3.png", [grey()] * 6, ["a"] * 6, columns=3)
    cell = row.width - sheet(tmp_path / "4.png", [grey()] * 4, ["a"] * 4).width
    assert cell > 160
    assert small.width == row.width - 4 * cell
    assert (grid.width, three.width) == (row.width, row.width - 2 * cell)
    assert grid.height == three.height == row.height + (row.height - 10)


@pytest.mark.parametrize("size", [(1, 1), (20_000, 10), (10, 5_000), (320, 240)])
@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P", "1"])
def test_any_picture_fits_its_cell(tmp_path, size, mode):
    picture = Image.new("RGB", size, "black").convert(mode)
    image = sheet(tmp_path / "sheet.png", [picture, grey()], ["", ""])
    assert image.width < 700
    assert image.height < 300
    left = image.crop((0, 0, image.width // 2, image.height))
    assert min(colours(left)) < (200, 200, 200), "the picture can be seen"


def test_pictures_look_as_the_reader_sees_them(tmp_path):
    clear = Image.new("RGBA", (160, 60), (0, 0, 0, 0))
    assert colours(sheet(tmp_path / "a.png", [clear], [""])) == {(255, 255, 255)}
    deep = Image.fromarray(np.full((60, 160), 0x8000, np.uint16))
    assert (127, 127, 127) in colours(sheet(tmp_path / "b.png", [deep], [""]))


def test_any_unicode_caption_is_drawn(tmp_path):
    captions = ["plain", "\x00\t\r\x7f", "\ud800", "\u4e2d\u6587 \U0001f600", "e\u0301\u202e\u200d"]
    captions += ["", " ", "W" * 10_000, "\U0010ffff" * 500]
    for caption in captions:
        image = sheet(tmp_path / "sheet.png", [grey()], [caption])
        below = image.crop((0, 70, image.width, image.height))
        assert (len(colours(below)) > 1) == bool(caption.strip(" ")), ascii(caption)


@pytest.mark.parametrize(
    ("caption", "escaped"),
    [("\u4e2d", "\\u4e2d"), ("\x00", "\\u0000"), ("\U0001f600", "\\U0001f600")],
)
def test_what_no_font_has_is_escaped(tmp_path, monkeypatch, caption, escaped):
    monkeypatch.setattr(contact_sheet, "_installed", list)
    contact_sheet._piece.cache_clear()
    drawn = sheet(tmp_path / "a.png", [grey()], [caption])
    assert drawn.tobytes() == sheet(tmp_path / "b.png", [grey()], [escaped]).tobytes()


def test_fonts_of_this_machine_draw_what_the_usual_one_lacks(tmp_path, monkeypatch):
    monkeypatch.setattr(contact_sheet, "_installed", list)
    contact_sheet._piece.cache_clear()
    escaped = sheet(tmp_path / "a.png", [grey()], ["a中b国"])
    font = ImageFont.truetype(font_file(tmp_path / "one.ttf", "中"), 16)
    monkeypatch.setattr(contact_sheet, "_installed", lambda: [font])
    contact_sheet._piece.cache_clear()
    drawn = sheet(tmp_path / "b.png", [grey()], ["a中b国"])
    assert drawn.tobytes() != escaped.tobytes()
    assert contact_sheet._piece("中") == ("中", font)
    assert contact_sheet._piece("国")[0] == "\\u56fd"
    assert contact_sheet._piece("a")[1] is contact_sheet._font()
    contact_sheet._piece.cache_clear()


def test_captions_are_laid_out_the_same_way_on_every_machine(tmp_path, monkeypatch):
    plain = ImageFont.load_default

    def raqm(size):  # which hides some characters and raises on others
        return plain(size).font_variant(layout_engine=ImageFont.Layout.RAQM)

    monkeypatch.setattr(ImageFont, "load_default", raqm)
    contact_sheet._font.cache_clear()
    contact_sheet._piece.cache_clear()
    assert contact_sheet._font().layout_engine == ImageFont.Layout.BASIC
    sheet(tmp_path / "a.png", [grey()], ["a\u200db\r"])


def test_a_long_caption_stays_in_its_cell(tmp_path):
    pictures = [grey(), grey()]
    one = sheet(tmp_path / "a.png", pictures, ["W" * 100, ""])
    none = sheet(tmp_path / "b.png", pictures, ["", ""])
    left, _, right, _ = ImageChops.difference(one, none).getbbox()
    assert left >= 10
    assert right <= 170


def test_lines_and_colours_of_captions(tmp_path):
    one = sheet(tmp_path / "a.png", [grey()] * 2, ["W", "W"], colours=["red", "black"])
    two = sheet(tmp_path / "b.png", [grey()] * 2, ["W", "W\nW"])
    assert two.height > one.height
    half = one.width // 2
    assert (255, 0, 0) in colours(one.crop((0, 0, half, one.height)))
    assert (255, 0, 0) not in colours(one.crop((half, 0, one.width, one.height)))
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        write_contact_sheet(tmp_path / "c.png", [grey()] * 2, ["W"])


def test_readings_are_red_where_wrong(tmp_path):
    rows = []
    for name in ("0.png", "1.png"):
        grey().save(tmp_path / name)
        rows.append(Row(tmp_path / name, "abc", name))
    write_readings(tmp_path / "right.png", rows, ["abc", "abc"])
    write_readings(tmp_path / "wrong.png", rows, ["abc", "abd"])
    assert (255, 0, 0) not in colours(read(tmp_path / "right.png"))
    assert (255, 0, 0) in colours(read(tmp_path / "wrong.png"))


def test_a_sheet_is_written_whole_or_not_at_all(tmp_path):
    with pytest.raises(UserError, match="it is a folder"):
        write_contact_sheet(tmp_path, [grey()], ["a"])
    assert not list(tmp_path.iterdir())
