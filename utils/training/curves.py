"""A run's curves for TensorBoard, which is installed apart: requirements-tensorboard.txt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from utils.errors import UserError


def need_tensorboard() -> Any:
    """torch's SummaryWriter; UserError names the pip line."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError(
            "--tensorboard: the package tensorboard is missing; run pip install -r "
            "requirements-tensorboard.txt, or leave it out: history.csv has the same figures"
        ) from None
    return SummaryWriter


@contextmanager
def scalar_writer(folder: Path | None) -> Iterator[Callable[[list[dict[str, float]]], None]]:
    """What writes the last epoch of a history as scalars over the pictures seen so far, into one
    file of the folder; without a folder it writes nothing."""
    if folder is None:
        yield lambda history: None
        return
    with need_tensorboard()(str(folder)) as writer:

        def write(history: list[dict[str, float]]) -> None:
            row = history[-1]
            for name, value in row.items():
                if name not in ("epoch", "pictures"):
                    writer.add_scalar(name, value, int(row["pictures"]))
            writer.flush()

        yield write
