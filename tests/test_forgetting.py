"""Old pictures among the new, and how much of what was read before is forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_run import run, weights

import train
import utils.lmdb
from utils.checkpoint import load_checkpoint
from utils.data.joined import JoinedRows
from utils.dataset import BadRows, open_dataset
from utils.errors import UserError
from utils.text.charset import preset_charset
from utils.training.data import Data
from utils.training.forgetting import OldSet
from utils.training.order import EpochBatches


def test_a_share_of_each_batch_is_old(tiny_data, old_data):
    new = open_dataset(tiny_data, BadRows(0)).split("train")
    old = open_dataset(old_data, BadRows(0))
    data = Data(tiny_data, new, [], None, len(new), old=old)
    data = data.with_replay(0.25, 8, preset_charset("digits"))
    assert (len(data.train), data.epoch_size) == (32, 16)  # 12 new ones, and 4 old
    order = EpochBatches(data.epoch_size, 8, 2, 0, shares=data.shares, num_places=32)
    batches = [[place % 32 for place in block.pictures] for block in order]
    assert [sum(place >= 12 for place in batch) for batch in batches] == [2, 2, 2, 2]
    assert {*batches[0], *batches[1]} >= set(range(12))


@pytest.mark.parametrize(
    ("batch_size", "share", "new", "epoch_size"),
    [(4, 0.05, 3, 16), (4, 0.9, 1, 48), (32, 0.01, 31, 32), (8, 0.5, 4, 24)],
)
def test_the_new_pictures_come_once_an_epoch_whatever_the_batch(
    tiny_data, old_data, batch_size, share, new, epoch_size
):
    rows = open_dataset(tiny_data, BadRows(0)).split("train")
    data = Data(tiny_data, rows, [], None, 12, old=open_dataset(old_data, BadRows(0)))
    data = data.with_replay(share, batch_size, preset_charset("digits"))
    assert data.epoch_size == epoch_size == -(-12 // new) * batch_size
    order = EpochBatches(epoch_size, batch_size, 1, 0, shares=data.shares, num_places=32)
    assert {place % 32 for block in order for place in block.pictures} >= set(range(12))


def test_the_old_set_is_scored_before_and_after(tiny_data, old_data, trained, tmp_path, capsys):
    """`after` is of what came out, whose figures differ from those of what went in; that one may
    stand where the run's own checkpoints come."""
    flags = ["--init_from", str(trained / "best.pth"), "--old_root", str(old_data)]
    flags += ["--num_epochs", "2", "--replay", "0.5", "--backbone_lr_ratio", "1"]
    assert run(tiny_data, tmp_path / "run", *flags) == 0
    output = capsys.readouterr().out
    best = load_checkpoint(tmp_path / "run/best.pth").header.metrics["old"]
    device = torch.device("cpu")
    one, other = (load_checkpoint(trained / name) for name in ("previous_best.pth", "best.pth"))
    old = OldSet.of_start(open_dataset(old_data, BadRows(0)), one, device)
    before, after = old.before, old.score(other, device)
    assert best == {"before": before, "after": after}
    assert before["cer"] != after["cer"]
    lines = [line for line in output.splitlines() if str(old_data) in line]
    told = [f"{figures['sequence_accuracy']:.2%}" for figures in (before, after)]
    assert lines == [
        f"on {old_data}: {told[0]} exact before (n = 5)",
        f"on {old_data}: {told[0]} exact before, {told[1]} after (n = 5)",
    ]
    assert "a batch of 4: 2 new, 2 old" in output
    training = load_checkpoint(tmp_path / "run/last.pth").training
    assert training is not None
    assert training["progress"]["pictures"] == 2 * 24  # 12 new ones and as many old, twice
    moved = tmp_path / "moved"
    old_data.rename(moved)
    again = ["--resume", str(tmp_path / "run/last.pth"), "--old_root", str(moved)]
    assert train.main(again) == 0
    assert f"on {moved}: {told[0]} exact before, {told[1]} after" in capsys.readouterr().out
    (tmp_path / "run/best.pth").unlink()
    assert train.main(again) == 0


def test_a_score_of_the_old_set_changes_nothing(tiny_data, old_data, tiny_checkpoint, tmp_path):
    flags = ["--init_from", str(tiny_checkpoint), "--num_epochs", "2", "--augment", "heavy"]
    assert run(tiny_data, tmp_path / "one", *flags) == 0
    assert run(tiny_data, tmp_path / "two", *flags, "--old_root", str(old_data)) == 0
    one, other = weights(tmp_path / "one/last.pth"), weights(tmp_path / "two/last.pth")
    assert all(torch.equal(one[name], other[name]) for name in one)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    start = load_checkpoint(tiny_checkpoint)
    OldSet.of_start(open_dataset(old_data, BadRows(0)), start, torch.device("cpu"))
    assert torch.equal(state, torch.get_rng_state())


