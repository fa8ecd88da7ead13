"""Signals that ask a run to stop, and the step after which all of its ranks do."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

from utils.ranks import Ranks


class StopRequest:
    """Ctrl-C and SIGTERM ask for a stop after the step; a second Ctrl-C stops at once. A second
    SIGTERM does not: schedulers send it to torchrun and to the ranks, and torchrun hands it on.

    A context manager. `asked` is the number that came to this rank, or None; `signal` the one that
    all ranks agreed on, so that they stop after the same step.
    """

    def __init__(self, ranks: Ranks | None = None) -> None:
        self.asked: int | None = None
        self.signal: int | None = None
        self._ranks = ranks or Ranks()
        self._before: dict[int, Any] = {}

    def agreed(self) -> bool:
        """Whether any rank was asked to stop; called by all of them at the same step."""
        self.signal = max(self._ranks.everyones(self.asked or 0)) or None
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
