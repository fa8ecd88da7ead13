"""CTC decoding: the best path and its collapse.

Graves, Fernandez, Gomez and Schmidhuber, "Connectionist temporal classification", ICML 2006.
Class 0 is the blank. log_probs are (N, T, C), lengths (N,) the true time steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from utils.text.charset import BLANK

if TYPE_CHECKING:
    import torch


@runtime_checkable
class Steps(Protocol):
    """log_probs (N, T, C) of a large charset, of which only what is asked for is ever held."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def best(self) -> np.ndarray:
        """The most probable class of each step, (N, T)."""
        ...

    def at(self, rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Of classes (M, S) in the pictures rows (M,): (M, T, S)."""
        ...

    def tempered(self, temperature: float) -> Steps:
        """Those of the same logits, divided by a temperature."""
        ...


LogProbs = np.ndarray | Steps


def log_probs_at(log_probs: LogProbs, rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Of classes (M, S) at all steps of the pictures rows (M,): (M, T, S)."""
    if not isinstance(log_probs, np.ndarray):
        return log_probs.at(rows, classes)
    steps = np.arange(log_probs.shape[1])[:, None]
    return log_probs[rows[:, None, None], steps, classes[:, None]]


def collapse(path: np.ndarray, lengths: np.ndarray) -> list[list[int]]:
    """Best-path class ids (N, T) -> label ids: repeats merged, then blanks dropped."""
    keep = path != BLANK
    keep[:, 1:] &= path[:, 1:] != path[:, :-1]
    keep &= np.arange(path.shape[1]) < lengths[:, None]
    counts = keep.sum(axis=1)
    flat = path[keep].tolist()
    ends = np.cumsum(counts).tolist()
    return [flat[end - count : end] for end, count in zip(ends, counts.tolist(), strict=True)]


def greedy_decode(log_probs: LogProbs | torch.Tensor, lengths: np.ndarray) -> list[list[int]]:
    """The collapse of the most probable path of log_probs (N, T, C): label ids of each.

    Of a tensor the argmax is taken on its device, and only the path (N, T) comes from there.
    """
    if isinstance(log_probs, np.ndarray):
        path = log_probs.argmax(2)
    elif isinstance(log_probs, Steps):
        path = log_probs.best()
    else:
        path = log_probs.argmax(2).cpu().numpy()
    return collapse(path, lengths)


def steps_needed(label: str) -> int:
    """Time steps that CTC needs: one a character, and a blank between equal neighbours."""
    return len(label) + sum(a == b for a, b in zip(label, label[1:], strict=False))
