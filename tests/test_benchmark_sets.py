"""Benchmarks of real sets: folds of a small one, and how fast an LMDB feeds training."""

from __future__ import annotations

import os

import numpy as np
import pytest
from benchmark_tables import run
from word_set import FACES

from benchmarks import feed, folds, words
from utils.errors import UserError
from utils.text.charset import Charset
from utils.text.reading import Decoder

SMALL = "--img_width 80 --img_height 32 --hidden_size 16 --batch_size 4 --num_epochs 1"


@pytest.mark.parametrize(("count", "folds_in_all"), [(20, 5), (23, 5), (100, 5), (8, 2), (12, 3)])
def test_every_picture_is_scored_once_and_never_by_who_saw_it(count, folds_in_all):
    scored = []
    for fold in range(folds_in_all):
        train, val, test = folds.deal(count, folds_in_all, fold, seed=3)
        assert sorted(train + val + test) == list(range(count))
        assert val
        scored += test
    assert sorted(scored) == list(range(count))
    assert folds.deal(count, 5, 0, 1) != folds.deal(count, 5, 0, 2)


def test_characters_can_be_left_out_of_the_score():
    pairs = [("1.2", "12"), ("12", "1.2"), ("3", "4")]
    assert folds.score(pairs).exact == 0
    assert folds.score(pairs, ".").exact == 2


def test_folds(tiny_data, tmp_path, capsys):
    (table,) = run(
        folds.main, "folds", capsys, str(tiny_data), "--folds", "2", "--ignore", "1",
        "--num_pictures", "6", "--save_dir", str(tmp_path / "kept"), "--lm_weight", "0.5",
        "--flags", f"{SMALL} --num_threads 1 --num_workers 0",
    )  # fmt: skip
    assert table["fold"][:3] == ["trained on", "n", "exact"]
    assert table["fold"][3] == "without 1"
    assert table["fold"][6:8] == [
        "exact, with a language model",
        "without 1, with a language model",
    ]
    assert len(table["1"]) == len(table["fold"]) == 11
    assert [table[fold][:2] for fold in "12"] == [["6", "12"], ["6", "12"]]
    assert table["mean"][2].endswith("%")
    assert (tmp_path / "kept/fold1/best.pth").is_file()


def test_a_language_model_of_the_training_labels_reads(tmp_path):
    """Three steps that say 1 or 2, then 1, then blank; the labels begin with 2."""
    options = folds.Options("data", lm_weight=1.0, lm_order=2)
    charset = Charset("12")
    decoder = folds.language_decoder(charset, ["21", "21", "22"], options, tmp_path / "lm.json")
    log_probs = np.log([[[0.1, 0.5, 0.4], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]])
    assert Decoder(charset).read(log_probs, np.array([3]))[0].text == "11"
    assert decoder.read(log_probs, np.array([3]))[0].text == "21"


def test_folds_of_nothing_are_refused(tiny_data):
    with pytest.raises(UserError, match="no data set is given"):
        folds.main([])
    with pytest.raises(UserError, match="--num_folds 3: more than --folds 2"):
        folds.main([str(tiny_data), "--folds", "2", "--num_folds", "3"])
    with pytest.raises(UserError, match="24 pictures are too few for 7 folds"):
        folds.main([str(tiny_data), "--folds", "7"])
    with pytest.raises(UserError, match="train.py did not end well"):
        folds.main([str(tiny_data), "--folds", "2", "--flags", "--no_such_flag 1"])
    next((tiny_data / "train").glob("*.png")).unlink()
    with pytest.raises(UserError, match="restore or drop it"):
        folds.main([str(tiny_data), "--folds", "2"])


def test_flags_may_hold_windows_paths_and_quotes():
    flags = r'--init_from C:\models\best.pth --data "my pictures" --alike 0o#'
    assert folds.split_flags(flags) == [
        "--init_from", r"C:\models\best.pth", "--data", "my pictures", "--alike", "0o#",
    ]  # fmt: skip


def test_feed(capsys):
    (table,) = run(
        feed.main, "feed", capsys, "--num_samples", "40", "--steps", "60", "--rounds", "2",
        "--batch_size", "4", "--num_workers", "0",
    )  # fmt: skip
    ways = ["memory", "LMDB", "LMDB, cold", "PNG files", "PNG files, cold"]
    if not hasattr(os, "posix_fadvise"):
        ways = [way for way in ways if "cold" not in way]
    assert list(table)[2:] == ways
    assert table["memory"][2] == "1.00 (1.00 to 1.00)"


def test_words(capsys):
    (table,) = run(
        words.main, "words", capsys, "--fonts", *FACES, "--count", "3", "--warm_up", "1",
        "--rounds", "2",
    )  # fmt: skip
    assert len(table) == 2 + 5
    assert table[words.LOOP][1] == "1.00 (1.00 to 1.00)"
