"""Named charsets. The large ones are made from Python's codecs when they are asked for."""

from __future__ import annotations

import string
import unicodedata
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


def double_bytes(codec: str, leads: range, trails: range, reader: str | None = None) -> str:
    """What each pair of these bytes is that the codec knows, in the order of its codes, each once;
    no spaces, and no twins of other characters, which NFC does away with. `reader` is the codec
    that says what it is, where another one says it better."""
    pairs = [bytes((lead, trail)) for lead in leads for trail in trails]
    known = [pair for pair in pairs if is_one(pair.decode(codec, "ignore"))]
    return "".join(dict.fromkeys(filter(is_one, (pair.decode(reader or codec) for pair in known))))


def is_one(text: str) -> bool:
    """Of what is no code, nothing or the second byte is left over."""
    return (
        len(text) == 1
        and not text.isascii()
        and not text.isspace()
        and unicodedata.is_normalized("NFC", text)
    )


LARGE: dict[str, Callable[[], str]] = {
    # Level 1 of GB 2312-1980: the 3,755 everyday characters, by pinyin.
    "chinese_common": lambda: double_bytes("gb2312", range(0xB0, 0xD8), range(0xA1, 0xFF)),
    # With ASCII before what is theirs, as texts in them have it. Dash and middle dot of GB 2312
    # are those of today's texts as GBK reads them.
    "gb2312": lambda: _with_ascii("gb2312", range(0xA1, 0xF8), range(0xA1, 0xFF), "gbk"),
    "gbk": lambda: _with_ascii("gbk", range(0x81, 0xFF), range(0x40, 0xFF)),
    "big5": lambda: _with_ascii("big5", range(0xA1, 0xFA), range(0x40, 0xFF)),
}


def _with_ascii(codec: str, leads: range, trails: range, reader: str | None = None) -> str:
    return SMALL["printable"] + double_bytes(codec, leads, trails, reader)


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
