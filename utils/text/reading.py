"""From log_probs to texts as a user asks for them: decoder, constraints, language model, case.

A `Decoding` (utils.text.asked) says what is asked, a `Decoder` does it over one charset. What one
call asks for leaks into no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from utils.errors import UserError
from utils.text.alignment import best_alignments, character_log_probs, text_probabilities
from utils.text.asked import Decoding
from utils.text.automaton import Automaton
from utils.text.beam import PRUNE, Hypothesis, prefix_beam_search
from utils.text.case import fold_case, merge_classes
from utils.text.charset import Charset
from utils.text.constraints import Constraints, allowed_labels
from utils.text.decoding import LogProbs, greedy_decode
from utils.text.ngram import NgramCounts, NgramModel
from utils.text.viterbi import best_allowed_paths


@dataclass(frozen=True)
class Character:
    """One character of a reading: `confidence` is its probability given that the others are right,
    `start` and `end` are time steps, the end excluded, `left` and `right` the same as shares of the
    picture's width (of its height, where text runs down)."""

    text: str
    confidence: float
    start: int
    end: int
    left: float
    right: float


@dataclass(frozen=True)
class Reading:
    """`confidence`: the probability of the text, summed over all its alignments; 0 where no allowed
    text fits, and then the text is empty and `fits` false."""

    text: str
    confidence: float
    fits: bool = True
    alternatives: tuple[tuple[str, float], ...] = ()
    """The best texts and their probabilities, this one first; empty unless more were asked for."""
    characters: tuple[Character, ...] = ()


