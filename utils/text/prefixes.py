"""The prefixes that a beam search keeps, for a batch of pictures at once.

A prefix is what a path has read as so far; its probability is the sum over all such paths.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np


@dataclass
class Beam:
    """W prefixes of each of N pictures, (N, W) each; a place is empty where both are -inf."""

    blank: np.ndarray
    """Log-probability of the paths that end with a blank."""
    label: np.ndarray
    """... that end with the prefix' last label."""
    last: np.ndarray
    name: np.ndarray
    """A hash of the prefix."""
    parent: np.ndarray
    """... of the prefix without its last label."""
    state: np.ndarray
    """Of the automaton."""
    context: np.ndarray
    """Of the language model."""
    language: np.ndarray
    """The language model's log-probability so far."""

    @property
    def total(self) -> np.ndarray:
        return np.logaddexp(self.blank, self.label)


def first_beam(n: int, width: int) -> Beam:
    """The empty prefix in the first place, and nothing in the others."""
    empty, zero = np.full((n, width), -np.inf), np.zeros((n, width), np.int64)
    blank = empty.copy()
    blank[:, 0] = 0.0
    names, parents = (np.tile(each, (n, 1)) for each in _nobodys_names(width))
    names[:, 0] = 1
    return Beam(blank, empty, zero, names, parents, zero, zero, np.zeros((n, width)))


def _nobodys_names(width: int) -> tuple[np.ndarray, np.ndarray]:
    """Names (W,) for empty places, and others for their parents; no prefix has one of them."""
    places = np.arange(width, dtype=np.uint64)
    return places + np.uint64(2), ~places


def name_of(parent: np.ndarray, label: np.ndarray) -> np.ndarray:
    """A 64-bit hash of a prefix and one label more."""
    mixed = (parent ^ (parent >> np.uint64(29))) + label.astype(np.uint64)
    return mixed * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(0x5851F42D4C957F2D)


def pick(stays: Beam, goes: Beam, places: np.ndarray, scores: np.ndarray) -> Beam:
    """Those at the places (N, W) of both, side by side; the names of empty places are nobody's."""
    parts = [
        np.take_along_axis(
            np.concatenate([getattr(stays, part.name), getattr(goes, part.name)], axis=1),
            places, axis=1,
        )
        for part in fields(Beam)
    ]  # fmt: skip
    beam = Beam(*parts)
    empty = np.take_along_axis(scores, places, axis=1) == -np.inf
    name, parent = _nobodys_names(places.shape[1])
    beam.name, beam.parent = np.where(empty, name, beam.name), np.where(empty, parent, beam.parent)
    return beam


def where(rows: np.ndarray, one: Beam, other: Beam) -> Beam:
    """`one` in those rows (N,), `other` elsewhere."""
    return Beam(*(
        np.where(rows[:, None], getattr(one, part.name), getattr(other, part.name))
        for part in fields(Beam)
    ))  # fmt: skip
