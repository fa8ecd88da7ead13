"""Lines: their texts, their faces, their pictures."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tests.small_fonts import collection_file, font_file
from utils.errors import UserError
from utils.synth import line_scene
from utils.synth.corpus import Corpus
from utils.synth.faces import Faces
from utils.synth.line_scene import LineRenderer
from utils.synth.lines import LineRecipe, LineTexts, line_problems
from utils.synth.recipes import narrowest, recipe_from_json
from utils.text.decoding import steps_needed

CHARACTERS = "甲乙丙丁戊己庚辛壬癸"


@pytest.fixture(scope="module")
def fonts(tmp_path_factory) -> tuple[str, ...]:
    folder = tmp_path_factory.mktemp("fonts")
    return (
        font_file(folder / "all.ttf", CHARACTERS),
        collection_file(folder / "some.ttc", CHARACTERS[:6], CHARACTERS[4:]),
    )


@pytest.fixture
def recipe(fonts) -> LineRecipe:
    return LineRecipe(CHARACTERS, "stems", 2, 9, 32, 256, fonts)


def texts(recipe: LineRecipe, count: int = 400) -> list[str]:
    rng, faces = random.Random(0), Faces(recipe.fonts, recipe.characters, 20)
    made = LineTexts(recipe, faces)
    found = [made.draw(rng) for _ in range(count)]
    assert all(faces.covers(face, text) for text, face in found)
    return [text for text, _ in found]


def corpus(tmp_path, text: str) -> str:
    path = tmp_path / "a corpus.txt"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_random_texts_have_all_lengths_and_characters(recipe):
    found = texts(recipe)
    assert {len(text) for text in found} == set(range(2, 10))
    assert set("".join(found)) == set(CHARACTERS)


def test_random_texts_begin_and_end_with_no_space_and_have_no_two(recipe):
    found = texts(replace(recipe, characters="甲 乙"))
    assert any(" " in text for text in found)
    assert all(text == " ".join(text.split()) and 2 <= len(text) <= 9 for text in found)


def test_lines_of_a_corpus_are_stretches_of_it(recipe, tmp_path):
    line = "甲乙丙丁戊己庚辛壬癸" * 3
    path = corpus(tmp_path, f"{line}\nx甲乙x丙x\n")
    found = texts(replace(recipe, corpus=path))
    assert all(text in line or text == "甲乙" for text in found)
    assert {len(text) for text in found} == set(range(2, 10))
    assert "甲乙" in found
    starts = Counter(text[0] for text in found)
    assert set(starts) == set(CHARACTERS)


def test_words_of_a_corpus_are_whole_where_they_can_be(recipe, tmp_path):
    path = corpus(tmp_path, "甲乙 丙丁  戊己庚\t辛壬癸辛壬癸辛壬癸辛壬癸")
    found = texts(replace(recipe, characters=CHARACTERS + " ", corpus=path, min_length=3))
    assert {"甲乙 丙丁", "丙丁 戊己庚", "戊己庚"} <= set(found)
    pieces = ("甲乙 丙丁 戊己庚", "辛壬癸" * 4)
    assert all(any(text in piece for piece in pieces) and text.strip() == text for text in found)


def test_what_a_corpus_has_and_the_charset_lacks_is_counted(tmp_path):
    found = Corpus.read(corpus(tmp_path, "甲x乙xy\n甲"), CHARACTERS)
    assert found.pieces == ("甲", "乙", "甲")
    [sentence] = found.sentences()
    assert sentence.startswith("3 characters of the corpus are not in the charset")
    assert "'x' x 2, 'y' x 1" in sentence
    assert Corpus.read(corpus(tmp_path, "甲\n乙"), CHARACTERS).sentences() == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x" * 20, "nothing in it is 2 characters"),
        ("y" * 9, "(left out: 'y' x 9)"),
        (None, "no such file"),
        ("", "nothing in it is"),
    ],
)
def test_a_corpus_of_no_use_is_told(recipe, tmp_path, text, told):
    path = str(tmp_path / "none.txt") if text is None else corpus(tmp_path, text)
    [problem] = line_problems(replace(recipe, corpus=path))
    assert f"--corpus {path}" in problem
    assert told in problem


def test_a_corpus_that_is_not_text_is_told(recipe, tmp_path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\xff")
    [problem] = line_problems(replace(recipe, corpus=str(tmp_path / "bytes")))
    assert "cannot be read as UTF-8" in problem
    [problem] = line_problems(replace(recipe, corpus=str(tmp_path)))
    assert "it is a folder" in problem


def test_texts_that_no_face_has_whole_are_told(fonts, tmp_path):
    path = corpus(tmp_path, "甲癸" * 9)
    recipe = LineRecipe("甲癸", "two", 2, 9, 32, 256, fonts[1:], path)
    [problem] = line_problems(recipe)
    assert "none was found that draws all characters of a text" in problem


def test_values_out_of_range_are_told(recipe):
    bad = replace(recipe, direction="up", tight=2.0, augment="much", max_length=40, fonts=())
    found = line_problems(bad)
    for told in (
        "--direction up: expected one of horizontal, vertical",
        "--tight 2.0: expected 0 to 1",
        "--augment much: expected one of none",
        "--max_length 40: so many characters have no room along --width 256 at --height 32; "
        "expected 16 at most",
        "--fonts: a recipe of lines needs a font",
    ):
        assert sum(told in sentence for sentence in found) == 1
    assert line_problems(replace(recipe, max_length=16)) == []
    [problem] = line_problems(replace(recipe, characters=CHARACTERS + "é\t"))[:1]
    assert "lines hold no '\\t'" in problem


def test_a_recipe_survives_json(recipe):
    for each in (recipe, replace(recipe, direction="vertical", tight=0.5)):
        assert recipe_from_json(each.to_json()) == each


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("direction", ["horizontal", "vertical"])
def test_pictures(recipe, direction, channels):
    recipe = replace(recipe, direction=direction)
    renderer = LineRenderer(recipe, channels)
    size = (256, 32) if direction == "horizontal" else (32, 256)
    for index in range(60):
        picture, text = renderer.draw(0, index)
        assert picture.size == size
        assert picture.mode == ("L" if channels == 1 else "RGB")
        assert text == renderer.text(0, index)
        assert LineRenderer(recipe, channels).draw(0, index)[0] == picture if index < 3 else True


def test_tight_pictures_end_where_the_text_does(recipe):
    for direction in ("horizontal", "vertical"):
        some = replace(recipe, tight=0.5, direction=direction)
        renderer = LineRenderer(some, 1)
        lengths = Counter()
        for index in range(200):
            picture, text = renderer.draw(0, index)
            along = max(picture.size) if direction == "horizontal" else picture.height
            assert min(picture.size) == 32 or picture.size[direction == "horizontal"] == 32
            assert narrowest(some, text)[0] <= along <= 256
            lengths[along == 256] += 1
        assert 60 < lengths[True] < 140


def test_each_time_step_has_its_room(recipe):
    renderer = LineRenderer(replace(recipe, characters="甲", max_length=16, tight=1.0), 1)
    for index in range(100):
        picture, text = renderer.draw(0, index)
        assert picture.width >= 0.15 * 32 * steps_needed(text)


def test_a_glyph_without_ink_is_never_drawn(tmp_path):
    fonts = (font_file(tmp_path / "blank.ttf", "甲", blank="乙"),)
    renderer = LineRenderer(LineRecipe("甲乙", "two", 1, 3, 32, 128, fonts), 1)
    assert {renderer.text(0, index) for index in range(40)} == {"甲", "甲甲", "甲甲甲"}
    long = LineRecipe("甲乙", "two", 16, 16, 32, 256, fonts)
    assert LineRenderer(long, 1).text(0, 0) == "甲" * 16
    assert "none of 1 has '乙' (1 of 2 characters)" in line_problems(long)[0]
    none = LineRecipe("乙", "one", 1, 3, 32, 128, fonts)
    with pytest.raises(UserError, match="none was found that draws all characters of a text"):
        LineRenderer(none, 1).text(0, 0)


def test_characters_of_a_face_are_as_likely_as_each_other_whatever_it_has_no_ink_for(tmp_path):
    fonts = (
        font_file(tmp_path / "half.ttf", "甲乙", blank="丙丁戊己"),
        font_file(tmp_path / "other.ttf", "丙丁戊己庚辛"),
    )
    made = LineRenderer(LineRecipe("甲乙丙丁戊己庚辛", "few", 3, 3, 32, 128, fonts), 1)
    counts = Counter("".join(made.text(0, index) for index in range(600)))
    assert set(counts) == set("甲乙丙丁戊己庚辛")
    assert counts["甲"] / counts["庚"] == pytest.approx(3, rel=0.4)  # a half of the texts have two


def test_what_is_drawn_does_not_depend_on_what_was_drawn_before(recipe):
    one, other = LineRenderer(recipe, 1), LineRenderer(recipe, 1)
    drawn = [one.draw(0, index) for index in range(50)]
    assert drawn == [other.draw(0, index) for index in reversed(range(50))][::-1]


def test_vertical_lines_are_augmented_as_they_lie(recipe, monkeypatch):
    """What --augment does goes by the height of a line."""
    sizes = []

    def seen(picture, level, rng):
        sizes.append((picture.size, level))
        return picture

    monkeypatch.setattr(line_scene, "augmented", seen)
    for direction in ("horizontal", "vertical"):
        some = replace(recipe, direction=direction, augment="heavy")
        assert max(LineRenderer(some, 1).draw(0, 1)[0].size) == 256
    assert sizes == [((256, 32), "heavy")] * 2
    plain, _ = LineRenderer(replace(recipe, direction="vertical"), 1).draw(0, 1)
    assert plain == LineRenderer(some, 1).draw(0, 1)[0]


def ink_boxes(recipe: LineRecipe, count: int = 100) -> np.ndarray:
    """(count, 2): how far the ink reaches across and along, of lines whose ground is plain."""
    renderer, found = LineRenderer(recipe, 1), []
    for index in range(count):
        text, glyphs = renderer._chosen(0, index)
        ink = np.asarray(renderer._scaled(renderer._strip(glyphs), steps_needed(text))) > 40
        rows, columns = np.nonzero(ink.any(axis=1))[0], np.nonzero(ink.any(axis=0))[0]
        found.append((np.ptp(rows) + 1, np.ptp(columns) + 1))
    return np.array(found)


def test_characters_stand_side_by_side_or_one_below_the_other(recipe):
    recipe = replace(recipe, min_length=8, max_length=8)
    across = ink_boxes(recipe)
    down = ink_boxes(replace(recipe, direction="vertical"))[:, ::-1]
    for boxes in (across, down):
        assert boxes[:, 0].max() <= 32
        assert boxes[:, 1].max() <= 256
        assert np.median(boxes[:, 1] / boxes[:, 0]) > 4
        assert boxes[:, 0].min() > 10
