"""What all benchmarks share: timing in turn, medians, ratios, and tables in Markdown."""

from __future__ import annotations

import shlex
import statistics
import sys
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

from benchmarks.machine import machine_line
from utils.files import check_output_file, write_text

K = TypeVar("K", bound=Hashable)

WARM_UP = 3
"""Calls before those that count."""


class Report:
    """Markdown that is printed line by line, and written to --output at the end.

    It opens with the machine, the versions, the date and the command.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str] | None,
        output: str | None,
        packages: Sequence[str] = (),
    ):
        if output is not None:
            check_output_file(output)  # told now, not after all the work
        self.output = output
        self._lines: list[str] = []
        words = sys.argv[1:] if argv is None else argv
        self.print(machine_line(*packages))
        self.print(f"\n```text\n{shlex.join(['python', '-m', f'benchmarks.{name}', *words])}\n```")

    def print(self, line: str) -> None:
        self._lines.append(line)
        print(line, flush=True)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        lines = [header, ["---"] * len(header), *rows]
        self.print("\n" + "\n".join(f"| {' | '.join(cells)} |" for cells in lines))

    def save(self) -> None:
        if self.output is not None:
            write_text(self.output, "\n".join(self._lines) + "\n")


def in_turn(measures: Mapping[K, Callable[[], float]], rounds: int) -> dict[K, list[float]]:
    """Each measure once a round, one after the other: a noisy machine is noisy for all of them."""
    found: dict[K, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            found[name].append(measure())
    return found


def ratio(values: Sequence[float], base: Sequence[float]) -> str:
    """`values` by `base`, round by round: the median of the ratios, least and largest."""
    ratios = [value / other for value, other in zip(values, base, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def rate_rows(rates: Mapping[str, Sequence[float]], base: str) -> list[list[str]]:
    """For a table: each name, the median of its rates, and their ratio to those of `base`."""
    return [
        [name, f"{statistics.median(values):,.0f}", ratio(values, rates[base])]
        for name, values in rates.items()
    ]


def median_ms(work: Callable[[], object], count: int, warm_up: int = WARM_UP) -> float:
    """Median milliseconds of `count` calls, after some that do not count."""
    times = []
    for _ in range(warm_up + count):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times[warm_up:]) * 1000
