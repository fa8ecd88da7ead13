"""Flags as automata: what is allowed, and what is refused in a sentence."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from utils.errors import UserError
from utils.text.automaton import NOWHERE, Automaton
from utils.text.charset import Charset
from utils.text.constraints import Constraints

CHARSET = Charset("01abAB-D", "eight")


def accepts(automaton: Automaton, text: str) -> bool:
    state = np.array(0)
    for label in CHARSET.encode(text):
        state = automaton.step(state, np.array(label))
    return bool(state != NOWHERE and automaton.accepting[state])


def allowed(**constraints: str) -> set[str]:
    """All allowed texts of up to three characters."""
    automaton = Constraints(**constraints).automaton(CHARSET)
    assert automaton is not None
    texts = (
        "".join(text) for n in range(4) for text in itertools.product(CHARSET.characters, repeat=n)
    )
    return {text for text in texts if accepts(automaton, text)}


def every(*sets: str) -> set[str]:
    return {"".join(text) for text in itertools.product(*sets)}


def test_nothing_asked_is_no_automaton():
    assert Constraints().automaton(CHARSET) is None


def test_allowed_characters():
    assert allowed(allow="0a") == {""} | every("0a") | every("0a", "0a") | every("0a", "0a", "0a")


def test_an_allowed_preset():
    charset = Charset("0123456789x")
    automaton = Constraints(allow="digits").automaton(charset)
    assert automaton is not None
    assert sorted(automaton.labels.tolist()) == charset.encode("0123456789")


def test_lengths():
    every_one = CHARSET.characters
    assert allowed(length="2") == every(every_one, every_one)
    assert allowed(length="1-2") == every(every_one) | every(every_one, every_one)


@pytest.mark.parametrize(
    ("pattern", "sets"),
    [
        ("D", ["01"]),
        ("L", ["abABD"]),
        ("US", ["ABD", "ab"]),
        ("A-", ["01abABD", "-"]),
        ("?", ["01abAB-D"]),
        ("a\\D", ["a", "D"]),
        ("[0a-]B", ["0a-", "B"]),
        ("[\\D1]", ["D1"]),
    ],
)
def test_patterns(pattern, sets):
    assert allowed(pattern=pattern) == every(*sets)


def test_a_lexicon(tmp_path: Path):
    path = tmp_path / "words.txt"
    path.write_text("ab\n\nabA\r\n0\n", encoding="utf-8")
    assert allowed(lexicon=str(path)) == {"ab", "abA", "0"}


def test_all_of_them_hold_together(tmp_path: Path):
    path = tmp_path / "words.txt"
    path.write_text("ab\n0b\n1\n01\nAb\n", encoding="utf-8")
    found = allowed(lexicon=str(path), length="2", allow="01abA", pattern="[0A]?")
    assert found == {"0b", "01", "Ab"}


def test_dead_ends_are_left_out(tmp_path: Path):
    path = tmp_path / "words.txt"
    path.write_text("aaa\nb\n", encoding="utf-8")
    automaton = Constraints(lexicon=str(path), length="1").automaton(CHARSET)
    assert automaton is not None
    assert automaton.labels.tolist() == CHARSET.encode("b")


@pytest.mark.parametrize(
    ("constraints", "sentence"),
    [
        ({"allow": "a?"}, r"--allow a\?: '\?' is not in charset eight"),
        ({"allow": ""}, r"--allow '': no character is allowed"),
        ({"allow": "digits"}, r"--allow digits: '23456789' is not in charset eight"),
        ({"length": "x"}, r"--length x: expected a number, or two of them such as 4-8"),
        ({"length": "0"}, r"--length 0: expected 1 to 10,000"),
        ({"length": "5-3"}, r"--length 5-3: expected 1 to 10,000, the smaller one first"),
        ({"pattern": ""}, r"--pattern : expected one sign a character: D digit"),
        ({"pattern": "[ab"}, r"--pattern \[ab: expected one sign"),
        ({"pattern": "ab\\"}, r"--pattern ab\\: expected one sign"),
        ({"pattern": "DDé"}, r"--pattern DDé: 'é' is not in charset eight"),
        ({"lexicon": "nowhere.txt"}, r"--lexicon nowhere.txt: no such file"),
    ],
)
def test_what_is_refused(constraints, sentence):
    with pytest.raises(UserError, match=sentence):
        Constraints(**constraints).automaton(CHARSET)


def test_a_character_is_of_the_kinds_of_all_that_it_stands_for():
    charset = Charset("1oa", alike=("o0O",))
    for kind, expected in (("D", "1o"), ("L", "oa"), ("U", "o"), ("S", "oa")):
        automaton = Constraints(pattern=kind).automaton(charset)
        assert automaton is not None
        assert sorted(automaton.labels.tolist()) == charset.encode(expected), kind


def test_no_text_is_longer_than_the_widest_picture_has_steps():
    automaton = Constraints(length="2-9999").automaton(CHARSET, max_steps=5)
    assert automaton is not None
    assert automaton.num_states == 6
    with pytest.raises(UserError, match="takes 9 time steps, and the widest picture"):
        Constraints(length="9").automaton(CHARSET, max_steps=5)


def test_all_that_is_wrong_is_told_at_once():
    problems = Constraints(allow="", length="x", pattern="[", lexicon="none").problems()
    assert [problem.split()[0] for problem in problems] == [
        "--length", "--pattern", "--allow", "--lexicon"
    ]  # fmt: skip
    assert Constraints(allow="é", length="4-8", pattern="DD").problems() == []


def test_a_pattern_of_a_kind_that_the_charset_lacks():
    with pytest.raises(UserError, match="charset lower has no character for D"):
        Constraints(pattern="D").automaton(Charset("abc", "lower"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "it is empty"),
        (b"\n\n", "it is empty"),
        (b"ab\nabc\n", "words.txt:2: 'abc' has 'c', which is not in charset eight"),
        (b"\xff\xfe", "cannot be read as UTF-8"),
    ],
)
def test_lexicons_that_are_refused(tmp_path: Path, content: bytes, sentence: str):
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        Constraints(lexicon=str(path)).automaton(CHARSET)
