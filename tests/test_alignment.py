"""The probability of a text and of its characters, and where they stand, against all paths."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from every_path import every_text, logs, pad, probability_rows, reads_as
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.text.alignment import best_alignments, character_log_probs, text_log_probs


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


def test_the_empty_target_is_blank_throughout():
    rows = np.array([[0.5, 0.3, 0.2], [0.25, 0.5, 0.25], [0.1, 0.1, 0.8]])
    lengths = np.array([3, 2])
    batch = logs(np.stack([rows, rows]))
    alone = text_log_probs(batch, lengths, [[], []])
    beside_a_longer = text_log_probs(batch, lengths, [[], [1, 2]])
    np.testing.assert_allclose(np.exp(alone), [0.5 * 0.25 * 0.1, 0.5 * 0.25])
    np.testing.assert_allclose(np.exp(beside_a_longer), [0.5 * 0.25 * 0.1, 0.3 * 0.25])


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


@settings(deadline=None, max_examples=100)
@given(probability_rows())
def test_a_character_against_all_that_could_stand_in_its_place(rows):
    texts = every_text(rows)
    targets = [text for text, share in texts.items() if share > 0]
    batch = np.broadcast_to(logs(rows), (len(targets), *rows.shape))
    found = character_log_probs(batch, np.full(len(targets), len(rows)), targets)
    for target, shares in zip(targets, found, strict=True):
        assert len(shares) == len(target)
        for place, share in enumerate(shares):
            before, after = target[:place], target[place + 1 :]
            others = [before + after]
            others += [(*before, label, *after) for label in range(1, rows.shape[1])]
            expected = texts[target] / sum(texts.get(other, 0.0) for other in others)
            assert math.exp(share) == pytest.approx(expected, rel=1e-9)


@settings(deadline=None, max_examples=100)
@given(probability_rows())
def test_the_most_probable_alignment(rows):
    texts = every_text(rows)
    targets = [text for text, share in texts.items() if share > 0]
    batch = np.broadcast_to(logs(rows), (len(targets), *rows.shape))
    found = best_alignments(batch, np.full(len(targets), len(rows)), targets)
    steps = range(len(rows))
    paths = list(itertools.product(range(rows.shape[1]), repeat=len(rows)))
    for target, spans in zip(targets, found, strict=True):
        path = [0] * len(rows)
        for (start, end), label in zip(spans, target, strict=True):
            assert start < end
            path[start:end] = [label] * (end - start)
        assert reads_as(tuple(path)) == target
        best = max(
            math.prod(rows[steps, path].tolist()) for path in paths if reads_as(path) == target
        )
        assert math.prod(rows[steps, path].tolist()) == pytest.approx(best, rel=1e-9)


@settings(deadline=None, max_examples=60)
@given(st.lists(probability_rows(4, 3).filter(lambda rows: rows.shape[1] == 3), min_size=2))
def test_characters_and_places_of_a_padded_batch_are_those_of_each_alone(examples):
    batch, lengths = pad(examples)
    targets = [max((found := every_text(rows)), key=found.__getitem__) for rows in examples]
    shares = character_log_probs(batch, lengths, targets)
    spans = best_alignments(batch, lengths, targets)
    for row, (rows, target) in enumerate(zip(examples, targets, strict=True)):
        alone = logs(rows).astype(np.float32)[None], np.array([len(rows)]), [target]
        np.testing.assert_allclose(shares[row], character_log_probs(*alone)[0], atol=1e-5)
        assert spans[row] == best_alignments(*alone)[0]


def test_a_target_that_cannot_fit_has_no_place():
    uniform = np.full((1, 2, 3), math.log(1 / 3))
    assert best_alignments(uniform, np.array([2]), [[1, 1]]) == [[]]
