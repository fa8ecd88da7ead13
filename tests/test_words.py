"""Words drawn for training: their texts, their pictures, and sets of them."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_run import run
from small_set import contents
from test_fonts import FONTS, MATHS, MONO

import generate_data
import train
from utils.checkpoint import load_checkpoint
from utils.dataset import BadRows, open_dataset
from utils.errors import UserError, run_script
from utils.picture import ImageSpec
from utils.synth.fonts import find_fonts
from utils.synth.recipes import one_by_one, recipe_from_json
from utils.synth.scene import WordRenderer, arched
from utils.synth.words import LEAST_RATIO, Texts, WordRecipe, system_words, word_problems
from utils.text.charset import PRESETS, Charset, preset_charset
from utils.text.decoding import steps_needed
from utils.training.batch import Block
from utils.training.pictures import TrainingPictures

FACES = (MONO, str(FONTS / "DejaVuSerif-Bold.ttf"), str(FONTS / "cmr10.ttf"))
PRINTABLE = WordRecipe(PRESETS["printable"], "printable", fonts=FACES)


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "some words.txt"
    path.write_text("the quick,  Brown\nfox's naïve OO\tantidisestablishmentarianism", "utf-8-sig")
    return path


def drawn(recipe: WordRecipe, count: int) -> list[str]:
    texts, rng = Texts(recipe), random.Random(0)
    return [texts.draw(rng) for _ in range(count)]


def test_words_come_as_signs_write_them(words):
    recipe = replace(PRINTABLE, words=str(words), number_share=0.0, random_share=0.0)
    texts = {text.rstrip(".,!?:;'") for text in drawn(recipe, 3000)}
    assert texts == {
        "the", "The", "THE", "quick", "Quick", "QUICK", "Brown", "brown", "BROWN",
        "fox's", "Fox's", "FOX'S", "OO", "oo", "Oo",
    }  # fmt: skip


def test_a_small_charset_has_the_ways_and_the_signs_that_it_can(words):
    recipe = WordRecipe(PRESETS["upper"], "upper", words=str(words), random_share=0.0)
    assert set(drawn(recipe, 500)) == {"THE", "BROWN", "OO"}  # no digits, so no numbers either


@pytest.mark.parametrize(("shortest", "longest"), [(1, 20), (1, 3), (5, 9), (11, 12)])
def test_texts_keep_to_the_lengths_and_need_no_more_steps_than_is_told(words, shortest, longest):
    recipe = replace(PRINTABLE, words=str(words), min_length=shortest, max_length=longest)
    recipe = replace(recipe, number_share=0.4, random_share=0.3)
    if shortest > 5:
        recipe = replace(recipe, words=None)
    texts = drawn(recipe, 4000)
    assert {len(text) for text in texts} <= set(range(shortest, longest + 1))
    most = max(map(steps_needed, Texts(recipe).needing_most()))
    assert max(map(steps_needed, texts)) <= most
    assert max(steps_needed(text.lower()) for text in texts) <= most


def test_numbers_and_random_strings_come_as_often_as_is_asked(words):
    recipe = replace(PRINTABLE, words=str(words), number_share=0.5, random_share=0.25)
    texts = drawn(recipe, 4000)
    listed = {"the", "quick", "brown", "fox's", "oo"}
    known = sum(text.rstrip(".,!?:;'").lower() in listed for text in texts) / len(texts)
    numbers = sum(any(ch.isdigit() for ch in text) for text in texts) / len(texts)
    assert known == pytest.approx(0.25, abs=0.03)
    assert 0.5 < numbers < 0.7


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "none of its 0 words is of 1 to 20 characters of printable"),
        ("中文 naïve".encode(), "none of its 2 words"),
        (b"\xff\xfe\x00", "cannot be read as UTF-8"),
    ],
)
def test_a_file_without_words_is_told(tmp_path, content, told):
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    (problem,) = word_problems(replace(PRINTABLE, words=str(path)))
    assert problem.startswith(f"--words {path}: ")
    assert told in problem
    (problem,) = word_problems(replace(PRINTABLE, words="nowhere.txt"))
    assert "no such file" in problem


def test_the_list_of_the_system_is_taken_where_it_has_a_word(tmp_path, monkeypatch):
    monkeypatch.setattr("utils.synth.words.SYSTEM_WORDS", tmp_path / "words")
    letters, digits = preset_charset("lower"), preset_charset("digits")
    assert system_words(letters) is None
    (tmp_path / "words").write_text("word\n", "utf-8")
    assert system_words(letters) == str(tmp_path / "words")
    assert system_words(digits) is None


def test_no_word_is_looked_for_where_none_is_drawn(words):
    recipe = WordRecipe("01.", "three", words=str(words), number_share=0.7, random_share=0.3)
    assert set("".join(drawn(recipe, 300))) == set("01.")


def test_fonts_that_cannot_draw_it_are_told(tmp_path):
    (tmp_path / "bad.ttf").write_bytes(b"text")
    problems = word_problems(
        WordRecipe("a中文", "three", fonts=(*FACES, str(tmp_path / "bad.ttf")))
    )
    assert [problem[:40].partition(":")[0] for problem in problems] == [
        f"--fonts {tmp_path / 'bad.ttf'}"[:40],
        "--fonts",
    ]
    assert "none of 3 has '中文' (2 of 3 characters)" in problems[1]
    with pytest.raises(UserError, match="of 1 fonts, none was found that has all characters"):
        WordRenderer(replace(PRINTABLE, fonts=(MATHS,), characters="é")).draw(0)
    with pytest.raises(UserError, match="needs a font"):
        WordRenderer(replace(PRINTABLE, fonts=()))


def test_a_font_draws_only_what_it_has():
    recipe = WordRecipe("éZ", "two", 1, 1, fonts=(MATHS, MONO))
    renderer = WordRenderer(recipe)
    faces: dict[str, set[str]] = {text: set() for text in "éZ"}
    for index in range(60):
        text, face = renderer._chosen(index)
        faces[text].add(face.path)
    assert faces == {"é": {MONO}, "Z": {MATHS, MONO}}


@pytest.mark.parametrize("augment", ["none", "heavy"])
def test_a_picture_is_a_function_of_its_seed(words, augment):
    recipe = replace(PRINTABLE, words=str(words), augment=augment)
    renderer, again = WordRenderer(recipe), WordRenderer(recipe_from_json(recipe.to_json()))
    first = [renderer.draw(0, "train", index) for index in range(20)]
    for index in reversed(range(20)):
        picture, text = again.draw(0, "train", index)
        assert (picture.tobytes(), text) == (first[index][0].tobytes(), first[index][1])
        assert again.text(0, "train", index) == text
    assert len({picture.tobytes() for picture, _ in first}) == 20


def test_a_grey_picture_is_the_grey_of_the_coloured_one(words):
    recipe = replace(PRINTABLE, words=str(words), augment="none")
    grey, coloured = WordRenderer(recipe, 1), one_by_one(recipe)
    differences = []
    for index in range(40):
        (one, text), (three, same) = grey.draw(index), coloured.draw(index)
        assert (one.mode, three.mode, one.size) == ("L", "RGB", three.size)
        assert text == same
        apart = np.asarray(one, int) - np.asarray(three.convert("L"), int)
        differences.append(np.abs(apart).mean())
    assert np.median(differences) < 1.5  # clouds in grey are of one strength
    assert max(differences) < 20


def test_every_text_has_room_and_can_be_seen(words):
    recipe = replace(PRINTABLE, words=str(words), augment="none", number_share=0.5)
    renderer = WordRenderer(recipe, 1)
    heights = set()
    for index in range(150):
        picture, text = renderer.draw(1, index)
        heights.add(picture.height)
        assert picture.width >= picture.height * LEAST_RATIO * steps_needed(text) - 1
        assert np.ptp(np.asarray(picture)) > 20, text
    assert min(heights) >= 16
    assert max(heights) <= 48
    assert len(heights) > 20


def test_letters_on_an_arch_keep_their_ink():
    ink = np.arange(1, 61, dtype=np.uint8).reshape(6, 10)
    for bend in (-0.5, 0.0, 0.5):
        bent = arched(ink, bend)
        assert bent.shape == (6 + (3 if bend else 0), 10)
        assert sorted(bent[bent > 0]) == list(range(1, 61))
    assert arched(ink, 0.5)[0, 4]
    assert not arched(ink, 0.5)[0, 0]


def flags(root: Path, words: Path, *more: str) -> list[str]:
    return [
        "--kind", "word", "--output_dir", str(root), "--num_samples", "40", "--words", str(words),
        "--fonts", *FACES, "--num_workers", "1", *more,
    ]  # fmt: skip


def make(root: Path, words: Path, *more: str) -> int:
    return run_script(lambda: generate_data.main(flags(root, words, *more)))


def test_a_set_of_words(tmp_path, words, capsys):
    root = tmp_path / "a set"
    assert make(root, words, "--max_length", "9", "--width", "100") == 0
    output = capsys.readouterr().out
    assert "warning: --width has no effect on --kind word" in output
    assert "40 words of 1 to 9 characters of printable (94) from" in output
    data = open_dataset(root, BadRows(0))
    assert data.recipe == replace(PRINTABLE, max_length=9, words=str(words))
    renderer = WordRenderer(data.recipe)
    for index, row in enumerate(data.split("train")):
        picture, text = renderer.draw(0, "train", index)
        with Image.open(row.path) as stored:
            assert (stored.tobytes(), row.label) == (picture.tobytes(), text)
    other = tmp_path / "two workers"
    assert make(other, words, "--max_length", "9", "--num_workers", "2") == 0
    assert contents(other) == contents(root)


def test_a_set_goes_on_with_the_same_words_only(tmp_path, words, capsys):
    root = tmp_path / "set"
    assert make(root, words) == 0
    assert make(root, words, "--num_samples", "60", "--resume") == 0
    assert "drew 20" in capsys.readouterr().out
    assert make(root, words, "--num_samples", "60", "--augment", "none", "--resume") == 2
    assert "--augment none: the set in" in capsys.readouterr().err
    words.write_text("other words", encoding="utf-8")
    assert make(root, words, "--num_samples", "60", "--resume") == 2
    assert "--words some words.txt sha256:" in capsys.readouterr().err


def test_flags_of_words_on_captchas_are_told(tmp_path, capsys):
    flags = ["--output_dir", str(tmp_path / "set"), "--num_samples", "10", "--number_share", "0.5"]
    assert generate_data.main([*flags, "--num_workers", "1"]) == 0
    assert "warning: --number_share has no effect on --kind captcha" in capsys.readouterr().out


def test_an_empty_folder_of_fonts(tmp_path, words, capsys):
    (tmp_path / "empty").mkdir()
    assert make(tmp_path / "set", words, "--fonts", str(tmp_path / "empty")) == 2
    assert "no font that can be opened is in there" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("keep_ratio", ["--keep_ratio", "--no-keep_ratio"])
def test_training_on_fresh_words_in_36_classes(tmp_path, words, keep_ratio, capsys):
    """The benchmark's reader: small letters and digits, every other sign dropped from labels."""
    data = tmp_path / "set"
    assert make(data, words, "--max_length", "10") == 0
    flags = ["--fresh", "1", "--num_epochs", "1", "--epoch_size", "24", "--renderer", "package"]
    flags += ["--charset", "alnum36", "--label_case", "lower", "--label_drop", keep_ratio]
    assert run(data, tmp_path / "run", *flags) == 0
    output = capsys.readouterr().out
    assert "--renderer has no effect: it draws captchas, and the set has words" in output
    charset = load_checkpoint(tmp_path / "run/last.pth").header.charset
    assert charset.drops
    assert charset.fold("FOX's 1!") == "foxs1"


