"""One PNG that shows many pictures, each with a caption below it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from utils.dataset import Row
from utils.files import atomic_write
from utils.picture import PictureError, Source, open_picture
from utils.show.plots import font_files, installed_fonts
from utils.synth.fonts import NO_CHARACTER

FONT_SIZE = 16
LINE_HEIGHT = 22
GAP = 10
CELL_WIDTHS = (120, 320)
CELL_HEIGHTS = (40, 240)
"""Smallest and largest size of a picture on the sheet, in pixels."""


def write_contact_sheet(
    path: str | Path,
    pictures: Sequence[Image.Image],
    captions: Sequence[str],
    columns: int = 5,
    colours: Sequence[str] | None = None,
) -> None:
    """Write a grid of pictures (one or more) as a PNG, whole or not at all.

    Every picture is scaled, its ratio kept, into a cell as large as the largest of them. A caption
    may have several lines; what no font here can draw stands in it as \\uXXXX, and a line that is
    too long for its cell is cut. `colours` are those of the captions; None: black.
    """
    width = _within(max(picture.width for picture in pictures), CELL_WIDTHS)
    height = _within(max(picture.height for picture in pictures), CELL_HEIGHTS)
    lines = max(caption.count("\n") + 1 for caption in captions)
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    across, down = width + GAP, height + lines * LINE_HEIGHT + GAP
    sheet = Image.new("RGB", (columns * across + GAP, rows * down + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    cells = zip(pictures, captions, colours or ["black"] * len(pictures), strict=True)
    for index, (picture, caption, colour) in enumerate(cells):
        left, top = GAP + index % columns * across, GAP + index // columns * down
        scaled = _scaled(open_picture(picture, 3), width, height)
        sheet.paste(
            scaled, (left + (width - scaled.width) // 2, top + (height - scaled.height) // 2)
        )
        for number, line in enumerate(caption.split("\n")):
            middle = (left + width / 2, top + height + (number + 0.5) * LINE_HEIGHT)
            _write(draw, middle, line, width, colour)
    with atomic_write(path) as file:
        sheet.save(file, format="PNG")


def write_readings(path: str | Path, rows: Sequence[Row], texts: Sequence[str]) -> None:
    """A sheet of labelled pictures with what was read; a wrong text is red, behind its label."""
    pairs = [(row.label, text) for row, text in zip(rows, texts, strict=True)]
    write_contact_sheet(
        path,
        [_picture_or_blank(row.picture) for row in rows],
        [text if label == text else f"{label} > {text}" for label, text in pairs],
        colours=["black" if label == text else "red" for label, text in pairs],
    )


def _picture_or_blank(source: Source) -> Image.Image:
    try:
        return open_picture(source, 3)
    except PictureError:  # it was read as nothing, and is shown as nothing
        return Image.new("RGB", (160, 60), "white")


def _within(value: int, limits: tuple[int, int]) -> int:
    return min(max(value, limits[0]), limits[1])


def _scaled(picture: Image.Image, width: int, height: int) -> Image.Image:
    scale = min(width / picture.width, height / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BICUBIC)


Piece = tuple[str, ImageFont.FreeTypeFont]
"""Of a caption, and the font that draws it."""


@cache
def _font() -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(FONT_SIZE)
    assert isinstance(font, ImageFont.FreeTypeFont)
    # The same on every machine; Raqm hides some characters and raises on others.
    return font.font_variant(layout_engine=ImageFont.Layout.BASIC)


@cache
def _installed() -> list[ImageFont.FreeTypeFont]:
    """Those of this machine that draw what the usual font lacks."""
    paths = font_files(installed_fonts())
    return [ImageFont.truetype(path, FONT_SIZE, 0, "", ImageFont.Layout.BASIC) for path in paths]


def _has(font: ImageFont.FreeTypeFont, character: str) -> bool:
    return bytes(font.getmask(character)) != bytes(font.getmask(NO_CHARACTER))


@cache
def _piece(character: str) -> Piece:
    """The character, or its escape where no font has it (combining marks, surrogates, ...)."""
    if _has(_font(), character):
        return character, _font()
    if character.isprintable():
        for font in _installed():
            if _has(font, character):
                return character, font
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}", _font()


def _write(
    draw: ImageDraw.ImageDraw, middle: tuple[float, float], line: str, width: int, colour: str
) -> None:
    """A line around that point, cut to a width in pixels."""
    most = width // 3  # no character is narrower than 3 pixels
    pieces = [_piece(character) for character in line[: most + 1]]
    if _length(pieces) > width:
        dots = ("...", _font())
        while pieces and _length([*pieces, dots]) > width:
            text, font = pieces.pop()
            if len(text) > 1:  # of an escape, as much as there is room for
                pieces.append((text[:-1], font))
        pieces.append(dots)
    x = middle[0] - _length(pieces) / 2
    for font, group in groupby(pieces, key=itemgetter(1)):
        text = "".join(text for text, _ in group)
        draw.text((x, middle[1]), text, fill=colour, font=font, anchor="lm")
        x += font.getlength(text)


def _length(pieces: list[Piece]) -> float:
    return sum(
        font.getlength("".join(text for text, _ in group))
        for font, group in groupby(pieces, key=itemgetter(1))
    )
