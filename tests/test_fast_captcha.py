"""The fast renderer: given the same dice, it draws what the `captcha` package draws."""

from __future__ import annotations

import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import matplotlib
import numpy as np
import pytest
import torch
from scripted_package import ALNUM62, dice_of, package_picture

from utils.synth import turned
from utils.synth.captcha import CaptchaRecipe
from utils.synth.dice import MOST_DEGREES, NUM_TURNS, Dice, seeded_generator
from utils.synth.fast import FastRenderer, Letters, _shared_columns
from utils.synth.warp import LetterWarp
from utils.text.charset import PRESETS

DEJAVU = f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"
RECIPES = {
    "alnum62": ALNUM62,
    "six on 200 x 70": CaptchaRecipe(PRESETS["clear"], "clear", 6, 6, 200, 70),
    "crowded": CaptchaRecipe(PRESETS["alnum62"], "alnum62", 8, 8),
    "roomy": CaptchaRecipe(PRESETS["digits"], "digits", 1, 3),
    "tall": CaptchaRecipe(PRESETS["alnum62"], "alnum62", height=120),
    "low": CaptchaRecipe(PRESETS["digits"], "digits", 2, 3, 80, 32),
    "another font": CaptchaRecipe(PRESETS["alnum62"], "alnum62", fonts=(DEJAVU,)),
}