def test_what_a_charset_leaves_nothing_of_is_drawn_again(tmp_path, words):
    recipe = replace(PRINTABLE, words=str(words), number_share=0.3)
    charset = Charset("0123456789", "digits", drops=True)
    pictures = TrainingPictures(
        [], ImageSpec(32, 160, keep_ratio=True), charset, 0, recipe, fresh=1.0
    )
    batch = pictures[Block(0, 0, list(range(24)))]
    assert len(batch.target_lengths) == 24
    assert min(batch.target_lengths.tolist()) >= 1
    nothing = replace(recipe, number_share=0.0, random_share=0.0)
    with pytest.raises(UserError, match="of 200 texts of the recipe, charset digits left nothing"):
        TrainingPictures([], ImageSpec(32, 160), charset, 0, nothing, fresh=1.0)[Block(0, 0, [0])]


def test_a_font_that_is_gone_is_told_before_the_first_step(tmp_path, words):
    shutil.copy(FACES[0], tmp_path / "mine.ttf")
    data = tmp_path / "set"
    assert make(data, words, "--fonts", str(tmp_path / "mine.ttf"), *FACES[1:]) == 0
    (tmp_path / "mine.ttf").unlink()
    with pytest.raises(UserError, match=r"set/dataset\.json: --fonts .*mine\.ttf: not a font"):
        run(data, tmp_path / "run", "--fresh", "1", "--img_width", "160")


