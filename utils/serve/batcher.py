"""Pictures of many requests in one batch: a network works best on several at once.

A batch is what has come while the one before was read. A picture that finds the network idle
waits only for others that are on their way already, and not longer than `max_wait`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from utils.recognizer import Recognizer
from utils.text.decoding import LogProbs, Steps
from utils.text.reading import Decoder, Reading

LIKE_WIDTHS = 1.5
"""Pictures are read together where the widest is at most that much wider than the narrowest."""


Result = tuple[Reading, np.ndarray | None]
"""A reading, and its log_probs (T, C) where they were asked for."""


Seen = tuple[list[int], tuple[LogProbs, np.ndarray] | Exception]
"""Places of jobs that were read together, and their log_probs (or Steps) and lengths."""


@dataclass(frozen=True)
class Job:
    """A prepared picture (Ch, H, W), and how it is to be read."""

    picture: np.ndarray
    decoder: Decoder
    characters: bool
    probabilities: bool
    done: asyncio.Future[Result]

    @property
    def needs_whole(self) -> bool:
        """Whether log_probs of all classes are wanted, and Steps will not do."""
        return self.characters or self.probabilities or self.decoder.needs_whole


class Batcher:
    """Reads with one recognizer: a thread runs the network, another decodes what it gave.

    `told` is called with the number of pictures of each batch. To be made, used and closed on one
    event loop.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        max_batch: int,
        max_wait: float,
        told: Callable[[int], None] = lambda count: None,
    ):
        self.recognizer, self._told = recognizer, told
        self._max_batch, self._max_wait = max_batch, max_wait
        self.on_their_way = 0
        """Pictures that are being prepared, for which a batch may wait."""
        self._queue: asyncio.Queue[Job] = asyncio.Queue()
        self._network = ThreadPoolExecutor(1, "network")
        self._decoding = ThreadPoolExecutor(1, "decoding")
        self._task = asyncio.create_task(self._run())
        self._finishing: set[asyncio.Task[None]] = set()

    async def read(
        self,
        picture: np.ndarray,
        decoder: Decoder,
        characters: bool = False,
        probabilities: bool = False,
    ) -> Result:
        """Of a prepared picture; with the log_probs of its steps, if `probabilities` is true."""
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        job = Job(picture, decoder, characters, probabilities, done)
        self._queue.put_nowait(job)
        return await job.done

    async def close(self) -> None:
        """To be called when nothing is waiting any more."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await asyncio.gather(*self._finishing)
        for threads in (self._network, self._decoding):
            threads.shutdown()

    async def _run(self) -> None:
        """The network goes on with the next batch while this one is decoded."""
        loop = asyncio.get_running_loop()
        while True:
            jobs = await self._next_batch()
            seen = await loop.run_in_executor(self._network, self._look, jobs)
            task = asyncio.create_task(self._finish(jobs, seen))
            self._finishing.add(task)
            task.add_done_callback(self._finishing.discard)

    async def _finish(self, jobs: list[Job], seen: list[Seen]) -> None:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._decoding, self._decode, jobs, seen)
        for job, result in zip(jobs, found, strict=True):
            if job.done.done():  # whoever asked has gone
                continue
            if isinstance(result, Exception):
                job.done.set_exception(result)
            else:
                job.done.set_result(result)

    async def _next_batch(self) -> list[Job]:
        loop = asyncio.get_running_loop()
        while True:
            jobs = [await self._queue.get()]
            deadline = loop.time() + self._max_wait
            while len(jobs) < self._max_batch:
                if not self._queue.empty():
                    jobs.append(self._queue.get_nowait())
                    continue
                left = deadline - loop.time()
                if not self.on_their_way or left <= 0:
                    break
                try:
                    jobs.append(await asyncio.wait_for(self._queue.get(), left))
                except TimeoutError:
                    break
            if wanted := [job for job in jobs if not job.done.done()]:  # others were given up
                return wanted

    def _look(self, jobs: list[Job]) -> list[Seen]:
        """What the network says of the pictures, in groups of like widths that fit into memory;
        those that want all log_probs apart from those that do not."""
        seen: list[Seen] = []
        holds_whole = self.recognizer.network.holds_whole
        for whole in (False, True):
            wanted = [i for i, job in enumerate(jobs) if (job.needs_whole or holds_whole) == whole]
            most = self.recognizer.fitting(self._max_batch, whole)
            for group in by_width([jobs[place].picture.shape[2] for place in wanted], most):
                places = [wanted[i] for i in group]
                self._told(len(places))
                try:
                    pictures = [jobs[place].picture for place in places]
                    seen.append((places, self.recognizer.steps(pictures, whole)))
                except Exception as error:
                    seen.append((places, error))
        return seen

    def _decode(self, jobs: list[Job], seen: list[Seen]) -> list[Result | Exception]:
        """An error is the answer to those whom it met, and to no other."""
        found: dict[int, Result | Exception] = {}
        for places, output in seen:
            if isinstance(output, Exception):
                found |= dict.fromkeys(places, output)
                continue
            steps, lengths = output
            alike: dict[tuple[int, bool], list[int]] = {}
            for row, place in enumerate(places):
                job = jobs[place]
                alike.setdefault((id(job.decoder), job.characters), []).append(row)
            for rows in alike.values():
                job = jobs[places[rows[0]]]
                try:
                    part = of_rows(steps, rows)
                    readings = job.decoder.read(part, lengths[rows], job.characters)
                except Exception as error:
                    found |= {places[row]: error for row in rows}
                    continue
                for row, reading in zip(rows, readings, strict=True):
                    own = None
                    if jobs[places[row]].probabilities and isinstance(steps, np.ndarray):
                        own = steps[row, : lengths[row]]
                    found[places[row]] = reading, own
        return [found[place] for place in range(len(jobs))]


def by_width(widths: list[int], most: int) -> list[list[int]]:
    """Places of like widths together, `most` at a time: padding to the widest is wasted work."""
    groups: list[list[int]] = []
    for place in sorted(range(len(widths)), key=widths.__getitem__):
        is_full = not groups or len(groups[-1]) >= most
        if is_full or widths[place] > LIKE_WIDTHS * widths[groups[-1][0]]:
            groups.append([])
        groups[-1].append(place)
    return groups


def of_rows(steps: LogProbs, rows: list[int]) -> LogProbs:
    """Those of some pictures."""
    return steps[rows] if isinstance(steps, np.ndarray) else SomeSteps(steps, np.array(rows))


@dataclass(frozen=True)
class SomeSteps:
    """The Steps of some pictures."""

    steps: Steps
    rows: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.steps.shape[1:])

    def best(self) -> np.ndarray:
        return self.steps.best()[self.rows]

    def at(self, rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
        return self.steps.at(self.rows[rows], classes)

    def tempered(self, temperature: float) -> SomeSteps:
        return SomeSteps(self.steps.tempered(temperature), self.rows)
