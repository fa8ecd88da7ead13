"""Greedy decoding against the enumeration of all paths."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from every_path import logs, probability_rows, reads_as
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.text.decoding import collapse, greedy_decode


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
def test_collapse_of_every_path(paths, data):
    lengths = [data.draw(st.integers(1, 6)) for _ in paths]
    array = np.array(paths)
    expected = [reads_as(tuple(p[:steps])) for p, steps in zip(paths, lengths, strict=True)]
    assert [tuple(ids) for ids in collapse(array, np.array(lengths))] == expected


def test_collapse_leaves_the_path_as_it_is():
    path = np.array([[1, 1, 0, 2]])
    assert collapse(path, np.array([4])) == [[1, 2]]
    assert path.tolist() == [[1, 1, 0, 2]]


def test_greedy_reads_a_tensor_where_it_lies():
    log_probs = torch.randn(3, 7, 4).log_softmax(2)
    lengths = np.array([7, 5, 1])
    assert greedy_decode(log_probs, lengths) == greedy_decode(log_probs.numpy(), lengths)
