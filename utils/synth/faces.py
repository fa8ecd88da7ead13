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

MOST_GLYPHS = 200_000
"""That are kept, of about 1 KB each at 32 pixels an em."""

OUTLINES = ("glyf", "CFF ", "CFF2")
"""Tables of a font file, one of which holds its outlines."""


class Faces:
    """Faces that have any of the characters; a space stands in all of them, without a glyph.

    Faces of a collection mostly share outlines, and what they share is drawn and kept once.
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
        weights = []
        shared: dict[str, str] = {}
        tables: dict[tuple[str, int], int] = {}
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

    def glyphs(self, face: int, text: str) -> list[Glyph | None] | None:
        """Of each character, None for a space; None where the face has no ink for one, whatever it
        says."""
        found: list[Glyph | None] = []
        for character in text:
            glyph = None if character == " " else self._glyph(face, character)
            if glyph is None and character != " ":
                return None
            found.append(glyph)
        return found

    def _glyph(self, face: int, character: str) -> Glyph | None:
        key = self._outlines[face], self._numbers[face][self._places[character]]
        if key in self._kept:
            return self._kept[key]
        if face not in self._opened:
            path, index = self.names[face]
            self._opened[face] = Face(path, self._size, index)
        glyph = self._kept[key] = self._opened[face].draw_glyph(character)
        if len(self._kept) > MOST_GLYPHS:
            self._kept.popitem(last=False)
        return glyph


def outlines_at(path: str, index: int) -> int:
    """Where in its file the outlines of a face begin; faces of one place share them."""
    from fontTools.ttLib import TTFont, TTLibError

    try:
        tables = TTFont(path, fontNumber=index, lazy=True).reader.tables
    except TTLibError:  # of another format, in which each has its own
        return -1 - index
    return next((tables[name].offset for name in OUTLINES if name in tables), -1 - index)


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
        problems.append(
            f"--fonts: none of {count:,} has {''.join(lacking[:20])!r} ({len(lacking):,} of "
            f"{len(characters):,} characters); add one that has, or {fix}"
        )
    return problems
