"""Several sets as one, and how much of each batch comes from which."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import accumulate, chain, pairwise
from pathlib import Path

import numpy as np

from utils.dataset import BadRows, LazyRows, Row, check_pictures, facts, kept, relabelled
from utils.errors import UserError

SHARD = re.compile(r"\d{5}-of-\d{5}")
"""The folder of a shard of generate_data.py."""


class JoinedRows(LazyRows):
    """The rows of named parts, one after the other."""

    def __init__(self, parts: Mapping[str, Sequence[Row]]):
        self.parts = dict(parts)
        self._rows = list(self.parts.values())
        self._bounds = [0, *accumulate(map(len, self._rows))]
        """Where each part starts, and the last one stops."""

    def __len__(self) -> int:
        return self._bounds[-1]

    def row(self, place: int) -> Row:
        part = self._part(place)
        return self._rows[part][place - self._bounds[part]]

    def _part(self, place: int) -> int:
        return bisect_right(self._bounds, place) - 1

    def __iter__(self) -> Iterator[Row]:
        return chain.from_iterable(self._rows)

    def relabelled(self, change: Callable[[str], str]) -> JoinedRows:
        return JoinedRows({name: relabelled(rows, change) for name, rows in self.parts.items()})

    def kept(self, mask: np.ndarray) -> JoinedRows:
        masks = np.split(mask, self._bounds[1:-1])
        pairs = zip(self.parts.items(), masks, strict=True)
        return JoinedRows({name: kept(rows, part) for (name, rows), part in pairs})

    def checked(self, bad_rows: BadRows) -> JoinedRows:
        return JoinedRows(
            {name: check_pictures(rows, bad_rows) for name, rows in self.parts.items()}
        )

    def fingerprint(self, root: Path) -> list[object]:
        return [[name, *facts(rows, root)] for name, rows in self.parts.items()]

    def part_of(self, place: int) -> range:
        """The places of the part that this one belongs to."""
        part = self._part(place)
        return range(self._bounds[part], self._bounds[part + 1])

    def bounds(self, names: Sequence[str]) -> list[tuple[int, int]]:
        """Where the rows of these parts start and stop."""
        ends = dict(zip(self.parts, pairwise(self._bounds), strict=True))
        return [ends[name] for name in names]


def sets_of(rows: Sequence[Row]) -> dict[str, int]:
    """Names and sizes of the parts of joined rows; none of others, nor of shards of one set."""
    if not isinstance(rows, JoinedRows) or all(map(SHARD.fullmatch, rows.parts)):
        return {}
    return {name: len(part) for name, part in rows.parts.items()}


def parse_shares(
    select: str, batch_ratio: str | None, folders: Collection[str] = ()
) -> dict[str, float]:
    """`MJ-ST` and `0.5-0.5` -> each name's share of a batch; equal ones without a ratio. A text
    that is the name of one of the folders stands for that one, whatever - is in it."""
    names = [select] if select in folders else select.split("-")
    if "" in names or len(set(names)) < len(names):
        raise UserError(
            f"--select {select}: expected names of folders with - between, such as MJ-ST"
        )
    if batch_ratio is None:
        return dict.fromkeys(names, 1 / len(names))
    try:
        shares = [float(word) for word in batch_ratio.split("-")]
    except ValueError:
        shares = []
    if len(shares) != len(names) or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise UserError(
            f"--batch_ratio {batch_ratio}: expected {len(names)} shares above 0 that add up to 1, "
            "one for each name of --select, such as 0.5-0.5"
        )
    return dict(zip(names, shares, strict=True))


def counts_of(shares: Sequence[float], batch_size: int) -> list[int]:
    """Pictures of each group in a batch: at least one, and together a batch.

    UserError where a batch has fewer than there are groups.
    """
    if batch_size < len(shares):
        raise UserError(
            f"--batch_size {batch_size}: fewer than the {len(shares)} sets that a batch is made of"
        )
    ends = [round(end * batch_size) for end in accumulate(shares)]
    counts = [max(1, stop - start) for start, stop in zip([0, *ends], ends, strict=False)]
    counts[counts.index(max(counts))] -= sum(counts) - batch_size
    return counts


def folders_of(rows: Sequence[Row]) -> set[str]:
    """Names of the folders in the paths of the parts of joined rows."""
    return {folder for name in sets_of(rows) for folder in name.split("/")}


def selected(
    rows: Sequence[Row], names: Sequence[str], root: Path
) -> tuple[JoinedRows, list[list[str]]]:
    """The parts that have one of these folders in their path, and the parts of each name."""
    if not isinstance(rows, JoinedRows):
        raise UserError(
            f"--select {'-'.join(names)}: the training split of {root} is one set, not a folder of "
            "sets; leave it out"
        )
    chosen: dict[str, Sequence[Row]] = {}
    groups = []
    for name in names:
        found = [part for part in rows.parts if name in part.split("/")]
        if not found:
            raise UserError(
                f"--select {name}: no set of that name is below {root}; there are "
                f"{', '.join(rows.parts)}"
            )
        groups.append(found)
        chosen |= {part: rows.parts[part] for part in found}
    return JoinedRows(chosen), groups
