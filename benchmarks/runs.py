"""One run of train.py in this process, and what a history.csv says."""

from __future__ import annotations

import csv
from pathlib import Path

from utils.errors import UserError


def train_run(flags: list[str], save_dir: Path) -> list[dict[str, float]]:
    """Train into `save_dir`; the rows of its history, one an epoch."""
    import train

    if train.main([*flags, "--save_dir", str(save_dir)]):
        raise UserError("train.py did not end well; see above")
    return read_history(save_dir)


def read_history(save_dir: Path) -> list[dict[str, float]]:
    """The rows of a run's history.csv, one an epoch."""
    with (save_dir / "history.csv").open(encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