def test_a_run_does_not_go_on_with_other_words(tmp_path, words):
    assert make(tmp_path / "set", words) == 0
    flags = ["--fresh", "1", "--epoch_size", "8", "--num_epochs", "1", "--img_width", "160"]
    assert run(tmp_path / "set", tmp_path / "run", *flags) == 0
    last = ["--resume", str(tmp_path / "run/last.pth")]
    assert train.main(last) == 0
    words.write_text("others", encoding="utf-8")
    with pytest.raises(UserError, match="the data set has changed since that run began"):
        train.main(last)


@pytest.mark.parametrize(
    "values", [{"augment": 3}, {"min_length": "x"}, {"words": 5}, {"colour": 1}]
)
def test_a_recipe_of_wrong_values_is_told(tmp_path, words, values):
    assert make(tmp_path / "set", words) == 0
    path = tmp_path / "set/dataset.json"
    description = json.loads(path.read_text("utf-8"))
    description["recipe"] |= values
    path.write_text(json.dumps(description), "utf-8")
    with pytest.raises(UserError, match="not a data set's description"):
        open_dataset(tmp_path / "set", BadRows(0))


def test_shares_that_do_not_add_up_and_spaces_are_told():
    (problem,) = word_problems(replace(PRINTABLE, number_share=0.7, random_share=0.7))
    assert "they add up to more than 1" in problem
    (problem,) = word_problems(replace(PRINTABLE, characters="ab c", charset_name="mine"))
    assert problem == "charset mine: words hold no ' '; leave it out"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--number_share", "1", "--random_share", "0"], "--words has no effect where"),
        (["--number_share", "0.2", "--charset", "upper"], "--number_share has no effect on a char"),
    ],
)
def test_shares_without_effect_are_told(tmp_path, words, more, told, capsys):
    assert make(tmp_path / "set", words, *more) == 0
    assert f"warning: {told}" in capsys.readouterr().out


