"""Scores against cases worked by hand, and the alignment against a slow reference."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.metrics import REPEAT, Score, score_texts, wilson_interval

PAIRS = [
    ("abc", "abc"),  # exact: 3 hits
    ("aBc", "abc"),  # B read as b: 2 hits, 1 edit
    ("abcd", "abd"),  # c missed: 3 hits, 1 edit
    ("ab", "xab"),  # x too many: 2 hits, 1 edit
    ("xy", None),  # unreadable: 2 edits
    ("q", ""),  # no answer: 1 edit
]

texts = st.text(alphabet="aAb", max_size=6)
pairs = st.lists(st.tuples(texts, st.none() | texts), max_size=8)


def test_counts_of_a_hand_worked_set():
    score = score_texts(PAIRS)
    assert (score.n, score.exact, score.exact_ignoring_case, score.answered) == (6, 1, 2, 4)
    assert (score.edits, score.hits) == (6, 10)
    assert (score.reference_characters, score.text_characters) == (15, 12)
    assert score.confusions == {
        ("B", "b"): 1,
        ("c", ""): 1,
        ("", "x"): 1,
        ("x", ""): 1,
        ("y", ""): 1,
        ("q", ""): 1,
    }


def test_figures_of_a_hand_worked_set():
    score = score_texts(PAIRS)
    assert score.sequence_accuracy == pytest.approx(1 / 6)
    assert score.sequence_accuracy_ignoring_case == pytest.approx(2 / 6)
    assert score.cer == pytest.approx(6 / 15)
    assert score.character_accuracy == pytest.approx(9 / 15)
    summary = score.summary()
    assert summary["sequence"] == pytest.approx(
        {"precision": 1 / 4, "recall": 1 / 6, "f1": 2 / (4 + 6)}
    )
    assert summary["characters"] == pytest.approx(
        {"precision": 10 / 12, "recall": 10 / 15, "f1": 20 / 27}
    )
    assert summary["n"] == summary["counts"]["n"] == 6
    assert summary["sequence_accuracy"] == score.sequence_accuracy
    assert summary["sequence_accuracy_ignoring_case"] == score.sequence_accuracy_ignoring_case
    assert summary["character_accuracy"] == score.character_accuracy
    assert summary["cer"] == score.cer
    assert json.loads(json.dumps(summary)) == summary


def test_lengths_places_and_classes_of_a_hand_worked_set():
    score = score_texts(PAIRS)
    assert score.lengths == {1: 1, 2: 2, 3: 2, 4: 1}
    assert +score.lengths_exact == {3: 1}
    assert score.positions == {1: 6, 2: 5, 3: 3, 4: 1}
    assert score.positions_hit == {1: 4, 2: 3, 3: 2, 4: 1}
    classes = score.by_class()
    interval = classes["b"].pop("recall_interval_95")
    assert interval == list(wilson_interval(3, 3))
    assert classes["b"] == pytest.approx({"precision": 3 / 4, "recall": 1.0, "f1": 6 / 7, "n": 3})
    assert [classes["B"][key] for key in ("precision", "recall", "f1", "n")] == [0.0, 0.0, 0.0, 1]
    assert classes["x"]["n"] == 1
    assert REPEAT not in classes


def test_repeats_are_a_class_of_their_own():
    score = score_texts([("aab", "ab"), ("bbb", "bbb"), ("ab", "ab")])
    expected = {"recall": 2 / 3, "n": 3, "recall_interval_95": list(wilson_interval(2, 3))}
    assert score.by_class()[REPEAT] == expected


def test_normalized_edit_distance_is_a_mean_over_pictures():
    assert score_texts(PAIRS).normalized_edit_distance == pytest.approx(
        (0 + 1 / 3 + 1 / 4 + 1 / 3 + 1 + 1) / 6
    )
    assert score_texts([("a", "bcd"), ("a", "a")]).normalized_edit_distance == 0.5
    assert Score().normalized_edit_distance == 0.0


def test_a_rejected_text_is_no_answer():
    score = Score()
    for label, text, rejected in [
        ("a", "a", False), ("a", "a", True), ("a", "b", True), ("a", "b", False)
    ]:  # fmt: skip
        score.add(label, text, rejected)
    assert (score.n, score.exact, score.answered, score.answered_exact) == (4, 2, 2, 1)
    assert score.summary()["sequence"] == pytest.approx(
        {"precision": 1 / 2, "recall": 1 / 4, "f1": 1 / 3}
    )


@pytest.mark.parametrize(
    ("right", "n", "expected"),
    [
        (8, 10, (0.4902, 0.9433)),  # Newcombe, 1998, method 3, to four places
        (81, 263, (0.2553, 0.3662)),  # Newcombe's own example
        (0, 20, (0.0, 0.1611)),
        (10, 10, (0.7225, 1.0)),
        (0, 0, (0.0, 1.0)),
    ],
)
def test_wilson_intervals(right, n, expected):
    assert wilson_interval(right, n) == pytest.approx(expected, abs=1e-4)


def test_the_interval_of_cer_is_that_of_the_pictures():
    """Against the spread of the ratio over samples drawn anew: errors come several in a picture."""
    rng = np.random.default_rng(0)
    texts = [("abcdef", "xyzdef" if bad else "abcdef") for bad in rng.random(4000) < 0.1]
    texts += [("ab", "b" if bad else "ab") for bad in rng.random(4000) < 0.3]
    low, high = score_texts(texts).cer_interval
    edits, sizes = (
        np.array(each)
        for each in zip(
            *((3 * (a != b) if len(a) > 2 else int(a != b), len(a)) for a, b in texts), strict=True
        )
    )
    ratios = []
    for _ in range(2000):
        rows = rng.integers(0, len(texts), len(texts))
        ratios.append(edits[rows].sum() / sizes[rows].sum())
    assert (low, high) == pytest.approx(tuple(np.quantile(ratios, [0.025, 0.975])), rel=0.02)
    assert score_texts([("a", "b")]).cer_interval == (0.0, 1.0)
    assert score_texts([("ab", "ab")] * 9).cer_interval == (0.0, 0.0)


def test_unreadable_counts_as_an_error_in_every_denominator():
    good, with_unreadable = score_texts([("ab", "ab")]), score_texts([("ab", "ab"), ("cd", None)])
    assert with_unreadable.n == good.n + 1
    assert with_unreadable.sequence_accuracy == 0.5
    assert with_unreadable.cer == 0.5
    assert score_texts([("cd", None)]) == score_texts([("cd", "")])


def test_case_is_ignored_as_unicode_folds_it():
    score = score_texts([("STRASSE", "straße"), ("É", "é"), ("a", "b")])
    assert (score.exact, score.exact_ignoring_case) == (0, 2)


def test_an_accuracy_below_zero_is_shown_as_it_is():
    assert score_texts([("a", "bcd")]).character_accuracy == -2.0


def test_line_always_says_n():
    assert score_texts(PAIRS).line() == (
        "sequence accuracy 16.67% exact, 33.33% ignoring case, character accuracy 60.00%, n = 6"
    )
    assert score_texts([("a", "a")] * 1234).line().endswith("n = 1,234")


def test_nothing_scored_is_nothing_claimed():
    summary = Score().summary()
    assert summary["n"] == 0
    assert summary["sequence"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert Score().line().endswith("n = 0")


@settings(deadline=None)
@given(pairs, pairs)
def test_scores_add_up(first, second):
    total = score_texts(first) + score_texts(second)
    assert total == score_texts(first + second)
    assert sum((score_texts([pair]) for pair in first), Score()) == score_texts(first)


def test_adding_leaves_the_parts_alone():
    first, second = score_texts(PAIRS), score_texts(PAIRS)
    assert (first + second).confusions["B", "b"] == 2
    assert first == second == score_texts(PAIRS)


@cache
def best_alignments(label: str, text: str) -> tuple[int, frozenset[int]]:
    """The least edits, and the numbers of hits that an alignment with so few edits may have."""
    if not label or not text:
        return len(label) + len(text), frozenset([0])
    is_hit = label[-1] == text[-1]
    ways = [
        (best_alignments(label[:-1], text[:-1]), int(not is_hit), int(is_hit)),
        (best_alignments(label[:-1], text), 1, 0),
        (best_alignments(label, text[:-1]), 1, 0),
    ]
    least = min(edits + cost for (edits, _), cost, _ in ways)
    found = {
        hits + gain
        for (edits, counts), cost, gain in ways
        for hits in counts
        if edits + cost == least
    }
    return least, frozenset(found)


@settings(deadline=None)
@given(texts, texts)
def test_edits_and_hits_are_those_of_a_shortest_alignment(label, text):
    score = score_texts([(label, text)])
    edits, possible_hits = best_alignments(label, text)
    assert score.edits == edits == sum(score.confusions.values())
    assert score.hits in possible_hits
    lost = sum(count for (wanted, _), count in score.confusions.items() if wanted)
    extra = sum(count for (_, got), count in score.confusions.items() if got)
    assert score.hits == len(label) - lost == len(text) - extra
