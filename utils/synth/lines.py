"""Lines of text to draw, of random characters or from a corpus, and the recipe of a set of them."""

from __future__ import annotations

import bisect
import hashlib
import itertools
import random
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from utils.changes import LEVELS
from utils.errors import UserError
from utils.picture import DIRECTIONS
from utils.synth.corpus import Corpus
from utils.synth.faces import Faces, glyph_problems
from utils.synth.fonts import CHECKED_SIZE, all_faces
from utils.text.charset import Charset

LOOK_VERSION = 1
"""Goes up when the same seed comes to draw other lines."""

LEAST_EM, MOST_EM = 0.5, 0.95
"""Size of the characters, in heights of the line."""

LEAST_STEP = 0.15
"""Of a line's height, the length that each time step of its text gets at least."""

TRIES = 50
"""Texts, and faces for each of them, that are tried before a recipe is given up."""


@dataclass(frozen=True)
class LineRecipe:
    """What a set of lines is made of; stands in dataset.json and draws the same again."""

    characters: str
    charset_name: str
    min_length: int = 1
    max_length: int = 20
    height: int = 32
    """Pixels across the line: the height of a horizontal picture, the width of a vertical one."""
    width: int = 512
    """Pixels along the line."""
    fonts: tuple[str, ...] = ()
    """Paths of font files, of which every face is used."""
    corpus: str | None = None
    """UTF-8 file whose text is drawn; without one, texts are random characters."""
    direction: str = "horizontal"
    """Or vertical: upright characters from top to bottom."""
    tight: float = 0.0
    """Share of lines whose picture ends where their text does."""
    augment: str = "none"

    @property
    def charset(self) -> Charset:
        return Charset(self.characters, self.charset_name)

    @property
    def files(self) -> dict[str, str]:
        """By flag, what the texts come from."""
        return {"corpus": self.corpus} if self.corpus else {}

    @property
    def pixels(self) -> int:
        return self.width * self.height

    def __str__(self) -> str:
        return (
            f"{self.direction} lines of {self.min_length} to {self.max_length} characters of "
            f"{self.charset_name} ({len(self.characters):,}), {self.corpus or 'random'}, in "
            f"{len(self.fonts):,} fonts, {self.height} x {self.width}"
        )

    def to_json(self) -> dict[str, Any]:
        return {"kind": "line", **asdict(self)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> LineRecipe:
        return cls(**{**values, "fonts": tuple(values["fonts"])})

    def fingerprint(self) -> list[object]:
        """What tells its files from others of their names: the corpus, and the sizes of fonts."""
        corpus = Path(self.corpus).read_bytes() if self.corpus else b""
        sizes = [[Path(font).name, Path(font).stat().st_size] for font in self.fonts]
        return [LOOK_VERSION, hashlib.sha256(corpus).hexdigest(), sizes]


class LineTexts:
    """The texts of a recipe, each with a face that has all its characters.

    Random texts: every pair of a character and a file that has it is drawn as often as any other.
    """

    def __init__(self, recipe: LineRecipe, faces: Faces):
        """UserError where the corpus has nothing that is long enough."""
        self._recipe, self._faces = recipe, faces

    @cached_property
    def corpus(self) -> Corpus | None:
        path = self._recipe.corpus
        return Corpus.read(path, self._recipe.characters) if path else None

    @cached_property
    def _windows(self) -> tuple[list[str], list[int]]:
        """Pieces that are long enough, and how many places to start at there are up to each."""
        assert self.corpus is not None
        least = self._recipe.min_length
        pieces = [piece for piece in self.corpus.pieces if len(piece) >= least]
        if not pieces:
            raise UserError(
                f"--corpus {self._recipe.corpus}: nothing in it is {least} characters of "
                f"{self._recipe.charset_name} in a row; give another, or lower --min_length (left "
                f"out: {self.corpus.named() or 'none'})"
            )
        return pieces, list(itertools.accumulate(len(piece) - least + 1 for piece in pieces))

    def draw(self, rng: random.Random) -> tuple[str, int]:
        """A text, and the place of a face that has ink for all of it."""
        for _ in range(TRIES):
            length = rng.randint(self._recipe.min_length, self._recipe.max_length)
            if self.corpus is None:
                face = self._faces.any(rng)
                text = self._random(length, face, rng)
            else:
                text = self._from_corpus(length, rng)
                face = self._face_of(text, rng)
            if face >= 0 and len(text) >= self._recipe.min_length:
                return text, face
        raise UserError(
            f"--fonts: of {len(self._recipe.fonts)} fonts, none was found that draws all "
            "characters of a text; give others, or a smaller charset"
        )

    def _random(self, length: int, face: int, rng: random.Random) -> str:
        """Of characters that the face has; no space at an end, nor two together. It is cut where no
        character is found: a face may say that it has one, and have no ink for it."""
        text, covered = "", self._faces.covered[face]
        for place in range(length):
            may_be_space = 0 < place < length - 1 and text[-1] != " "
            for _ in range(TRIES):
                character = rng.choice(covered)
                if may_be_space if character == " " else self._faces.has(face, character):
                    text += character
                    break
            else:
                return text.strip()
        return text

    def _face_of(self, text: str, rng: random.Random) -> int:
        """One that has all of a text, -1 where none is found."""
        for _ in range(TRIES):
            face = self._faces.any(rng)
            if self._faces.covers(face, text) and all(self._faces.has(face, ch) for ch in text):
                return face
        return -1

    def _from_corpus(self, length: int, rng: random.Random) -> str:
        """A stretch of a piece, whole words where it has spaces and that leaves enough."""
        pieces, ends = self._windows
        place = rng.randrange(ends[-1])
        index = bisect.bisect_right(ends, place)
        piece, start = pieces[index], place - (ends[index - 1] if index else 0)
        stop, least = min(start + length, len(piece)), self._recipe.min_length
        if " " in piece[start:stop]:
            if start and piece[start - 1] != " ":
                later = piece.index(" ", start) + 1
                start = later if stop - later >= least else start
            if stop < len(piece) and piece[stop] != " ":
                earlier = piece.rfind(" ", start, stop)
                stop = earlier if earlier - start >= least else stop
        return piece[start:stop].strip()


def line_problems(recipe: LineRecipe) -> list[str]:
    """Values out of range, fonts that cannot be opened, characters that no font has, and a corpus
    without any."""
    problems = []
    if recipe.direction not in DIRECTIONS:
        known = ", ".join(DIRECTIONS)
        problems.append(f"--direction {recipe.direction}: expected one of {known}")
    if not 0 <= recipe.tight <= 1:
        problems.append(f"--tight {recipe.tight}: expected 0 to 1")
    if recipe.augment not in LEVELS:
        problems.append(f"--augment {recipe.augment}: expected one of {', '.join(LEVELS)}")
    if recipe.max_length * LEAST_EM * recipe.height > recipe.width:
        problems.append(
            f"--max_length {recipe.max_length}: so many characters have no room along --width "
            f"{recipe.width} at --height {recipe.height}; expected "
            f"{int(recipe.width / recipe.height / LEAST_EM)} at most, or a larger --width"
        )
    spaces = [ch for ch in recipe.characters if ch.isspace() and ch != " "]
    if spaces:
        problems.append(f"charset {recipe.charset_name}: lines hold no {spaces[0]!r}; leave it out")
    if not recipe.characters.strip():
        problems.append(f"charset {recipe.charset_name}: it has spaces only; add characters")
    if not recipe.fonts:
        problems.append("--fonts: a recipe of lines needs a font or more; give some")
    if not recipe.fonts or not recipe.characters.strip():
        return problems
    found = glyph_problems(
        recipe.characters, all_faces(recipe.fonts), "leave them out by --missing_glyphs drop"
    )
    if not found:
        try:
            faces = Faces(recipe.fonts, recipe.characters, CHECKED_SIZE)
            LineTexts(recipe, faces).draw(random.Random(0))
        except UserError as error:
            found.append(str(error))
    return problems + found
