"""From the bytes of pictures to readings, within bounds: what the HTTP endpoints call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np

from utils.device import usable_cores
from utils.errors import UserError
from utils.picture import PictureError, Source, picture_size, prepare
from utils.recognizer import Prediction, Recognizer, predicted
from utils.serve.batcher import Batcher
from utils.serve.metrics import Metrics
from utils.serve.options import DIRECTIONS, ServeOptions
from utils.text.reading import Decoder, Decoding

MOST_DECODERS = 256
"""That are kept for the next request that asks for the same."""


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


@dataclass(frozen=True)
class Answer:
    """Of one picture: with which model, its size in pixels, and its log_probs (T, C)."""

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
        self._decoders: dict[tuple[str, Decoding], Decoder] = {}

    async def close(self) -> None:
        for batcher in self.models.values():
            await batcher.close()
        self._pool.shutdown()

    async def read(self, pictures: Sequence[Source], wish: Wish) -> list[Answer]:
        """In their order. Raises Refusal where it cannot be taken, or takes too long."""
        if wish.model is not None and wish.model not in self.models:
            known = ", ".join(self.models)
            raise Refusal(404, "unknown_model", f"model {wish.model!r} is not one of {known}")
        for name in [wish.model] if wish.model else self.models:
            await self.decoder(name, wish.decoding)  # raises for what does not fit
        with self._taken(len(pictures)):
            reading = asyncio.gather(*(self._read_one(picture, wish) for picture in pictures))
            try:
                return await asyncio.wait_for(reading, self.options.time_limit)
            except TimeoutError:
                raise Refusal(
                    503, "timeout", f"not read within {self.options.time_limit:g} s; try again"
                ) from None

    async def decoder(self, model: str, decoding: Decoding) -> Decoder:
        """The same one for the same wish. Raises Refusal for one that cannot be."""
        key = model, decoding
        if key not in self._decoders:
            loop = asyncio.get_running_loop()
            try:  # of a large charset it takes its time
                made = await loop.run_in_executor(self._pool, self._new_decoder, model, decoding)
            except UserError as error:
                raise Refusal(422, "bad_option", str(error).replace("--", "")) from None
            while len(self._decoders) >= MOST_DECODERS:
                self._decoders.pop(next(iter(self._decoders)))
            self._decoders[key] = made
        return self._decoders[key]

    def _new_decoder(self, model: str, decoding: Decoding) -> Decoder:
        reader = self.models[model].recognizer
        if problems := decoding.problems():
            raise UserError("; ".join(problems))
        decoder = Decoder(reader.charset, decoding, reader.max_steps)
        if decoder.frames_needed > reader.max_steps:
            raise UserError(
                f"the shortest allowed text takes {decoder.frames_needed} time steps, and the "
                f"widest picture of {model} has {reader.max_steps}; allow shorter ones"
            )
        return decoder

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

    async def _read_one(self, data: Source, wish: Wish) -> Answer:
        name = wish.model or next(iter(self.models))
        loop = asyncio.get_running_loop()
        try:
            width, height = await loop.run_in_executor(self._pool, self._size, data)
            if wish.model is None and set(DIRECTIONS) <= set(self.models):
                name = DIRECTIONS[height > width]
            batcher = self.models[name]
            batcher.on_their_way += 1
            try:
                work = partial(prepare, data, batcher.recognizer.image)
                picture = await loop.run_in_executor(self._pool, work)
            finally:
                batcher.on_their_way -= 1
        except PictureError as error:
            self.metrics.pictures.labels(name, "bad").inc()
            return Answer(name, Prediction("", 0.0, str(error)))
        decoder = await self.decoder(name, wish.decoding)
        reading, log_probs = await batcher.read(picture, decoder, wish.characters)
        self.metrics.pictures.labels(name, "read").inc()
        return Answer(name, predicted(reading, wish.reject_below), (width, height), log_probs)

    def _size(self, data: Source) -> tuple[int, int]:
        width, height = picture_size(data)
        if width * height > self.options.max_pixels:
            raise PictureError(
                f"{width} x {height} pixels are more than {self.options.max_pixels:,}; scale it "
                "down"
            )
        return width, height