def both(recipe: CaptchaRecipe, dice: Dice, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """The pictures (N, Ch, H, W) that the package and the fast renderer draw of these dice."""
    mode = "L" if channels == 1 else "RGB"
    pictures = [package_picture(recipe, dice, n).convert(mode) for n in range(len(dice.lengths))]
    arrays = [
        np.asarray(picture, np.float32).reshape(*picture.size[::-1], -1) for picture in pictures
    ]
    ours = FastRenderer(recipe, channels).render(dice).images.numpy()
    return np.stack(arrays).transpose(0, 3, 1, 2), ours


def plain(dice: Dice, **changes: Any) -> Dice:
    """Upright letters in the largest size, no spaces, nothing scribbled where letters are."""
    values: dict[str, Any] = {
        "turns": MOST_DEGREES,
        "warps": 0.5,
        "spaces": False,
        "fonts": 2,
        "gaps": 0.0,
    }
    values |= {"background": 250, "ink": 60, "dots": 0}
    values |= {"arcs": torch.tensor([0, 12, 32, 12, 0, 160]), **changes}
    filled = {name: torch.zeros_like(getattr(dice, name)) + each for name, each in values.items()}
    return replace(dice, **filled)


def letters_of(picture: np.ndarray) -> np.ndarray:
    """Below the dots and the arc of `plain`."""
    return picture[..., 16:, :]


def ink_colour(picture: np.ndarray) -> np.ndarray:
    """The median of a picture's darker pixels, (Ch,)."""
    pixels = letters_of(picture).reshape(len(picture), -1)
    grey: np.ndarray = pixels.mean(0)
    return np.median(pixels[:, grey < (grey.min() + grey.max()) / 2], axis=1)


def inked_columns(picture: np.ndarray) -> np.ndarray:
    return np.flatnonzero((letters_of(picture) < 240).any(axis=(0, 1)))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", RECIPES)
def test_the_same_dice_draw_the_same_picture(name, channels):
    recipe = RECIPES[name]
    dice = dice_of(recipe, 24)
    theirs, ours = both(recipe, dice, channels)
    assert ours.shape == theirs.shape == (24, channels, recipe.height, recipe.width)
    correlations = [
        np.corrcoef(one.mean(0).ravel(), other.mean(0).ravel())[0, 1]
        for one, other in zip(theirs, ours, strict=True)
    ]
    assert np.mean(correlations) >= 0.9975
    assert min(correlations) >= 0.985
    assert np.abs(theirs - ours).mean() <= 1
    paper = dice.background.numpy()[:, :, None, None].mean(1, keepdims=True)
    assert (paper - ours).sum() == pytest.approx((paper - theirs).sum(), rel=0.007)


def test_colours_are_those_of_the_package():
    dice = plain(dice_of(ALNUM62, 8))
    dice = replace(dice, background=dice_of(ALNUM62, 8).background, ink=dice_of(ALNUM62, 8).ink)
    theirs, ours = both(ALNUM62, dice, 3)
    for one, other in zip(theirs, ours, strict=True):
        assert np.abs(one[:, -1, 0] - other[:, -1, 0]).max() <= 1  # paper
        assert np.array_equal(one[:, 0, 0], other[:, 0, 0])  # scribbles: a dot in the corner
        assert np.abs(ink_colour(one) - ink_colour(other)).max() <= 3


def test_the_same_generator_draws_the_same_pictures():
    renderer = FastRenderer(ALNUM62, 3)
    one, again, other = (renderer.draw(12, seeded_generator(seed)) for seed in (7, 7, 8))
    assert torch.equal(one.images, again.images)
    assert torch.equal(one.characters, again.characters)
    assert torch.equal(one.lengths, again.lengths)
    assert not torch.equal(one.images, other.images)


def test_a_picture_does_not_depend_on_its_neighbours():
    dice, renderer = dice_of(ALNUM62, 12), FastRenderer(ALNUM62)
    images = renderer.render(dice).images
    alone = replace(dice, **{name: value[7:8] for name, value in vars(dice).items()})
    assert (renderer.render(alone).images - images[7:8]).abs().max() <= 1


def test_pictures_are_whole_levels_and_labels_are_the_recipes():
    recipe = CaptchaRecipe("abc", "few", 2, 5, 90, 40)
    drawn = FastRenderer(recipe, 3).draw(200, seeded_generator(0))
    assert drawn.images.dtype == torch.float32
    assert torch.equal(drawn.images, drawn.images.round())
    assert (drawn.images.min() >= 0, drawn.images.max() <= 255) == (True, True)
    assert drawn.characters.shape == (200, 5)
    assert set(drawn.characters.flatten().tolist()) == {0, 1, 2}
    assert set(drawn.lengths.tolist()) == {2, 3, 4, 5}


def test_nobody_elses_random_numbers_are_used():
    before = torch.random.get_rng_state(), random.getstate()
    FastRenderer(ALNUM62).draw(4, seeded_generator(0))
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert random.getstate() == before[1]


def test_a_letter_is_cut_off_at_the_edge_of_its_patch():
    recipe = CaptchaRecipe("W", "w", 1, 1, 160, 120)
    renderer, thrown = FastRenderer(recipe), dice_of(recipe, 200)
    dice = plain(thrown, fonts=0, warps=thrown.warps.round() * 0.999, dots=-99, arcs=-999)
    inked = renderer.render(dice).images[:, 0].amin(0) < 240
    width, height = renderer.atlas.boxes[0].int().tolist()
    left, top = int(width * 0.1), (120 - height) // 2
    columns, rows = np.flatnonzero(inked.any(0)), np.flatnonzero(inked.any(1))
    # The last step smooths a pixel outwards, and some letter of so many reaches each edge.
    assert (columns[0], columns[-1]) == (left - 1, left + width)
    assert (rows[0], rows[-1]) == (top - 1, top + height)


def test_a_letter_lies_on_the_one_before_it():
    """Dark ink is thin: where two letters overlap, one is seen through the other."""
    recipe = CaptchaRecipe("W", "w", 4, 4)
    apart = both(recipe, plain(dice_of(recipe, 1)), 1)
    near = both(recipe, plain(dice_of(recipe, 1), gaps=0.999), 1)
    once = [int(np.median(picture[picture < 200])) for picture in map(letters_of, apart)]
    twice = [int(letters_of(picture).min()) for picture in near]
    assert once == pytest.approx([164, 164], abs=4)
    assert twice == pytest.approx([115, 115], abs=4)  # added up, it would be 78


def test_a_text_that_is_too_wide_is_squeezed():
    recipe = CaptchaRecipe("W", "w", 8, 8)
    dice = plain(dice_of(recipe, 1))
    pictures = both(recipe, dice, 1)
    assert np.abs(pictures[0] - pictures[1]).mean() <= 2
    theirs, ours = (inked_columns(picture[0]) for picture in pictures)
    wide = inked_columns(FastRenderer(replace(recipe, width=400)).render(dice).images[0].numpy())
    assert wide[-1] > 250
    assert abs(ours[0] - theirs[0]) <= 1
    assert abs(ours[-1] - theirs[-1]) <= 1
    assert ours[-1] >= 155, "the last letter is there, to its end"


def test_a_text_that_fits_is_left_as_it_is():
    recipe = CaptchaRecipe("WI", "wi", 1, 4)
    dice = plain(dice_of(recipe, 16))
    small, large = (
        FastRenderer(replace(recipe, width=width)).render(dice).images for width in (160, 320)
    )
    assert torch.equal(small[..., :159], large[..., :159])  # the last column is not smoothed


@pytest.mark.parametrize("characters", [" ", "a ", " \u00a0b"])
def test_characters_without_ink(characters):
    recipe = CaptchaRecipe(characters, "blank")
    dice = dice_of(recipe, 24)
    theirs, ours = both(recipe, dice, 1)
    assert np.isfinite(ours).all()
    assert np.abs(theirs - ours).mean() <= 3


def test_letters_that_are_not_kept_are_the_same(monkeypatch):
    """Thousands of characters would take gigabytes: those are turned anew for each picture."""
    dice = dice_of(ALNUM62, 12)
    kept = FastRenderer(ALNUM62).render(dice).images
    monkeypatch.setattr(turned, "MOST_KEPT", 0)
    monkeypatch.setattr(turned, "_draw_turned", drawn := Mock(wraps=turned._draw_turned))
    anew = FastRenderer(ALNUM62)
    assert drawn.call_count == 0
    assert torch.equal(anew.render(dice).images, kept)
    assert drawn.call_count > 0


def test_a_hairline_may_take_any_turn():
    atlas: Any = SimpleNamespace(
        inks=torch.tensor([[1.0, 60.0]]),
        boxes=torch.tensor([[8.0, 60.0]]),
        sheet=torch.full((1, 62, 3), 255, dtype=torch.uint8),
    )
    glyph = torch.zeros(NUM_TURNS, dtype=torch.long)
    drawn = LetterWarp(atlas).draw(
        glyph, torch.arange(NUM_TURNS), torch.full((NUM_TURNS, 6), 0.5), glyph.float(),
        torch.full((NUM_TURNS, 60), 1.0), 8,
    )  # fmt: skip
    assert drawn.flatten(1).any(1).all()


def test_a_letter_narrower_than_the_overlap_hides_no_more_than_itself() -> None:
    """Three letters: the second, 3 wide, stands wholly on the first, and before the third."""
    ends = torch.tensor([0, 0, 0])
    letters = Letters(
        picture=ends, glyph=ends, turn=ends, warp=ends, width=torch.tensor([20.0, 3.0, 20.0]),
        height=ends, left=torch.tensor([0.0, 10.0, 8.0]), top=ends, canvas=ends,
    )  # fmt: skip
    letter, column, above = _shared_columns(letters, 20)
    assert letter.tolist() == [0, 0, 0, 1, 1, 1]  # the third begins two columns before the second
    assert column.tolist() == [10, 11, 12, 0, 1, 2]
    assert above.tolist() == [0, 1, 2, 2, 3, 4]
