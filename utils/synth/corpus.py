"""A text to draw lines from: the pieces of it that can be drawn, and what is left out."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from utils.errors import UserError

SHOWN = 20
"""Characters that are named where many are missing."""


@dataclass(frozen=True)
class Corpus:
    """Pieces of a text that can be drawn, and what cannot, with counts."""

    pieces: tuple[str, ...]
    left_out: Counter[str]

    @classmethod
    def read(cls, path: str, characters: str) -> Corpus:
        """UserError for what is no text, or has nothing of these characters."""
        if Path(path).is_dir():
            raise UserError(f"--corpus {path}: it is a folder; give a text file, or random")
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            raise UserError(f"--corpus {path}: no such file; give a text file, or random") from None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--corpus {path}: cannot be read as UTF-8 ({error})") from None
        known = frozenset(characters)
        left_out = Counter({ch: n for ch, n in Counter(text).items() if ch not in known})
        others = re.compile(f"[^{re.escape(characters)}]+")
        pieces = (re.sub(" +", " ", piece).strip() for piece in others.split(text))
        return cls(tuple(piece for piece in pieces if piece), left_out)

    def named(self) -> str:
        """Characters that are left out, with counts; spaces and ends of lines go without saying."""
        missing = [(ch, n) for ch, n in self.left_out.most_common() if not ch.isspace()]
        shown = ", ".join(f"{ch!r} x {n:,}" for ch, n in missing[:SHOWN])
        return shown + (f" and {len(missing) - SHOWN:,} more" if len(missing) > SHOWN else "")

    def sentences(self) -> list[str]:
        """On the characters that are not drawn, or none."""
        count = sum(n for ch, n in self.left_out.items() if not ch.isspace())
        return [f"{count:,} characters of the corpus are not in the charset, and lines end before "
                f"them: {self.named()}"] if count else []  # fmt: skip
