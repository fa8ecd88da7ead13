"""Signals that ask a run to stop, and the step after which all of its ranks do."""

from __future__ import annotations

import signal
import time
from types import FrameType
from typing import Any

from utils.ranks import Ranks

LOOK_SECONDS = 2.0
"""Between two looks of the ranks at each other, where the steps are long."""


class StopRequest:
    """Ctrl-C and SIGTERM ask for a stop after the step; a second Ctrl-C stops at once. A second
    SIGTERM does not: schedulers send it to torchrun and to the ranks, and torchrun hands it on.

    A context manager. `asked` is the number that came to this rank, or None; `signal` the one that
    all ranks agreed on, so that they stop after the same step. They look at each other every
    `most_steps` steps, or every LOOK_SECONDS where that is sooner.
    """

    def __init__(self, ranks: Ranks | None = None, most_steps: int = 20) -> None:
        self._most_steps = self._every = most_steps
        self._steps, self._looked = 0, time.monotonic()
        self.asked: int | None = None
        self.signal: int | None = None
        self._ranks = ranks or Ranks()
        self._before: dict[int, Any] = {}

    def due(self) -> bool:
        """Whether the ranks are to look; called once a step. One that is alone sees for itself."""
        self._steps += 1
        if self.asked is not None and not self._ranks.are_many:
            return True
        return self._steps >= self._every

    def agreed(self) -> bool:
        """Whether any rank was asked to stop; called by all of them at the same step."""
        now = time.monotonic()
        pace = (now - self._looked) / max(self._steps, 1)
        found = self._ranks.everyones((self.asked or 0, pace))
        self.signal = max(asked for asked, _ in found) or None
        if self._steps:  # else it was no step that took so long
            slowest = max(1e-9, *(seconds for _, seconds in found))
            self._every = min(self._most_steps, max(1, int(LOOK_SECONDS / slowest)))
        self._steps, self._looked = 0, now
        return self.signal is not None

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = number

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
