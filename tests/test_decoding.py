"""Decoding against the enumeration of all paths."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.text.decoding import alignment_spans, collapse, greedy_decode, text_log_probs

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


@settings(deadline=None, max_examples=60)
@given(probability_rows())
def test_text_log_probs_of_every_text(rows):
    texts = every_text(rows)
    targets = list(texts)
    batch = np.broadcast_to(logs(rows), (len(targets), *rows.shape))
    lengths = np.full(len(targets), len(rows))
    found = text_log_probs(batch, lengths, [list(target) for target in targets])
    np.testing.assert_allclose(np.exp(found), list(texts.values()), rtol=1e-9, atol=1e-300)
    assert np.exp(found).sum() == pytest.approx(1.0)


@settings(deadline=None, max_examples=60)
@given(st.lists(probability_rows(4, 3).filter(lambda rows: rows.shape[1] == 3), min_size=1))
def test_lengths_are_respected_in_a_padded_batch(examples):
    examples = examples[:4]
    batch, lengths = pad(examples)
    texts = [every_text(rows) for rows in examples]
    targets = [max(found, key=found.__getitem__) for found in texts]
    found = text_log_probs(batch, lengths, [list(target) for target in targets])
    expected = [math.log(all_of[target]) for all_of, target in zip(texts, targets, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    best = [reads_as(tuple(logs(rows).astype(np.float32).argmax(axis=1))) for rows in examples]
    assert [tuple(ids) for ids in greedy_decode(batch, lengths)] == best


@settings(deadline=None, max_examples=100)
@given(probability_rows())
def test_greedy_is_the_collapse_of_the_best_path(rows):
    steps, classes = rows.shape
    paths = itertools.product(range(classes), repeat=steps)
    best = max(paths, key=lambda path: math.prod(rows[range(steps), path].tolist()))
    (found,) = greedy_decode(logs(rows)[None], np.array([steps]))
    assert tuple(found) == reads_as(best)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.lists(st.integers(0, 2), min_size=6, max_size=6), min_size=1), st.data())
def test_collapse_and_spans_of_every_path(paths, data):
    lengths = [data.draw(st.integers(1, 6)) for _ in paths]
    array = np.array(paths)
    expected = [reads_as(tuple(p[:steps])) for p, steps in zip(paths, lengths, strict=True)]
    assert [tuple(ids) for ids in collapse(array, np.array(lengths))] == expected
    for path, steps, labels in zip(paths, lengths, expected, strict=True):
        spans = alignment_spans(np.array(path), steps)
        rebuilt = [0] * steps
        for (start, end), label in zip(spans, labels, strict=True):
            rebuilt[start:end] = [label] * (end - start)
        assert rebuilt == path[:steps]


def test_collapse_leaves_the_path_as_it_is():
    path = np.array([[1, 1, 0, 2]])
    assert collapse(path, np.array([4])) == [[1, 2]]
    assert path.tolist() == [[1, 1, 0, 2]]


def test_alignment_spans():
    path = np.array([0, 3, 3, 0, 3, 1, 1, 0, 2])
    assert alignment_spans(path, 9) == [(1, 3), (4, 5), (5, 7), (8, 9)]
    assert alignment_spans(path, 6) == [(1, 3), (4, 5), (5, 6)]
    assert alignment_spans(np.zeros(3, int), 3) == []


def test_the_empty_target_is_blank_throughout():
    rows = np.array([[0.5, 0.3, 0.2], [0.25, 0.5, 0.25], [0.1, 0.1, 0.8]])
    lengths = np.array([3, 2])
    batch = logs(np.stack([rows, rows]))
    alone = text_log_probs(batch, lengths, [[], []])
    beside_a_longer = text_log_probs(batch, lengths, [[], [1, 2]])
    np.testing.assert_allclose(np.exp(alone), [0.5 * 0.25 * 0.1, 0.5 * 0.25])
    np.testing.assert_allclose(np.exp(beside_a_longer), [0.5 * 0.25 * 0.1, 0.3 * 0.25])
    assert greedy_decode(logs(np.array([[[0.9, 0.1]]])), np.array([1])) == [[]]


@pytest.mark.parametrize(
    ("target", "needed"), [([1], 1), ([1, 2], 2), ([1, 1], 3), ([1, 1, 1], 5), ([1, 2, 2, 1], 5)]
)
def test_a_target_that_cannot_fit(target, needed):
    uniform = np.full((1, 6, 3), math.log(1 / 3))
    for steps in range(1, 7):
        (found,) = text_log_probs(uniform, np.array([steps]), [target])
        assert np.isneginf(found) == (steps < needed)


def test_log_probs_of_a_long_text_do_not_underflow():
    steps = 400
    uniform = np.full((1, steps, 63), -math.log(63), np.float32)
    (found,) = text_log_probs(uniform, np.array([steps]), [list(range(1, 63)) * 3])
    assert math.isfinite(found)
    assert found < -700
