"""What a training leaves out, counted and named up to the limit, where it finds it only later."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from edit_lmdb import edit
from lively import scribble, write_checkpoint
from small_run import edit_labels, run, weights

import inference
import utils.lmdb
from utils.checkpoint import load_checkpoint
from utils.data.joined import JoinedRows
from utils.dataset import BadRows, Row, open_dataset
from utils.errors import UserError
from utils.picture import ImageSpec
from utils.text.charset import preset_charset
from utils.training.batch import Block
from utils.training.batches import training_batches
from utils.training.order import EpochBatches
from utils.training.pictures import TrainingPictures

LONG = "12" * 10 + "33"


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_bad_picture_of_an_lmdb_gives_way_to_the_next(stored, tmp_path, workers, capsys):
    edit(stored / "train", image_000000004="no picture", image_000000005="none either")
    flags = ["--num_epochs", "2", "--num_workers", workers]
    with pytest.raises(UserError, match="skip them with --max_bad_rows 2"):
        run(stored, tmp_path / "run", *flags, "--max_bad_rows", "1")
    assert run(stored, tmp_path / "run", *flags, "--max_bad_rows", "2") == 0
    told = capsys.readouterr().out
    assert told.count("skipped: ") == 3  # one of them before the first run ended
    assert "label-000000005: image-000000005: not a picture" in told


def test_it_is_the_next_of_its_own_set_and_the_same_with_workers(tmp_path):
    rows = []
    for index in range(6):
        scribble(index, 60).save(tmp_path / f"{index}.png")
        rows.append(Row(tmp_path / f"{index}.png", f"{index}", f"row {index}"))
    (tmp_path / "2.png").write_bytes(b"bad")
    parts = JoinedRows({"a": rows[:3], "b": rows[3:]})
    charset, spec = preset_charset("digits"), ImageSpec(32, 60)
    pictures = TrainingPictures(parts, spec, charset, 0, may_skip=True)
    batch = pictures[Block(0, 0, list(range(6)))]
    labels = [charset.decode(row[:1].tolist()) for row in batch.targets]
    assert labels == ["0", "1", "0", "3", "4", "5"]
    assert [sentence.partition(" ")[0] for sentence in batch.bad] == ["row"]
    assert batch.bad[0].startswith("row 2: 2.png: not a picture")
    skipped: list[str] = []
    order = EpochBatches(6, 2, 2, 0)
    seen = [
        [each.images.sum().item() for each in training_batches(pictures, order, n, False, skipped)]
        for n in (0, 2)
    ]
    assert seen[0] == seen[1]
    assert len(set(skipped)) == 1
    for path in tmp_path.glob("*.png"):
        path.write_bytes(b"bad")
    with pytest.raises(UserError, match="row 0: 0.png: not a picture"):
        TrainingPictures(parts, spec, charset, 0, may_skip=True)[Block(0, 0, [1])]


def test_labels_without_room_are_left_out_up_to_the_limit(tiny_data, tmp_path, capsys):
    edit_labels(tiny_data, "train", f"000.png\t{LONG}\n001.png\t{LONG}\n")
    edit_labels(tiny_data, "val", f"000.png\t{LONG}\n")
    wanted = r"\(3 labels do not fit\); use --img_width 91 .*, or leave them .* --max_bad_rows 3"
    with pytest.raises(UserError, match=wanted):
        run(tiny_data, tmp_path / "run", "--max_bad_rows", "2")
    (tiny_data / "train" / "003.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"\(3 labels do not fit\).* --max_bad_rows 4$"):
        run(tiny_data, tmp_path / "run", "--max_bad_rows", "3")
    shutil.copy(tiny_data / "train" / "002.png", tiny_data / "train" / "003.png")
    capsys.readouterr()
    flags = ["--num_epochs", "1", "--max_bad_rows", "3"]
    for ratio in ("--no-keep_ratio", "--keep_ratio"):
        assert run(tiny_data, tmp_path / "run", *flags, ratio) == 0
        told = capsys.readouterr().out
        assert told.count(f"skipped: {tiny_data / 'train'}") == 2
        assert "epochs of 12 pictures; 6 to validate on" in told


def test_labels_of_joined_lmdbs_without_room(stored, tmp_path, capsys):
    edit(stored / "train", label_000000003=LONG)
    for name in ("MJ", "ST"):
        (stored / "training").mkdir(exist_ok=True)
        words = ["make", str(stored / "train"), "--output_dir", str(stored / "training" / name)]
        assert utils.lmdb.main(words) == 0
    (stored / "train").rename(tmp_path / "gone")
    flags = ["--select", "MJ-ST", "--num_epochs", "1", "--max_bad_rows", "2"]
    assert run(stored, tmp_path / "run", *flags) == 0
    assert "epochs of 22 pictures" in capsys.readouterr().out


def test_a_selected_set_of_which_nothing_is_left(stored, tmp_path):
    for name in ("MJ", "ST"):
        words = ["make", str(stored / "train"), "--output_dir", str(stored / "training" / name)]
        assert utils.lmdb.main(words) == 0
    letters = {f"label_{index:09d}": "abc" for index in range(1, 13)}
    edit(stored / "training" / "ST", **letters)
    (stored / "train").rename(tmp_path / "gone")
    flags = ["--select", "MJ-ST", "--charset", "digits", "--label_drop", "--num_epochs", "1"]
    with pytest.raises(UserError, match="--select ST: no picture of it can be used"):
        run(stored, tmp_path / "run", *flags)


def test_a_folder_with_a_dash_can_be_selected(stored, tmp_path, capsys):
    words = ["make", str(stored / "train"), "--output_dir", str(stored / "training" / "my-set")]
    assert utils.lmdb.main(words) == 0
    (stored / "train").rename(tmp_path / "gone")
    assert run(stored, tmp_path / "run", "--select", "my-set", "--num_epochs", "1") == 0
    assert "epochs of 12 pictures" in capsys.readouterr().out


def test_kept_rows():
    rows = [Row(Path(f"{index}.png"), str(index), "here") for index in range(6)]
    joined = JoinedRows({"a": rows[:2], "none": [], "b": rows[2:]})
    some = joined.kept(np.array([True, False, False, True, True, False]))
    assert [row.label for row in some] == ["0", "3", "4"]
    assert [row.label for row in some] == [some[place].label for place in range(3)]
    assert some.bounds(["b"]) == [(1, 3)]


def test_a_set_without_pictures_has_no_part_in_the_means(tmp_path, tiny_data, capsys):
    root = tmp_path / "sets"
    root.mkdir()
    (tiny_data / "val").rename(root / "a")
    (root / "empty").mkdir()
    (root / "empty" / "labels.txt").write_text("")
    model = write_checkpoint(tmp_path / "m.pth")
    words = ["--mode", "evaluate", "--model_path", str(model), "--data_root", str(root)]
    assert inference.main([*words, "--device", "cpu"]) == 0
    told = capsys.readouterr()
    assert "left out: empty: no picture is in it" in told.err
    assert "empty" not in told.out
    assert f"{root} is a folder of sets, and is read whole" in told.err


def test_pictures_wider_than_the_model_takes_are_told(tiny_data, tmp_path, capsys):
    image = ImageSpec(32, 60, keep_ratio=True)
    model = write_checkpoint(tmp_path / "m.pth", image=image)
    words = ["--mode", "evaluate", "--model_path", str(model), "--data_root", str(tiny_data)]
    assert inference.main([*words, "--device", "cpu"]) == 0
    told = capsys.readouterr().err
    assert f"{model}: 6 of 6 pictures are wider than 60 at height 32 and are squeezed" in told
    rows = open_dataset(tiny_data, BadRows(0)).split("test")
    assert any(row.where in told for row in rows)
    assert load_checkpoint(model).header.image == image
    assert weights(model)
