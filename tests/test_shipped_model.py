"""The trained models that come with the project: what they are and read, and fine-tuning one."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
import torch
from conftest import write_split
from PIL import Image, ImageDraw
from safetensors import safe_open
from test_fonts import FONTS

import train
from utils.checkpoint import METADATA_KEY, SHIPPED_MODEL, Checkpoint, load_checkpoint
from utils.dataset import BadRows, open_dataset
from utils.errors import UserError
from utils.metrics import score_texts
from utils.recognizer import Recognizer
from utils.synth.captcha import CaptchaRecipe, CaptchaRenderer
from utils.synth.fonts import find_fonts
from utils.synth.scene import WordRenderer
from utils.synth.words import WordRecipe
from utils.text.charset import PRESETS

LEAST_EXACT = 0.94
"""Of the 200 pictures below. It goes with the file: a better model raises it."""

LEAST_EXACT_WORDS = 0.8
"""Of 200 random strings and numbers: words of a text are easier."""

LEAST_EXACT_METERS = 0.97

LEAST_EXACT_LETTERS = 0.8
"""In fonts that are not hard to read; of the hundreds that taught it half is read."""

WORDS_MODEL = SHIPPED_MODEL.with_name("words36-light.safetensors")
METERS_MODEL = SHIPPED_MODEL.with_name("meters-light.safetensors")
LETTERS_MODEL = SHIPPED_MODEL.with_name("letters36-light.safetensors")
ALL_MODELS = pytest.mark.parametrize(
    "path", [SHIPPED_MODEL, WORDS_MODEL, METERS_MODEL, LETTERS_MODEL], ids=lambda path: path.stem
)
ALNUM62 = PRESETS["alnum62"]


@pytest.fixture(scope="module")
def shipped() -> Checkpoint:
    return load_checkpoint(SHIPPED_MODEL)


@pytest.fixture(scope="module")
def reader() -> Recognizer:
    return Recognizer.load(SHIPPED_MODEL, "cpu")


def texts_in(value: object) -> list[str]:
    """Every string of a JSON value."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        return [text for item in value for text in texts_in(item)]
    return [value] if isinstance(value, str) else []


@ALL_MODELS
def test_its_size_and_card(path: Path) -> None:
    assert path.stat().st_size <= 8e6
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    assert f"{path.stat().st_size / 1e6:.1f} MB" in card
    parameters = sum(value.numel() for value in load_checkpoint(path).build().parameters())
    assert f"{parameters:,} parameters" in card


@ALL_MODELS
def test_its_header_tells_no_folder_of_the_machine_that_made_it(path: Path) -> None:
    with safe_open(path, framework="pt") as file:  # as it is: from_json would clean it
        header = json.loads(file.metadata()[METADATA_KEY])
    texts = texts_in(header)
    assert header["train"]["data_root"] in texts
    for text in texts:
        for path in (PurePosixPath(text), PureWindowsPath(text)):
            assert not path.is_absolute(), text
            assert ".." not in path.parts, text


def test_it_reads_the_examples(reader: Recognizer) -> None:
    examples = Path(__file__).parent.parent / "examples"
    rows = open_dataset(examples, BadRows(0), ("test",)).split("test")
    predictions = reader.read([row.picture for row in rows])
    assert len(rows) == 8
    pairs = zip(rows, predictions, strict=True)
    assert sum(row.label == prediction.text for row, prediction in pairs) >= 7


def test_it_reads_new_pictures_of_the_package(reader: Recognizer) -> None:
    renderer = CaptchaRenderer(CaptchaRecipe(ALNUM62, "alnum62"))
    pictures, labels = zip(*(renderer.draw("shipped", i) for i in range(200)), strict=True)
    texts = [prediction.text for prediction in reader.read(pictures)]
    score = score_texts(zip(labels, texts, strict=True))
    assert score.sequence_accuracy >= LEAST_EXACT, score.line()


def test_it_reads_new_words() -> None:
    """In the fonts that come with matplotlib: others need not be here."""
    fonts = tuple(find_fonts([str(path) for path in sorted(FONTS.glob("DejaVu*.ttf"))]).paths)
    recipe = WordRecipe(PRESETS["alnum62"], "alnum62", fonts=fonts, augment="light")
    pictures, labels = zip(*(WordRenderer(recipe).draw(i) for i in range(200)), strict=True)
    reader = Recognizer.load(WORDS_MODEL, "cpu")
    texts = [prediction.text for prediction in reader.read(pictures)]
    score = score_texts(zip(map(reader.charset.fold, labels), texts, strict=True))
    assert score.sequence_accuracy >= LEAST_EXACT_WORDS, score.line()


