"""The most probable path among those that read as an allowed text."""

from __future__ import annotations

import numpy as np

from utils.text.automaton import Automaton
from utils.text.charset import BLANK

MOST_CELLS = 2**24
"""Pictures times steps times edges that are worked on at once."""

MANY_EDGES = 1024
"""Of an automaton from which first only those with a label that a picture shows are taken."""

SHOWN = (9.0, 18.0, 36.0)
"""Nats that a class may be below the best one of the step where it comes nearest to it; what is
tried one after the other before all classes are taken."""


def best_allowed_paths(
    log_probs: np.ndarray, lengths: np.ndarray, automaton: Automaton
) -> list[list[int] | None]:
    """Label ids of the most probable path of log_probs (N, T, C) that the automaton accepts.

    None where no allowed text fits into the steps. Viterbi over the automaton's states, in each of
    which a path stands after a blank, or on the label of the edge by which it came.
    """
    if len(automaton.labels) > MANY_EDGES:
        rows = zip(log_probs, lengths.tolist(), strict=True)
        return [_best_of_many(each[:length], automaton) for each, length in rows]
    cells = max(1, log_probs.shape[1] * (len(automaton.labels) + automaton.num_states))
    size = max(1, MOST_CELLS // cells)
    trellis = _Trellis(automaton)
    found: list[list[int] | None] = []
    for start in range(0, len(log_probs), size):
        some = slice(start, start + size)
        found += trellis.decode(log_probs[some], lengths[some])[0]
    return found


def _best_of_many(log_probs: np.ndarray, automaton: Automaton) -> list[int] | None:
    """The same for one picture (T, C): first among the texts of labels that it shows.

    A path with another label is so many nats below the best path of all at least. So if what is
    found is nearer to that, nothing else can be better.
    """
    best = log_probs.max(axis=1)
    gaps = (best[:, None] - log_probs).min(axis=0)
    lengths = np.array([len(log_probs)])
    for shown in SHOWN:
        few = _Trellis(automaton.only(np.flatnonzero(gaps < shown)))
        [text], [score] = few.decode(log_probs[None], lengths)
        if text is not None and score > best.sum() - shown:
            return text
    [text], _ = _Trellis(automaton).decode(log_probs[None], lengths)
    return text


class _Trellis:
    """A place for each state after a blank, (S,), and for each edge while its label lasts, (E,).

    All edges into a state come from one state, and differ in their labels. So what is best to go on
    from, with another label, is the best edge or the second.
    """

    def __init__(self, automaton: Automaton):
        order = automaton.targets.argsort(kind="stable")
        self._sources, self._targets = automaton.sources[order], automaton.targets[order]
        self._labels = automaton.labels[order]
        self._accepting = automaton.accepting
        self._entered, self._starts = np.unique(self._targets, return_index=True)
        self._group = np.searchsorted(self._entered, self._targets)  # (E,)
        self._edges = np.arange(len(order))

    def decode(
        self, log_probs: np.ndarray, lengths: np.ndarray
    ) -> tuple[list[list[int] | None], list[float]]:
        """Label ids and log-probability of each best path; None and -inf where there is none."""
        n, steps, _ = log_probs.shape
        states, edges = len(self._accepting), len(self._edges)
        blank, on = np.full((n, states), -np.inf), np.full((n, edges), -np.inf)
        blank[:, 0] = 0.0
        # Where each place was reached from: an edge, or -1 - state for a state after a blank.
        came_blank = np.empty((steps, n, states), np.int32)
        came_on = np.empty((steps, n, edges), np.int32)
        own_blank = -1 - np.arange(states)
        for t in range(steps):
            best, first, second, other = self._two_best(on)
            going = (t < lengths)[:, None]
            # On to the edge: from its source after a blank, or from an edge of another label there.
            same = self._labels[first[:, self._sources]] == self._labels
            value = np.where(same, second[:, self._sources], best[:, self._sources])
            edge = np.where(same, other[:, self._sources], first[:, self._sources])
            resting = blank[:, self._sources]
            entered = np.maximum(resting, value)
            came = np.where(resting >= value, -1 - self._sources, edge)
            stays = on >= entered
            came_on[t] = np.where(going & ~stays, came, self._edges)
            after = np.maximum(on, entered) + log_probs[:, t, self._labels]
            rests = blank >= best
            came_blank[t] = np.where(going & ~rests, first, own_blank)
            rested = np.maximum(blank, best) + log_probs[:, t, BLANK, None]
            on, blank = np.where(going, after, on), np.where(going, rested, blank)
        return self._trace(blank, on, came_blank, came_on)

    def _two_best(self, on: np.ndarray) -> tuple[np.ndarray, ...]:
        """For each state the best edge into it and the second: (N, S) of value, edge, each."""
        shape = (len(on), len(self._accepting))
        best, second = np.full(shape, -np.inf), np.full(shape, -np.inf)
        first, other = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        if len(self._edges):
            for values, places in ((best, first), (second, other)):
                most = np.maximum.reduceat(on, self._starts, axis=1)  # (N, entered)
                is_most = on == most[:, self._group]
                at = np.maximum.reduceat(
                    np.where(is_most, self._edges, -1), self._starts, axis=1
                )  # the last of equals; -1 never, but for nan
                values[:, self._entered], places[:, self._entered] = most, at
                on = np.where(self._edges == at[:, self._group], -np.inf, on)
        return best, first, second, other

    def _trace(
        self, blank: np.ndarray, on: np.ndarray, came_blank: np.ndarray, came_on: np.ndarray
    ) -> tuple[list[list[int] | None], list[float]]:
        ends = np.concatenate([
            np.where(self._accepting, blank, -np.inf),
            np.where(self._accepting[self._targets], on, -np.inf),
        ], axis=1)  # fmt: skip
        last = ends.argmax(axis=1)
        states = len(self._accepting)
        texts: list[list[int] | None] = []
        for row, place in enumerate(last.tolist()):
            if ends[row, place] == -np.inf:
                texts.append(None)
                continue
            place = -1 - place if place < states else place - states
            text = []
            for t in range(len(came_on) - 1, -1, -1):
                before = came_on[t, row, place] if place >= 0 else came_blank[t, row, -1 - place]
                if place >= 0 and before != place:
                    text.append(int(self._labels[place]))
                place = int(before)
            texts.append(text[::-1])
        return texts, ends.max(axis=1).tolist()
