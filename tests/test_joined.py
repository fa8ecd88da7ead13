"""Folders of sets read as one, and batches with a share from each."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from edit_lmdb import edit
from lively import write_checkpoint
from small_run import run, weights

import inference
import utils.lmdb
from utils.data.joined import JoinedRows, parse_shares
from utils.dataset import BadRows, Row, open_dataset
from utils.errors import UserError
from utils.metrics import score_texts
from utils.recognizer import Recognizer
from utils.show.sets import SetScores
from utils.training.order import EpochBatches


@pytest.fixture
def release(tiny_data: Path, tmp_path: Path) -> Path:
    """As the field's benchmark is unpacked, of LMDBs and one folder with labels.txt."""
    root = tmp_path / "data_lmdb_release"
    places = {"train": ["training/MJ/MJ_train", "training/MJ/MJ_test"], "val": ["validation"],
              "test": ["evaluation/SVT", "evaluation/CUTE80"]}  # fmt: skip
    for split, names in places.items():
        for name in names:
            words = ["make", str(tiny_data / split), "--output_dir", str(root / name)]
            assert utils.lmdb.main(words) == 0
    shutil.copytree(tiny_data / "train", root / "training" / "ST")
    return root


def test_it_is_read_as_it_is_unpacked(release: Path, tiny_data: Path):
    data = open_dataset(release, BadRows(0))
    assert {name: len(rows) for name, rows in data.splits.items()} == {
        "train": 36, "val": 6, "test": 12
    }  # fmt: skip
    rows = data.split("train")
    assert isinstance(rows, JoinedRows)
    assert list(rows.parts) == ["MJ/MJ_test", "MJ/MJ_train", "ST"]
    labels = [row.label for row in open_dataset(tiny_data, BadRows(0)).split("train")]
    assert [row.label for row in rows] == labels * 3
    assert [row.label for row in rows[11:14]] == [labels[11], labels[0], labels[1]]
    assert rows[-1].path == release / "training" / "ST" / "011.png"
    assert rows[12].picture.read_bytes() == (tiny_data / "train" / "000.png").read_bytes()
    with pytest.raises(IndexError):
        rows[36]


