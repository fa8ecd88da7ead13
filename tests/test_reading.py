"""Decoding as a user asks for it: options that stay apart, case, confidence, characters."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from every_path import every_text, logs, pad, probability_rows
from hypothesis import given, settings
from readings import AB, ROWS, read

from utils.errors import UserError
from utils.text.asked import Decoding
from utils.text.beam import prefix_beam_search
from utils.text.charset import Charset
from utils.text.constraints import Constraints
from utils.text.ngram import NgramCounts
from utils.text.reading import Decoder, Reading


def test_the_default_is_the_best_path_with_its_text_s_probability():
    reading = read(ROWS)
    assert reading.text == "aAb"
    assert reading.confidence == pytest.approx(0.5 * 0.4 * 0.6)
    assert reading.alternatives == ()
    assert reading.fits


@settings(deadline=None, max_examples=40)
@given(probability_rows(5, 4))
def test_confidence_is_the_sum_over_the_paths_of_the_text(rows):
    charset = Charset("abc"[: rows.shape[1] - 1])
    texts = {charset.decode(ids): share for ids, share in every_text(rows).items()}
    for decoding in (None, Decoding("beam", beam_width=30)):
        reading = read(rows, charset, decoding)
        assert reading.confidence == pytest.approx(texts[reading.text], rel=1e-9)


def test_a_beam_gives_the_best_texts_with_their_probabilities():
    texts = {AB.decode(ids): share for ids, share in every_text(ROWS).items()}
    reading = read(ROWS, decoding=Decoding("beam", beam_width=100, n_best=5))
    best = sorted(texts.items(), key=lambda item: -item[1])[:5]
    assert [text for text, _ in reading.alternatives] == [text for text, _ in best]
    assert dict(reading.alternatives) == pytest.approx(dict(best))
    assert (reading.text, reading.confidence) == reading.alternatives[0]


@pytest.mark.parametrize("name", ["greedy", "beam"])
def test_a_constraint_changes_one_call_only(name):
    bound = Decoding(name, constraints=Constraints(length="2", allow="ab"))
    assert read(ROWS, decoding=bound).text == "ab"
    assert read(ROWS).text == "aAb"
    assert read(ROWS, decoding=bound).text == "ab"


@pytest.mark.parametrize(
    ("decoding", "sentence"),
    [
        (Decoding("viterbi"), "decoder 'viterbi': expected one of greedy, beam"),
        (Decoding(lm="lm.json"), "--lm needs --decoder beam"),
        (Decoding(n_best=4), "--n_best 4 needs --decoder beam"),
    ],
)
def test_what_does_not_go_together_is_refused_in_python_too(decoding, sentence):
    with pytest.raises(UserError, match=sentence):
        Decoder(Charset("ab"), decoding)


@pytest.mark.parametrize("name", ["greedy", "beam"])
def test_where_no_allowed_text_fits_nothing_is_read(name):
    reading = read(ROWS, decoding=Decoding(name, constraints=Constraints(length="4")))
    assert reading == Reading("", 0.0, fits=False)


def test_a_beam_that_lost_all_allowed_texts_takes_the_best_allowed_path(tmp_path: Path):
    """The narrow beam keeps the prefix that is better at first and leads nowhere."""
    rows = np.array([[0.05, 0.8, 0.15], [0.05, 0.9, 0.05], [0.98, 0.01, 0.01]])
    words = tmp_path / "words.txt"
    words.write_text("babab\nbb\n", encoding="utf-8")
    found = read(
        rows, Charset("ab"), Decoding("beam", 1, constraints=Constraints(lexicon=str(words)))
    )
    assert found.text == "bb"


def test_no_text_that_all_constraints_allow():
    with pytest.raises(UserError, match="no text is allowed by all of the constraints together"):
        Decoder(AB, Decoding(constraints=Constraints(length="2", pattern="L")))


def test_frames_needed():
    assert Decoder(AB).frames_needed == 0
    assert Decoder(AB, Decoding(constraints=Constraints(length="3-9"))).frames_needed == 3
    twins = Decoding(constraints=Constraints(length="3", allow="a"))
    assert Decoder(AB, twins).frames_needed == 5


@pytest.mark.parametrize("decoding", [
    Decoding(), Decoding("beam", 20, 3), Decoding(ignore_case=True),
    Decoding(constraints=Constraints(length="1-3")),
    Decoding("beam", 20, 2, Constraints(length="2", allow="aA")),
])  # fmt: skip
def test_a_batch_of_mixed_lengths_reads_as_each_alone(decoding):
    """What lies past a length is loud and wrong."""
    rng = np.random.default_rng(0)
    rows = [rng.dirichlet(np.ones(4), size=steps) for steps in (6, 3, 1, 5)]
    batch, lengths = pad(rows)
    together = Decoder(AB, decoding).read(batch, lengths, characters=True)
    for reading, row in zip(together, rows, strict=True):
        alone = read(row.astype(np.float32), decoding=decoding)
        assert (reading.text, reading.fits) == (alone.text, alone.fits)
        assert reading.confidence == pytest.approx(alone.confidence, rel=1e-4)
        assert [text for text, _ in reading.alternatives] == [
            text for text, _ in alone.alternatives
        ]
        for one, other in zip(reading.characters, alone.characters, strict=True):
            assert replace(one, confidence=0) == replace(other, confidence=0)
            assert one.confidence == pytest.approx(other.confidence, rel=1e-3)


def test_no_pictures():
    empty = np.empty((0, 5, 4)), np.empty(0, int)
    for decoding in (Decoding(), Decoding("beam"), Decoding(constraints=Constraints(length="1"))):
        assert Decoder(AB, decoding).read(*empty, characters=True) == []


def test_an_allowed_text_of_classes_that_are_not_tried_at_first(tmp_path: Path):
    """The pruned beam finds `aab`, of two rare classes; `Ab` is more probable, of a rarer one."""
    rare = [1 - 2e-4 - 3e-5, 2e-4, 3e-5, 0.0]
    rows = np.array([rare, [1.0, 0.0, 0.0, 0.0], rare, [0.0, 0.0, 0.0, 1.0]])
    words = tmp_path / "words.txt"
    words.write_text("aab\nAb\n", encoding="utf-8")
    decoding = Decoding("beam", constraints=Constraints(lexicon=str(words)))
    automaton = decoding.constraints.automaton(AB)
    [pruned] = prefix_beam_search(logs(rows)[None], np.array([4]), automaton=automaton)
    assert [AB.decode(each.ids) for each in pruned] == ["aab"]
    assert read(rows, decoding=decoding).text == "Ab"


def test_a_language_model_decides_between_equals(tmp_path: Path):
    rows = np.array([[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.51, 0.49]])
    NgramCounts.of(["ab", "ab", "ba"], "aAb", 2).save(tmp_path / "lm.json")
    plain = Decoding("beam")
    weighed = Decoding("beam", lm=str(tmp_path / "lm.json"), lm_weight=1.0)
    assert read(rows, decoding=plain).text == "aA"
    reading = read(rows, decoding=weighed)
    assert reading.text == "ab"
    assert reading.confidence == pytest.approx(0.49)


def test_characters_and_their_places():
    rows = np.array([[0.1, 0.0, 0.0, 0.9], [0.9, 0.0, 0.0, 0.1], [0.2, 0.5, 0.3, 0.0],
                     [0.0, 0.5, 0.5, 0.0]])  # fmt: skip
    reading = read(rows)
    texts = {AB.decode(ids): share for ids, share in every_text(rows).items()}
    assert reading.text == "ba"
    b, a = reading.characters
    assert (b.text, b.start, b.end, b.left, b.right) == ("b", 0, 1, 0.0, 0.25)
    assert (a.text, a.start, a.end, a.left, a.right) == ("a", 2, 4, 0.5, 1.0)
    others = texts["ba"] + texts["bA"] + texts["bb"] + texts["b"]
    assert a.confidence == pytest.approx(texts["ba"] / others)


@pytest.mark.parametrize(
    ("decoding", "sentence"),
    [
        (Decoding(lm="x"), "--lm needs --decoder beam"),
        (Decoding(n_best=2), "--n_best 2 needs --decoder beam"),
        (Decoding("beam", beam_width=3, n_best=4), "--n_best 4: more than --beam_width 3"),
    ],
)
def test_what_does_not_go_together(decoding, sentence):
    [problem] = decoding.problems()
    assert problem.startswith(sentence)


def test_every_combination_reads(tmp_path: Path):
    NgramCounts.of(["ab"], "ab", 2).save(tmp_path / "lm.json")
    words = tmp_path / "words.txt"
    words.write_text("ab\na\nb\n", encoding="utf-8")
    for length, pattern, lexicon, lm, case in itertools.product(
        (None, "1-2"), (None, "L", "LL"), (None, str(words)), (None, "lm.json"), (False, True)
    ):
        charset = Charset("abB") if case else Charset("ab")
        rows = np.random.default_rng(0).dirichlet(np.ones(charset.num_classes), size=6)
        decoding = Decoding(
            "beam", 4, 2, Constraints(None, length, pattern, lexicon),
            lm and str(tmp_path / lm), 0.5, case,
        )  # fmt: skip
        reading = read(rows, charset, decoding)
        assert 0 < reading.confidence <= 1
        assert all(0 < each.confidence <= 1 for each in reading.characters)
        assert math.isclose(reading.alternatives[0][1], reading.confidence)
