"""A run's curves for TensorBoard, which is installed apart: requirements-tensorboard.txt."""

from __future__ import annotations

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


def write_scalars(folder: Path, history: list[dict[str, float]]) -> None:
    """The last epoch of the history as scalars over the pictures seen so far."""
    row = history[-1]
    with need_tensorboard()(str(folder)) as writer:
        for name, value in row.items():
            if name not in ("epoch", "pictures"):
                writer.add_scalar(name, value, int(row["pictures"]))
