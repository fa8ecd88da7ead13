"""Words in the look of captchas: colours by letter, lines, loose letters, white ground."""

from __future__ import annotations

import random
from dataclasses import replace
from unittest import mock

import numpy as np
from PIL import Image
from test_fonts import MONO
from word_set import FACES, PRINTABLE

from utils.synth import lettering
from utils.synth.fonts import Face, Glyph
from utils.synth.lettering import as_set, loose, small_decimals
from utils.synth.scene import WordRenderer
from utils.synth.words import WordRecipe
from utils.text.charset import preset_charset


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


def test_loose_letters_are_turned_moved_and_far_apart_each_for_itself():
    plain = Face(MONO, 40).glyph("L")
    assert plain is not None
    kinds, tops, wide = set(), [], []
    for seed in range(60):
        gap, change = loose(40, random.Random(seed))
        seen = [change(index, plain) for index in range(3)]
        kinds |= {glyph.ink.tobytes() for glyph in seen}
        middles = [glyph.top + glyph.ink.shape[0] / 2 for glyph in seen]
        tops += [middles[0] - middles[1], middles[1] - middles[2]]
        wide.append(gap)
    assert len(kinds) > 150  # each turned in its own way
    assert np.std(tops) > 2  # and moved up or down
    assert max(wide) > 0.8 * 40
    assert np.std(wide) > 5


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
