"""The processes that torchrun starts: which one this is, and what all of them agree on.

Plain `python script.py` is one process, to which everything here is a matter of course. torch is
imported late.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from utils.device import set_threads
from utils.errors import UserError, first_line

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
S = TypeVar("S", bound=Sequence)

PATIENCE = 600
"""Seconds that rank 0 waits for the others to start."""

LOST = (
    "another rank has ended, or cannot be reached ({}); its own message says why; start all ranks "
    "again (a training or --mode batch with --resume)"
)


@dataclass(frozen=True)
class Ranks:
    """Process `rank` of `world_size`; the `local_rank`-th of `local_world_size` on this machine."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1

    @classmethod
    def of_environment(cls) -> Ranks:
        """As torchrun says; one process without it."""
        names = {
            "rank": "RANK",
            "world_size": "WORLD_SIZE",
            "local_rank": "LOCAL_RANK",
            "local_world_size": "LOCAL_WORLD_SIZE",
        }
        if any(name not in os.environ for name in (*names.values(), "MASTER_ADDR")):
            return cls()
        return cls(**{field: int(os.environ[name]) for field, name in names.items()})

    @property
    def is_main(self) -> bool:
        """Whether this one writes the files and tells the user."""
        return self.rank == 0

    @property
    def are_many(self) -> bool:
        return self.world_size > 1

    def part(self, things: S) -> S:
        """Those that are this rank's; the parts of all ranks, one behind the other, are all."""
        start, stop = (len(things) * end // self.world_size for end in (self.rank, self.rank + 1))
        return things[start:stop]  # type: ignore[return-value]

    @contextmanager
    def joined(self, wait: timedelta | None = None) -> Iterator[None]:
        """Inside, the ranks can reach each other: over NCCL what lies on GPUs, over gloo the rest;
        they `wait` so long for each other (default: torch's, 30 and 10 minutes).

        Only rank 0 prints; an error that has to do with a lost rank gets a sentence.

        The group's threads end with it: one that lets go of a message while the interpreter ends
        would abort the process (Python before 3.14). So nothing may keep the group; functions of
        torch.distributed.nn, which DDP imports, have it as a default if they come after it.
        """
        if not self.are_many:
            yield
            return
        set_threads(1)  # before torch is imported
        import torch
        import torch.distributed as dist
        import torch.distributed.nn  # noqa: F401, before the group is there

        on_gpus = torch.cuda.is_available() and dist.is_nccl_available()
        try:
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if on_gpus else "gloo",
                store=self._store(),
                rank=self.rank,
                world_size=self.world_size,
                timeout=wait,
            )
            with self._silent():
                yield
        except RuntimeError as error:
            if not is_lost(error):
                raise
            raise UserError(LOST.format(first_line(error)[:200])) from None
        finally:
            gc.collect()  # a DDP that is left has the group, too
            if dist.is_initialized():
                dist.destroy_process_group()

    def _store(self) -> Any:
        """Where the ranks find each other: torchrun's, under a name made up for this start.

        That store outlives a restart, and addresses that ended ranks have left in it are taken for
        those of new ones (torch 2.14). So rank 0 tells the name to whoever asks with a new word.
        """
        import torch.distributed as dist

        store, _, _ = next(dist.rendezvous("env://", self.rank, self.world_size))
        word = uuid4().hex
        if not self.is_main:
            store.set(f"asks/{self.rank}", word)
            name = store.get(f"told/{word}").decode()  # waits
            store.set(f"knows/{name}/{self.rank}", "")
            return dist.PrefixStore(name, store)
        left, deadline = set(range(1, self.world_size)), time.monotonic() + PATIENCE
        while left and time.monotonic() < deadline:
            for rank in sorted(left):
                if store.check([f"asks/{rank}"]):
                    store.set(f"told/{store.get(f'asks/{rank}').decode()}", word)
                if store.check([f"knows/{word}/{rank}"]):
                    left.remove(rank)
            time.sleep(0.01)
        if left:
            raise UserError(
                f"{len(left)} of {self.world_size} ranks did not come within {PATIENCE} s; look "
                "why they ended, and start all again"
            )
        return dist.PrefixStore(word, store)

    @contextmanager
    def _silent(self) -> Iterator[None]:
        before = sys.stdout
        if self.is_main:
            yield
            return
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            sys.stdout = nowhere
            try:
                yield
            finally:
                sys.stdout = before

    @contextmanager
    def one_answer(self) -> Iterator[None]:
        """A UserError of any rank inside ends all of them, none is left waiting, and rank 0 tells
        each sentence once."""
        sentence = None
        try:
            yield
        except UserError as error:
            if not self.are_many:
                raise
            sentence = str(error)
        told: dict[str, list[int]] = {}
        for rank, text in enumerate(self.everyones(sentence)):
            if text is not None:
                told.setdefault(text, []).append(rank)
        if told and not self.is_main:
            sys.exit(2)
        if told:
            raise UserError("\n".join(self._of(ranks, text) for text, ranks in told.items()))

    def _of(self, ranks: list[int], text: str) -> str:
        if len(ranks) == self.world_size:
            return text
        return f"rank {', '.join(map(str, ranks))}: {text}"

    def everyones(self, value: T) -> list[T]:
        """The value of each rank, at every rank."""
        if not self.are_many:
            return [value]
        import torch.distributed as dist

        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def agree(self, facts: Mapping[str, Any]) -> None:
        """UserError that names those of the `facts` which the ranks do not all have alike."""
        everyones = self.everyones(facts)
        differ = [name for name in facts if any(other[name] != facts[name] for other in everyones)]
        if differ:
            raise UserError(
                f"the ranks differ in {', '.join(differ)}; start all of them with the same flags, "
                "on files that their machines share"
            )

    def at_main(self, value: T) -> list[T] | None:
        """The value of each rank, at rank 0; None at the others."""
        if not self.are_many:
            return [value]
        import torch.distributed as dist

        values: list[Any] | None = [None] * self.world_size if self.is_main else None
        dist.gather_object(value, values)
        return values

    def total(self, value: torch.Tensor) -> torch.Tensor:
        """The sum over all ranks, at every rank; in place."""
        if self.are_many:
            import torch.distributed as dist

            dist.all_reduce(value)
        return value


def is_lost(error: BaseException) -> bool:
    """Whether a rank failed because it could not reach another one."""
    import torch.distributed as dist

    return isinstance(error, dist.DistError) or any(
        words in str(error)
        for words in ("Connection closed by peer", "Connection reset by peer", "Timed out waiting",
                      "Broken pipe", "gloo")
    )  # fmt: skip
