"""How wide pictures come out that keep their ratio, so that batches are of like widths."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from utils.dataset import Row
from utils.picture import ImageSpec, PictureError, picture_size, width_at_ratio


def widths_at_ratio(rows: Sequence[Row], spec: ImageSpec) -> np.ndarray:
    """(rows,): at the spec's height, wider than the spec's width too. A picture that has no size
    gets the spec's width; it is told when it is read."""

    def width(row: Row) -> int:
        try:
            size = picture_size(row.picture)
        except PictureError:
            return spec.width
        return width_at_ratio(*(size[::-1] if spec.direction == "vertical" else size), spec)

    with ThreadPoolExecutor() as pool:
        return np.fromiter(pool.map(width, rows, chunksize=256), np.int64, len(rows))
