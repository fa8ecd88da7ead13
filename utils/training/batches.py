"""Training batches, prepared in the background."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import islice
from types import FrameType

import torch
from torch.utils.data import DataLoader

from utils.errors import UserError
from utils.training.batch import Batch, Block
from utils.training.drawn import as_input
from utils.training.order import EpochBatches
from utils.training.pictures import TrainingPictures

KILLED = (
    "a process that prepares pictures was killed ({}); go on with --resume auto, and with a "
    "smaller --num_workers if it happens again"
)
NO_MEMORY = "out of memory?"
BUS_ERROR = (
    "by a bus error: a picture of an LMDB cannot be read, as its disk fails or it was cut, which "
    "python -m utils.lmdb check tells; or shared memory, /dev/shm, is full"
)


GRACE = 30
"""Seconds that a process which prepares pictures goes on after a SIGTERM."""


def start_worker(worker: int) -> None:
    """Leave the signals of a terminal or a scheduler to the main process, which ends its workers
    itself, and the cores to the training where both want them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end_later)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # a SIGTERM for the whole group does not come here
    if hasattr(os, "nice"):
        os.nice(10)


def end_later(number: int, frame: FrameType | None) -> None:
    """SLURM sends SIGTERM to every process, and the training's last step wants its pictures."""
    timer = threading.Timer(GRACE, os._exit, (128 + number,))
    timer.daemon = True
    timer.start()


def training_batches(
    pictures: TrainingPictures,
    order: EpochBatches,
    num_workers: int,
    pin_memory: bool = False,
    skipped: list[str] | None = None,
) -> Generator[Batch]:
    """Batches in order, prepared in the background: by a pool of workers (0: in this process), or
    on the GPU that draws them. Sentences on pictures that they had to skip go to `skipped`."""
    order = replace(order, steps_at_once=pictures.steps_at_once(order.batch_size))
    if pictures.device.type == "cuda":
        blocks = _drawn_ahead(pictures, order)
    else:
        blocks = _prepared(pictures, order, num_workers, pin_memory)
    with closing(blocks):
        steps = (batch for block in _told(blocks, skipped) for batch in block.cut(block.sizes))
        for batch in islice(steps, order.first_step % order.steps_at_once, None):
            if batch.images.dtype == torch.uint8:
                batch = replace(batch, images=as_input(batch.images, pictures.spec))
            yield batch


def _told(blocks: Iterable[Batch], skipped: list[str] | None) -> Iterator[Batch]:
    for block in blocks:
        if skipped is not None:
            skipped += block.bad
        yield block


def _prepared(
    pictures: TrainingPictures, order: EpochBatches, num_workers: int, pin_memory: bool
) -> Generator[Batch]:
    """Blocks from a pool of workers."""
    loader: DataLoader = DataLoader(
        pictures,  # type: ignore[arg-type]
        sampler=order,  # type: ignore[arg-type]
        batch_size=None,  # a block is a batch already
        num_workers=num_workers,
        prefetch_factor=max(2, 8 // order.steps_at_once) if num_workers else None,
        worker_init_fn=start_worker,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # its seeds are not used, and the global one is not touched
    )
    batches = iter(loader)
    try:
        yield from batches
    except UserError as error:  # from a worker, wrapped in its traceback
        sentence = str(error).strip().splitlines()[-1]
        raise UserError(sentence.removeprefix("utils.errors.UserError: ")) from None
    except (ConnectionError, EOFError, FileNotFoundError) as error:
        if str(error).startswith("Caught "):  # what a worker itself ran into
            raise
        raise UserError(KILLED.format(NO_MEMORY)) from None  # while it handed on a batch
    finally:
        if num_workers:  # torch leaves it to the garbage collector, after an error for too long
            batches._shutdown_workers()  # type: ignore[attr-defined]


def _drawn_ahead(pictures: TrainingPictures, order: EpochBatches) -> Generator[Batch]:
    """Blocks drawn ahead by a thread and a stream of their own.

    Drawing looks at sizes on the host; on the training's own stream, each look would wait for the
    step before it.
    """
    stream = torch.cuda.Stream(pictures.device)

    def draw(block: Block) -> Batch:
        with torch.cuda.device(pictures.device), torch.cuda.stream(stream):
            batch = pictures[block]
            stream.synchronize()
            return batch

    with closing(in_background(draw, order)) as drawn:
        for batch in drawn:
            for tensor in (batch.images, batch.targets):
                tensor.record_stream(torch.cuda.current_stream(pictures.device))
            yield batch


def in_background(draw: Callable[[Block], Batch], order: Iterable[Block]) -> Generator[Batch]:
    """What `draw` makes of each block, in order, by a thread that is two blocks ahead at most."""
    blocks = iter(order)
    with ThreadPoolExecutor(max_workers=1) as pool:
        ahead = deque(pool.submit(draw, block) for block in islice(blocks, 2))
        while ahead:
            batch = ahead.popleft().result()
            ahead.extend(pool.submit(draw, block) for block in islice(blocks, 1))
            yield batch


@contextmanager
def losses_told() -> Iterator[None]:
    """One sentence for a worker that was killed, which torch raises wherever the loop stands."""
    try:
        yield
    except RuntimeError as error:
        if not re.search("DataLoader worker.*(killed by signal|exited unexpectedly)", str(error)):
            raise
        why = BUS_ERROR if "Bus error" in str(error) else NO_MEMORY
        raise UserError(KILLED.format(why)) from None
