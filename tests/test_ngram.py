"""The character language model: its numbers by hand, its file, and its command."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import utils.lm
from utils.errors import UserError
from utils.text.charset import Charset
from utils.text.ngram import NgramCounts, NgramModel

AB = Charset("ab")


def model_of(texts: list[str], order: int, charset: Charset = AB) -> NgramModel:
    return NgramModel(NgramCounts.of(texts, charset.characters, order), charset)


def test_the_numbers_of_a_small_corpus():
    """ "ab" and "a": at the start a twice; after a b once and the end once; after b the end."""
    model = model_of(["ab", "a"], order=2)
    # All characters: a 2, b 1, end 2; three kinds, left to 1/3 each: (n + 3 / 3) / (5 + 3).
    alone = {"a": 3 / 8, "b": 2 / 8, "": 3 / 8}
    after_a = {"a": 2 / 4 * alone["a"], "b": (1 + 2 * alone["b"]) / 4, "": (1 + 2 * alone[""]) / 4}
    after_b = {"": (1 + alone[""]) / 2}
    first = {"a": (2 + alone["a"]) / 3, "b": alone["b"] / 3}
    assert math.exp(model.log_prob("ab")) == pytest.approx(first["a"] * after_a["b"] * after_b[""])
    assert math.exp(model.log_prob("aa")) == pytest.approx(first["a"] * after_a["a"] * after_a[""])
    assert math.exp(model.log_prob("b")) == pytest.approx(first["b"] * after_b[""])


def test_files_from_before_it_knew_how_texts_begin_still_load(tmp_path: Path):
    (tmp_path / "lm.json").write_text(damaged('{"": {"a": 2, "": 1}, "a": {"a": 1, "": 1}}'))
    model = NgramModel(NgramCounts.load(tmp_path / "lm.json"), AB)
    alone = {"a": (2 + 2 / 3) / 5, "": (1 + 2 / 3) / 5}
    assert math.exp(model.log_prob("a")) == pytest.approx(alone["a"] * (1 + 2 * alone[""]) / 4)


@settings(deadline=None)
@given(
    st.lists(st.text("ab", max_size=5), min_size=1), st.integers(1, 4), st.text("ab", max_size=6)
)
def test_what_comes_next_sums_to_one(texts, order, text):
    model = model_of(texts, order)
    states = [0]
    for label in AB.encode(text):
        states.append(int(model.step(np.array(states[-1]), np.array(label))))
    rows = model.next_log_probs(np.array(states))
    np.testing.assert_allclose(np.exp(rows).sum(axis=1), 1.0)
    labels = [*AB.encode(text), 0]
    total = sum(row[label] for row, label in zip(rows, labels, strict=True))
    assert total == pytest.approx(model.log_prob(text))


def test_a_longer_context_knows_more():
    texts = ["abab", "abab", "baba"]
    short, long = model_of(texts, 1), model_of(texts, 3)
    assert long.log_prob("abab") > short.log_prob("abab")
    assert long.log_prob("abab") > long.log_prob("aabb")


def test_it_comes_back_from_its_file(tmp_path: Path):
    counts = NgramCounts.of(["ab", "ba", "京a"], "ab京", 3)
    counts.save(tmp_path / "lm.json")
    assert NgramCounts.load(tmp_path / "lm.json") == counts
    assert json.loads((tmp_path / "lm.json").read_text(encoding="utf-8"))["order"] == 3


def damaged(counts: str, order: int = 2) -> str:
    """A file with these counts."""
    return (
        '{"format": "crnn-reader character n-grams", "format_version": 1, "characters": "ab", '
        f'"order": {order}, "counts": {counts}}}'
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "not a language model of this project"),
        ("[1]", "not a language model of this project"),
        ('{"format": "other"}', "not a language model of this project"),
        (
            '{"format": "crnn-reader character n-grams", "format_version": 9}',
            "format version 9 is newer than 2",
        ),
        (
            '{"format": "crnn-reader character n-grams", "format_version": 1, "counts": 3}',
            "not a language model of this project",
        ),
        (damaged('{"a": {"b": Infinity}}'), "not a language model of this project"),
        (damaged('{"a": {"b": -1}}'), "a count that is not in 1"),
        (damaged('{"a": {"b": 1}}', 0), "an order of 0"),
        (damaged("[" * 100_000), "not a language model of this project"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, content: str, sentence: str):
    (tmp_path / "lm.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        NgramCounts.load(tmp_path / "lm.json")
    with pytest.raises(UserError, match="no such file"):
        NgramCounts.load(tmp_path / "other.json")


def test_what_counts_as_one_is_counted_together():
    """O stands for 0 in the texts of such a reader, and a for A."""
    counts = NgramCounts.of(["HELLO"] * 50, "HELOhelo0", 4)
    plain = NgramModel(counts, Charset("HELOhelo0")).log_prob("HELLO")
    folded = NgramModel(counts, Charset("helo", alike=("hH", "eE", "lL", "oO0")))
    assert folded.log_prob("hello") > plain
    rows = np.exp(folded.next_log_probs(np.zeros(1, int)))
    assert rows.sum() == pytest.approx(1.0)


def test_a_model_of_another_charset_is_refused():
    with pytest.raises(UserError, match=r"does not know 'c' \(1 of the 3 characters of charset"):
        model_of(["ab"], 2, Charset("ab")) and NgramModel(
            NgramCounts.of(["ab"], "ab", 2), Charset("abc")
        )


def run(*words: object) -> int:
    return utils.lm.main([str(word) for word in words])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    corpus, output = tmp_path / "my corpus.txt", tmp_path / "out" / "lm.json"
    corpus.write_text("abab\nba, cab\n\nxyz\n", encoding="utf-8")
    (tmp_path / "ab.txt").write_text("a\nb", encoding="utf-8")
    words = ("--charset_file", tmp_path / "ab.txt", "--order", 2, "--output_path", output)
    assert run(corpus, *words) == 0
    printed = capsys.readouterr().out
    told = "3 texts of charset ab (2) in 3 lines, cut at 6 characters outside it; perplexity"
    assert told in printed
    assert printed.splitlines()[-1] == f"language model of order 2: {output}"
    assert NgramCounts.load(output) == NgramCounts.of(["abab", "ba", "ab"], "ab", 2)


@pytest.mark.parametrize(
    ("content", "words", "sentence"),
    [
        (b"\xff\xfeab", [], "not UTF-8"),
        (b"\n\n", [], "it is empty"),
        (b"xyz\n", ["--charset", "digits"], "not one of its characters is in charset digits"),
        (b"12\n", ["--charset", "digits", "--order", "0"], "--order 0: expected 1 to 64"),
    ],
)
def test_corpora_that_are_refused(tmp_path: Path, content: bytes, words: list[str], sentence: str):
    corpus, output = tmp_path / "corpus.txt", tmp_path / "lm.json"
    corpus.write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        run(corpus, *words, "--output_path", output)
    assert not output.exists()
    with pytest.raises(UserError, match="no such file"):
        run(tmp_path / "none.txt")
    with pytest.raises(UserError, match="it is a folder"):
        run(tmp_path)
    with pytest.raises(UserError, match="no corpus is given"):
        run()
