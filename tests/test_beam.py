"""Prefix beam search and constrained best paths against the enumeration of all paths."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from every_path import Text, every_text, logs, pad, probability_rows, reads_as
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.text import viterbi
from utils.text.automaton import Automaton, any_of, both, lexicon, sequence_of
from utils.text.beam import Hypothesis, prefix_beam_search
from utils.text.viterbi import best_allowed_paths

EVERYTHING = 400
"""More than there are texts of up to five of three labels (364)."""


def four_classes(rows: np.ndarray) -> np.ndarray:
    return np.pad(rows, ((0, 0), (0, 4 - rows.shape[1])))


Allowed = Callable[[Text], bool]


@st.composite
def constraints(draw) -> tuple[Automaton, Allowed]:
    """An automaton over labels 1..3, and the same rule in plain words."""
    labels = st.sets(st.integers(1, 3))
    kind = draw(st.sampled_from(["allow", "length", "pattern", "lexicon", "both"]))
    if kind == "allow":
        kept = draw(labels)
        return any_of(kept), lambda text: set(text) <= kept
    if kind == "length":
        least, more = draw(st.integers(0, 4)), draw(st.integers(0, 2))
        rule = sequence_of([{1, 2, 3}] * (least + more), least)
        return rule, lambda text: least <= len(text) <= least + more
    if kind == "pattern":
        sets = draw(st.lists(labels, max_size=4))
        return sequence_of(
            sets
        ), lambda text: len(text) == len(sets) and all(map(set.__contains__, sets, text))
    if kind == "lexicon":
        words = draw(st.sets(st.lists(st.integers(1, 3), max_size=4).map(tuple), min_size=1))
        return lexicon(words), words.__contains__
    (one, is_one), (other, is_other) = draw(constraints()), draw(constraints())
    return both(one, other), lambda text: is_one(text) and is_other(text)


def best_path(rows: np.ndarray, allowed: Allowed) -> float:
    """The probability of the most probable path that reads as an allowed text."""
    paths = itertools.product(range(rows.shape[1]), repeat=len(rows))
    steps = range(len(rows))
    return max(
        (math.prod(rows[steps, path].tolist()) for path in paths if allowed(reads_as(path))),
        default=0.0,
    )


def search(rows: np.ndarray, **options) -> list[Hypothesis]:
    options = {"beam_width": EVERYTHING, "n_best": EVERYTHING, "prune": None} | options
    return prefix_beam_search(logs(rows)[None], np.array([len(rows)]), **options)[0]


def check(found: list[Hypothesis], texts: dict[Text, float]) -> None:
    """All the texts that have a probability, most probable first, with it."""
    expected = {text: share for text, share in texts.items() if share > 0}
    assert {tuple(each.ids) for each in found} == set(expected)
    assert len(found) == len(expected)
    for each in found:
        assert math.exp(each.log_prob) == pytest.approx(expected[tuple(each.ids)], rel=1e-9)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)


@settings(deadline=None, max_examples=100)
@given(probability_rows())
def test_a_beam_of_all_prefixes_finds_every_text(rows):
    check(search(rows), every_text(rows))


@settings(deadline=None, max_examples=200)
@given(probability_rows().map(four_classes), constraints())
def test_a_constrained_beam_finds_every_allowed_text(rows, constraint):
    automaton, allowed = constraint
    texts = every_text(rows)
    found = search(rows, automaton=automaton)
    check(found, {text: share for text, share in texts.items() if allowed(text)})


@settings(deadline=None, max_examples=300)
@given(probability_rows().map(four_classes), constraints())
def test_the_best_allowed_path(rows, constraint):
    automaton, allowed = constraint
    (found,) = best_allowed_paths(logs(rows)[None], np.array([len(rows)]), automaton)
    expected = best_path(rows, allowed)
    if expected == 0:
        assert found is None
    else:
        text = tuple(found)
        assert allowed(text)
        assert best_path(rows, text.__eq__) == pytest.approx(expected, rel=1e-9)


@settings(deadline=None, max_examples=200)
@given(
    probability_rows().map(four_classes),
    constraints(),
    st.sampled_from([(0.1,), (1.0, 2.0), (9.0,), ()]),
)
def test_the_best_allowed_path_of_a_large_automaton(rows, constraint, shown):
    """It is looked for among the labels that the picture shows first."""
    automaton, _ = constraint
    expected = best_allowed_paths(logs(rows)[None], np.array([len(rows)]), automaton)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(viterbi, "MANY_EDGES", 0)
        patch.setattr(viterbi, "SHOWN", shown)
        found = best_allowed_paths(logs(rows)[None], np.array([len(rows)]), automaton)
    assert [text is None for text in found] == [text is None for text in expected]
    for one, other in zip(found, expected, strict=True):
        if one is not None:
            shares = [best_path(rows, tuple(text).__eq__) for text in (one, other)]
            assert shares[0] == pytest.approx(shares[1], rel=1e-9)


@settings(deadline=None, max_examples=100)
@given(constraints())
def test_the_steps_that_a_constraint_needs(constraint):
    automaton, allowed = constraint
    texts = [text for size in range(6) for text in itertools.product((1, 2, 3), repeat=size)]
    needed = [len(text) + sum(map(int.__eq__, text, text[1:])) for text in texts if allowed(text)]
    assert automaton.frames_needed() == min(needed, default=-1)


@settings(deadline=None, max_examples=60)
@given(st.lists(probability_rows(4, 3).filter(lambda rows: rows.shape[1] == 3), min_size=2))
def test_a_padded_batch_reads_as_each_alone(examples):
    batch, lengths = pad(examples)
    rule = sequence_of([{1, 2}] * 2, 1)
    beams = prefix_beam_search(batch, lengths, beam_width=40, n_best=40, prune=None)
    paths = best_allowed_paths(batch, lengths, rule)
    for row, rows in enumerate(examples):
        alone = logs(rows).astype(np.float32)[None], np.array([len(rows)])
        [expected] = prefix_beam_search(*alone, beam_width=40, n_best=40, prune=None)
        check(beams[row], {tuple(each.ids): math.exp(each.log_prob) for each in expected})
        assert [paths[row]] == best_allowed_paths(*alone, rule)


@settings(deadline=None, max_examples=100)
@given(probability_rows(), st.integers(1, 6), st.sampled_from([None, 0.5, 9.0]))
def test_a_narrow_beam_claims_no_more_than_there_is(rows, width, prune):
    texts = every_text(rows)
    found = search(rows, beam_width=width, n_best=width, prune=prune)
    assert 1 <= len(found) <= width
    assert len({tuple(each.ids) for each in found}) == len(found)
    for each in found:
        assert math.exp(each.log_prob) <= texts[tuple(each.ids)] * (1 + 1e-9)


def test_classes_far_below_the_best_are_not_tried():
    rows = np.array([[0.05, 0.9, 0.05], [0.9, 0.1 - 1e-4, 1e-4]])
    everything = {tuple(each.ids) for each in search(rows)}
    assert {tuple(each.ids) for each in search(rows, prune=math.log(1000))} == everything - {
        (1, 2)
    } - {(2, 2)}


class Bigrams:
    """A language model from a table: row of the last label (0: the start), the end in column 0."""

    def __init__(self, table: np.ndarray):
        self._logs = logs(table)

    def next_log_probs(self, states: np.ndarray) -> np.ndarray:
        return self._logs[states]

    def step(self, states: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return np.broadcast_to(labels, np.broadcast_shapes(states.shape, labels.shape))

    def log_prob(self, text: Text) -> float:
        places = [0, *text]
        after = [*text, 0]
        return float(
            sum(self._logs[state, label] for state, label in zip(places, after, strict=True))
        )


@settings(deadline=None, max_examples=60)
@given(probability_rows(), st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 2.0]))
def test_a_language_model_weighs_every_text(rows, seed, weight):
    classes = rows.shape[1]
    model = Bigrams(np.random.default_rng(seed).dirichlet(np.ones(classes), size=classes))
    texts = {text: share for text, share in every_text(rows).items() if share > 0}
    found = search(rows, language=model, language_weight=weight)
    assert {tuple(each.ids) for each in found} == set(texts)
    for each in found:
        text = tuple(each.ids)
        assert each.log_prob == pytest.approx(math.log(texts[text]), rel=1e-9, abs=1e-9)
        expected = math.log(texts[text]) + weight * model.log_prob(text)
        assert each.score == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