def write_labels(data: Path, label: str) -> None:
    for split in ("train", "val"):
        labels = data / split / "labels.txt"
        rows = labels.read_text("utf-8").splitlines()
        labels.write_text("".join(f"{row.split(chr(9))[0]}\t{label}\n" for row in rows), "utf-8")


def test_characters_that_the_new_charset_lacks_are_errors_of_the_old_set(
    tiny_data, tiny_checkpoint, old_data, tmp_path, capsys
):
    """Where it drops them too: a reader that lost them all is not right about them."""
    write_labels(tiny_data, "ab")
    flags = ["--init_from", str(tiny_checkpoint), "--charset_change", "replace"]
    flags += ["--charset_file", str(tmp_path / "ab.txt"), "--num_epochs", "1"]
    flags += ["--old_root", str(old_data)]
    (tmp_path / "ab.txt").write_text("a\nb\n", "utf-8")
    for more in ([], ["--label_drop"]):
        assert run(tiny_data, tmp_path / "run", *flags, *more) == 0
        assert "before, 0.00% after (n = 5" in capsys.readouterr().out
    with pytest.raises(UserError, match="characters that are not in charset"):
        run(tiny_data, tmp_path / "r", *flags, "--replay", "0.5")
    with pytest.raises(UserError, match="--replay 0.5: no label of .*old data has a character"):
        run(tiny_data, tmp_path / "r", *flags, "--replay", "0.5", "--label_drop")


def test_a_charset_that_is_replaced_keeps_what_is_replayed(
    tiny_data, tiny_checkpoint, old_data, tmp_path
):
    write_labels(tiny_data, "ab")
    (tiny_data / "dataset.json").unlink()
    flags = ["--init_from", str(tiny_checkpoint), "--charset_change", "replace"]
    flags += ["--old_root", str(old_data), "--replay", "0.5", "--num_epochs", "1"]
    assert run(tiny_data, tmp_path / "run", *flags) == 0
    charset = load_checkpoint(tmp_path / "run/last.pth").header.charset
    assert set(charset.characters) == set("ab0123456789")


def test_an_old_set_that_cannot_be_replayed_is_told(tiny_data, tiny_checkpoint, old_data, tmp_path):
    flags = ["--init_from", str(tiny_checkpoint), "--num_epochs", "1", "--replay", "0.5"]
    with pytest.raises(UserError, match="it is one split"):
        run(tiny_data, tmp_path / "run", *flags, "--old_root", str(old_data / "train"))
    flags += ["--old_root", str(old_data)]
    with pytest.raises(UserError, match="--batch_size 1: fewer than the 2 sets"):
        run(tiny_data, tmp_path / "run", *flags, "--batch_size", "1")
    for path in (old_data / "val").glob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(UserError, match="the split 'val' is empty"):
        run(tiny_data, tmp_path / "run", *flags, "--max_bad_rows", "50")


def test_an_old_set_in_an_lmdb(tiny_data, tiny_checkpoint, old_data, tmp_path, capsys):
    for split in ("train", "val"):
        make = ["make", str(old_data / split), "--output_dir", str(tmp_path / "lmdb" / split)]
        assert utils.lmdb.main(make) == 0
    flags = ["--init_from", str(tiny_checkpoint), "--num_epochs", "1", "--replay", "0.5"]
    for root in (old_data, tmp_path / "lmdb"):
        assert run(tiny_data, tmp_path / root.name, *flags, "--old_root", str(root)) == 0
    one, other = (weights(tmp_path / name / "last.pth") for name in ("old data", "lmdb"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_partner_of_a_joined_picture_is_of_the_same_set(tiny_data, old_data):
    new = open_dataset(tiny_data, BadRows(0)).split("train")
    old = open_dataset(old_data, BadRows(0)).split("train")
    rows = JoinedRows({"new": new, "old": old})
    assert [rows.part_of(place) for place in (0, 11, 12, 31)] == [range(12)] * 2 + [
        range(12, 32)
    ] * 2


def test_forgetting_is_never_unawares(tiny_data, tiny_checkpoint, tmp_path, capsys):
    flags = ["--init_from", str(tiny_checkpoint), "--num_epochs", "1"]
    assert run(tiny_data, tmp_path / "run", *flags) == 0
    assert "may be forgotten: --old_root tells, --replay keeps it" in capsys.readouterr().out


def test_an_old_set_without_a_split_is_told(tiny_data, tiny_checkpoint, tmp_path):
    (tmp_path / "empty").mkdir()
    flags = ["--init_from", str(tiny_checkpoint), "--old_root"]
    with pytest.raises(UserError, match="no labels.txt, no LMDB and no folder"):
        run(tiny_data, tmp_path / "run", *flags, str(tmp_path / "empty"))
    with pytest.raises(UserError, match="no such folder"):
        run(tiny_data, tmp_path / "run", *flags, str(tmp_path / "nowhere"))
