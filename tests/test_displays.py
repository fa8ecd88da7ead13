"""Words on the displays of meters: unlit segments, small print, the window, light on its glass."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from test_fonts import FONTS, MONO
from word_set import PRINTABLE

from utils.synth import display
from utils.synth.canvas import grey_of
from utils.synth.fonts import Face
from utils.synth.lettering import as_set
from utils.synth.scene import WordRenderer

SERIF = str(FONTS / "DejaVuSerif-Bold.ttf")


def test_an_eight_shows_faintly_behind_a_third_of_the_digits():
    face = Face(MONO, 40)
    one, eight = face.glyph("1"), face.glyph("8")
    assert one is not None
    assert eight is not None
    changes = [display.unlit(face, random.Random(seed)) for seed in range(90)]
    faint = [change for change in changes if change is not as_set]
    assert 20 < len(faint) < 40
    for change in faint:
        seen = change(0, one)
        assert seen.advance == one.advance
        assert (seen.left, seen.top) == (min(one.left, eight.left), min(one.top, eight.top))
        inside = seen.ink[one.top - seen.top :, one.left - seen.left :]
        assert (inside[: one.ink.shape[0], : one.ink.shape[1]] >= one.ink).all()
        others = seen.ink[seen.ink < 60]
        assert 0.02 * 255 < others.max() < 0.2 * 255


def test_a_point_that_is_narrower_has_no_segments_behind_it():
    face = Face(SERIF, 40)
    point = face.glyph(".")
    assert point is not None
    assert point.advance < 0.6 * face.glyph("8").advance  # type: ignore[union-attr]
    for seed in range(9):
        assert display.unlit(face, random.Random(seed))(0, point) is point
    with mock.patch.object(face, "glyph", return_value=None):
        assert display.unlit(face, random.Random(0)) is as_set


def test_small_print_is_behind_the_digits_or_at_the_edge():
    behind = edge = 0
    for seed in range(200):
        letters = np.zeros((50, 200), np.uint8)
        letters[12:38, 20:120] = 100
        display.add_print(letters, random.Random(seed))
        behind += letters[12:38, 125:].any()
        edge += letters[[0, -1], :115].any()
        assert (letters[12:38, 20:118] == 100).all()
    assert 40 < behind < 110
    assert 20 < edge < 100


def test_windows_are_lit_or_dark_and_their_digits_can_be_seen():
    lit, steps = 0, []
    for seed in range(200):
        rng = random.Random(seed)
        ground, paint = display.colours(rng)
        assert ground.min() >= 0
        assert max(ground.max(), paint.max()) <= 255
        steps.append(grey_of(ground) - grey_of(paint))
        lit += steps[-1] > 0
    assert 150 < lit < 190
    assert np.median(np.abs(steps)) > 60


@pytest.mark.parametrize("channels", [1, 3])
def test_the_edges_of_the_window_leave_its_middle(channels):
    framed = 0
    for seed in range(60):
        rng, noise = random.Random(seed), np.random.default_rng(seed)
        canvas, paint = display.window((40, 160), channels, rng, noise)
        assert canvas.shape == (40, 160, channels)
        assert paint.shape == (channels,)
        plain = canvas[12:28, 40:120]
        if np.ptp(plain, axis=(0, 1)).max() == 0:
            framed += (canvas != plain[0, 0]).any()
    assert framed > 10


def test_light_on_the_glass_makes_it_brighter_in_places():
    shone = 0
    for seed in range(100):
        canvas = np.full((40, 160, 3), 90, np.float32)
        display.add_glare(canvas, random.Random(seed))
        assert canvas.min() >= 90
        assert canvas.max() <= 255
        shone += canvas.max() > 120
    assert 15 < shone < 45


def test_displays_among_words(words: Path):
    """They come in their share, of one colour, and their letters are not loose."""
    recipe = replace(PRINTABLE, words=str(words), fonts=(MONO,), number_share=1.0, display=0.5,
                     loose=1.0, white=1.0, letter_colors=1.0, augment="none")  # fmt: skip
    with mock.patch("utils.synth.display.window", wraps=display.window) as window:
        renderer = WordRenderer(recipe)
        shown = 0
        for index in range(60):
            picture = np.asarray(renderer.draw(index)[0])
            on_white = (picture == 255).all(axis=2).mean() > 0.5
            assert on_white == (window.call_count == shown)
            shown = window.call_count
    assert 20 < shown < 40
