"""Faces of fonts over one charset: what they have, and their glyphs, each drawn once."""

from __future__ import annotations

import bisect
import itertools
import random
import unicodedata
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import cached_property

from utils.errors import UserError
from utils.synth.fonts import CHECKED_SIZE, Face, FaceName, Glyph, all_faces, charmap

MOST_BYTES = 400_000_000
"""Of glyphs that are kept; at 32 pixels an em each takes about 2.4 KB."""

OVERHEAD = 1500
"""Bytes of a glyph beside its ink."""

DECIDING = ("CFF ", "hmtx")
"""Tables of a font that decide on its glyphs: outlines and widths."""


class Faces:
    """Faces that have any of the characters; a space stands in all of them, without a glyph.

    Faces of a collection often share outlines, and what they share is drawn and kept once.
    Raises UserError where no face has any, and for a file that is no font.
    """

    def __init__(self, fonts: Sequence[str], characters: str, size: int):
        self._size, self._places = size, {ch: place for place, ch in enumerate(characters)}
        self.names: list[FaceName] = []
        self.covered: list[str] = []
        """Characters of each face."""
        self._numbers: list[array] = []  # of the glyphs of all characters, -1 where it has none
        self._outlines: list[int] = []  # equal where faces share them
        self._opened: dict[int, Face] = {}
        self._kept: OrderedDict[tuple, Glyph | None] = OrderedDict()
        self._bytes = 0
        weights = []
        shared: dict[str, str] = {}
        tables: dict[tuple[str, tuple[int, ...]], int] = {}
        for path in fonts:
            names = all_faces([path])
            for name in names:
                known = charmap(*name)
                if known is None:  # it is drawn, to see
                    known = {ord(ch): place for ch, place in self._places.items()}
                has = "".join(ch for ch in characters if ch == " " or ord(ch) in known)
                if not has.strip():
                    continue
                self.names.append(name)
                self.covered.append(shared.setdefault(has, has))
                self._numbers.append(array("i", [known.get(ord(ch), -1) for ch in characters]))
                table = path, outlines_at(*name)
                self._outlines.append(tables.setdefault(table, len(tables)))
                weights.append(len(has) / len(names))
        if not self.names:
            raise UserError(
                f"--fonts: none of {len(fonts):,} has any of {len(characters):,} characters, such "
                f"as {characters[:20]!r}; give others"
            )
        self._weights = list(itertools.accumulate(weights))

    def any(self, rng: random.Random) -> int:
        """The place of a face: every pair of a character and a file that has it is as likely as
        any other, and so are the faces of a file."""
        return bisect.bisect_right(self._weights, rng.random() * self._weights[-1])

    @cached_property
    def _known(self) -> list[frozenset[str]]:
        made = {has: frozenset(has) for has in set(self.covered)}
        return [made[has] for has in self.covered]

    def covers(self, face: int, text: str) -> bool:
        """Whether the face says that it has all of a text."""
        return self._known[face].issuperset(text)

    def has(self, face: int, character: str) -> bool:
        """Whether the face has ink for it, whatever it says; a space needs none."""
        return character == " " or self._glyph(face, character) is not None

    def glyphs(self, face: int, text: str) -> list[Glyph | None]:
        """Of each character of a text that the face has; None for a space."""
        return [None if ch == " " else self._glyph(face, ch) for ch in text]

    def _glyph(self, face: int, character: str) -> Glyph | None:
        key = self._outlines[face], self._numbers[face][self._places[character]]
        if key in self._kept:
            return self._kept[key]
        if face not in self._opened:
            path, index = self.names[face]
            self._opened[face] = Face(path, self._size, index)
        glyph = self._kept[key] = self._opened[face].draw_glyph(character)
        self._bytes += size_of(glyph)
        while self._bytes > MOST_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= size_of(oldest)
        return glyph


def size_of(glyph: Glyph | None) -> int:
    """In bytes, roughly."""
    return OVERHEAD + (glyph.ink.nbytes if glyph else 0)


def outlines_at(path: str, index: int) -> tuple[int, ...]:
    """What tells the glyphs of a face from those of others in its file, by number.

    Places of the tables that decide on them, which faces of a collection may share; but of TrueType
    outlines the face itself: hinting goes by its character map, and bitmaps may stand for outlines.
    """
    from fontTools.ttLib import TTFont, TTLibError

    try:
        with TTFont(path, fontNumber=index, lazy=True) as font:
            tables = font.reader.tables
            return tuple(tables[name].offset for name in DECIDING)
    except (TTLibError, KeyError, ImportError):  # of other outlines, or another format
        return (-1 - index,)


def without_glyph(characters: Iterable[str], faces: Iterable[FaceName]) -> list[str]:
    """Those that no face has ink for; spaces need none. UserError for a file that is no font.

    Private-use characters are what one font makes of them: of several, none has them.
    """
    known = [(Face(path, CHECKED_SIZE, i), charmap(path, i)) for path, i in faces]
    are_several = len({face.path for face, _ in known}) > 1

    def is_drawn(character: str) -> bool:
        if character.isspace():
            return True
        if are_several and unicodedata.category(character) == "Co":
            return False
        return any(
            (said is None or ord(character) in said) and face.has(character) for face, said in known
        )

    return [character for character in characters if not is_drawn(character)]


def glyph_problems(characters: str, faces: Sequence[FaceName], fix: str) -> list[str]:
    """A sentence on each file that cannot be opened, and one on characters that no face has."""
    problems, opened = [], []
    for path, index in faces:
        try:
            opened.append((Face(path, CHECKED_SIZE, index).path, index))
        except UserError as error:
            problems.append(str(error))
    lacking = without_glyph(characters, opened)
    if opened and lacking:
        count = len({path for path, _ in opened})
        fix = "choose another charset" if len(lacking) == len(characters) else fix
        problems.append(
            f"--fonts: none of {count:,} has {''.join(lacking[:20])!r} ({len(lacking):,} of "
            f"{len(characters):,} characters); add one that has, or {fix}"
        )
    return problems
