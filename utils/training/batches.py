"""Training batches: pictures from disk or drawn anew, in a seeded order that can be resumed.

Picture i of epoch e is a function of (seed, e, i) alone; workers only take indices.
"""

from __future__ import annotations

import os
import random
import re
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch import Tensor
from torch.utils.data import DataLoader

from utils.dataset import Row
from utils.errors import UserError
from utils.picture import ImageSpec, PictureError, open_picture, prepare, stack
from utils.synth.captcha import CaptchaRecipe, CaptchaRenderer
from utils.text.charset import Charset

Key = tuple[int, int]
"""(epoch, index) of a picture."""


@dataclass(frozen=True)
class Batch:
    """images (N, Ch, H, W), widths (N,) or None (all full), targets (N, S), target_lengths (N,)."""

    images: Tensor
    widths: Tensor | None
    targets: Tensor
    target_lengths: Tensor

    def each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        widths = None if self.widths is None else change(self.widths)
        return Batch(change(self.images), widths, change(self.targets), change(self.target_lengths))

    def pin_memory(self) -> Batch:
        """Called by the DataLoader, so that copies to a GPU do not wait."""
        return self.each(Tensor.pin_memory)

    def to(self, device: torch.device) -> Batch:
        moved = self.each(lambda value: value.to(device, non_blocking=True))
        images = moved.images.contiguous(memory_format=torch.channels_last)
        return replace(moved, images=images)


class TrainingPictures:
    """Map-style data set over keys (epoch, index) -> (prepared picture, label).

    The share `fresh` of each epoch is drawn anew by the recipe, the rest is read from the rows and
    varied in colour. Fresh pictures are all different as they are, and jitter would blur what
    little tells v from V: it cost 2 points on them.
    """

    def __init__(
        self,
        rows: list[Row],
        spec: ImageSpec,
        seed: int,
        recipe: CaptchaRecipe | None = None,
        fresh: float = 0.0,
        color_jitter: float = 0.0,
    ):
        self.rows, self.spec, self.seed = rows, spec, seed
        self.recipe, self.fresh, self.color_jitter = recipe, fresh, color_jitter
        self._renderer: CaptchaRenderer | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Key) -> tuple[np.ndarray, str]:
        epoch, index = key
        rng = random.Random(f"{self.seed}/{epoch}/{index}")
        if self.recipe is not None and rng.random() < self.fresh:
            if self._renderer is None:  # made here, because it does not travel to a worker
                self._renderer = CaptchaRenderer(self.recipe)
            picture, label = self._renderer.draw(self.seed, "fresh", epoch, index)
        else:
            row = self.rows[index]
            try:
                picture, label = open_picture(row.path, self.spec.channels), row.label
            except PictureError as error:
                raise UserError(f"{row.where}: {row.path.name}: {error}") from None
            if self.color_jitter:
                picture = jitter(picture, self.color_jitter, rng)
        return prepare(picture, self.spec), label


def jitter(picture: Image.Image, strength: float, rng: random.Random) -> Image.Image:
    """Brightness, contrast and colour, each times a factor in 1 - strength .. 1 + strength."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhance(picture).enhance(rng.uniform(1 - strength, 1 + strength))
    return picture


@dataclass
class EpochBatches:
    """Keys batch by batch, epoch after epoch without a pause, from any position on.

    The order of an epoch is a permutation drawn from (seed, epoch). One pass through this runs to
    the end of the last epoch, so that workers draw ahead while the model is being validated.
    """

    num_pictures: int
    batch_size: int
    num_epochs: int
    seed: int
    first_epoch: int = 0
    first_step: int = 0

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.num_pictures // self.batch_size)

    def __len__(self) -> int:
        return (self.num_epochs - self.first_epoch) * self.steps_per_epoch - self.first_step

    def __iter__(self) -> Iterator[list[Key]]:
        step = self.first_step
        for epoch in range(self.first_epoch, self.num_epochs):
            order = np.random.default_rng([self.seed, epoch]).permutation(self.num_pictures)
            for start in range(step * self.batch_size, self.num_pictures, self.batch_size):
                yield [(epoch, int(i)) for i in order[start : start + self.batch_size]]
            step = 0


@dataclass(frozen=True)
class Collate:
    """(picture, label) pairs -> Batch."""

    charset: Charset

    def __call__(self, items: list[tuple[np.ndarray, str]]) -> Batch:
        images, widths = stack([picture for picture, _ in items])
        encoded = [self.charset.encode(label) for _, label in items]
        targets = torch.zeros(len(items), max(map(len, encoded)), dtype=torch.long)
        for row, ids in zip(targets, encoded, strict=True):
            row[: len(ids)] = torch.tensor(ids)
        full = bool((widths == images.shape[3]).all())
        return Batch(
            torch.from_numpy(images),
            None if full else torch.from_numpy(widths),
            targets,
            torch.tensor([len(ids) for ids in encoded]),
        )


def start_worker(worker: int) -> None:
    """Leave the signals of a terminal or a scheduler to the main process, which ends its workers
    itself, and the cores to the training where both want them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # a SIGTERM for the whole group does not come here
    if hasattr(os, "nice"):
        os.nice(10)


def training_batches(
    pictures: TrainingPictures,
    order: EpochBatches,
    charset: Charset,
    num_workers: int,
    pin_memory: bool = False,
) -> Generator[Batch]:
    """Batches in order, prepared by a background pool of workers (0: in this process)."""
    loader: DataLoader = DataLoader(
        pictures,  # type: ignore[arg-type]
        batch_sampler=order,
        collate_fn=Collate(charset),
        num_workers=num_workers,
        prefetch_factor=8 if num_workers else None,
        worker_init_fn=start_worker,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # its seeds are not used, and the global one is not touched
    )
    try:
        yield from loader
    except UserError as error:  # from a worker, wrapped in its traceback
        sentence = str(error).strip().splitlines()[-1]
        raise UserError(sentence.removeprefix("utils.errors.UserError: ")) from None


@contextmanager
def losses_told() -> Iterator[None]:
    """One sentence for a worker that was killed, which torch raises wherever the loop stands, and
    for a GPU whose memory is full."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise UserError(
            "the GPU's memory is full; go on with a smaller --batch_size or --img_width"
        ) from None
    except RuntimeError as error:
        if not re.search("DataLoader worker.*(killed by signal|exited unexpectedly)", str(error)):
            raise
        raise UserError(
            "a process that prepares pictures was killed (out of memory?); go on with "
            "--resume auto, and with a smaller --num_workers if it happens again"
        ) from None