def test_another_kind_of_set_is_not_gone_on_with(tmp_path, words, capsys):
    assert make(tmp_path / "set", words) == 0
    words_of_captcha = ["--output_dir", str(tmp_path / "set"), "--num_samples", "40", "--resume"]
    assert run_script(lambda: generate_data.main(words_of_captcha)) == 2
    assert "a set of another --kind stands there" in capsys.readouterr().err


def test_words_that_may_not_fit_are_refused(tmp_path, words):
    assert make(tmp_path / "set", words) == 0
    with pytest.raises(UserError, match="needs 15 time steps and a width of 48 gives"):
        run(tmp_path / "set", tmp_path / "run", "--fresh", "1", "--img_width", "48")
    with pytest.raises(UserError, match="recipe draws words"):
        run(tmp_path / "set", tmp_path / "run", "--fresh", "1", "--hard_characters", "vV")


def test_fresh_characters_that_the_charset_lacks_are_refused_unless_it_drops(tmp_path, words):
    assert make(tmp_path / "set", words) == 0
    for split in ("train", "val"):
        path = tmp_path / "set" / split / "labels.txt"
        names = [line.split("\t")[0] for line in path.read_text("utf-8").splitlines()]
        path.write_text("".join(f"{name}\t12\n" for name in names), encoding="utf-8")
    flags = ["--fresh", "1", "--epoch_size", "8", "--num_epochs", "1", "--charset", "digits"]
    with pytest.raises(UserError, match="the set's recipe draws"):
        run(tmp_path / "set", tmp_path / "run", *flags)
    assert run(tmp_path / "set", tmp_path / "run", *flags, "--label_drop") == 0
    description = json.loads((tmp_path / "set/dataset.json").read_text("utf-8"))
    assert description["recipe"]["kind"] == "word"


def test_fonts_of_a_folder_are_written_down(tmp_path, words):
    assert make(tmp_path / "set", words, "--fonts", str(FONTS)) == 0
    recipe = open_dataset(tmp_path / "set", BadRows(0)).recipe
    assert recipe.fonts == find_fonts([str(FONTS)]).paths
