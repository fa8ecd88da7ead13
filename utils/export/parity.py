"""Whether an exported network reads as PyTorch does: equal texts, and log_probs within a bound."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from utils.errors import UserError
from utils.networks import Network
from utils.picture import ImageSpec, PictureError, Source, prepare, stack
from utils.text.decoding import greedy_decode

TOLERANCE = 1e-4
"""Of a log_prob, or of that share of one that is below -1."""

BATCH_SIZES = (1, 3, 8)
WIDTHS = (0.5, 1.0, 1.5)
"""Of the spec's."""


@dataclass(frozen=True)
class Parity:
    """Over `batches`: the largest difference of a log_prob, and whether texts and lengths agree."""

    difference: float
    same: bool
    batches: int

    @property
    def holds(self) -> bool:
        return self.same and self.difference <= TOLERANCE

    def __str__(self) -> str:
        texts = "the same texts" if self.same else "other texts"
        return f"{texts}, log_probs within {self.difference:.1e}, over {self.batches} batches"


Batch = tuple[np.ndarray, np.ndarray]
"""images and widths, as `stack` gives them."""


def check_batches(spec: ImageSpec, sources: Sequence[Source]) -> list[Batch]:
    """Each of three numbers of pictures in each of three widths; those of a batch are of several
    widths. UserError for a picture that cannot be read."""
    found = []
    try:
        for share, size in itertools.product(WIDTHS, BATCH_SIZES):
            pictures = []
            for place in range(size):
                width = round(spec.width * share * (1 - place / (2 * size)))
                shaped = replace(spec, width=max(width, spec.MIN_WIDTH), keep_ratio=False)
                pictures.append(prepare(sources[place % len(sources)], shaped))
            found.append(stack(pictures))
    except PictureError as error:
        raise UserError(f"a picture to check the export with: {error}; give others") from None
    return found


def compare(one: Network, other: Network, batches: Sequence[Batch]) -> Parity:
    most, same = 0.0, True
    for images, widths in batches:
        log_probs, lengths = one.log_probs(images, widths)
        found, found_lengths = other.log_probs(images, widths)
        if found.shape != log_probs.shape or not np.array_equal(lengths, found_lengths):
            return Parity(float("inf"), False, len(batches))
        for row, length in enumerate(lengths):
            most = max(most, largest_gap(log_probs[row, :length], found[row, :length]))
        same &= greedy_decode(log_probs, lengths) == greedy_decode(found, lengths)
    return Parity(most, bool(same), len(batches))


def largest_gap(wanted: np.ndarray, found: np.ndarray) -> float:
    """Of two arrays of one shape: as a share of what is wanted, where that is more than 1."""
    gap = np.abs(wanted - found) / np.maximum(1, np.abs(wanted))
    return float(np.nan_to_num(gap, nan=np.inf).max(initial=0))
