"""Which pictures a step learns from: a seeded order that can be taken up anywhere, by any number of
ranks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from utils.data.joined import counts_of
from utils.data.widths import of_like_widths
from utils.ranks import Ranks
from utils.training.batch import Block

WINDOW = 32
"""Batches that are made up together, of like widths: more make them more alike, and less mixed."""


@dataclass(frozen=True)
class EpochBatches:
    """Blocks of `steps_at_once` steps, epoch after epoch without a pause, from any position on.

    The order of an epoch is a permutation drawn from (seed, epoch); with `widths`, those of the
    pictures, each WINDOW batches of it are made up anew, of like widths, and shuffled. One pass
    through this runs to the end of the last epoch, so that workers draw ahead while the model is
    being validated. Where `first_step` is inside a block, that block comes whole.

    A step's `batch_size` pictures are those of all ranks together, whatever their number: each rank
    makes its share. Where a step has fewer pictures than there are ranks, one without any makes
    another's too, which then weighs nothing. Of the first step the first `skipped` pictures have
    been learned already, by a run with other batches, of `ordered_by` pictures, by which that epoch
    is still ordered.

    With `shares`, (places, share) pairs, that share of every batch comes from these places, which
    are gone through again and again, each time in an order of (seed, group, time). Each time the
    picture at a place has a number of its own, place + time * num_places, so that it is changed in
    another way.
    """

    num_pictures: int
    batch_size: int
    num_epochs: int
    seed: int
    first_epoch: int = 0
    first_step: int = 0
    steps_at_once: int = 1
    widths: np.ndarray | None = None
    shares: Sequence[tuple[np.ndarray, float]] = ()
    num_places: int = 0
    ranks: Ranks = Ranks()
    skipped: int = 0
    ordered_by: int | None = None

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.num_pictures // self.batch_size)

    def learned(self, epoch: int, step: int) -> range:
        """Which of its step's pictures all ranks learn from."""
        is_first = (epoch, step) == (self.first_epoch, self.first_step)
        left = self.num_pictures - step * self.batch_size
        return range(self.skipped if is_first else 0, min(self.batch_size, left))

    def position(self, epoch: int, step: int) -> int:
        """Pictures of the epoch that were learned before its step."""
        return step * self.batch_size + self.learned(epoch, step).start

    def mine(self, epoch: int, step: int) -> range:
        """Which of them this rank makes."""
        learned = self.learned(epoch, step)
        return self.ranks.part(learned) or learned[:1]

    def weight(self, epoch: int, step: int) -> float:
        """Of this rank's mean over its pictures, in the ranks' mean of these means."""
        learned = self.learned(epoch, step)
        return len(self.ranks.part(learned)) * self.ranks.world_size / len(learned)

    def __iter__(self) -> Iterator[Block]:
        first = self.first_step - self.first_step % self.steps_at_once
        for epoch in range(self.first_epoch, self.num_epochs):
            order = self._order(epoch)
            for index in range(first, self.steps_per_epoch, self.steps_at_once):
                yield self._block(epoch, index, order)
            first = 0

    def _block(self, epoch: int, index: int, order: np.ndarray) -> Block:
        start, size = index * self.batch_size, self.steps_at_once * self.batch_size
        pictures = order[start : start + size].tolist()
        steps = range(index, min(index + self.steps_at_once, self.steps_per_epoch))
        parts = [self.mine(epoch, step) for step in steps]
        mine = [
            place * self.batch_size + picture
            for place, part in enumerate(parts)
            for picture in part
        ]
        sizes = tuple(len(part) for part in parts)
        is_even = len(set(sizes[:-1])) < 2  # dealt by the first one's size
        may_deal = self.steps_at_once > 1 and len(self.shares) < 2 and is_even
        return Block(epoch, start, pictures, mine, sizes, may_deal)

    def order_size(self, epoch: int) -> int:
        """By batches of how many pictures the epoch is ordered."""
        is_first = epoch == self.first_epoch
        return (is_first and self.ordered_by) or self.batch_size

    def _order(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, epoch])
        size = self.order_size(epoch)
        if self.shares:
            order = self._shared_order(epoch, size)
        else:
            order = rng.permutation(self.num_pictures)
        if self.widths is not None and len(self.shares) < 2:
            order = by_width(order, self.widths, size, rng)
        return order

    def _shared_order(self, epoch: int, size: int) -> np.ndarray:
        """The groups side by side in every batch of that size, then cut to the epoch."""
        batches, steps = [], -(-self.num_pictures // size)
        counts = counts_of([share for _, share in self.shares], size)
        for group, ((places, _), count) in enumerate(zip(self.shares, counts, strict=True)):
            first, wanted = epoch * steps * count, steps * count
            passes = range(first // len(places), (first + wanted - 1) // len(places) + 1)
            taken = np.concatenate([
                places[np.random.default_rng([self.seed, group, time]).permutation(len(places))]
                + time * self.num_places
                for time in passes
            ])  # fmt: skip
            start = first - passes[0] * len(places)
            batches.append(taken[start : start + wanted].reshape(-1, count))
        return np.concatenate(batches, axis=1).reshape(-1)[: self.num_pictures]


def by_width(
    order: np.ndarray, widths: np.ndarray, batch_size: int, rng: np.random.Generator
) -> np.ndarray:
    """The order with batches of like widths, in windows of WINDOW batches."""
    for start in range(0, len(order), WINDOW * batch_size):
        window = order[start : start + WINDOW * batch_size]
        dealt = of_like_widths(widths[window % len(widths)], batch_size, rng)
        order[start : start + len(window)] = window[dealt]
    return order
