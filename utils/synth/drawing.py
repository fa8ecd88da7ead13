"""Drawing the pictures of a data set, with several processes and over what is there already."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from utils.device import set_threads
from utils.errors import UserError
from utils.files import atomic_write
from utils.picture import PictureError, open_picture
from utils.synth.captcha import CaptchaRecipe
from utils.synth.recipes import Recipe, Renderer, draws_together, one_by_one

if TYPE_CHECKING:
    import numpy as np

    from utils.synth.dice import Dice

MOST_WORKERS = 61
"""What Windows can wait for."""

CHUNK_PIXELS = 64 * 160 * 60
"""Work of a fifth of a second, which is what Ctrl-C waits for."""

PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


@dataclass(frozen=True)
class Chunk:
    """Pictures start..stop-1 of a split; a folder, a split and an index make one picture."""

    folder: Path
    split: str
    seed: int
    start: int
    stop: int


@dataclass(frozen=True)
class Drawn:
    """The texts of a chunk's pictures, and how many of them were not there before."""

    texts: list[str]
    new: int


def file_name(index: int) -> str:
    return f"{index:06d}.png"


class BlockRenderer:
    """The fast renderer as the Renderer of a set, on one thread: there is a process for each core.

    Picture k is number k % size of a block, which (seed, split, k // size) draw as a whole.
    """

    def __init__(self, recipe: CaptchaRecipe):
        set_threads(1)
        from utils.synth.fast import FastRenderer

        self._characters, self._size = recipe.characters, recipe.block_size
        self._fast = FastRenderer(recipe, channels=3)
        self._dice = lru_cache(maxsize=1)(self._throw)
        self._pictures = lru_cache(maxsize=1)(self._render)

    def draw(self, *seed: int | str) -> tuple[Image.Image, str]:
        *words, index = seed
        pictures = self._pictures(*words, int(index) // self._size)
        return Image.fromarray(pictures[int(index) % self._size]), self.text(*seed)

    def text(self, *seed: int | str) -> str:
        *words, index = seed
        dice, place = self._dice(*words, int(index) // self._size), int(index) % self._size
        places = dice.characters[place, : int(dice.lengths[place])]
        return "".join(self._characters[i] for i in places.tolist())

    def _throw(self, *seed: int | str) -> Dice:
        from utils.synth.dice import seeded_generator, throw

        generator = seeded_generator(*seed)
        return throw(self._fast.recipe, self._fast.atlas.num_fonts, self._size, generator)

    def _render(self, *seed: int | str) -> np.ndarray:
        """(size, H, W, 3) of bytes."""
        images = self._fast.render(self._dice(*seed)).images
        return images.byte().permute(0, 2, 3, 1).contiguous().numpy()


def make_renderer(recipe: Recipe, name: str) -> Renderer:
    return BlockRenderer(recipe) if draws_together(recipe, name) else one_by_one(recipe)


def split_chunks(
    root: Path, recipe: Recipe, sizes: dict[str, int], seed: int, renderer: str = "package"
) -> list[Chunk]:
    """The pictures of all splits, cut into pieces of work, split by split; no block is cut."""
    return [
        chunk
        for split, size in sizes.items()
        for chunk in cut(root / split, split, range(size), recipe, seed, renderer)
    ]


def cut(
    folder: Path, split: str, indices: range, recipe: Recipe, seed: int, renderer: str
) -> list[Chunk]:
    """Some pictures of a split, cut into pieces of work; a block is cut at both ends alone."""
    whole = recipe.block_size if draws_together(recipe, renderer) else 1
    step = max(min(CHUNK_PIXELS // recipe.pixels, 64), whole)
    first = indices.start - indices.start % whole
    return [
        Chunk(folder, split, seed, max(start, indices.start), min(start + step, indices.stop))
        for start in range(first, indices.stop, step)
        if indices
    ]


def draw_chunk(renderer: Renderer, chunk: Chunk) -> Drawn:
    """Draw what is missing of a chunk. Each picture appears under its name only when complete."""
    texts, new = [], 0
    for index in range(chunk.start, chunk.stop):
        path = chunk.folder / file_name(index)
        words = (chunk.seed, chunk.split, index)
        if _is_complete(path):
            texts.append(renderer.text(*words))
            continue
        picture, text = renderer.draw(*words)
        png = io.BytesIO()
        picture.save(png, format="PNG", compress_level=3)  # 3 % larger than 6, in half the time
        with atomic_write(path, flushed=False) as file:
            file.write(png.getvalue())
        texts.append(text)
        new += 1
    return Drawn(texts, new)


def _is_complete(path: Path) -> bool:
    """A power cut can leave an empty file, or one with a hole, under a picture's own name."""
    try:
        data = path.read_bytes()
        return data.endswith(PNG_END) and bool(open_picture(data, 3))
    except (FileNotFoundError, PictureError):
        return False


def draw_all(
    recipe: Recipe, chunks: list[Chunk], num_workers: int, renderer: str = "package"
) -> Generator[Drawn, None, None]:
    """Draw every chunk; results in their order. Close it to end the processes early.

    Raises UserError when a process was killed.
    """
    workers = min(num_workers, len(chunks), MOST_WORKERS)
    if workers < 2:
        drawer = make_renderer(recipe, renderer)
        yield from (draw_chunk(drawer, chunk) for chunk in chunks)
        return
    context = multiprocessing.get_context("spawn")
    with _one_interrupt():
        pool = ProcessPoolExecutor(workers, context, _start_worker, (recipe, renderer))
        try:
            with _interrupts_ignored():
                results = pool.map(_draw_in_worker, chunks)
            yield from results
        except BrokenProcessPool:
            raise UserError(
                "a process that draws pictures was killed (out of memory?); go on with --resume, "
                "and with a smaller --num_workers if it happens again"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


_renderers: list[Renderer] = []
"""A worker process's own renderer; empty elsewhere."""


def _start_worker(recipe: Recipe, renderer: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the first answers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _renderers.append(make_renderer(recipe, renderer))


def _end_with_parent() -> None:
    """A parent that was killed cannot end its workers, and they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _draw_in_worker(chunk: Chunk) -> Drawn:
    return draw_chunk(_renderers[0], chunk)


@contextmanager
def _one_interrupt() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt once: pressed again, it would hang the pool's orderly end."""

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Processes started in here ignore Ctrl-C from their first instruction on."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
