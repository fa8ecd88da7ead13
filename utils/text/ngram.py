"""A character n-gram model: how likely each character comes after those before it.

Interpolated with Witten-Bell smoothing (Witten and Bell, 1991; Chen and Goodman, 1999, section
2.4): what a context has seen counts, the more the more often and the less the more various it was,
and the rest is left to the context that is one character shorter, down to all characters alike.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np

from utils.errors import UserError
from utils.files import write_text
from utils.text.charset import BLANK, Charset

FORMAT = "crnn-reader character n-grams"
FORMAT_VERSION = 2
"""2 brought how texts begin."""

MOST, MOST_ORDER = 2**53, 64
"""Counts that a float holds exactly; characters that are looked at together."""

END = ""
"""What comes after the last character."""

START = "\x02"
"""What stands before the first one (the control character for it); no charset has it."""


@dataclass(frozen=True)
class NgramCounts:
    """What was counted: for each context of 0 to order - 1 characters, how often each came next.

    `characters` are those that the model knows of; each has some probability everywhere.
    """

    order: int
    characters: str
    counts: dict[str, Counter[str]]

    @classmethod
    def of(cls, texts: Iterable[str], characters: str, order: int) -> NgramCounts:
        """Count texts of these characters."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for text in texts:
            before = START + text
            for place, following in enumerate([*text, END], start=1):
                for size in range(min(order - 1, place) + 1):
                    counts[before[place - size : place]][following] += 1
        return cls(order, characters, dict(counts))

    def folded(self, charset: Charset) -> NgramCounts:
        """With the characters that count as one in a charset counted together."""
        if not charset.alike:
            return self
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for context, after in self.counts.items():
            for character, n in after.items():
                counts[charset.fold(context)][charset.fold(character)] += n
        characters = "".join(dict.fromkeys(charset.fold(self.characters)))
        return NgramCounts(self.order, characters, dict(counts))

    def save(self, path: str | Path) -> None:
        """As JSON: plain text, which runs nothing when it is loaded."""
        content = {"format": FORMAT, "format_version": FORMAT_VERSION, **vars(self)}
        write_text(Path(path), json.dumps(content, ensure_ascii=False, sort_keys=True) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> NgramCounts:
        """UserError says what is wrong with the file."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ValueError("another format")
            if content["format_version"] > FORMAT_VERSION:
                raise UserError(
                    f"--lm {path}: format version {content['format_version']} is newer than "
                    f"{FORMAT_VERSION}, the newest that this project reads; update the project"
                )
            counts = {
                context: Counter({str(character): int(n) for character, n in after.items()})
                for context, after in content["counts"].items()
            }
            if any(not 1 <= n <= MOST for after in counts.values() for n in after.values()):
                raise ValueError(f"a count that is not in 1..{MOST}")
            if not 1 <= content["order"] <= MOST_ORDER:
                raise ValueError(f"an order of {content['order']}")
            return cls(int(content["order"]), str(content["characters"]), counts)
        except FileNotFoundError:
            raise UserError(f"--lm {path}: no such file; python -m utils.lm makes one") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError,
                RecursionError) as error:  # fmt: skip
            raise UserError(
                f"--lm {path}: not a language model of this project ({error!r}); python -m "
                "utils.lm makes one from a text file"
            ) from None


class NgramModel:
    """The counts as log-probabilities of a charset's classes, by states: the contexts that occur.

    A row is worked out when it is first asked for, and kept. Several threads may ask one model.
    """

    def __init__(self, counts: NgramCounts, charset: Charset):
        counts = counts.folded(charset)
        missing = [ch for ch in charset.characters if ch not in counts.characters]
        if missing:
            raise UserError(
                f"the language model does not know {''.join(missing[:20])!r} ({len(missing)} of "
                f"the {len(charset)} characters of charset {charset.name}); make one for that "
                "charset: python -m utils.lm CORPUS --charset"
            )
        self._counts, self._charset = counts, charset
        start = START if START in counts.counts else ""  # which files of version 1 have not
        self._states = {start: 0}
        self._contexts = [start]
        self._rows: list[np.ndarray | None] = [None]
        self._steps: dict[tuple[int, int], int] = {}
        self._lock = Lock()

    def next_log_probs(self, states: np.ndarray) -> np.ndarray:
        """Of each class, (..., C); in the blank's place, of the end of the text."""
        known, inverse = np.unique(states, return_inverse=True)
        with self._lock:
            rows = [self._row(state) for state in known.tolist()]
        return np.stack(rows)[inverse]

    def step(self, states: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The states after these labels; a label of 0 stays."""
        states, labels = np.broadcast_arrays(states, labels)
        keys = states.astype(np.int64) * self._charset.num_classes + labels
        known, inverse = np.unique(keys, return_inverse=True)
        pairs = zip(*divmod(known, self._charset.num_classes), strict=True)
        with self._lock:
            reached = [self._step(int(state), int(label)) for state, label in pairs]
        return np.array(reached, np.int64)[inverse].reshape(keys.shape)

    def log_prob(self, text: str) -> float:
        """Of a whole text of the charset, its end included."""
        state, total = 0, 0.0
        for label in self._charset.encode(text):
            total += float(self._row(state)[label])
            state = self._step(state, label)
        return total + float(self._row(state)[BLANK])

    def _row(self, state: int) -> np.ndarray:
        row = self._rows[state]
        if row is None:
            row = self._rows[state] = np.log(self._probabilities(self._contexts[state]))
        return row

    def _probabilities(self, context: str) -> np.ndarray:
        """Of the classes after a context, (C,). Sums to 1 over what the model knows of."""
        if context:
            shorter = np.exp(self._row(self._state(context[1:])))
        else:
            shorter = np.full(self._charset.num_classes, 1 / (len(self._counts.characters) + 1))
        after = self._counts.counts.get(context)
        if not after:
            return shorter
        seen = np.array([after[END], *(after[ch] for ch in self._charset.characters)])
        return (seen + len(after) * shorter) / (after.total() + len(after))

    def _step(self, state: int, label: int) -> int:
        if label == BLANK:
            return state
        if (state, label) not in self._steps:
            context = self._contexts[state] + self._charset.characters[label - 1]
            self._steps[state, label] = self._state(context)
        return self._steps[state, label]

    def _state(self, context: str) -> int:
        """Of the longest end of a context that occurs and is not longer than the order allows."""
        context = context[max(0, len(context) - self._counts.order + 1) :]
        while context and context not in self._counts.counts:
            context = context[1:]
        if context not in self._states:
            self._states[context] = len(self._contexts)
            self._contexts.append(context)
            self._rows.append(None)
        return self._states[context]
