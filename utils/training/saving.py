"""Writing last.pth while the training goes on, and one before it kept in case it is damaged."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from utils.checkpoint import Checkpoint, Header, load_checkpoint, save_checkpoint
from utils.errors import UserError
from utils.training.state import BEFORE_LAST, LAST


class Saver:
    """A context manager that writes one last.pth at a time; what is left is written at its end.

    An error while one is written is raised by what is called next.
    """

    def __init__(self, save_dir: Path):
        self._path = save_dir / LAST
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._pending: Future[None] | None = None

    def save(self, header: Header, weights: dict[str, Any], training: dict[str, Any]) -> None:
        """Copies everything, and returns; waits only for a write that is still under way."""
        self.wait()
        content = header, copied(weights), copied(training)
        self._pending = self._pool.submit(
            save_checkpoint, self._path, *content, self._path.with_name(BEFORE_LAST)
        )

    def wait(self) -> None:
        """Until last.pth is what was saved last."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def __enter__(self) -> Saver:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self._pool.shutdown()


def copied(value: Any) -> Any:
    """The same, with tensors of its own on the CPU: later steps do not change it."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: copied(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(copied(each) for each in value)
    return value


def load_last(path: Path) -> Checkpoint:
    """A last.pth; where it is damaged or gone, the one before, which is told."""
    before = path.with_name(BEFORE_LAST)
    try:
        return load_checkpoint(path)
    except UserError as error:
        if path.name != LAST or not before.is_file():
            raise
        found = load_checkpoint(before)
        print(f"{error}; going on from the one before, {before}")
        return found
