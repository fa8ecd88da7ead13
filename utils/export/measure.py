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

ROUNDS = 25
MANY = 64


@dataclass(frozen=True)
class Measured:
    """`exact` of n texts, None where there was nothing to score; milliseconds a picture of the
    network alone, one picture at a time and 64 at once, medians of the rounds."""

    bytes: int
    exact: float | None
    one: float
    many: float

    def is_faster_than(self, other: Measured) -> bool:
        return self.one < other.one and self.many < other.many


def measure(
    readers: dict[str, tuple[Path, Recognizer]], pictures: Sequence[Source], rows: Sequence[Row]
) -> dict[str, Measured]:
    """Of each reader and its file; they are timed in turn, on the pictures, and score the rows."""
    times: dict[tuple[str, int], list[float]] = {}
    for size in (1, MANY):
        spec = next(iter(readers.values()))[1].image
        chosen = [pictures[place % len(pictures)] for place in range(size)]
        batch = stack([prepare(picture, spec) for picture in chosen])
        for _ in range(ROUNDS + 1):
            for name, (_, reader) in readers.items():
                started = time.perf_counter()
                reader.network.log_probs(*batch)
                took = (time.perf_counter() - started) * 1000 / size
                times.setdefault((name, size), []).append(took)
    return {
        name: Measured(
            path.stat().st_size,
            exact(reader, rows),
            *(statistics.median(times[name, size][1:]) for size in (1, MANY)),  # the first warms up
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
    lines = {
        "": list(found),
        "size, MB": [f"{each.bytes / 1e6:.2f}" for each in found.values()],
        f"exact, n = {count:,}": [f"{each.exact or 0:.2%}" for each in found.values()],
        "ms, one picture": [f"{each.one:.2f}" for each in found.values()],
        f"ms a picture, {MANY} at once": [f"{each.many:.2f}" for each in found.values()],
    }
    table = [
        f"  {name:24}" + "".join(f"{value:>12}" for value in values)
        for name, values in lines.items()
        if count or not name.startswith("exact")
    ]
    timed = f"one thread, the network alone, medians of {ROUNDS} rounds in turn"
    return "\n".join([*table, timed])
