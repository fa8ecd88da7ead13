"""Words drawn for training: their texts, and their pictures."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from test_fonts import MATHS, MONO
from word_set import FACES, PRINTABLE

from utils.errors import UserError
from utils.synth.canvas import arched
from utils.synth.fonts import Face
from utils.synth.recipes import one_by_one, recipe_from_json
from utils.synth.scene import WordRenderer
from utils.synth.words import LEAST_RATIO, Texts, WordRecipe, system_words, word_problems
from utils.text.charset import PRESETS, preset_charset
from utils.text.decoding import steps_needed


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


def test_a_recipe_names_its_file_only_where_it_draws_of_it(words):
    recipe = replace(PRINTABLE, words=str(words))
    assert f"from {words}, in 3 fonts" in str(recipe)
    assert "from no file, in 3 fonts" in str(replace(recipe, number_share=0.4, random_share=0.6))


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


def test_what_a_font_says_it_lacks_is_not_drawn_to_see(monkeypatch):
    drawn = []
    has = Face.has
    monkeypatch.setattr(Face, "has", lambda face, text: drawn.append(text) or has(face, text))
    recipe = WordRecipe(PRESETS["chinese_common"] + "a", "many", fonts=FACES)
    [problem] = word_problems(recipe)
    assert "(3,755 of 3,756 characters)" in problem
    assert set(drawn) == {"a"}


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


def test_shares_that_do_not_add_up_and_spaces_are_told():
    (problem,) = word_problems(replace(PRINTABLE, number_share=0.7, random_share=0.7))
    assert "they add up to more than 1" in problem
    (problem,) = word_problems(replace(PRINTABLE, characters="ab c", charset_name="mine"))
    assert problem == "charset mine: words hold no ' '; leave it out"
