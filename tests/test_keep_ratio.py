"""Pictures of many widths: batches of like ones, true lengths, and the same reading everywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lively import scribble, write_checkpoint
from PIL import Image, PngImagePlugin
from small_run import run, weights
from word_set import FACES

import utils.lmdb
from utils.checkpoint import load_checkpoint
from utils.dataset import BadRows, open_dataset
from utils.errors import UserError
from utils.picture import ExifTags, ImageSpec, PictureError, open_picture, picture_size, prepare
from utils.recognizer import Recognizer
from utils.synth.words import WordRecipe
from utils.text.charset import Charset
from utils.training.batches import training_batches
from utils.training.order import WINDOW, EpochBatches
from utils.training.pictures import TrainingPictures

WIDTHS = [20, 33, 64, 80, 100, 160, 240, 41, 57, 128, 150, 90]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A set of pictures 32 high and of many widths, each with one digit for 40 pixels."""
    root = tmp_path / "mixed widths"
    for name in ("train", "val"):
        (root / name).mkdir(parents=True)
        rows = []
        for index, width in enumerate(WIDTHS):
            scribble(index, width).save(root / name / f"{index}.png")
            label = ("37" * 10)[: max(1, width // 40)]
            rows.append(f"{index}.png\t{label}\n")
        (root / name / "labels.txt").write_text("".join(rows), encoding="utf-8")
    return root


def test_batches_are_of_like_widths_and_every_picture_comes_once():
    widths = np.random.default_rng(0).integers(10, 200, 1000)
    blocks = list(EpochBatches(1000, 8, 2, seed=0, widths=widths))
    plain = list(EpochBatches(1000, 8, 2, seed=0))
    for epoch in (0, 1):
        of_epoch = [block.pictures for block in blocks if block.epoch == epoch]
        assert sorted(sum(of_epoch, [])) == list(range(1000))
    spread = [np.ptp(widths[block.pictures]) for block in blocks]
    assert np.mean(spread) < np.mean([np.ptp(widths[block.pictures]) for block in plain]) / 5
    medians = [float(np.median(widths[block.pictures])) for block in blocks[:WINDOW]]
    assert medians != sorted(medians)
    assert blocks[0].pictures != blocks[125].pictures
    rest = list(EpochBatches(1000, 8, 2, seed=0, first_epoch=1, first_step=5, widths=widths))
    assert [block.pictures for block in rest] == [block.pictures for block in blocks[130:]]


def test_a_small_set_and_a_last_batch_that_is_smaller():
    widths = np.array([5, 1, 4, 2, 3])
    blocks = [block.pictures for block in EpochBatches(5, 2, 1, seed=0, widths=widths)]
    assert [len(pictures) for pictures in blocks] == [2, 2, 1]
    assert sorted(sum(blocks, [])) == [0, 1, 2, 3, 4]
    assert list(EpochBatches(3, 8, 1, seed=0, widths=widths[:3]))[0].pictures


@pytest.mark.parametrize("shares", [(), ((np.arange(12), 0.5), (np.arange(12), 0.5))])
def test_drawn_pictures_are_dealt_by_width(mixed: Path, shares):
    """Except where the parts of a batch have shares. The same go into it after a stop."""
    rows = open_dataset(mixed, BadRows(0)).split("train")
    recipe = WordRecipe("0123456789", "digits", 1, 9, fonts=tuple(FACES), number_share=1.0)
    spec = ImageSpec(32, 240, keep_ratio=True)
    charset = Charset("0123456789", "digits")
    pictures = TrainingPictures(rows, spec, charset, 0, recipe, fresh=0.9)
    order = EpochBatches(54, 8, 1, seed=0, shares=shares, num_places=12)
    batches = list(training_batches(pictures, order, num_workers=0))
    assert [len(batch.images) for batch in batches] == [8] * 6 + [6]
    together = next(iter(replace(order, steps_at_once=4)))
    plain = pictures[replace(together, may_deal=False)]
    widths = [step.widths for step in batches[:4]]
    assert plain.widths is not None
    assert torch.equal(torch.cat(widths), plain.widths) == bool(shares)
    assert torch.equal(torch.cat(widths).sort().values, plain.widths.sort().values)
    for step in batches:
        assert step.images.shape[3] == step.widths.max()
    padded, before = (
        sum(step.images.shape[3] for step in steps) for steps in (batches[:4], plain.split(8))
    )
    assert padded == before if shares else padded < 0.9 * before
    rest = list(training_batches(pictures, replace(order, first_step=2), num_workers=0))
    assert all(
        torch.equal(one.images, other.images) for one, other in zip(batches[2:], rest, strict=True)
    )


def test_a_training(mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ("--keep_ratio", "--img_width", "160", "--num_epochs", "2")
    assert run(mixed, tmp_path / "run", *words) == 0
    told = capsys.readouterr().out
    assert "pictures keep their ratio: 20 to 240 wide at height 32; 2 are squeezed into" in told
    header = load_checkpoint(tmp_path / "run" / "best.pth").header
    assert header.image.keep_ratio
    assert run(mixed, tmp_path / "run", "--resume", "auto", *words) == 0
    tuned = ("--init_from", str(tmp_path / "run" / "best.pth"), "--num_epochs", "1")
    assert run(mixed, tmp_path / "tuned", *tuned) == 0
    assert load_checkpoint(tmp_path / "tuned" / "best.pth").header.image.keep_ratio
    assert run(mixed, tmp_path / "plain", *tuned, "--no-keep_ratio") == 0
    assert not load_checkpoint(tmp_path / "plain" / "best.pth").header.image.keep_ratio


def test_workers_change_nothing(mixed: Path, tmp_path: Path):
    """Nor does who prepares them: weights with a worker are those without one."""
    assert run(mixed, tmp_path / "one", "--keep_ratio", "--num_epochs", "1", "--img_width", "240",
               "--batch_size", "5", "--num_workers", "1") == 0  # fmt: skip
    assert run(mixed, tmp_path / "two", "--keep_ratio", "--num_epochs", "1", "--img_width", "240",
               "--batch_size", "5") == 0  # fmt: skip
    one, two = weights(tmp_path / "one" / "last.pth"), weights(tmp_path / "two" / "last.pth")
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_alone_in_a_mixed_batch_from_a_folder_and_from_an_lmdb(mixed: Path, tmp_path: Path):
    image = ImageSpec(32, 200, keep_ratio=True)
    reader = Recognizer.load(write_checkpoint(tmp_path / "m.pth", image=image, spread=4), "cpu")
    assert utils.lmdb.main(["make", str(mixed / "val"), "--output_dir", str(tmp_path / "db")]) == 0
    sources = {
        "folder": [row.picture for row in open_dataset(mixed, BadRows(0)).split("val")],
        "lmdb": [row.picture for row in open_dataset(tmp_path / "db", BadRows(0)).split("val")],
    }
    alone = [next(reader.batches([picture])) for picture in sources["folder"]]
    texts = [reader.read([picture])[0].text for picture in sources["folder"]]
    assert len({output.log_probs.shape[1] for output in alone}) > 8
    for pictures in sources.values():
        for size in (len(pictures), 5):
            assert [p.text for p in reader.read(pictures, batch_size=size)] == texts
            for output in reader.batches(pictures, size):
                for place, index in enumerate(output.indices):
                    steps = output.lengths[place]
                    assert steps == alone[index].lengths[0]
                    error = output.log_probs[place, :steps] - alone[index].log_probs[0]
                    assert np.abs(error).max() < 5e-4


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        (("--keep_ratio", "--img_width", "240"), "use --img_height 56 or more, or --no-keep_ratio"),
        (("--img_width", "16"), "use --img_width 35 or more"),
    ],
)
def test_a_label_that_does_not_fit_its_own_picture(mixed: Path, tmp_path: Path, words, fix):
    """20 pixels at height 32 have 5 steps; nine digits need 9."""
    labels = mixed / "train" / "labels.txt"
    text = labels.read_text(encoding="utf-8").replace("0.png\t3\n", "0.png\t373737373\n")
    labels.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=f"label '373737373' needs 9 time steps .*{fix}"):
        run(mixed, tmp_path / "run", *words)


