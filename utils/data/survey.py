"""What a labelled set is like: its characters, lengths, sizes, duplicates, and what is wrong."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from tqdm import tqdm

from utils.dataset import BadRows, Row
from utils.picture import PictureError, open_picture
from utils.text.decoding import steps_needed
from utils.training.labels import WIDTH_STRIDE

AHEAD = 256
"""Pictures that are read together."""


@dataclass
class Survey:
    """Counted over the rows that are good."""

    n: int = 0
    characters: Counter[str] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    """Of labels."""
    steps: Counter[int] = field(default_factory=Counter)
    """Time steps that labels need: one a character, one more between two equal ones."""
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    """Width and height."""
    repeated: list[tuple[Row, Row]] = field(default_factory=list)
    """Pictures that are there before, byte for byte, with the first of them."""
    _seen: dict[bytes, Row] = field(default_factory=dict)

    def add(self, row: Row, size: tuple[int, int], digest: bytes) -> None:
        self.n += 1
        self.characters.update(row.label)
        self.lengths[len(row.label)] += 1
        self.steps[steps_needed(row.label)] += 1
        self.sizes[size] += 1
        first = self._seen.setdefault(digest, row)
        if first is not row:
            self.repeated.append((row, first))

    def to_text(self, img_width: int) -> str:
        """For people; what would not fit into pictures that are scaled to a width is counted."""
        if not self.n:
            return "no good picture\n"
        known = "".join(sorted(self.characters))
        shown = known if len(known) <= 200 else f"{known[:200]}..."
        widths, heights = zip(*self.sizes, strict=True)
        sizes = ", ".join(f"{w} x {h}: {n:,}" for (w, h), n in self.sizes.most_common(5))
        lines = [
            f"charset of {len(known):,}: {shown}",
            f"label lengths {_counts(self.lengths)}",
            f"sizes {sizes}" + (", ..." if len(self.sizes) > 5 else ""),
            f"width {min(widths)} to {max(widths)}, height {min(heights)} to {max(heights)}",
        ]
        rare = [ch for ch, n in self.characters.most_common() if n < 5]
        if rare:
            lines.append(f"characters that occur less than 5 times: {''.join(rare[:100])}")
        others = [pair for pair in self.repeated if pair[0].label != pair[1].label]
        if self.repeated:
            one, first = self.repeated[0]
            lines.append(
                f"pictures that are there twice: {len(self.repeated):,}, such as {one.where} and "
                f"{first.where}; with another label: {len(others):,}"
            )
        for one, first in others[:10]:
            lines.append(f"  {one.where}: {one.label!r}, and {first.where}: {first.label!r}")
        lines.append(self._fit(img_width))
        return "\n".join(lines) + "\n"

    def _fit(self, img_width: int) -> str:
        have, most = img_width // WIDTH_STRIDE, max(self.steps)
        too_long = sum(n for steps, n in self.steps.items() if steps > have)
        if not too_long:
            return f"every label fits into {have} time steps (--img_width {img_width})"
        return (
            f"labels that do not fit into {have} time steps (--img_width {img_width}): "
            f"{too_long:,}; --img_width {most * WIDTH_STRIDE} would do for all"
        )


def _counts(counter: Counter[int]) -> str:
    return ", ".join(f"{key}: {counter[key]:,}" for key in sorted(counter))


def look_at(
    rows: Iterable[Row], bad_rows: BadRows, count: int | None = None
) -> Iterator[tuple[Row, bytes, tuple[int, int]]]:
    """Each good row with its picture's bytes and size, in order; the others go to `bad_rows`."""

    def read(row: Row) -> tuple[Row, bytes, tuple[int, int]] | str:
        try:
            data = row.picture.read_bytes()
            return row, data, open_picture(data, 1).size
        except (PictureError, OSError) as error:
            return f"{row.where}: {row.path.name}: {error}"

    remaining = tqdm(rows, total=count, unit="picture", disable=None)
    with ThreadPoolExecutor() as pool:
        for some in _chunks(remaining, AHEAD):
            for found in pool.map(read, some):
                if isinstance(found, str):
                    bad_rows.add(found)
                else:
                    yield found


def survey_of(rows: Sequence[Row], bad_rows: BadRows) -> Survey:
    found = Survey()
    for row, data, size in look_at(rows, bad_rows):
        found.add(row, size, hashlib.sha256(data).digest())
    return found


def _chunks(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while some := list(islice(iterator, size)):
        yield some
