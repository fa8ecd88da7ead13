"""What a training step gets: pictures with targets, put together, taken apart and joined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import itemgetter

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from utils.picture import stack
from utils.text.charset import Charset


@dataclass(frozen=True)
class Block:
    """Pictures of one step, or of a few that are made together: places in the training split, or
    of the epoch's fresh. `start` counts those of the epoch that come before."""

    epoch: int
    start: int
    pictures: list[int]
    """Those of all ranks, for what is drawn together hangs on all of them."""
    mine: list[int] | None = None
    """Which of them this rank makes, step by step; None: all."""
    sizes: tuple[int, ...] = ()
    """How many these are of each step."""
    may_deal: bool = False
    """Whether this rank's may be dealt to the steps in another order."""

    @property
    def places(self) -> Sequence[int]:
        return range(len(self.pictures)) if self.mine is None else self.mine


@dataclass(frozen=True)
class Batch:
    """images (N, Ch, H, W), widths (N,) or None (all full), targets (N, S), target_lengths (N,).

    Images are what a network takes, or bytes that `as_input` makes into that: what a worker hands
    on is a quarter as large then.
    """

    images: Tensor
    widths: Tensor | None
    targets: Tensor
    target_lengths: Tensor
    bad: tuple[str, ...] = ()
    """A sentence on each picture that was to be in it and cannot be read."""
    sizes: tuple[int, ...] = ()
    """Of a block: the pictures of each step."""

    def each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return replace(
            self,
            images=change(self.images),
            widths=None if self.widths is None else change(self.widths),
            targets=change(self.targets),
            target_lengths=change(self.target_lengths),
        )

    def pin_memory(self) -> Batch:
        """Called by the DataLoader, so that copies to a GPU do not wait."""
        return self.each(Tensor.pin_memory)

    def split(self, size: int) -> Iterator[Batch]:
        """Batches of `size` pictures, the last one of what is left."""
        whole, left = divmod(len(self.images), size)
        return self.cut([size] * whole + [left] * bool(left))

    def cut(self, sizes: Sequence[int]) -> Iterator[Batch]:
        """Batches of so many pictures, each as wide as its widest; no copies."""
        for start, size in zip(accumulate(sizes, initial=0), sizes, strict=False):
            batch = self.each(itemgetter(slice(start, start + size)))
            if batch.widths is not None:
                widest = int(batch.widths.max())
                widths = None if bool((batch.widths == widest).all()) else batch.widths
                batch = replace(batch, images=batch.images[..., :widest], widths=widths)
            yield batch

    def to(self, device: torch.device) -> Batch:
        """On that device, but for the target lengths, which the loss wants on the CPU."""
        images = self.images.to(device, non_blocking=True)
        widths = None if self.widths is None else self.widths.to(device, non_blocking=True)
        targets = self.targets.to(device, non_blocking=True)
        images = images.contiguous(memory_format=torch.channels_last)
        return Batch(images, widths, targets, self.target_lengths)


def collate(
    items: list[tuple[np.ndarray, str]], charset: Charset, bad: Sequence[str] = ()
) -> Batch:
    """Prepared pictures with their labels, and sentences on bad ones -> Batch."""
    images, widths = stack([picture for picture, _ in items])
    encoded = [charset.encode(label) for _, label in items]
    targets = torch.zeros(len(items), max(map(len, encoded)), dtype=torch.long)
    for row, ids in zip(targets, encoded, strict=True):
        row[: len(ids)] = torch.tensor(ids)
    full = bool((widths == images.shape[3]).all())
    return Batch(
        torch.from_numpy(images),
        None if full else torch.from_numpy(widths),
        targets,
        torch.tensor([len(ids) for ids in encoded]),
        tuple(bad),
    )


def join(one: Batch, other: Batch) -> Batch:
    """Two batches as one; pictures and targets padded on the right with zeros."""
    width = max(one.images.shape[3], other.images.shape[3])
    longest = max(one.targets.shape[1], other.targets.shape[1])
    both = (one, other)
    images = [F.pad(batch.images, (0, width - batch.images.shape[3])) for batch in both]
    widths = [
        torch.full_like(batch.target_lengths, batch.images.shape[3])
        if batch.widths is None
        else batch.widths
        for batch in both
    ]
    targets = [F.pad(batch.targets, (0, longest - batch.targets.shape[1])) for batch in both]
    full = all(bool((each == width).all()) for each in widths)
    return Batch(
        torch.cat(images),
        None if full else torch.cat(widths),
        torch.cat(targets),
        torch.cat([one.target_lengths, other.target_lengths]),
        one.bad + other.bad,
    )
