"""The shapes of pictures: widths at their own ratio, so that batches are of like ones, and whether
they lie as the reader wants them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm import tqdm

from utils.dataset import Row
from utils.picture import ImageSpec, PictureError, Source, picture_size, width_at_ratio

AT_ONCE = 4096
"""Rows that are looked at together: a pool holds all that it is given."""

LYING = 2
"""Ratio from which on a picture is a line of one direction, and of no other."""

LOOKED_AT = 500
"""Pictures whose shapes tell those of all."""


def of_like_widths(widths: np.ndarray, batch_size: int, rng: np.random.Generator) -> np.ndarray:
    """(N,): an order of pictures of these widths in which batches are of like widths, the batches
    shuffled; what is too few for a batch stays where it is, at the end."""
    whole = len(widths) - len(widths) % batch_size
    batches = widths[:whole].argsort(kind="stable").reshape(-1, batch_size)
    return np.concatenate([rng.permutation(batches).reshape(-1), np.arange(whole, len(widths))])


def widths_at_ratio(rows: Sequence[Row], spec: ImageSpec) -> np.ndarray:
    """(rows,): at the spec's height, wider than the spec's width too. A picture that has no size
    gets the spec's width; it is told when it is read."""

    def width(row: Row) -> int:
        try:
            size = picture_size(row.picture)
        except PictureError:
            return spec.width
        return width_at_ratio(*(size[::-1] if spec.direction == "vertical" else size), spec)

    found = np.empty(len(rows), np.int64)
    bar = tqdm(desc="widths", total=len(rows), unit="picture", disable=None, leave=False)
    with ThreadPoolExecutor() as pool, bar:
        for start in range(0, len(rows), AT_ONCE):
            some = rows[start : start + AT_ONCE]
            found[start : start + len(some)] = list(pool.map(width, some))
            bar.update(len(some))
    return found


def squeezed(rows: Sequence[Row], spec: ImageSpec) -> list[str]:
    """A sentence, or none, on pictures that keep their ratio and are wider than that may be."""
    widths = widths_at_ratio(rows, spec) if spec.keep_ratio else np.empty(0)
    count = int((widths > spec.width).sum())
    if not count:
        return []
    return [
        f"{count:,} of {len(rows):,} pictures are wider than {spec.width} at height {spec.height} "
        f"and are squeezed, most of all {rows[int(np.argmax(widths))].where}"
    ]


def misdirected(pictures: Sequence[Source], spec: ImageSpec) -> list[str]:
    """A sentence, or none, on pictures that look like lines of the other direction: longer that way
    by more than LYING. Of many, some are looked at."""
    some = pictures[:: max(1, len(pictures) // LOOKED_AT)]
    found = 0
    for picture in some:
        try:
            width, height = picture_size(picture)
        except PictureError:
            continue
        along, across = (height, width) if spec.direction == "vertical" else (width, height)
        found += across > LYING * along
    if 2 * found <= len(some):
        return []
    seen = "wide as high" if spec.direction == "vertical" else "high as wide"
    reads = "from top to bottom" if spec.direction == "vertical" else "from left to right"
    other = "horizontal" if spec.direction == "vertical" else "vertical"
    return [
        f"{found:,} of {len(some):,} pictures are more than {LYING} times as {seen}, and this "
        f"reader reads {reads}; lines like these need one of --direction {other}"
    ]
