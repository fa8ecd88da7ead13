"""Named charsets. The large ones are made from Python's codecs when they are asked for."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Mapping
from functools import cache

SMALL = {
    "digits": string.digits,
    "lower": string.ascii_lowercase,
    "upper": string.ascii_uppercase,
    "alnum36": string.digits + string.ascii_lowercase,
    "alnum62": string.digits + string.ascii_lowercase + string.ascii_uppercase,
    "printable": string.digits + string.ascii_letters + string.punctuation,
    # One of each group that people mistake for another is left, or none: 0OQD 1IL 2Z 5S 6G 8B UV.
    "clear": "3479ACEFHJKMNPRTWXY",
}


def double_bytes(codec: str, leads: range, trails: range) -> str:
    """What the codec reads from each pair of these bytes, in the order of its codes, each once;
    no spaces."""
    pairs = (bytes((lead, trail)) for lead in leads for trail in trails)
    found = (pair.decode(codec, "ignore") for pair in pairs)  # of no code, a trail may be left over
    return "".join(dict.fromkeys(ch for ch in found if len(ch) == 1 and is_shown(ch)))


def is_shown(character: str) -> bool:
    return not character.isascii() and not character.isspace()


LARGE: dict[str, Callable[[], str]] = {
    # Level 1 of GB 2312-1980: the 3,755 everyday characters, by pinyin.
    "chinese_common": lambda: double_bytes("gb2312", range(0xB0, 0xD8), range(0xA1, 0xFF)),
    # With ASCII before what is theirs, as texts in them have it.
    "gb2312": lambda: _with_ascii("gb2312", range(0xA1, 0xF8), range(0xA1, 0xFF)),
    "gbk": lambda: _with_ascii("gbk", range(0x81, 0xFF), range(0x40, 0xFF)),
    "big5": lambda: _with_ascii("big5", range(0xA1, 0xFA), range(0x40, 0xFF)),
}


def _with_ascii(codec: str, leads: range, trails: range) -> str:
    return SMALL["printable"] + double_bytes(codec, leads, trails)


class _Presets(Mapping[str, str]):
    def __getitem__(self, name: str) -> str:
        return _made(name) if name in LARGE else SMALL[name]

    def __iter__(self) -> Iterator[str]:
        yield from (*SMALL, *LARGE)

    def __len__(self) -> int:
        return len(SMALL) + len(LARGE)


@cache
def _made(name: str) -> str:
    return LARGE[name]()


PRESETS: Mapping[str, str] = _Presets()
"""Characters by name."""
