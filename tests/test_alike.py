"""Characters that count as one."""

from __future__ import annotations

import pytest

from utils.errors import UserError
from utils.text.alike import Alike
from utils.text.charset import Charset


def test_the_first_of_a_group_stands_for_all():
    alike = Alike.of("0oO,1lI,vV")
    assert alike.groups == ("0oO", "1lI", "vV")
    assert alike.fold("OoO0 lI1 vVa") == "0000 111 vva"
    assert Alike().fold("OoO") == "OoO"


def test_a_folded_charset():
    folded = Alike.of("0oO,aA").fold_charset(Charset("Aao1", "four"))
    assert folded == Charset("ao1", "four, alike as one", alike=("o0O", "aA"))
    assert folded.encode("o0OaA1") == [2, 2, 2, 1, 1, 3]
    assert folded.fold("O1A?") == "o1a?"
    assert folded.decode(folded.encode("0A")) == "oa"
    assert folded.missing(["OAb"]) == {"b": 1}
    assert Alike.of("xy").fold_charset(Charset("ab", "two")) == Charset("ab", "two")


@pytest.mark.parametrize("text", ["", "a", "ab,", "aa", "ab,c", "aba"])
def test_groups_that_are_none(text):
    with pytest.raises(UserError, match="is no group of different characters"):
        Alike.of(text)


def test_no_character_is_in_two_groups():
    with pytest.raises(UserError, match="'o' stands in two groups; put them together"):
        Alike.of("0o,oO")
