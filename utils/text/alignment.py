"""Where a text stands in the log_probs, and how probable it and each of its characters are.

Graves, Fernandez, Gomez and Schmidhuber, "Connectionist temporal classification", ICML 2006.
log_probs are (N, T, C), lengths (N,) the true time steps, targets the label ids of each text.
States are those of the paper: blank, label, blank, label, ..., blank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from utils.text.charset import BLANK
from utils.text.decoding import LogProbs, log_probs_at

Targets = Sequence[Sequence[int]]


@dataclass(frozen=True)
class _States:
    """The states of each target, padded with blanks: labels (N, S), which of them may be entered
    from two states back (N, S), and what each state emits at each step (N, T, S)."""

    sizes: np.ndarray
    labels: np.ndarray
    may_skip: np.ndarray
    emitted: np.ndarray

    @classmethod
    def of(
        cls, log_probs: LogProbs, targets: Targets, rows: Sequence[int] | None = None
    ) -> _States:
        """`rows` says of which picture each target is (default: of its own)."""
        sizes = np.array([len(target) for target in targets], np.int64)
        most = max(map(len, targets), default=0)
        labels = np.full((len(targets), 2 * most + 1), BLANK)
        for row, target in zip(labels, targets, strict=True):
            row[1 : 2 * len(target) : 2] = target
        may_skip = np.zeros(labels.shape, bool)  # onto a new, different label
        may_skip[:, 2:] = (labels[:, 2:] != BLANK) & (labels[:, 2:] != labels[:, :-2])
        pictures = np.arange(len(targets)) if rows is None else np.array(rows, np.int64)
        emitted = log_probs_at(log_probs, pictures, labels).astype(np.float64)
        return cls(sizes, labels, may_skip, emitted)

    def forward(self, lengths: np.ndarray) -> np.ndarray:
        """Log of what all ways into each state amount to, its own step included: (N, T, S).

        Past a length it stays as it was there.
        """
        n, steps, states = self.emitted.shape
        alpha = np.full((n, steps, states), -np.inf)
        alpha[:, 0, :2] = self.emitted[:, 0, :2]
        for t in range(1, steps):
            before = alpha[:, t - 1]
            come = before.copy()
            come[:, 1:] = np.logaddexp(come[:, 1:], before[:, :-1])
            skip = np.where(self.may_skip[:, 2:], before[:, :-2], -np.inf)
            come[:, 2:] = np.logaddexp(come[:, 2:], skip)
            going = (t < lengths)[:, None]
            alpha[:, t] = np.where(going, come + self.emitted[:, t], before)
        return alpha

    def backward(self, lengths: np.ndarray) -> np.ndarray:
        """Log of what all ways on from each state amount to, its own step not included: (N, T, S).

        Past a length it is as at the last step.
        """
        n, steps, states = self.emitted.shape
        place = np.arange(states)
        ends = (place == 2 * self.sizes[:, None]) | (place == 2 * self.sizes[:, None] - 1)
        beta = np.empty((n, steps, states))
        beta[:, steps - 1] = np.where(ends, 0.0, -np.inf)
        for t in range(steps - 2, -1, -1):
            ahead = beta[:, t + 1] + self.emitted[:, t + 1]
            leave = ahead.copy()
            leave[:, :-1] = np.logaddexp(leave[:, :-1], ahead[:, 1:])
            skip = np.where(self.may_skip[:, 2:], ahead[:, 2:], -np.inf)
            leave[:, :-2] = np.logaddexp(leave[:, :-2], skip)
            going = (t + 1 < lengths)[:, None]
            beta[:, t] = np.where(going, leave, beta[:, t + 1])
        return beta


def text_log_probs(
    log_probs: LogProbs,
    lengths: np.ndarray,
    targets: Targets,
    rows: Sequence[int] | None = None,
) -> np.ndarray:
    """Log of the CTC probability of each target: the sum over all its alignments, (targets,).

    The forward algorithm (section 4.1) in log space, for the whole batch at once. -inf where the
    target cannot fit into the time steps. `rows` says of which picture each target is, where there
    is not one for each.
    """
    states = _States.of(log_probs, targets, rows)
    last = states.forward(lengths if rows is None else lengths[list(rows)])[:, -1]
    places, sizes = np.arange(len(last)), states.sizes
    ends = last[places, 2 * sizes]
    before = np.where(sizes > 0, last[places, np.maximum(2 * sizes - 1, 0)], -np.inf)
    return np.logaddexp(ends, before)


def text_probabilities(
    log_probs: LogProbs,
    lengths: np.ndarray,
    targets: Targets,
    rows: Sequence[int] | None = None,
) -> np.ndarray:
    """The same as probabilities, (targets,), of which rounding makes none more than 1."""
    return np.exp(np.minimum(text_log_probs(log_probs, lengths, targets, rows), 0.0))


def character_log_probs(
    log_probs: np.ndarray, lengths: np.ndarray, targets: Targets
) -> list[np.ndarray]:
    """Log of how probable each character of a target is, given that all others are right.

    What the text amounts to, of all texts that have another character in that place or none there.
    """
    states = _States.of(log_probs, targets)
    alpha, beta = states.forward(lengths), states.backward(lengths)
    places = states.labels[:, 1::2]  # (N, L), padded with blanks
    n, most = places.shape
    if not most:
        return [np.empty(0) for _ in targets]
    here = 2 * np.arange(most) + 1
    # Labels on both sides, -1 where there is none: a label needs a blank beside its equal.
    side = np.pad(np.where(places == BLANK, -1, places), ((0, 0), (1, 1)), constant_values=-1)
    classes = np.arange(log_probs.shape[2])
    after_equal = classes == side[:, :-2, None]  # (N, L, C)
    before_equal = classes == side[:, 2:, None]
    on = np.full((n, most, len(classes)), -np.inf)
    total = on.copy()
    for t in range(log_probs.shape[1]):
        going = (t < lengths)[:, None, None]
        if t:
            rested = alpha[:, t - 1, here - 1][..., None]
            passed = np.where(here > 1, alpha[:, t - 1, here - 2], -np.inf)[..., None]
        else:
            rested = np.where(here == 1, 0.0, -np.inf)[None, :, None]
            passed = np.full_like(rested, -np.inf)
        come = np.logaddexp(rested, np.where(after_equal, -np.inf, passed))
        on = np.where(going, np.logaddexp(on, come) + log_probs[:, t, None, :], on)
        leave = _leaving(states, beta, lengths, t, before_equal)
        total = np.where(going, np.logaddexp(total, on + leave), total)
    total[:, :, BLANK] = _without_each(log_probs, lengths, targets, most)
    amount = np.logaddexp.reduce(total, axis=2)  # type: ignore[call-overload]
    own = np.take_along_axis(total, places[:, :, None], axis=2)[:, :, 0]
    with np.errstate(invalid="ignore"):
        shares = np.where(own == -np.inf, -np.inf, own - amount)
    return [row[: len(target)] for row, target in zip(shares, targets, strict=True)]


def _leaving(
    states: _States, beta: np.ndarray, lengths: np.ndarray, t: int, before_equal: np.ndarray
) -> np.ndarray:
    """What all ways on from any class in each character's place amount to: (N, L, C)."""
    n, steps, count = beta.shape
    here = np.arange(1, count, 2)
    is_last_character = here == 2 * states.sizes[:, None] - 1
    at_end = lengths[:, None] == t + 1
    done = np.where(is_last_character & at_end, 0.0, -np.inf)
    ahead = np.full((n, count + 1), -np.inf)
    if t + 1 < steps:
        ahead[:, :count] = np.where(at_end, -np.inf, beta[:, t + 1] + states.emitted[:, t + 1])
    rest = np.logaddexp(done, ahead[:, here + 1])[..., None]
    has_next = here + 2 < 2 * states.sizes[:, None]
    onwards = np.where(has_next, ahead[:, np.minimum(here + 2, count)], -np.inf)[..., None]
    return np.logaddexp(rest, np.where(before_equal, -np.inf, onwards))