def test_a_training_on_it(release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ("--select", "MJ-ST", "--batch_ratio", "0.25-0.75", "--num_epochs", "2")
    assert run(release, tmp_path / "run", *words, "--label_case", "lower") == 0
    assert "epochs of 36 pictures; 6 to validate on" in capsys.readouterr().out
    assert run(release, tmp_path / "st", "--select", "ST", "--num_epochs", "1") == 0
    assert "epochs of 12 pictures" in capsys.readouterr().out
    assert run(release, tmp_path / "few", *words, "--epoch_size", "8", "--num_workers", "1") == 0
    assert run(release, tmp_path / "same", *words, "--epoch_size", "8") == 0
    few, same = weights(tmp_path / "few" / "last.pth"), weights(tmp_path / "same" / "last.pth")
    assert all(bool((few[key] == same[key]).all()) for key in few)
    assert run(release, tmp_path / "all", "--num_epochs", "1") == 0
    model = str(tmp_path / "run" / "best.pth")
    evaluate = ["--mode", "evaluate", "--model_path", model, "--data_root", str(release)]
    assert inference.main(evaluate) == 0
    assert "n = 12\n" in capsys.readouterr().out


def test_a_change_in_one_part_is_noticed(release: Path, tmp_path: Path):
    assert run(release, tmp_path / "run", "--num_epochs", "1") == 0
    with (release / "training" / "ST" / "labels.txt").open("a", encoding="utf-8") as file:
        file.write("000.png\t77\n")
    with pytest.raises(UserError, match="the data set has changed"):
        run(release, tmp_path / "run", "--num_epochs", "1", "--resume", "auto")


def test_bad_rows_of_every_part_are_named(release: Path):
    (release / "training" / "ST" / "003.png").unlink()
    bad_rows = BadRows(1)
    rows = open_dataset(release, bad_rows).split("train")
    assert len(rows) == 35
    assert "ST" in bad_rows.sentences[0]


def test_a_folder_of_sets_is_scored_set_by_set(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    model = write_checkpoint(tmp_path / "m.pth")
    [first, *others] = open_dataset(release / "evaluation" / "SVT", BadRows(0)).split("test")
    [read] = Recognizer.load(model, "cpu").read([first.picture])
    edit(release / "evaluation" / "SVT", label_000000001=read.text)
    words = ["--mode", "evaluate", "--model_path", str(model), "--device", "cpu"]
    for root in (release, release / "evaluation"):
        output = tmp_path / "table.md"
        assert inference.main([*words, "--data_root", str(root), "--output_path", str(output)]) == 0
        told = capsys.readouterr().out
        assert re.search(r"protocol: 10 characters \(custom\), others are errors\n", told)
        for row in (r"CUTE80 +6 +0\.00%", r"SVT +6 +16\.67%", r"mean of the sets +8\.33%",
                    r"mean of the pictures +12 +8\.33%"):  # fmt: skip
            assert re.search(row, told), row
        text = output.read_text(encoding="utf-8")
        assert "| SVT | 6 | 16.67% | " in text
        assert "| model | SVT | CUTE80 | mean of these 2 | mean of the 10 |" in text
        assert "| 16.67 | 0.00 | 8.33 |  |" in text
        assert "| MindOCR CRNN, VGG7 | 83.93 | 69.44 | 76.69 | 82.03 |" in text
        assert "| PaddleOCR CRNN, MobileNetV3 |  |  |  | 77.95 |" in text
    report = tmp_path / "report"
    assert inference.main([*words, "--data_root", str(release), "--report", str(report)]) == 0
    found = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    assert found["by_set"]["sets"]["SVT"]["right"] == 1
    assert found["by_set"]["mean_by_set"] == pytest.approx(1 / 12)
    words += ["--data_root", str(release / "validation"), "--output_path", str(tmp_path / "t.md")]
    assert inference.main(words) == 0
    text = (tmp_path / "t.md").read_text(encoding="utf-8")
    assert f"| {release / 'validation'} | 6 | 0.00% | " in text
    assert "MindOCR" not in text


def test_means_by_set_and_by_picture():
    scores = SetScores({"a": score_texts([("x", "x")] * 3 + [("x", "y")]),
                        "b": score_texts([("x", "y")])})  # fmt: skip
    assert (scores.mean_by_set, scores.mean_by_picture) == (0.375, 0.6)


def groups(*sizes: int) -> list[np.ndarray]:
    ends = np.cumsum((0, *sizes))
    return [np.arange(start, stop) for start, stop in zip(ends, ends[1:], strict=False)]


def test_every_batch_has_its_shares_and_every_picture_its_turn():
    shares = list(zip(groups(30, 7), (0.75, 0.25), strict=True))
    blocks = list(EpochBatches(40, 8, 7, seed=0, shares=shares))
    batches = [block.pictures for block in blocks]
    assert {sum(place >= 30 for place in pictures) for pictures in batches} == {2}
    assert np.bincount(sum(batches, [])).tolist() == [7] * 30 + [10] * 7
    rest = list(EpochBatches(40, 8, 7, seed=0, first_epoch=3, first_step=2, shares=shares))
    assert [block.pictures for block in rest] == [block.pictures for block in blocks[3 * 5 + 2 :]]
    odd = [block.pictures for block in EpochBatches(37, 8, 1, seed=0, shares=shares)]
    assert [len(pictures) for pictures in odd] == [8, 8, 8, 8, 5]
    other = list(EpochBatches(40, 8, 7, seed=1, shares=shares))
    assert [block.pictures for block in other] != [block.pictures for block in blocks]


def test_a_small_share_has_one_picture_of_a_batch():
    shares = list(zip(groups(90, 5, 5), (0.98, 0.01, 0.01), strict=True))
    [first, *_] = EpochBatches(100, 10, 1, seed=0, shares=shares)
    assert len(first.pictures) == 10
    assert [sum(low <= place < high for place in first.pictures)
            for low, high in ((0, 90), (90, 95), (95, 100))] == [8, 1, 1]  # fmt: skip


def test_parse_shares():
    assert parse_shares("MJ-ST", "0.5-0.5") == {"MJ": 0.5, "ST": 0.5}
    assert parse_shares("MJ", None) == {"MJ": 1.0}
    assert parse_shares("a-b-c-d", None)["d"] == 0.25


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--select", "MJ-"], "--select MJ-: expected names of folders"),
        (["--select", "MJ-MJ"], "--select MJ-MJ: expected names of folders"),
        (["--select", "MJ-ST", "--batch_ratio", "1"], "--batch_ratio 1: expected 2 shares"),
        (["--select", "MJ-ST", "--batch_ratio", "0.5-x"], "--batch_ratio 0.5-x: expected 2 shares"),
        (["--select", "MJ-ST", "--batch_ratio", "0.9-0.9"], "add up to 1"),
        (["--batch_ratio", "1"], "--batch_ratio 1: it goes with --select"),
        (["--select", "XX"], "--select XX: no set of that name is below .*; there are MJ/MJ_test"),
    ],
)
def test_selections_that_are_refused(release: Path, tmp_path: Path, words, sentence):
    with pytest.raises(UserError, match=sentence):
        run(release, tmp_path / "run", *words)


def test_one_set_has_nothing_to_select(tiny_data: Path, tmp_path: Path):
    with pytest.raises(UserError, match="is one set, not a folder of sets"):
        run(tiny_data, tmp_path / "run", "--select", "MJ")


def test_joined_rows_of_nothing():
    assert len(JoinedRows({})) == 0
    rows = JoinedRows({"a": [], "b": [Row(Path("x.png"), "x", "here")], "c": []})
    assert [row.label for row in rows] == ["x"]
