"""The temperature that makes a reader's confidences true, fitted on the validation split."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from utils.calibration import PRIOR, Reliability, fit_temperature
from utils.checkpoint import load_checkpoint, save_checkpoint
from utils.dataset import Row
from utils.networks import TorchNetwork
from utils.recognizer import Recognizer
from utils.text.alignment import text_log_probs
from utils.text.decoding import LogProbs, greedy_decode

MOST_VALUES = 2**27
"""Of log_probs that are kept: 2,000 pictures of 128 steps and 500 classes, 54,000 of 40 and 62."""
MOST_LOGITS = 2**30
"""Of those that are computed anew for each temperature, where none are kept: 270 pictures of 128
steps and 30,657 classes, 2,200 of 3,756."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """The expected calibration error of n pictures, before and after the temperature."""

    temperature: float
    error_before: float
    error_after: float
    n: int

    def line(self) -> str:
        return (
            f"confidence: temperature {self.temperature:.3f}, calibration error "
            f"{self.error_before:.4f} -> {self.error_after:.4f} (n = {self.n:,}, validation)"
        )


def calibrate(
    path: Path, rows: Sequence[Row], device: torch.device, **metrics: Any
) -> Calibration | None:
    """Fit the temperature of a checkpoint, and write it again with it, and with more metrics; None
    where no label fits, or the file is gone."""
    if not path.is_file():
        return None
    checkpoint = load_checkpoint(path)
    header = checkpoint.header
    network = TorchNetwork(checkpoint.build().to(device), device)
    reader = Recognizer(network, header.image, header.charset)
    parts = _outputs(reader, rows)
    count = sum(len(part.targets) for part in parts)
    if not count:
        return None
    right = [text == target for part in parts
             for text, target in zip(part.texts, part.targets, strict=True)]  # fmt: skip

    def loss(temperature: float) -> float:
        likely = [part.log_probs_of(part.targets, temperature).sum() for part in parts]
        return PRIOR * math.log(temperature) ** 2 - float(sum(likely))

    def error(temperature: float) -> float:
        shares = [np.exp(part.log_probs_of(part.texts, temperature)) for part in parts]
        return Reliability.of(np.minimum(np.concatenate(shares), 1.0).tolist(), right).error

    temperature = fit_temperature(loss)
    found = Calibration(temperature, error(1.0), error(temperature), count)
    metrics = header.metrics | {"calibration": dataclasses.asdict(found)} | metrics
    header = dataclasses.replace(header, temperature=temperature, metrics=metrics)
    save_checkpoint(path, header, checkpoint.state_dict)
    return found


def tempered(log_probs: np.ndarray, temperature: float) -> np.ndarray:
    """The log_probs of the same logits, divided by a temperature."""
    scaled = log_probs / np.float32(temperature)
    return scaled - np.logaddexp.reduce(scaled, axis=-1, keepdims=True)


@dataclasses.dataclass(frozen=True)
class _Part:
    """What a network says of a batch; the rows whose labels fit, with label and text of each."""

    steps: LogProbs
    lengths: np.ndarray
    rows: list[int]
    targets: list[list[int]]
    texts: list[list[int]]

    def log_probs_of(self, texts: list[list[int]], temperature: float) -> np.ndarray:
        """(rows,), with the logits divided by a temperature."""
        steps = self.steps
        if isinstance(steps, np.ndarray):
            return text_log_probs(tempered(steps, temperature), self.lengths, texts, self.rows)
        return text_log_probs(steps.tempered(temperature), self.lengths, texts, self.rows)


def _outputs(reader: Recognizer, rows: Sequence[Row]) -> list[_Part]:
    """Batches of the rows whose pictures can be read, as many as can be kept or computed anew."""
    parts: list[_Part] = []
    kept = 0
    for output in reader.batches([row.picture for row in rows], 250, whole=False):
        size = math.prod(output.steps.shape)
        most = MOST_VALUES if isinstance(output.steps, np.ndarray) else MOST_LOGITS
        if kept + size > most and parts:
            break
        if not output.indices:
            continue
        wanted = [reader.charset.encode(rows[index].label) for index in output.indices]
        fits = text_log_probs(output.steps, output.lengths, wanted) > -np.inf
        found = greedy_decode(output.steps, output.lengths)
        good = np.flatnonzero(fits).tolist()
        labels, texts = ([each[row] for row in good] for each in (wanted, found))
        parts.append(_Part(output.steps, output.lengths, good, labels, texts))
        kept += size
    return parts
