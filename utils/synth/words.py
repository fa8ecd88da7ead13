"""Words, numbers and random strings to draw, and the recipe of a set of them."""

from __future__ import annotations

import hashlib
import random
import string
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from utils.changes import LEVELS
from utils.errors import UserError
from utils.synth.faces import glyph_problems
from utils.text.charset import Charset
from utils.text.decoding import steps_needed

SYSTEM_WORDS = Path("/usr/share/dict/words")
"""Where Unix systems keep a word list; Debian's comes with wamerican and the like."""

SHARES = ("number_share", "random_share", "letter_colors", "lines", "loose", "white", "display")

NO_FONT = "--fonts: a recipe of words needs a font or more; give some"

LOOK_VERSION = 4
"""Goes up when the same seed comes to draw other words; 4 brought loose letters in cells, half of
them upright, and thinner lines."""

LONGEST_RANDOM = 8
"""Characters of a random string at most; CTC needs up to twice as many steps."""

LEAST_RATIO = 0.15
"""Of a picture's height, the width that each time step of its text gets at least."""


@dataclass(frozen=True)
class WordRecipe:
    """What a set of words is made of; stands in dataset.json and draws the same again."""

    characters: str
    charset_name: str
    min_length: int = 1
    max_length: int = 20
    height: int = 48
    """Of the tallest picture; the smallest is a third of that."""
    fonts: tuple[str, ...] = ()
    """Paths of font files."""
    words: str | None = None
    """UTF-8 file of words; without one, all texts are numbers and random strings."""
    number_share: float = 0.1
    random_share: float = 0.1
    augment: str = "medium"
    letter_colors: float = 0.0
    """Share of words whose letters are each of another colour."""
    lines: float = 0.0
    """Share of words that have thin lines across them."""
    loose: float = 0.0
    """Share of words whose letters stand apart, some turned or moved, in much empty ground."""
    white: float = 0.0
    """Share of words on plain white."""
    display: float = 0.0
    """Share of words as the photographed display of a meter shows them."""

    @property
    def charset(self) -> Charset:
        return Charset(self.characters, self.charset_name)

    @property
    def source(self) -> str | None:
        """The file of words, where any of them are drawn."""
        return None if self.number_share + self.random_share >= 1 else self.words

    @property
    def files(self) -> dict[str, str]:
        """By flag, what the texts come from."""
        return {"words": self.words} if self.words else {}

    @property
    def pixels(self) -> int:
        """Of a picture, roughly."""
        return 3 * self.height**2

    def __str__(self) -> str:
        return (
            f"words of {self.min_length} to {self.max_length} characters of {self.charset_name} "
            f"({len(self.characters)}) from {self.source or 'no file'}, in {len(self.fonts):,} "
            f"fonts, up to {self.height} high"
        )

    def to_json(self) -> dict[str, Any]:
        return {"kind": "word", **asdict(self)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> WordRecipe:
        return cls(**{**values, "fonts": tuple(values["fonts"])})

    def fingerprint(self) -> list[object]:
        """What tells its files from others of their names: the words, and the sizes of fonts."""
        words = Path(self.words).read_bytes() if self.words else b""
        sizes = [[Path(font).name, Path(font).stat().st_size] for font in self.fonts]
        return [LOOK_VERSION, hashlib.sha256(words).hexdigest(), sizes]


def system_words(charset: Charset) -> str | None:
    """The system's word list, where there is one of which the charset can write a word."""
    if not SYSTEM_WORDS.is_file():
        return None
    try:
        _ = Texts(WordRecipe(charset.characters, charset.name, words=str(SYSTEM_WORDS))).words
    except UserError:
        return None
    return str(SYSTEM_WORDS)


class Texts:
    """The texts of a recipe. Raises UserError where its file of words has none that fits."""

    def __init__(self, recipe: WordRecipe):
        self._recipe = recipe
        self._known = frozenset(recipe.characters)
        self._digits = [ch for ch in recipe.characters if ch.isdecimal()]
        self._letters = [ch for ch in recipe.characters if ch.isalnum()] or [*recipe.characters]
        self._endings = [ch for ch in ".,!?:;'" if ch in self._known]

    @cached_property
    def words(self) -> list[str]:
        """Of the file, in its order, as often as they stand there: prose has its short words more
        often than a dictionary."""
        recipe = self._recipe
        if recipe.source is None:
            return []
        if Path(recipe.source).is_dir():
            raise UserError(f"--words {recipe.source}: it is a folder; give a text file")
        try:
            found = Path(recipe.source).read_text(encoding="utf-8-sig").split()
        except FileNotFoundError:
            raise UserError(f"--words {recipe.words}: no such file; give a text file") from None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--words {recipe.words}: cannot be read as UTF-8 ({error})") from None
        fitting = [
            word
            for word in found
            if recipe.min_length <= len(word) <= recipe.max_length and self._ways(word)
        ]
        if not fitting:
            raise UserError(
                f"--words {recipe.words}: none of its {len(found):,} words is of "
                f"{recipe.min_length} to {recipe.max_length} characters of {recipe.charset_name}; "
                "give another file, charset or length"
            )
        return fitting

    def draw(self, rng: random.Random) -> str:
        recipe, lot = self._recipe, rng.random()
        numbers = recipe.number_share if self._digits else 0.0
        if lot < numbers:
            text = self._number(rng)
        elif not self.words or lot < numbers + recipe.random_share:
            length = rng.randint(recipe.min_length, self._longest_random)
            signs = recipe.characters if rng.random() < 0.1 else self._letters
            text = rng.choice(self._ways("".join(rng.choice(signs) for _ in range(length))))
        else:
            text = rng.choice(self._ways(rng.choice(self.words)))
            if self._endings and rng.random() < 0.08 and len(text) < recipe.max_length:
                text += rng.choice(self._endings)
        return text

    @property
    def _longest_random(self) -> int:
        return max(self._recipe.min_length, min(self._recipe.max_length, LONGEST_RANDOM))

    def needing_most(self) -> Iterator[str]:
        """Texts among which is one that needs the most time steps of all that may be drawn."""
        yield "0" * self._longest_random
        neediest = ""
        for word in sorted(set(self.words), key=len, reverse=True):
            if 2 * len(word) - 1 <= steps_needed(neediest):
                break  # no shorter one needs more
            neediest = max(neediest, *self._ways(word), key=steps_needed)
        if neediest:
            yield neediest + ("." if self._endings else "")

    def _ways(self, word: str) -> list[str]:
        """A word as signs write it, as far as the charset can: in capitals most of all."""
        upper = word.upper()
        ways = (word, word, upper, upper, upper, word.lower(), word.capitalize())
        return [way for way in ways if self._known.issuperset(way) and len(way) == len(word)]

    def _number(self, rng: random.Random) -> str:
        """Digits, and often what stands with them: prices, dates, times, ordinals, plates."""
        digits = "".join(rng.choice(self._digits) for _ in range(rng.randint(1, 6)))
        capitals = "".join(rng.choice(string.ascii_uppercase) for _ in range(2))
        form = rng.choice(
            ["{d}"] * 6
            + ["{d}.{d[0]}", "{d}.{d[0]}", "{d[0]}.{d}", "${d}", "${d[0]}.{d[0]}9", "{d}%",
               "{d[0]}:{d}", "19{d[0]}{d[0]}", "20{d[0]}{d[0]}", "{d[0]},{d}", "{d}-{d[0]}",
               "{d[0]}/{d}", "{d[0]}th", "+{d}", "{c}{d}", "{d}{c[0]}", "{c[0]}{d}"]
        )  # fmt: skip
        written = "".join(ch for ch in form.format(d=digits, c=capitals) if ch in self._known)
        return (written or digits)[: self._recipe.max_length].ljust(
            self._recipe.min_length, digits[0]
        )


def word_problems(recipe: WordRecipe) -> list[str]:
    """Fonts that cannot be opened, characters that no font has, and a file without words."""
    problems = [
        f"--{name} {getattr(recipe, name)}: expected 0 to 1"
        for name in SHARES
        if not 0 <= getattr(recipe, name) <= 1
    ]
    if recipe.augment not in LEVELS:
        problems.append(f"--augment {recipe.augment}: expected one of {', '.join(LEVELS)}")
    if not recipe.fonts:
        problems.append(NO_FONT)
    spaces = [ch for ch in recipe.characters if ch.isspace()]
    if spaces:
        problems.append(f"charset {recipe.charset_name}: words hold no {spaces[0]!r}; leave it out")
    faces = [(path, 0) for path in recipe.fonts]
    problems += glyph_problems(recipe.characters, faces, "choose another charset")
    if recipe.number_share + recipe.random_share > 1:
        problems.append(
            f"--number_share {recipe.number_share} and --random_share {recipe.random_share}: they "
            "add up to more than 1; lower one"
        )
    try:
        _ = Texts(recipe).words
    except UserError as error:
        problems.append(str(error))
    return problems
