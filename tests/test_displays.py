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
from utils.synth.fonts import Face, Glyph
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


def test_room_is_what_lies_around_the_letters():
    letters = np.zeros((50, 200), np.uint8)
    letters[12:38, 20:120] = 1
    assert display.Room.around(letters) == display.Room(12, 12, 20, 80)
    assert display.Room.around(letters * 0) == display.Room(0, 0, 0, 0)


def test_small_print_is_behind_the_digits_or_above_or_below():
    behind = edge = 0
    for seed in range(200):
        letters = np.zeros((50, 200), np.uint8)
        letters[12:38, 20:120] = 100
        display.add_print(letters, display.Room.around(letters), random.Random(seed))
        behind += letters[12:38, 120:].any()
        edge += letters[:12, :115].any() or letters[38:, :115].any()
        assert (letters[12:38, 20:120] == 100).all()
    assert 40 < behind < 110
    assert 30 < edge < 110


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
def test_the_edges_of_the_window_leave_the_letters(channels):
    room, seen = display.Room(0, 8, 20, 30), []
    for seed in range(120):
        rng, noise = random.Random(seed), np.random.default_rng(seed)
        canvas, paint = display.window((40, 160), room, channels, rng, noise)
        assert canvas.shape == (40, 160, channels)
        assert paint.shape == (channels,)
        if np.ptp(canvas[:30, 24:126], axis=(0, 1)).max() > 0:
            continue  # a clouded ground
        changed = (canvas != canvas[0, 80]).any(axis=2)
        assert not changed[:30, 24:126].any()
        seen.append([changed[34:, 80].any(), changed[15, :16].any(), changed[15, 134:].any()])
    assert len(seen) > 60
    assert (np.mean(seen, axis=0) > 0.1).all()
    assert (np.mean(seen, axis=0) < 0.6).all()


def test_light_and_shadow_fall_on_some_of_the_displays():
    lighter = darker = 0
    for seed in range(200):
        canvas = np.full((40, 160, 3), 90, np.float32)
        display.add_light(canvas, random.Random(seed))
        assert canvas.min() >= 0.3 * 90 - 1
        assert canvas.max() <= 255
        lighter += canvas.max() > 120
        darker += canvas.min() < 80
    assert 30 < lighter < 80
    assert 20 < darker < 60


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


def test_the_last_digit_is_smaller_in_some_or_all_behind_the_point():
    glyph = Glyph(np.full((20, 10), 255, np.uint8), 2, -20, 14.0)
    for text, first, least, most in (("1234", 3, 15, 38), ("1.23", 2, 45, 75), ("12", 2, 0, 0)):
        changes = [display.small_last(text, random.Random(seed)) for seed in range(100)]
        smaller = [change for change in changes if change is not as_set]
        assert least <= len(smaller) <= most
        for change in smaller:
            assert [change(index, glyph) is glyph for index in range(4)] == [
                index < first for index in range(4)
            ]
            assert 0.3 < change(3, glyph).ink.shape[0] / 20 < 0.8


def test_sevens_have_three_segments_in_half_of_the_displays():
    glyph = Glyph(np.full((20, 10), 255, np.uint8), 0, -20, 14.0)
    changes = [display.plain_sevens("17", random.Random(seed)) for seed in range(60)]
    plain = [change for change in changes if change is not as_set]
    assert 20 < len(plain) < 40
    assert plain[0](0, glyph) is glyph
    seven = plain[0](1, glyph).ink
    assert not seven[4:, :4].any()
    assert seven[:3].all()
    assert seven[:, 5:].all()
