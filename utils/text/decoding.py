"""CTC decoding on numpy: best path, its collapse, and the probability of a text.

Graves, Fernandez, Gomez and Schmidhuber, "Connectionist temporal classification", ICML 2006.
Class 0 is the blank. log_probs are (N, T, C), lengths (N,) the true time steps.
"""

from __future__ import annotations

import numpy as np

from utils.text.charset import BLANK


def collapse(path: np.ndarray, lengths: np.ndarray) -> list[list[int]]:
    """Best-path class ids (N, T) -> label ids: repeats merged, then blanks dropped."""
    keep = path != BLANK
    keep[:, 1:] &= path[:, 1:] != path[:, :-1]
    keep &= np.arange(path.shape[1]) < lengths[:, None]
    counts = keep.sum(axis=1)
    flat = path[keep].tolist()
    ends = np.cumsum(counts).tolist()
    return [flat[end - count : end] for end, count in zip(ends, counts.tolist(), strict=True)]


def greedy_decode(log_probs: np.ndarray, lengths: np.ndarray) -> list[list[int]]:
    """The collapse of the most probable path of log_probs (N, T, C): label ids of each."""
    return collapse(log_probs.argmax(axis=2), lengths)


def text_log_probs(
    log_probs: np.ndarray, lengths: np.ndarray, targets: list[list[int]]
) -> np.ndarray:
    """Log of the CTC probability of each target: the sum over all its alignments, (N,).

    The forward algorithm (section 4.1 of the paper) over blank-interleaved targets, in log space,
    for the whole batch at once. -inf where the target cannot fit into the time steps.
    """
    n, steps, _ = log_probs.shape
    sizes = np.array([len(target) for target in targets])
    states = 2 * int(sizes.max(initial=0)) + 1
    extended = np.full((n, states), BLANK)
    for row, target in zip(extended, targets, strict=True):
        row[1 : 2 * len(target) : 2] = target
    may_skip = np.zeros((n, states), bool)  # from two states back: onto a new, different label
    may_skip[:, 2:] = (extended[:, 2:] != BLANK) & (extended[:, 2:] != extended[:, :-2])
    emitted = np.take_along_axis(
        log_probs.astype(np.float64), np.broadcast_to(extended[:, None], (n, steps, states)), axis=2
    )  # (N, T, S)
    alpha = np.full((n, states), -np.inf)
    alpha[:, :2] = emitted[:, 0, :2]
    for t in range(1, steps):
        stay_or_step = alpha.copy()
        stay_or_step[:, 1:] = np.logaddexp(alpha[:, 1:], alpha[:, :-1])
        skip = np.where(may_skip[:, 2:], alpha[:, :-2], -np.inf)
        stay_or_step[:, 2:] = np.logaddexp(stay_or_step[:, 2:], skip)
        moved = stay_or_step + emitted[:, t]
        alpha = np.where((t < lengths)[:, None], moved, alpha)
    rows = np.arange(n)
    last = alpha[rows, 2 * sizes]
    before = np.where(sizes > 0, alpha[rows, np.maximum(2 * sizes - 1, 0)], -np.inf)
    return np.logaddexp(last, before)


def alignment_spans(path: np.ndarray, length: int) -> list[tuple[int, int]]:
    """Time spans [start, end) of one best path (T,): one for each label of its collapse."""
    spans: list[tuple[int, int]] = []
    for t in range(length):
        if path[t] == BLANK:
            continue
        if t and path[t] == path[t - 1]:
            spans[-1] = (spans[-1][0], t + 1)
        else:
            spans.append((t, t + 1))
    return spans
