"""Font files: where they are, which characters they have, and text written with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageFont

from utils.errors import UserError

FONT_FILES = (".ttf", ".otf", ".ttc")

NO_CHARACTER = "\U0010ffff"
"""A code point that no font has: it comes out as the box, or the blank, that stands for those."""


CHECKED_SIZE = 20
"""Pixels of an em, to see whether a font opens and what it has."""


@dataclass(frozen=True)
class FoundFonts:
    """Paths of fonts; and sentences on those of a folder or the system that cannot be opened."""

    paths: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def find_fonts(places: Sequence[str]) -> FoundFonts:
    """Font files that are named, or lie below a folder that is, or belong to the `system` (of one
    that has none: matplotlib's DejaVu).

    Raises UserError that names every place that has none, and every named file that is none.
    """
    found: list[str] = []
    left_out: list[str] = []
    problems: list[str] = []
    for place in places:
        of_many = place == "system" or Path(place).is_dir()
        if not of_many and not Path(place).exists():
            problems.append(
                f"--fonts {place}: no such file; expected a font, a folder of them, or system"
            )
            continue
        fonts = []
        for path in _fonts_at(place):
            try:
                for name, index in all_faces([path]):
                    Face(name, CHECKED_SIZE, index)
                fonts.append(os.path.abspath(path))
            except UserError as error:
                (left_out if of_many else problems).append(str(error))
        if of_many and not fonts:
            wanted = ", ".join(FONT_FILES)
            problems.append(
                f"--fonts {place}: no font that can be opened is in there; expected {wanted} files"
            )
        found += fonts
    if problems:
        raise UserError("\n".join(problems))
    return FoundFonts(tuple(dict.fromkeys(found)), tuple(left_out))


def _fonts_at(place: str) -> list[str]:
    if place != "system" and not Path(place).is_dir():
        return [place]
    if place == "system":
        from matplotlib import get_data_path
        from matplotlib.font_manager import findSystemFonts

        # A bare machine has none: DejaVu comes with matplotlib.
        below = findSystemFonts() or [*map(str, Path(get_data_path()).rglob("DejaVu*.ttf"))]
    else:
        below = [str(path) for path in Path(place).rglob("*")]
    return sorted({path for path in below if path.lower().endswith(FONT_FILES)})


@dataclass(frozen=True)
class Glyph:
    """One character, drawn: coverage 0..255 (h, w), and where it stands from the pen, in pixels."""

    ink: np.ndarray
    left: int
    top: int
    advance: float
    """How far the pen moves on."""

    def turned(self, degrees: float) -> Glyph:
        """Around its centre, which stays where it is."""
        image = Image.fromarray(self.ink).rotate(degrees, Image.Resampling.BILINEAR, expand=True)
        height, width = self.ink.shape
        left = self.left + (width - image.width) // 2
        top = self.top + (height - image.height) // 2
        return replace(self, ink=np.asarray(image), left=left, top=top)

    def scaled(self, factor: float, hangs: bool = False) -> Glyph:
        """On the same line, or hanging from where its top was."""
        size = [max(1, round(side * factor)) for side in self.ink.shape[::-1]]
        image = Image.fromarray(self.ink).resize(size, Image.Resampling.BILINEAR)
        top = self.top if hangs else round(self.top * factor)
        left, advance = round(self.left * factor), self.advance * factor
        return Glyph(np.asarray(image), left, top, advance)


def check_font(path: str) -> None:
    """OSError where there is no such file: Pillow would look for its name among the system's."""
    if not Path(path).is_file():
        raise FileNotFoundError("no such file")


FaceName = tuple[str, int]
"""Path of a font file, and place of the face in it."""


def all_faces(paths: Iterable[str]) -> list[FaceName]:
    """Those of each file; a collection (.ttc) has several, of countries, weights or widths."""
    from matplotlib.ft2font import FT2Font

    faces = []
    for path in paths:
        try:
            count = FT2Font(path).num_faces
        except (RuntimeError, OSError):  # Face says what is wrong with it, or opens it all the same
            count = 1
        faces += [(path, index) for index in range(count)]
    return faces


def charmap(path: str, index: int = 0) -> Mapping[int, int] | None:
    """Code points that a face says it has, and the number of the glyph of each; None where it
    cannot be asked. Read at once, where drawing each of 20,000 characters takes a second."""
    from matplotlib.ft2font import FT2Font

    try:
        return FT2Font(path, face_index=index).get_charmap()
    except RuntimeError:
        return None


class Face:
    """One font at one size; its glyphs are drawn when they are first asked for, and kept.

    `index` is the face's place in a collection. Raises UserError for a file that is no font.
    """

    def __init__(self, path: str, size: int, index: int = 0):
        self.path, self.size = path, size
        try:
            check_font(path)
            self._font = ImageFont.truetype(path, size, index, "", ImageFont.Layout.BASIC)
        except OSError as error:
            raise UserError(f"--fonts {path}: not a font that can be opened ({error})") from None
        self._glyphs: dict[str, Glyph | None] = {}

    @cached_property
    def _box(self) -> bytes:
        return bytes(self._font.getmask(NO_CHARACTER))

    def glyph(self, character: str) -> Glyph | None:
        """None where the font has no ink for it: it lacks it, or has an empty place for it."""
        if character not in self._glyphs:
            self._glyphs[character] = self.draw_glyph(character)
        return self._glyphs[character]

    def has(self, text: str) -> bool:
        return all(self.glyph(character) is not None for character in text)

    def draw_glyph(self, character: str) -> Glyph | None:
        """As `glyph`, which keeps what it has drawn."""
        try:
            mask, (left, top) = self._font.getmask2(character, mode="L", anchor="ls")
            box, data = mask.getbbox(), bytes(mask)
            if box is None or data == self._box:
                return None
            x, y, right, bottom = box
            ink = np.frombuffer(data, np.uint8).reshape(mask.size[::-1])[y:bottom, x:right]
            advance = self._font.getlength(character)
            return Glyph(np.ascontiguousarray(ink), left + x, top + y, advance)
        except OSError:  # a damaged outline
            return None

    def write(self, text: str, spacing: float = 0.0) -> np.ndarray:
        """Coverage 0..255 (h, w) of a text that the font `has`, cut to its ink; `spacing` in
        pixels comes between two characters."""
        return self.write_letters(text, spacing)[0]

    def write_letters(
        self,
        text: str,
        spacing: float = 0.0,
        change: Callable[[int, Glyph], Glyph] = lambda index, glyph: glyph,
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `write`, of what `change` makes of the glyph of each index; and (characters,), the
        columns where each of them starts."""
        pen, placed = 0.0, []
        for index, character in enumerate(text):
            glyph = self.glyph(character)
            assert glyph is not None, (self.path, character)
            glyph = change(index, glyph)
            placed.append((round(pen) + glyph.left, glyph))
            pen += max(glyph.advance + spacing, 1)
        left, top = min(x for x, _ in placed), min(glyph.top for _, glyph in placed)
        right = max(x + glyph.ink.shape[1] for x, glyph in placed)
        bottom = max(glyph.top + glyph.ink.shape[0] for _, glyph in placed)
        ink = np.zeros((bottom - top, right - left), np.uint8)
        for x, glyph in placed:
            height, width = glyph.ink.shape
            place = ink[glyph.top - top :, x - left :][:height, :width]
            np.maximum(place, glyph.ink, out=place)
        return ink, np.array([x - left for x, _ in placed])
