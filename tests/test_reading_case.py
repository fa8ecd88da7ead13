"""Reading both cases of a letter as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from every_path import every_text, probability_rows
from hypothesis import given, settings
from readings import ROWS, read

from utils.text.asked import Decoding
from utils.text.case import fold_case, merge_classes
from utils.text.charset import Charset
from utils.text.constraints import Constraints


@settings(deadline=None, max_examples=40)
@given(probability_rows(5, 4).filter(lambda rows: rows.shape[1] == 4))
def test_ignoring_case_adds_the_probabilities_of_both(rows):
    """Of paths: a and A are one class, so that aA without a blank between them is one letter."""
    merged = np.stack([rows[:, 0], rows[:, 1] + rows[:, 2], rows[:, 3]], axis=1)
    texts = {Charset("ab").decode(ids): share for ids, share in every_text(merged).items()}
    found = read(rows, decoding=Decoding("beam", 30, 30, ignore_case=True))
    likely = {text: share for text, share in texts.items() if share > 0}
    assert dict(found.alternatives) == pytest.approx(likely)


def test_the_case_of_a_folded_charset():
    folded, classes = fold_case(Charset("AbBaCé1ß"))
    assert folded.characters == "abCé1ß"
    assert folded.alike == ("aA", "bB", "Cc", "éÉ")
    assert classes.tolist() == [0, *folded.encode("abbaCé1ß")]
    log_probs = np.log(np.full((1, 2, 9), 1 / 9))
    shares = np.exp(merge_classes(log_probs, classes))
    assert shares[0, 0].tolist() == pytest.approx([1 / 9, 2 / 9, 2 / 9, *[1 / 9] * 4])


def test_one_case_of_a_charset_stands_for_both():
    lower = fold_case(Charset("ABc1ßİ", "few", drops=True), str.lower)[0]
    assert (lower.characters, lower.name) == ("abc1ßİ", "few, lower case")
    assert fold_case(lower, str.lower)[0] == lower
    assert lower.fold("aAbBcC1ß-İ?") == "aabbcc1ßİ"
    upper = fold_case(Charset("aAb"), str.upper)[0]
    assert (upper.characters, upper.alike) == ("AB", ("Aa", "Bb"))
    assert upper.encode("aAbB") == [1, 1, 2, 2]
    assert upper.fold("a-b") == "A-B"


def test_one_case_of_alike_characters():
    """l stands for 1 and I, and both for their other cases."""
    lower = fold_case(Charset("1xL", alike=("1lI",)), str.lower)[0]
    assert lower.characters == "1x"
    assert {lower.encode(ch)[0] for ch in "1lILi"} == {1}
    assert lower.encode("xX") == [2, 2]


def test_long_s_and_s_both_have_s_for_upper_case():
    """It belongs to the one that comes first."""
    lower = fold_case(Charset("ſs"), str.lower)[0]
    assert lower.characters == "ſs"
    assert lower.encode("S") == lower.encode("ſ")


def test_cases_of_alike_characters_are_one_class_too():
    """l stands for 1 and I; so does L for l, and i for I."""
    folded, classes = fold_case(Charset("1Lix", alike=("1lI",)))
    assert folded.encode("1lILiX".replace("X", "x")) == [*[folded.encode("1")[0]] * 5, 2]
    assert classes.tolist() == [0, 1, 1, 1, 2]


def test_constraints_ignore_case_too(tmp_path: Path):
    words = tmp_path / "words.txt"
    words.write_text("Ab\n", encoding="utf-8")
    decoding = Decoding(ignore_case=True, constraints=Constraints(lexicon=str(words)))
    assert read(ROWS, decoding=decoding).text == "ab"
