"""How well a reader still reads what the one that it started from could read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from utils.dataset import Row
from utils.metrics import Score
from utils.recognizer import Recognizer


def score_old(path: str | Path, rows: Sequence[Row], device: torch.device) -> Score:
    """Of a checkpoint on rows of another set. A label's characters that its charset lacks cannot be
    read, and count as errors."""
    reader, score = Recognizer.load(path, device.type), Score()
    for row, found in zip(rows, reader.read([row.picture for row in rows]), strict=True):
        score.add(reader.charset.fold(row.label), found.text)
    return score
