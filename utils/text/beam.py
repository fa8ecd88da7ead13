"""CTC prefix beam search over a batch at once, with constraints and a language model.

Graves and Jaitly, "Towards end-to-end speech recognition with recurrent neural networks", ICML
2014; Hannun et al., 2014, arXiv:1408.2873.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from utils.text.automaton import NOWHERE, Automaton
from utils.text.charset import BLANK
from utils.text.prefixes import Beam, first_beam, name_of, pick, where

PRUNE = 9.0
"""Nats below the best class of a time step from which on a class is not tried: 1 to 8,000."""

PICTURES = 256
"""Pictures that are searched together."""


class LanguageModel(Protocol):
    """Log-probabilities of what comes next, by states that it numbers itself; 0 is the start."""

    def next_log_probs(self, states: np.ndarray) -> np.ndarray:
        """Of each class, (..., C); in the blank's place, of the end of the text."""

    def step(self, states: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The states after these labels."""


@dataclass(frozen=True)
class Hypothesis:
    """A text as label ids; `log_prob`, of the sum of its paths in the beam; `score`, by which texts
    are sorted: log_prob and the language model's share."""

    ids: list[int]
    log_prob: float
    score: float


def prefix_beam_search(
    log_probs: np.ndarray,
    lengths: np.ndarray,
    beam_width: int = 10,
    n_best: int = 1,
    prune: float | None = PRUNE,
    automaton: Automaton | None = None,
    language: LanguageModel | None = None,
    language_weight: float = 0.0,
) -> list[list[Hypothesis]]:
    """Up to `n_best` texts for each row of log_probs (N, T, C), the best first.

    Classes that are more than `prune` nats below the best one of a step are not tried there; None
    tries all. With an automaton a row is empty where the beam has lost all allowed texts.
    """
    search = _Search(beam_width, prune, automaton, language, language_weight)
    found: list[list[Hypothesis]] = []
    for start in range(0, len(log_probs), PICTURES):
        some = slice(start, start + PICTURES)
        found += search.run(log_probs[some], lengths[some], n_best)
    return found


class _Search:
    def __init__(
        self,
        beam_width: int,
        prune: float | None,
        automaton: Automaton | None,
        language: LanguageModel | None,
        weight: float,
    ):
        self._width, self._prune = beam_width, prune
        self._automaton, self._language, self._weight = automaton, language, weight

    def run(
        self, log_probs: np.ndarray, lengths: np.ndarray, n_best: int
    ) -> list[list[Hypothesis]]:
        n, steps, _ = log_probs.shape
        beam = first_beam(n, self._width)
        came, added = [], []  # for each step, (N, W): the place before, and the label that is new
        for t in range(steps):
            going = t < lengths
            stays, goes, classes = self._step(beam, log_probs[:, t], lengths - t - 1)
            scores = np.concatenate([self._scores(stays), self._scores(goes)], axis=1)
            best = _most(scores, self._width)
            after = pick(stays, goes, best, scores)
            is_new = best >= self._width
            place = np.where(is_new, (best - self._width) // max(classes, 1), best)
            came.append(np.where(going[:, None], place, np.arange(self._width)))
            added.append(np.where(going[:, None] & is_new, after.last, 0))
            beam = where(going, after, beam)
        return self._best(beam, np.array(came), np.array(added), n_best)

    def _scores(self, beam: Beam) -> np.ndarray:
        if self._language is None:
            return beam.total
        return beam.total + self._weight * beam.language

    def _step(
        self, beam: Beam, log_probs: np.ndarray, frames_left: np.ndarray
    ) -> tuple[Beam, Beam, int]:
        """The prefixes that stay as they are, (N, W), those with one label more, (N, W * K), and K.

        What a prefix becomes by a label that makes it another one of the beam is added to that one.
        """
        total = beam.total
        rows = np.arange(len(total))[:, None]
        label = beam.label + log_probs[rows, beam.last]
        # Which prefix w is another one, v, without its last label: at most one. (N, V, W)
        is_parent = beam.parent[:, :, None] == beam.name[:, None, :]
        parent = is_parent.argmax(axis=2)
        again = beam.last[rows, parent] == beam.last
        grown = np.where(again, beam.blank[rows, parent], total[rows, parent])
        grown = np.where(is_parent.any(axis=2), grown + log_probs[rows, beam.last], -np.inf)
        stays = Beam(
            total + log_probs[:, BLANK, None], np.logaddexp(label, grown), beam.last, beam.name,
            beam.parent, beam.state, beam.context, beam.language,
        )  # fmt: skip
        goes, classes = self._grown(beam, total, log_probs)
        if self._automaton is not None:
            for each in (stays, goes):
                to_go = self._automaton.labels_to_go[each.state]
                out = (each.state == NOWHERE) | (to_go > frames_left[:, None])
                each.blank = np.where(out, -np.inf, each.blank)
                each.label = np.where(out, -np.inf, each.label)
        return stays, goes, classes

    def _grown(self, beam: Beam, total: np.ndarray, log_probs: np.ndarray) -> tuple[Beam, int]:
        """Each prefix with each of the K classes that are worth it, but for those in the beam."""
        classes, values = self._worth_trying(log_probs)  # (N, K)
        n, width, k = len(total), self._width, classes.shape[1]
        new = np.broadcast_to(classes[:, None, :], (n, width, k))
        again = new == beam.last[:, :, None]
        label = np.where(again, beam.blank[:, :, None], total[:, :, None]) + values[:, None, :]
        name = name_of(beam.name[:, :, None], new)
        known = (name[:, :, :, None] == beam.name[:, None, None, :]).any(axis=3)
        label = np.where(known, -np.inf, label)
        state = context = np.zeros((n, width, k), np.int64)
        language = np.zeros((n, width, k))
        if self._automaton is not None:
            state = self._automaton.step(beam.state[:, :, None], new)
        if self._language is not None:
            scores = self._language.next_log_probs(beam.context)  # (N, W, C)
            language = beam.language[:, :, None] + np.take_along_axis(scores, new, axis=2)
            context = self._language.step(beam.context[:, :, None], new)
        parent = np.broadcast_to(beam.name[:, :, None], new.shape)
        blank = np.full(new.shape, -np.inf)
        parts = (blank, label, new, name, parent, state, context, language)
        return Beam(*(part.reshape(n, width * k) for part in parts)), k

    def _worth_trying(self, log_probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Classes of a step, as many for each picture, and their log_probs, -inf for the others."""
        labels = log_probs[:, 1:]
        if self._prune is None:
            classes = np.broadcast_to(np.arange(1, log_probs.shape[1]), labels.shape)
            return classes, labels
        least = log_probs.max(axis=1, keepdims=True) - self._prune
        k = int(np.count_nonzero(labels > least, axis=1).max(initial=0))
        classes = _most(labels, k)
        values = np.take_along_axis(labels, classes, axis=1)
        return classes + 1, np.where(values > least, values, -np.inf)

    def _best(
        self, beam: Beam, came: np.ndarray, added: np.ndarray, n_best: int
    ) -> list[list[Hypothesis]]:
        scores, total = self._scores(beam), beam.total
        if self._language is not None:
            scores = scores + self._weight * self._language.next_log_probs(beam.context)[..., BLANK]
        if self._automaton is not None:
            scores = np.where(self._automaton.accepting[beam.state], scores, -np.inf)
        places = (-scores).argsort(axis=1, kind="stable")[:, :n_best]
        rows, at = np.arange(len(scores))[:, None], places
        labels = np.zeros((*places.shape, len(came)), np.int64)  # (N, n_best, T)
        for t in range(len(came) - 1, -1, -1):
            labels[..., t] = added[t, rows, at]
            at = came[t, rows, at]
        found = []
        for row in range(len(scores)):
            kept = [i for i in places[row] if scores[row, i] > -np.inf]
            found.append([
                Hypothesis(ids[ids > 0].tolist(), float(total[row, i]), float(scores[row, i]))
                for ids, i in zip(labels[row], kept, strict=False)
            ])  # fmt: skip
        return found


def _most(values: np.ndarray, k: int) -> np.ndarray:
    """Places of the k largest of each row, in no order, (N, k)."""
    first = values.shape[1] - k
    if first <= 0:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return np.argpartition(values, min(first, values.shape[1] - 1), axis=1)[:, first:]