def test_it_reads_loose_letters_of_many_colours() -> None:
    fonts = tuple(find_fonts([str(path) for path in sorted(FONTS.glob("DejaVu*.ttf"))]).paths)
    recipe = WordRecipe(
        PRESETS["digits"] + PRESETS["upper"], "codes", 4, 8, 80, fonts, random_share=1.0,
        number_share=0.0, augment="none", letter_colors=1.0, lines=0.7, loose=1.0, white=1.0,
    )  # fmt: skip
    pictures, labels = zip(*(WordRenderer(recipe).draw(i) for i in range(100)), strict=True)
    reader = Recognizer.load(LETTERS_MODEL, "cpu")
    texts = [prediction.text for prediction in reader.read(pictures)]
    score = score_texts(zip(map(reader.charset.fold, labels), texts, strict=True))
    assert score.sequence_accuracy >= LEAST_EXACT_LETTERS, score.line()


SEGMENTS = {
    "0": "abcdef", "1": "bc", "2": "abged", "3": "abgcd", "4": "fgbc",
    "5": "afgcd", "6": "afgedc", "7": "abc", "8": "abcdefg", "9": "abcdfg",
}  # fmt: skip
ENDS = {
    "a": (0, 0, 1, 0), "b": (1, 0, 1, 1), "c": (1, 1, 1, 2), "d": (0, 2, 1, 2),
    "e": (0, 1, 0, 2), "f": (0, 0, 0, 1), "g": (0, 1, 1, 1),
}  # fmt: skip


def show(number: str, ground: int, ink: int) -> Image.Image:
    """A display with bars for segments, in no font's shape."""
    picture = Image.new("L", (32 * len(number) + 20, 62), ground)
    draw = ImageDraw.Draw(picture)
    for index, digit in enumerate(number):
        left, top = 16 + 32 * index, 11
        for name in SEGMENTS[digit]:
            x, y, right, bottom = ENDS[name]
            ends = (left + 18 * x, top + 20 * y, left + 18 * right, top + 20 * bottom)
            draw.line(ends, ink, 4)
    return picture


def test_it_reads_displays_of_another_make() -> None:
    numbers = [f"{seed * 7919 % 10**6:0{3 + seed % 4}}" for seed in range(100)]
    pictures = [show(number, 150 + index, 20) for index, number in enumerate(numbers)]
    texts = [found.text for found in Recognizer.load(METERS_MODEL, "cpu").read(pictures)]
    score = score_texts(zip(numbers, texts, strict=True))
    assert score.sequence_accuracy >= LEAST_EXACT_METERS, score.line()


# fine-tuning


def fine_tune(data: Path, save_dir: Path, *flags: str) -> Checkpoint:
    """One epoch from the shipped model; flags that are left to it are its own."""
    words = ["--data_root", str(data), "--save_dir", str(save_dir), "--num_epochs", "1"]
    words += ["--batch_size", "4", "--num_workers", "0", "--num_threads", "1", "--device", "cpu"]
    assert train.main(["--init_from", str(SHIPPED_MODEL), *words, *flags]) == 0
    return load_checkpoint(save_dir / "best.pth")


def draw_set(root: Path, characters: str, train: int) -> Path:
    """A set in the size that the model reads, without a dataset.json."""
    recipe = CaptchaRecipe(characters, "some", 4, 4)
    for seed, (name, count) in enumerate({"train": train, "val": 8}.items()):
        write_split(root / name, recipe, count, seed)
    return root


def test_fine_tuned_on_a_few_digits_it_reads_digits(tmp_path: Path, shipped: Checkpoint) -> None:
    tuned = fine_tune(draw_set(tmp_path / "digits", "0123456789", 16), tmp_path / "mine")
    assert tuned.header.charset == shipped.header.charset
    assert tuned.header.image == shipped.header.image
    assert tuned.header.train["init_from"] == SHIPPED_MODEL.name
    assert tuned.header.metrics["val"]["character_accuracy"] >= 0.9  # from random weights: 0.1


@pytest.mark.parametrize(
    ("change", "characters"), [("extend", f"{ALNUM62}éü"), ("replace", "01éü")]
)
def test_fine_tuned_on_another_charset_it_keeps_the_known_characters(
    change: str, characters: str, tmp_path: Path, shipped: Checkpoint
) -> None:
    data = draw_set(tmp_path / "accents", "01éü", 8)
    with pytest.raises(UserError, match=r"alnum62 lacks 2 characters of the labels .*'é'"):
        fine_tune(data, tmp_path / "mine")
    still = ("--lr", "1e-7", "--charset_change", change)  # what is learned does not show
    tuned = fine_tune(data, tmp_path / "mine", *still)
    assert tuned.header.charset.characters == characters
    known = [ch for ch in characters if ch in ALNUM62]
    new, old = (
        checkpoint.state_dict["head.weight"][[0, *checkpoint.header.charset.encode("".join(known))]]
        for checkpoint in (tuned, shipped)
    )
    torch.testing.assert_close(new, old, rtol=0, atol=1e-3)
    for name, value in tuned.state_dict.items():
        if name.startswith("neck."):
            torch.testing.assert_close(value, shipped.state_dict[name], rtol=0, atol=1e-3)
