"""From the bytes of pictures to readings, within bounds: what the HTTP endpoints call."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from utils.device import usable_cores
from utils.errors import UserError
from utils.picture import DIRECTIONS, PictureError, decode_picture, prepare
from utils.reading_options import decoder_for
from utils.recognizer import Prediction, Recognizer, predicted
from utils.serve.batcher import Batcher
from utils.serve.metrics import Metrics
from utils.serve.options import ServeOptions
from utils.text.asked import Decoding
from utils.text.reading import Decoder

MOST_DECODERS = 256
"""That are kept for the next request that asks for the same."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""Of Pillow's: others decode before their size is known, or start programs."""

FLAG = re.compile(r"--([a-z_]+)")
"""The options of inference.py have the same names."""


class Refusal(Exception):
    """An answer that is an error: of one shape for all of them."""

    def __init__(self, status: int, code: str, message: str, detail: object = None):
        super().__init__(message)
        self.status, self.code, self.message, self.detail = status, code, message, detail


@dataclass(frozen=True)
class Wish:
    """How a request wants its pictures to be read."""

    model: str | None = None
    decoding: Decoding = Decoding()
    reject_below: float = 0.0
    characters: bool = False
    probabilities: bool = False


@dataclass(frozen=True)
class Answer:
    """Of one picture: with which model, its size in pixels, and its log_probs (T, C) where its
    probabilities were asked for."""

    model: str
    prediction: Prediction
    size: tuple[int, int] = (0, 0)
    log_probs: np.ndarray | None = None


class Service:
    """The models, and what is read with them. To be made and closed on one event loop."""

    def __init__(self, options: ServeOptions, readers: dict[str, Recognizer], metrics: Metrics):
        self.options, self.metrics = options, metrics
        self.models = {
            name: Batcher(
                reader, options.max_batch, options.max_wait_ms / 1000, metrics.batch_size.observe
            )
            for name, reader in readers.items()
        }
        self.pending = 0
        """Pictures that were taken and not answered."""
        self._pool = ThreadPoolExecutor(min(usable_cores(), 8), "pictures")
        self._decoders: dict[tuple[str, Decoding], asyncio.Future[Decoder]] = {}

    async def close(self) -> None:
        for batcher in self.models.values():
            await batcher.close()
        self._pool.shutdown()

    async def aside(self, work: Callable, *arguments: Any) -> Any:
        """What `work(self, ...)` returns, on a thread: the event loop goes on."""
        call = partial(work, self, *arguments)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def read(self, pictures: Sequence[bytes | np.ndarray], wish: Wish) -> list[Answer]:
        """In their order. Raises Refusal where it cannot be taken, or takes too long."""
        names = self._names(wish)
        with self._taken(len(pictures)):
            reading = self._read_all(pictures, names, wish)
            try:
                return await asyncio.wait_for(reading, self.options.time_limit)
            except TimeoutError:
                self.metrics.refused.labels("timeout").inc()
                raise Refusal(
                    503, "timeout", f"not read within {self.options.time_limit:g} s; try again"
                ) from None

    def _names(self, wish: Wish) -> tuple[str, ...]:
        """The model that reads, or those of which a picture's shape chooses."""
        if wish.model is not None and wish.model not in self.models:
            known = ", ".join(self.models)
            raise Refusal(404, "unknown_model", f"model {wish.model!r} is not one of {known}")
        if wish.model is not None:
            return (wish.model,)
        return DIRECTIONS if set(DIRECTIONS) <= set(self.models) else (next(iter(self.models)),)

    async def _read_all(self, pictures, names: tuple[str, ...], wish: Wish) -> list[Answer]:
        decoders = {name: await self._decoder(name, wish.decoding) for name in names}
        tasks = [self._read_one(picture, decoders, wish) for picture in pictures]
        found = await asyncio.gather(*tasks, return_exceptions=True)  # none outlives the others
        for answer in found:
            if isinstance(answer, BaseException):
                raise answer
        return found  # type: ignore[return-value]

    async def _decoder(self, model: str, decoding: Decoding) -> Decoder:
        """The same one for the same wish. Raises Refusal for one that cannot be."""
        key = model, decoding
        if key not in self._decoders:
            while len(self._decoders) >= MOST_DECODERS:
                self._decoders.pop(next(iter(self._decoders)))
            loop, reader = asyncio.get_running_loop(), self.models[model].recognizer
            work = partial(decoder_for, reader, decoding)
            self._decoders[key] = loop.run_in_executor(self._pool, work)
        try:
            return await asyncio.shield(self._decoders[key])
        except UserError as error:
            raise Refusal(422, "bad_option", FLAG.sub(r"\1", str(error))) from None

    @contextmanager
    def _taken(self, count: int):
        if self.pending + count > self.options.queue_size:
            self.metrics.refused.labels("queue_full").inc()
            raise Refusal(
                503, "queue_full", f"{self.pending} pictures are waiting already; try again later"
            )
        self.pending += count
        self.metrics.pending.set(self.pending)
        try:
            yield
        finally:
            self.pending -= count
            self.metrics.pending.set(self.pending)

    async def _read_one(self, source, decoders: dict[str, Decoder], wish: Wish) -> Answer:
        """With the first model, or the one for its shape where there are two."""
        names = tuple(decoders)
        batchers = [self.models[name] for name in names]
        for batcher in batchers:
            batcher.on_their_way += 1
        try:
            name, size, picture = await self.aside(Service._prepared, source, names)
        except PictureError as error:
            self.metrics.pictures.labels(names[0], "bad").inc()
            return Answer(names[0], Prediction("", 0.0, str(error)))
        finally:
            for batcher in batchers:
                batcher.on_their_way -= 1
        reading, log_probs = await self.models[name].read(
            picture, decoders[name], wish.characters, wish.probabilities
        )
        self.metrics.pictures.labels(name, "read").inc()
        return Answer(name, predicted(reading, wish.reject_below), size, log_probs)

    def _prepared(
        self, source: bytes | np.ndarray, names: tuple[str, ...]
    ) -> tuple[str, tuple[int, int], np.ndarray]:
        """The model for a picture, its size in pixels, and what the network takes."""
        image = self._decoded(source)
        name = names[0] if len(names) == 1 else names[image.height > image.width]
        return name, image.size, prepare(image, self.models[name].recognizer.image)

    def _decoded(self, source: bytes | np.ndarray) -> Image.Image:
        if isinstance(source, np.ndarray):
            return Image.fromarray(source)
        return decode_picture(source, self.options.max_pixels, FORMATS)