class Decoder:
    """Reads log_probs (N, T, C) of one charset's classes; UserError says what does not fit it.

    `max_steps` are the time steps of the widest picture, where they are known.
    """

    def __init__(
        self, charset: Charset, decoding: Decoding | None = None, max_steps: int | None = None
    ):
        self.decoding = decoding or Decoding()
        if problems := self.decoding.own_problems():
            raise UserError("\n".join(problems))
        self._classes: np.ndarray | None = None
        self.charset = charset
        """What texts are made of: with ignore_case, one case of each letter."""
        if self.decoding.ignore_case:
            self.charset, self._classes = fold_case(charset)
        asked = self.decoding.constraints
        self._automaton: Automaton | None = None
        self._barred: np.ndarray | None = None
        if asked.allow is not None and asked == Constraints(allow=asked.allow):
            # Without the other classes any text is allowed, and that is faster.
            others = set(range(1, self.charset.num_classes))
            others -= allowed_labels(asked.allow, self.charset)
            self._barred = np.array(sorted(others), np.int64)
        else:
            self._automaton = asked.automaton(self.charset, max_steps)
        self._language: NgramModel | None = None
        if self.decoding.lm:
            counts = NgramCounts.load(self.decoding.lm)
            try:
                self._language = NgramModel(counts, self.charset)
            except UserError as error:
                raise UserError(f"--lm {self.decoding.lm}: {error}") from None
        if self._automaton is not None and self.frames_needed < 0:
            raise UserError("no text is allowed by all of the constraints together; loosen one")

    @cached_property
    def frames_needed(self) -> int:
        """Time steps at least that an allowed text takes; -1 where none is allowed."""
        return 0 if self._automaton is None else self._automaton.frames_needed()

    @property
    def needs_whole(self) -> bool:
        """Whether it looks at more than the best path, and wants all log_probs as an array."""
        asked = (self._classes, self._barred, self._automaton)
        return self.decoding.decoder != "greedy" or any(each is not None for each in asked)

    def read(
        self, log_probs: LogProbs, lengths: np.ndarray, characters: bool = False
    ) -> list[Reading]:
        """A Reading of each picture; `characters` also places and weighs each of them.

        Steps, in place of an array, will do where neither that nor the decoder `needs_whole`.
        """
        if not len(lengths):
            return []
        if isinstance(log_probs, np.ndarray):
            log_probs = self.merged(log_probs)
            texts = self.texts(log_probs, lengths)
        else:
            assert not self.needs_whole
            assert not characters
            texts = [[ids] for ids in greedy_decode(log_probs, lengths)]
        fits = [bool(found) for found in texts]
        first = [found[0] if found else [] for found in texts]
        shares = text_probabilities(log_probs, lengths, first)
        readings = []
        for row, ids in enumerate(first):
            confidence = float(shares[row]) if fits[row] else 0.0
            readings.append(Reading(self.charset.decode(ids), confidence, fits[row]))
        if self.decoding.n_best > 1:
            readings = self._with_alternatives(readings, texts, log_probs, lengths)
        if characters:
            readings = self._with_characters(readings, first, log_probs, lengths)
        return readings

    def merged(self, log_probs: np.ndarray) -> np.ndarray:
        """log_probs of the classes that are read: with ignore_case, of both cases together."""
        return log_probs if self._classes is None else merge_classes(log_probs, self._classes)

    def texts(self, log_probs: np.ndarray, lengths: np.ndarray) -> list[list[list[int]]]:
        """Label ids of up to n_best texts a picture, of `merged` log_probs; none where no allowed
        text fits.

        A beam that has lost all allowed texts leaves the picture to the best allowed path.
        """
        automaton = self._automaton
        if self._barred is not None:
            log_probs = log_probs.copy()
            log_probs[..., self._barred] = -np.inf
        if self.decoding.decoder == "beam":
            weighed = automaton is not None and self._language is not None
            found = self._search(log_probs, lengths, None if weighed else PRUNE)
            if automaton is not None and not weighed:
                # A text that needs a class which is not tried has this probability at most.
                least = np.log(np.maximum(lengths, 1)) - PRUNE
                _redo(
                    found,
                    [
                        len(row) < self.decoding.n_best or row[0].log_prob < bound
                        for row, bound in zip(found, least.tolist(), strict=True)
                    ],
                    lambda rows: self._search(log_probs[rows], lengths[rows], None),
                )
            texts = [[each.ids for each in row] for row in found]
            if automaton is not None:
                _redo(
                    texts, [not row for row in texts],
                    lambda rows: _as_lists(
                        best_allowed_paths(log_probs[rows], lengths[rows], automaton)
                    ),
                )  # fmt: skip
            return texts
        if automaton is None:
            return [[ids] for ids in greedy_decode(log_probs, lengths)]
        return _as_lists(best_allowed_paths(log_probs, lengths, automaton))

    def _search(
        self, log_probs: np.ndarray, lengths: np.ndarray, prune: float | None
    ) -> list[list[Hypothesis]]:
        asked = self.decoding
        return prefix_beam_search(
            log_probs, lengths, asked.beam_width, asked.n_best, prune, self._automaton,
            self._language, asked.lm_weight,
        )  # fmt: skip

    def _with_alternatives(self, readings, texts, log_probs, lengths) -> list[Reading]:
        rows = [row for row, found in enumerate(texts) for _ in found]
        flat = [ids for found in texts for ids in found]
        shares = iter(text_probabilities(log_probs, lengths, flat, rows).tolist())
        return [
            replace(
                reading,
                alternatives=tuple((self.charset.decode(ids), next(shares)) for ids in found),
            )
            for reading, found in zip(readings, texts, strict=True)
        ]

    def _with_characters(self, readings, first, log_probs, lengths) -> list[Reading]:
        shares = character_log_probs(log_probs, lengths, first)
        spans = best_alignments(log_probs, lengths, first)
        return [
            replace(
                reading,
                characters=tuple(
                    Character(
                        text,
                        float(np.exp(min(share, 0.0))),
                        start,
                        end,
                        start / int(lengths[row]),
                        end / int(lengths[row]),
                    )
                    for text, share, (start, end) in zip(
                        reading.text, shares[row], spans[row], strict=True
                    )
                ),
            )
            for row, reading in enumerate(readings)
        ]


def _redo(found: list, bad: list[bool], again: Callable[[list[int]], list]) -> None:
    """Put what `again` finds for the bad rows in their places."""
    rows = [row for row, is_bad in enumerate(bad) if is_bad]
    for row, value in zip(rows, again(rows) if rows else [], strict=True):
        found[row] = value


def _as_lists(paths: list[list[int] | None]) -> list[list[list[int]]]:
    return [[] if path is None else [path] for path in paths]
