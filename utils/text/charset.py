"""Charsets: ordered characters, and their class ids (blank 0, then 1, 2, ...)."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from utils.errors import UserError
from utils.text.presets import PRESETS

BLANK = 0

SAMPLE = 60
"""Characters that are shown of many."""


@dataclass(frozen=True)
class Charset:
    """Ordered characters (code points); the id of characters[i] is i + 1, 0 is the blank.

    Of each group in `alike`, the first is one of the characters and stands for the others too.
    Where it `drops`, labels lose every other character; elsewhere those are errors. Where it is
    `nfc`, labels come in Unicode's form NFC, in which é is one character.
    """

    characters: str
    name: str = "custom"
    alike: tuple[str, ...] = ()
    drops: bool = False
    nfc: bool = False

    def __post_init__(self) -> None:
        repeated = [ch for ch, count in Counter(self.characters).items() if count > 1]
        if repeated:
            raise UserError(
                f"charset {self.name}: {repeated[0]!r} stands in it more than once; list it once"
            )
        known = set(self.characters)
        for group in self.alike:
            if group[:1] not in known or known & set(group[1:]):
                raise ValueError(f"charset {self.name}: {group!r} has not its first character only")
        if not self.characters:
            raise UserError(f"charset {self.name}: it is empty; expected one character or more")

    def __len__(self) -> int:
        return len(self.characters)

    @property
    def num_classes(self) -> int:
        """len(charset) + 1: the blank is class 0."""
        return len(self.characters) + 1

    @cached_property
    def _ids(self) -> dict[str, int]:
        ids = {ch: i for i, ch in enumerate(self.characters, start=1)}
        return ids | {ch: ids[group[0]] for group in self.alike for ch in group}

    @property
    def known(self) -> Collection[str]:
        """Every character that it has a class for, those of `alike` too."""
        return self._ids.keys()

    def encode(self, text: str) -> list[int]:
        """Class ids of a text. KeyError on a character that is not in the charset."""
        return [self._ids[ch] for ch in text]

    def stands_for(self, character: str) -> str:
        """The characters that one of the charset stands for, itself first."""
        return next((group for group in self.alike if group[0] == character), character)

    def written(self, text: str) -> str:
        """A label in NFC, if the charset is."""
        return unicodedata.normalize("NFC", text) if self.nfc else text

    def fold(self, text: str) -> str:
        """A label as `decode` would give it back: in NFC if the charset is, of alike characters
        always the first, and without the others if the charset drops them."""
        text = self.written(text)
        return "".join(
            [
                self.characters[self._ids[ch] - 1] if ch in self._ids else ch
                for ch in text
                if ch in self._ids or not self.drops
            ]
        )

    def decode(self, ids: Iterable[int]) -> str:
        """The text of class ids, none of which may be the blank."""
        return "".join([self.characters[i - 1] for i in ids])

    def missing(self, texts: Iterable[str]) -> dict[str, int]:
        """Characters of the texts that are not in the charset, with counts, most frequent first."""
        written = map(self.written, texts) if self.nfc else texts
        counts = Counter(ch for text in written for ch in text if ch not in self._ids)
        return dict(counts.most_common())


def protocol_of(charset: Charset) -> str:
    """How a reader of that charset sees labels, in words."""
    words = [f"{len(charset)} characters ({charset.name})"]
    if charset.alike:
        words.append(f"one for each of {len(charset.alike)} groups such as {charset.alike[0]}")
    words.append("others dropped from labels" if charset.drops else "others are errors")
    words += ["labels in NFC"] * charset.nfc
    return ", ".join(words)


def preset_charset(name: str) -> Charset:
    return Charset(PRESETS[name], name)


def read_charset_file(path: str | Path) -> Charset:
    """A charset from a UTF-8 file with one character a line (a space counts as a character)."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"charset file {path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"charset file {path}: cannot be read as UTF-8 ({error})") from None
    characters = []
    for number, line in enumerate(text.split("\n"), start=1):  # read_text has turned CRLF to LF
        if len(line) > 1:
            raise UserError(
                f"{path}:{number}: {line[:20]!r} has {len(line)} characters; "
                "expected one character a line"
            )
        characters.append(line)
    return Charset("".join(characters), path.stem)


def charset_of_texts(texts: Iterable[str]) -> Charset:
    """Every character that occurs, in code point order."""
    return Charset("".join(sorted(set().union(*texts))), "found")


def sample(characters: Iterable[str]) -> str:
    """Some of them, as they are or, where a terminal would show nothing of its own, escaped."""
    listed = list(characters)
    shown = "".join(ch if ch.isprintable() and not unicodedata.combining(ch) else
                    ch.encode("unicode_escape").decode() for ch in listed[:SAMPLE])  # fmt: skip
    return shown + (" ..." if len(listed) > SAMPLE else "")
