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
from utils.text.alignment import text_log_probs, text_probabilities
from utils.text.decoding import greedy_decode

MOST_VALUES = 2**27
"""Of log_probs that are kept: 2,000 pictures of 128 steps and 500 classes, 54,000 of 40 and 62."""


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
    log_probs, lengths, targets = _outputs(reader, rows)
    if not targets:
        return None
    texts = greedy_decode(log_probs, lengths)
    right = [text == target for text, target in zip(texts, targets, strict=True)]

    def loss(temperature: float) -> float:
        likely = text_log_probs(tempered(log_probs, temperature), lengths, targets).sum()
        return PRIOR * math.log(temperature) ** 2 - float(likely)

    def error(temperature: float) -> float:
        scaled = tempered(log_probs, temperature)
        return Reliability.of(text_probabilities(scaled, lengths, texts).tolist(), right).error

    temperature = fit_temperature(loss)
    found = Calibration(temperature, error(1.0), error(temperature), len(targets))
    metrics = header.metrics | {"calibration": dataclasses.asdict(found)} | metrics
    header = dataclasses.replace(header, temperature=temperature, metrics=metrics)
    save_checkpoint(path, header, checkpoint.state_dict)
    return found


def tempered(log_probs: np.ndarray, temperature: float) -> np.ndarray:
    """The log_probs of the same logits, divided by a temperature."""
    scaled = log_probs / np.float32(temperature)
    return scaled - np.logaddexp.reduce(scaled, axis=-1, keepdims=True)


def _outputs(
    reader: Recognizer, rows: Sequence[Row]
) -> tuple[np.ndarray, np.ndarray, list[list[int]]]:
    """log_probs, lengths and labels of the rows whose pictures can be read and whose labels fit."""
    parts: list[np.ndarray] = []
    sizes, targets, kept = [], [], 0
    for output in reader.batches([row.picture for row in rows], 250):
        if kept + output.log_probs.size > MOST_VALUES and parts:
            break
        if not output.indices:
            continue
        wanted = [reader.charset.encode(rows[index].label) for index in output.indices]
        fits = text_log_probs(output.log_probs, output.lengths, wanted) > -np.inf
        parts.append(output.log_probs[fits])
        sizes.append(output.lengths[fits])
        targets += [target for target, good in zip(wanted, fits, strict=True) if good]
        kept += output.log_probs.size
    if not targets:
        return np.empty((0, 0, 0)), np.empty(0), []
    most = max(part.shape[1] for part in parts)
    padded = [np.pad(part, ((0, 0), (0, most - part.shape[1]), (0, 0))) for part in parts]
    return np.concatenate(padded), np.concatenate(sizes), targets
