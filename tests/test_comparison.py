"""Two readers side by side."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_case import READ, Page, evaluation_of

from utils.show.comparison import Comparison, sign_test, write_comparison
from utils.show.html import aligned


@settings(deadline=None)
@given(st.text("ab", max_size=6), st.text("ab", max_size=6))
def test_aligned_rows_are_both_texts(label, text):
    above, below = aligned(label, text)
    assert ("".join(above), "".join(below)) == (label, text)
    assert len(above) == len(below)
    assert not any(a == b == "" for a, b in zip(above, below, strict=True))


def test_aligned_by_hand():
    assert aligned("abcd", "abd") == (["a", "b", "c", "d"], ["a", "b", "", "d"])
    assert aligned("xa", "ya") == (["x", "a"], ["y", "a"])


OTHER = [("abc", "abc", 0.6), ("abd", "abd", 0.9), ("<b>&", "b>&", 0.3), ("京x", "京x", 0.9)]


def test_two_readers_side_by_side(tmp_path: Path, pictures: list[Path]):
    comparison = Comparison(evaluation_of(READ), evaluation_of(OTHER))
    assert comparison.counts == {"both": 1, "one": 0, "other": 2, "neither": 1}
    assert comparison.differing() == [1, 3, 2]
    assert comparison.p_value == 0.5
    told = comparison.to_text()
    assert "exact: both 1, only A 0, only B 2, neither 1" in told
    assert "p = 0.5; the difference may well be chance" in told
    page = write_comparison(comparison, pictures, tmp_path / "two")
    shown = Page(page.read_text(encoding="utf-8"))
    assert "Texts that differ (3 of 3)" in shown.text
    assert len(shown.images) == 3
    assert "test/0.png" not in shown.text
    found = json.loads((tmp_path / "two" / "comparison.json").read_text(encoding="utf-8"))
    assert found["counts"] == {"both": 1, "a": 0, "b": 2, "neither": 1}


def test_readers_that_write_labels_differently_are_compared_as_both_write_them(
    tmp_path: Path, pictures: list[Path]
):
    """B has no capitals: it is not wrong for that, and A not right alone."""
    tells = [("aB", "aB", 0.9), ("Cd", "Cx", 0.8), ("e", "E", 0.7), ("f", "f", 0.6)]
    small = [("aB", "ab", 0.9), ("Cd", "cd", 0.8), ("e", "e", 0.7), ("f", "g", 0.6)]
    comparison = Comparison(evaluation_of(tells), evaluation_of(small, fold=str.lower))
    assert comparison.counts == {"both": 2, "one": 1, "other": 1, "neither": 0}
    assert comparison.differing() == [1, 3]
    told = comparison.to_text()
    assert "labels that A and B write differently: 2; the counts and the test take" in told
    assert "only A 1, only B 1" in told
    text = write_comparison(comparison, pictures, tmp_path).read_text(encoding="utf-8")
    assert text.count('class="wrong"') == 4  # d and x of A, g and f of B: capitals are no fault
    alone = evaluation_of(tells)
    assert "write differently" not in Comparison(alone, alone).to_text()


@pytest.mark.parametrize(
    ("one", "other", "p"), [(0, 0, 1.0), (5, 5, 1.0), (0, 6, 2 / 64), (9, 1, 22 / 1024)]
)
def test_the_sign_test(one, other, p):
    assert sign_test(one, other) == sign_test(other, one) == pytest.approx(p)


def test_a_clear_difference_is_named():
    better, worse = [("a", "a", 0.5)] * 10, [("a", "b", 0.5)] * 10
    told = Comparison(evaluation_of(better), evaluation_of(worse)).to_text()
    assert "A is better, and hardly by chance" in told
    assert math.isclose(sign_test(10, 0), 2 / 1024)