def _without_each(
    log_probs: np.ndarray, lengths: np.ndarray, targets: Targets, most: int
) -> np.ndarray:
    """Log-probability of each target without each one of its characters: (N, L)."""
    rows = [row for row, target in enumerate(targets) for _ in target]
    shorter = [
        [*target[:place], *target[place + 1 :]]
        for target in targets
        for place in range(len(target))
    ]
    found = np.full((len(targets), most), -np.inf)
    values = text_log_probs(log_probs, lengths, shorter, rows)
    found[rows, [place for target in targets for place in range(len(target))]] = values
    return found


def best_alignments(
    log_probs: np.ndarray, lengths: np.ndarray, targets: Targets
) -> list[list[tuple[int, int]]]:
    """Time spans [start, end) of each label in the most probable alignment of its target.

    An empty list where the target cannot fit into the time steps.
    """
    states = _States.of(log_probs, targets)
    n, steps, count = states.emitted.shape
    score = np.full((n, count), -np.inf)
    score[:, :2] = states.emitted[:, 0, :2]
    came = np.zeros((steps, n, count), np.int8)  # how many states back
    for t in range(1, steps):
        ways = np.full((3, n, count), -np.inf)
        ways[0], ways[1, :, 1:] = score, score[:, :-1]
        ways[2, :, 2:] = np.where(states.may_skip[:, 2:], score[:, :-2], -np.inf)
        going = (t < lengths)[:, None]
        came[t] = np.where(going, ways.argmax(axis=0), 0)
        score = np.where(going, ways.max(axis=0) + states.emitted[:, t], score)
    found: list[list[tuple[int, int]]] = []
    for row, size in enumerate(states.sizes.tolist()):
        state = 2 * size
        if size and score[row, state - 1] >= score[row, state]:
            state -= 1
        if score[row, state] == -np.inf:
            found.append([])
            continue
        spans = [(0, 0)] * size
        for t in range(int(lengths[row]) - 1, -1, -1):
            if state % 2:
                end = spans[state // 2][1] or t + 1
                spans[state // 2] = (t, end)
            state -= int(came[t, row, state])
        found.append(spans)
    return found
