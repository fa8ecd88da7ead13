"""A labelled picture, rows too many for a list, and rows that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
from tqdm import tqdm

from utils.errors import UserError

if TYPE_CHECKING:
    from utils.data.lmdb_set import LmdbPicture


@dataclass(frozen=True)
class Row:
    """One labelled picture: what it is read from, its label, and where that is said
    (labels.txt:line)."""

    picture: Path | LmdbPicture
    label: str
    where: str

    @property
    def path(self) -> Path:
        """Its file, or what it is called in an LMDB."""
        return self.picture if isinstance(self.picture, Path) else self.picture.path


class LazyRows(Sequence[Row]):
    """Rows that are made when they are asked for: sets too large for a list."""

    def row(self, place: int) -> Row:
        """Of a place from 0 on."""
        raise NotImplementedError

    def relabelled(self, change: Callable[[str], str]) -> LazyRows:
        """With other labels; rows of which nothing is left are left out."""
        raise NotImplementedError

    def kept(self, mask: np.ndarray) -> LazyRows:
        """Those at which the mask (rows,) is true."""
        raise NotImplementedError

    def checked(self, bad_rows: BadRows) -> LazyRows:
        """The rows whose pictures can be decoded, as far as they are looked at."""
        return self

    def fingerprint(self, root: Path) -> list[object]:
        """What a hash of the rows is made of."""
        raise NotImplementedError

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        if isinstance(place, slice):
            return [self.row(i) for i in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        return self.row(place % len(self))


def relabelled(rows: Sequence[Row], change: Callable[[str], str]) -> Sequence[Row]:
    """Rows with other labels, without those of which nothing is left."""
    if isinstance(rows, LazyRows):
        return rows.relabelled(change)
    changed = (replace(row, label=change(row.label)) for row in rows)
    return [row for row in changed if row.label]


def kept(rows: Sequence[Row], mask: np.ndarray) -> Sequence[Row]:
    """Those at which the mask (rows,) is true."""
    if isinstance(rows, LazyRows):
        return rows.kept(mask)
    return [row for row, keep in zip(rows, mask.tolist(), strict=True) if keep]


def facts(rows: Sequence[Row], root: Path) -> list[object]:
    """What a hash of the rows is made of."""
    if isinstance(rows, LazyRows):
        return rows.fingerprint(root)
    return [[row.path.relative_to(root).as_posix(), row.label] for row in rows]


@dataclass
class BadRows:
    """Rows that cannot be used, named, and how many of them the user allows."""

    allowed: int
    sentences: list[str] = field(default_factory=list)

    def add(self, sentence: str) -> None:
        self.sentences.append(sentence)

    @property
    def left(self) -> int:
        """How many more are allowed."""
        return max(0, self.allowed - len(self.sentences))

    def skip(self, sentence: str) -> None:
        """One that is found while a training goes on: print it, or raise if it is one too many."""
        if sentence not in self.sentences:
            self.add(sentence)
            self.check()
            tqdm.write(f"skipped: {sentence}")

    def check(self) -> None:
        """Raise if there are more than allowed."""
        count = len(self.sentences)
        if count > self.allowed:
            more = [f"and {count - 10} more"] if count > 10 else []
            fix = f"mend or drop the rows, or skip them with --max_bad_rows {count}"
            raise UserError("\n".join(self.sentences[:10] + more + [fix]))

    def settle(self) -> None:
        """Raise if there are more than allowed; otherwise print each one that is left out."""
        self.check()
        for sentence in self.sentences:
            print(f"skipped: {sentence}")
        if count := len(self.sentences):
            print(f"skipped {count} bad rows of at most {self.allowed} (--max_bad_rows)")

    def settle_pictures(self, rows: Sequence[Row], errors: Sequence[str | None]) -> list[str]:
        """Raise if more than allowed cannot be read, or all; otherwise a sentence on each."""
        found = [
            f"{row.where}: {row.path.name}: {error}"
            for row, error in zip(rows, errors, strict=True)
            if error
        ]
        self.sentences += found
        self.check()
        if len(found) == len(rows):
            raise UserError(f"not one of the {len(rows)} pictures can be read; mend the set")
        return found
