"""CTC by enumeration of all paths: what the fast ways are held to."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import numpy as np
from hypothesis import strategies as st

Text = tuple[int, ...]


def reads_as(path: tuple[int, ...]) -> Text:
    return tuple(label for label, _ in itertools.groupby(path) if label)


def every_text(probabilities: np.ndarray) -> dict[Text, float]:
    """Every text that a path over probabilities (T, C) reads as, with the sum of its paths."""
    texts: dict[Text, float] = defaultdict(float)
    steps, classes = probabilities.shape
    for path in itertools.product(range(classes), repeat=steps):
        texts[reads_as(path)] += math.prod(probabilities[range(steps), path].tolist())
    return texts


@st.composite
def probability_rows(draw, max_steps: int = 5, max_classes: int = 4) -> np.ndarray:
    """(T, C) of probabilities, some of which are exactly zero."""
    steps, classes = draw(st.integers(1, max_steps)), draw(st.integers(2, max_classes))
    weights = st.lists(st.integers(0, 9), min_size=classes, max_size=classes).filter(any)
    rows = np.array([draw(weights) for _ in range(steps)], dtype=np.float64)
    return rows / rows.sum(axis=1, keepdims=True)


def logs(probabilities: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(probabilities)


def pad(examples: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of all as one batch; what lies past a length is loud and wrong."""
    lengths = np.array([len(rows) for rows in examples])
    batch = np.full((len(examples), lengths.max() + 1, examples[0].shape[1]), -20.0, np.float32)
    batch[..., -1] = 0.0
    for row, rows in zip(batch, examples, strict=True):
        row[: len(rows)] = logs(rows)
    return batch, lengths
