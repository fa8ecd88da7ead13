"""Words in the look of captchas: colours by letter, lines, loose letters, white ground."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace
from unittest import mock

import numpy as np
from PIL import Image
from test_fonts import FONTS, MONO
from word_set import FACES, PRINTABLE

from utils.synth import lettering
from utils.synth.fonts import Face, Glyph
from utils.synth.lettering import as_set, loose, small_decimals
from utils.synth.scene import WordRenderer
from utils.synth.words import WordRecipe
from utils.text.charset import preset_charset

SANS = str(FONTS / "DejaVuSans.ttf")


def looks(words, **looks) -> list[np.ndarray]:
    """Forty pictures of random strings, plain but for what is asked."""
    recipe = WordRecipe(
        preset_charset("upper").characters, "upper", 4, 6, fonts=FACES, words=str(words),
        random_share=1.0, number_share=0.0, augment="none", **looks,
    )  # fmt: skip
    renderer = WordRenderer(recipe)
    return [np.asarray(renderer.draw(index)[0], int) for index in range(40)]


def test_words_on_white(words):
    corners = [picture[[0, 0, -1, -1], [0, -1, 0, -1]] for picture in looks(words, white=1.0)]
    assert np.median(corners) == 255
    assert sum((corner == 255).all() for corner in corners) > 30  # others have a neighbour there
    corners = [picture[[0, 0, -1, -1], [0, -1, 0, -1]] for picture in looks(words)]
    assert sum((corner == 255).all() for corner in corners) < 10


def test_each_letter_may_have_its_colour(words):
    def hues(picture: np.ndarray) -> int:
        """Of strong colours, how many of twelve are in the picture."""
        hue, strong, _ = (
            channel.ravel()
            for channel in np.moveaxis(
                np.asarray(Image.fromarray(picture.astype(np.uint8)).convert("HSV"), int), 2, 0
            )
        )
        return (np.bincount(hue[strong > 120] * 12 // 256, minlength=12) > 20).sum()

    one, many = (
        np.mean([hues(picture) for picture in looks(words, white=1.0, letter_colors=share)])
        for share in (0.0, 1.0)
    )
    assert many > 1.5 * one


def test_lines_run_across(words):
    changed = [
        (before != after).any(axis=2).mean()
        for before, after in zip(looks(words), looks(words, lines=1.0), strict=True)
    ]
    assert 0.01 < np.median(changed) < 0.3


def test_half_of_loose_texts_are_turned_and_half_moved_each_letter_for_itself():
    face = Face(MONO, 40)
    plain = face.glyph("L")
    assert plain is not None
    upright, level, kinds, moves, gaps = 0, 0, set(), [], []
    for seed in range(100):
        gap, change = loose("LLL", face, random.Random(seed))
        seen = [change(index, plain) for index in range(3)]
        inks = {glyph.ink.tobytes() for glyph in seen}
        upright += inks == {plain.ink.tobytes()}
        kinds |= inks
        middles = [glyph.top + glyph.ink.shape[0] / 2 for glyph in seen]
        level += max(middles) - min(middles) < 1
        moves += list(np.diff(middles))
        gaps.append(gap)
    assert 35 < upright < 65
    assert len(kinds) > 100  # the others each in its own way
    assert 35 < level < 65
    assert np.std(moves) > 2
    assert max(gaps) > 0.8 * 40
    assert np.std(gaps) > 5


def test_letters_of_half_of_the_loose_texts_stand_in_the_middle_of_equal_cells():
    face, in_cells = Face(SANS, 40), 0
    for seed in range(100):
        _, change = loose("WIl", face, random.Random(seed))
        seen = [change(index, face.glyph(letter)) for index, letter in enumerate("WIl")]
        if seen[0].advance == seen[1].advance == seen[2].advance:
            in_cells += 1
            middles = [glyph.left + glyph.ink.shape[1] / 2 - glyph.advance / 2 for glyph in seen]
            assert max(map(abs, middles)) <= 2
    assert 35 < in_cells < 65


def test_loose_letters_have_room_around(words):
    def margins(share: float) -> np.ndarray:
        """(pictures, 4): empty rows above and below, columns left and right, in heights."""
        found = []
        for picture in looks(words, white=1.0, loose=share):
            dark = (picture < 240).any(axis=2)
            rows, columns = (np.flatnonzero(dark.any(axis=axis)) for axis in (1, 0))
            height, width = dark.shape
            ends = rows[0], height - 1 - rows[-1], columns[0], width - 1 - columns[-1]
            found.append(np.array(ends) / height)
        return np.array(found)

    assert np.all(np.median(margins(1.0), axis=0) > 1.5 * np.median(margins(0.0), axis=0))


def test_nothing_but_letters_is_in_a_picture_of_loose_ones(words):
    """No neighbours at the edge, no arches, no shadows or outlines."""
    others = ("WordRenderer._add_neighbours", "WordRenderer._shadow", "WordRenderer._outline")
    others = (*others, "arched")
    with contextlib.ExitStack() as stack:
        mocks = [stack.enter_context(mock.patch(f"utils.synth.scene.{name}")) for name in others]
        for picture in looks(words, white=1.0, loose=1.0):
            assert (picture[[0, -1]] == 255).all()
    assert not any(called.call_count for called in mocks)


def test_half_of_the_lines_are_a_pixel_thin(words):
    drawn = []
    with mock.patch(
        "PIL.ImageDraw.ImageDraw.line", lambda self, ends, colour, thick: drawn.append(thick)
    ):
        looks(words, lines=1.0, height=144)
    assert 0.5 < np.mean(np.array(drawn) == 1) < 0.7
    assert max(drawn) > 2


def test_a_turned_glyph_stays_where_it_is():
    glyph = Glyph(np.full((10, 4), 255, np.uint8), 3, -10, 5.0)
    turned = glyph.turned(90)
    assert turned.ink.shape == (4, 10)
    assert (turned.left, turned.top, turned.advance) == (0, -7, 5.0)
    assert turned.ink.sum() == glyph.ink.sum()


def test_decimals_are_smaller_in_half_of_the_numbers():
    face = Face(MONO, 40)
    plain, wide = face.write("88.8"), []
    for seed in range(40):
        ink, _ = face.write_letters("88.8", 0.0, small_decimals("88.8", random.Random(seed)))
        assert ink.shape[0] == plain.shape[0]
        wide.append(ink.shape[1])
        for text in ("888", "8.8a", ".8"):
            assert small_decimals(text, random.Random(seed)) is as_set
    assert 10 < sum(width < plain.shape[1] for width in wide) < 30


def test_a_scaled_glyph_stands_on_the_line_or_hangs():
    glyph = Glyph(np.full((20, 10), 255, np.uint8), 2, -20, 14.0)
    assert glyph.scaled(0.5).ink.shape == (10, 5)
    assert (glyph.scaled(0.5).top, glyph.scaled(0.5, hangs=True).top) == (-10, -20)
    assert (glyph.scaled(0.5).left, glyph.scaled(0.5).advance) == (1, 7.0)


def test_numbers_and_loose_words_are_drawn_so(words):
    recipe = replace(PRINTABLE, words=str(words), fonts=(MONO,), number_share=1.0)
    for share, name in ((0.0, "small_decimals"), (1.0, "loose")):
        wrapped = getattr(lettering, name)
        with mock.patch(f"utils.synth.lettering.{name}", wraps=wrapped) as called:
            WordRenderer(replace(recipe, loose=share)).draw(0)
        assert called.call_count == 1
