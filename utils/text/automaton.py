"""Which texts are allowed: a deterministic automaton over class ids, and what it is made of.

Every constraint of decoding becomes one of these, and `both` joins them, so that a decoder knows
only states and steps. State 0 is the start.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

NOWHERE = -1


@dataclass(frozen=True)
class Automaton:
    """Steps from `sources` by `labels` to `targets`, (E,) each; `accepting` (S,), bool.

    Each state but the start is entered from one other state only, or from itself, which holds for
    chains, loops and tries, and for what `both` makes of them. Decoders rely on it.
    """

    sources: np.ndarray
    labels: np.ndarray
    targets: np.ndarray
    accepting: np.ndarray

    @property
    def num_states(self) -> int:
        return len(self.accepting)

    @cached_property
    def _keys(self) -> tuple[np.ndarray, np.ndarray, int]:
        base = int(self.labels.max(initial=0)) + 1
        keys = self.sources.astype(np.int64) * base + self.labels
        order = keys.argsort(kind="stable")
        return keys[order], self.targets[order], base

    def step(self, states: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Where the labels lead from the states (of shapes that broadcast), or NOWHERE."""
        keys, targets, base = self._keys
        if not len(keys):
            return np.full(np.broadcast_shapes(states.shape, labels.shape), NOWHERE)
        wanted = states.astype(np.int64) * base + labels
        place = keys.searchsorted(wanted).clip(max=len(keys) - 1)
        found = (keys[place] == wanted) & (states != NOWHERE) & (labels < base)
        return np.where(found, targets[place], NOWHERE)

    @cached_property
    def ways(self) -> dict[int, dict[int, int]]:
        """For each state that has any: its labels, and where they lead."""
        found: dict[int, dict[int, int]] = {}
        columns = (self.sources, self.labels, self.targets)
        for source, label, target in zip(*(column.tolist() for column in columns), strict=True):
            found.setdefault(source, {})[label] = target
        return found

    @cached_property
    def labels_to_go(self) -> np.ndarray:
        """Labels at least, from each state to an accepting one; a huge number where there is no
        way, (S,)."""
        far = np.iinfo(np.int64).max // 2
        found = np.where(self.accepting, 0, far)
        while True:
            before = found.copy()
            np.minimum.at(found, self.sources, found[self.targets] + 1)
            found = np.minimum(found, far)
            if (found == before).all():
                return found

    @cached_property
    def _by_source(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges in the order of their sources, and where each source's begin, (S + 1,)."""
        order = self.sources.argsort(kind="stable")
        return order, np.searchsorted(self.sources[order], np.arange(self.num_states + 1))

    def only(self, labels: np.ndarray) -> Automaton:
        """What is left with these labels alone, and can be reached from the start."""
        kept = np.zeros(int(self.labels.max(initial=0)) + 1, bool)
        kept[labels[labels < len(kept)]] = True
        order, begins = self._by_source
        numbers = np.full(self.num_states, NOWHERE)
        numbers[0] = 0
        border, edges, count = np.zeros(1, np.int64), [], 1
        while len(border):
            sizes = begins[border + 1] - begins[border]
            ends = sizes.cumsum()
            offsets = np.arange(sizes.sum()) - np.repeat(ends - sizes, sizes)
            found = order[np.repeat(begins[border], sizes) + offsets]
            found = found[kept[self.labels[found]]]
            edges.append(found)
            reached = np.unique(self.targets[found])
            border = reached[numbers[reached] == NOWHERE]
            numbers[border] = np.arange(count, count + len(border))
            count += len(border)
        some, states = np.concatenate(edges), np.flatnonzero(numbers != NOWHERE)
        accepting = np.zeros(count, bool)
        accepting[numbers[states]] = self.accepting[states]
        return Automaton(
            numbers[self.sources[some]], self.labels[some], numbers[self.targets[some]], accepting
        )

    def frames_needed(self) -> int:
        """Time steps at least, for the shortest allowed text; -1 where no text is allowed.

        A label takes one, and two equal neighbours one more, for the blank between them.
        """
        reached = {(0, 0): 0}  # (state, last label) -> frames
        border = {0: [(0, 0)]}
        frames = 0
        while border:
            for state, last in border.pop(frames, []):
                if reached.get((state, last)) != frames:
                    continue
                if self.accepting[state]:
                    return frames
                for label, target in self.ways.get(state, {}).items():
                    cost = frames + 1 + (label == last)
                    if cost < reached.get((target, label), cost + 1):
                        reached[target, label] = cost
                        border.setdefault(cost, []).append((target, label))
            frames += 1
        return -1


def sequence_of(sets: Sequence[Collection[int]], shortest: int | None = None) -> Automaton:
    """Texts whose i-th label is in the i-th set, whole, or of `shortest` labels or more."""
    steps = [(i, label, i + 1) for i, allowed in enumerate(sets) for label in sorted(allowed)]
    accepting = np.arange(len(sets) + 1) >= (len(sets) if shortest is None else shortest)
    return _automaton(steps, accepting)


def any_of(labels: Collection[int]) -> Automaton:
    """Texts of any length, the empty one too, of these labels."""
    return _automaton([(0, label, 0) for label in sorted(labels)], np.ones(1, bool))


def lexicon(texts: Iterable[Sequence[int]]) -> Automaton:
    """These texts and no others: a trie."""
    children: list[dict[int, int]] = [{}]
    ends = set()
    for text in texts:
        state = 0
        for label in text:
            if label not in children[state]:
                children[state][label] = len(children)
                children.append({})
            state = children[state][label]
        ends.add(state)
    steps = [
        (state, label, target)
        for state, below in enumerate(children)
        for label, target in below.items()
    ]
    accepting = np.zeros(len(children), bool)
    accepting[list(ends)] = True
    return _automaton(steps, accepting)


def both(one: Automaton, other: Automaton) -> Automaton:
    """Texts that both allow; without states from which no accepting one can be reached."""
    numbers = {(0, 0): 0}
    pairs, steps = [(0, 0)], []
    for pair in pairs:  # grows while it is walked
        first, second = one.ways.get(pair[0], {}), other.ways.get(pair[1], {})
        for label in first if len(first) < len(second) else second:
            if label in first and label in second:
                reached = (first[label], second[label])
                if reached not in numbers:
                    numbers[reached] = len(pairs)
                    pairs.append(reached)
                steps.append((numbers[pair], label, numbers[reached]))
    accepting = np.array([one.accepting[a] & other.accepting[b] for a, b in pairs])
    return _trimmed(_automaton(steps, accepting))


def _trimmed(automaton: Automaton) -> Automaton:
    """Without the dead ends; the start stays."""
    alive = automaton.labels_to_go < len(automaton.accepting)
    alive[0] = True
    numbers = alive.cumsum() - 1
    kept = alive[automaton.sources] & alive[automaton.targets]
    return Automaton(
        numbers[automaton.sources[kept]],
        automaton.labels[kept],
        numbers[automaton.targets[kept]],
        automaton.accepting[alive],
    )


def _automaton(steps: list[tuple[int, int, int]], accepting: np.ndarray) -> Automaton:
    sources, labels, targets = np.array(steps, np.int64).reshape(-1, 3).T
    return Automaton(sources, labels, targets, accepting)
