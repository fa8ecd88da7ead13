"""What readers of one model are worth, side by side: size, share of right texts, milliseconds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.dataset import Row
from utils.metrics import Score
from utils.picture import Source, prepare, stack
from utils.recognizer import Recognizer

ROUNDS, LEAST_ROUNDS, LONGEST = 25, 5, 20.0
"""At most, and at least where they take longer than so many seconds."""
MANY = 64
"""Pictures at once; fewer of a charset so large that these would not fit into memory."""


@dataclass(frozen=True)
class Measured:
    """`exact` of n texts, None where there was nothing to score; milliseconds a picture of the
    network alone, one picture at a time and `count` at once, medians of the rounds."""

    bytes: int
    exact: float | None
    one: float
    many: float
    count: int
    rounds: int

    def is_faster_than(self, other: Measured) -> bool:
        return self.one < other.one and self.many < other.many


def measure(
    readers: dict[str, tuple[Path, Recognizer]], pictures: Sequence[Source], rows: Sequence[Row]
) -> dict[str, Measured]:
    """Of each reader and its file; they are timed in turn, on the pictures, and score the rows."""
    times: dict[tuple[str, int], list[float]] = {}
    first = next(iter(readers.values()))[1]
    many = first.fitting(MANY)
    for size in dict.fromkeys((1, many)):
        chosen = [pictures[place % len(pictures)] for place in range(size)]
        batch = stack([prepare(picture, first.image) for picture in chosen])
        began = time.perf_counter()
        for done in range(ROUNDS + 1):
            if done > LEAST_ROUNDS and time.perf_counter() - began > LONGEST:
                break
            for name, (_, reader) in readers.items():
                started = time.perf_counter()
                reader.network.steps(*batch)
                took = (time.perf_counter() - started) * 1000 / size
                times.setdefault((name, size), []).append(took)
    return {
        name: Measured(
            path.stat().st_size,
            exact(reader, rows),
            statistics.median(times[name, 1][1:]),  # the first warms up
            statistics.median(times[name, many][1:]),
            many,
            len(times[name, many]) - 1,
        )
        for name, (path, reader) in readers.items()
    }


def exact(reader: Recognizer, rows: Sequence[Row]) -> float | None:
    """Share of the texts that are right; a picture that cannot be read counts as wrong."""
    if not rows:
        return None
    score = Score()
    for row, found in zip(rows, reader.read([row.picture for row in rows]), strict=True):
        score.add(reader.charset.fold(row.label), found.text)
    return score.sequence_accuracy


def as_table(found: dict[str, Measured], count: int) -> str:
    """A line a figure, a column a reader; and how it was timed."""
    some = next(iter(found.values()))
    lines = {
        "": list(found),
        "size, MB": [f"{each.bytes / 1e6:.2f}" for each in found.values()],
        f"exact, n = {count:,}": [f"{each.exact or 0:.2%}" for each in found.values()],
        "ms, one picture": [f"{each.one:.2f}" for each in found.values()],
        f"ms a picture, {some.count} at once": [f"{each.many:.2f}" for each in found.values()],
    }
    table = [
        f"  {name:24}" + "".join(f"{value:>12}" for value in values)
        for name, values in lines.items()
        if count or not name.startswith("exact")
    ]
    timed = f"one thread, the network alone, medians of {some.rounds} rounds in turn"
    return "\n".join([*table, timed])