def test_the_size_of_a_picture_is_that_of_its_pixels(tmp_path: Path):
    turned = Image.new("L", (30, 10)).getexif()
    turned[ExifTags.Base.Orientation] = 6
    Image.new("L", (30, 10)).save(tmp_path / "turned.jpg", exif=turned)
    Image.new("L", (30, 10)).save(tmp_path / "plain.png")
    for name in ("turned.jpg", "plain.png"):
        size = picture_size(tmp_path / name)
        spec = ImageSpec(16, 400, keep_ratio=True)
        assert prepare(tmp_path / name, spec).shape[2] == max(8, round(size[0] * 16 / size[1]))
    assert picture_size(tmp_path / "turned.jpg") == (10, 30)
    with pytest.raises(PictureError, match="no such file"):
        picture_size(tmp_path / "none.png")


@pytest.mark.parametrize("where", ["chunk", "xmp"])
def test_a_png_that_says_how_it_lies_is_measured_as_it_is_read(tmp_path: Path, where: str):
    picture, path = Image.new("L", (30, 10)), tmp_path / "turned.png"
    if where == "chunk":
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6
        picture.save(path, exif=exif)
    else:
        texts = PngImagePlugin.PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", '<x xmlns:tiff="t" tiff:Orientation="6"/>')
        picture.save(path, pnginfo=texts)
    assert open_picture(path, 1).size == (10, 30)
    assert picture_size(path) == (10, 30)
