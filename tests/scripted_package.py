"""The `captcha` package on given dice: what it asks of `secrets` is answered in its own order."""

from __future__ import annotations

import importlib.util
from types import ModuleType
from typing import Any

import captcha.image
from PIL import Image

from utils.synth.captcha import CaptchaRecipe
from utils.synth.dice import NUM_TURNS, Dice, seeded_generator, throw
from utils.text.charset import PRESETS

ALNUM62 = CaptchaRecipe(PRESETS["alnum62"], "alnum62")


class Script:
    """Stands in for `secrets`: each question takes the next answer, a whole number or 0..1."""

    def __init__(self, answers: list[float]):
        self.answers = answers

    def randbelow(self, bound: int) -> int:
        answer = self.answers.pop(0)
        number = answer if isinstance(answer, int) else int(answer * bound)
        assert 0 <= number < bound, f"{answer} where the package draws below {bound}"
        return number

    def randbits(self, count: int) -> int:
        answer = self.answers.pop(0)
        assert isinstance(answer, float)
        return int(answer * 2**count)

    def choice(self, items: list[Any]) -> Any:
        return items[self.randbelow(len(items))]


def scripted(*answers: float) -> ModuleType:
    """A private copy of captcha.image that is told these answers."""
    spec = importlib.util.spec_from_file_location("scripted_captcha", captcha.image.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.secrets = Script(list(answers))  # type: ignore[attr-defined]
    return module


def package_picture(recipe: CaptchaRecipe, dice: Dice, n: int) -> Image.Image:
    """What the package draws where chance gives it the n-th of these dice."""
    text = [recipe.characters[int(i)] for i in dice.characters[n, : int(dice.lengths[n])]]
    answers: list[float] = [int(level) - 238 for level in dice.background[n]]
    answers += [17]  # an opacity of 237, the mean
    answers += [int(level) - 10 for level in dice.ink[n]]
    for k in range(len(text)):
        answers += [0.75 if dice.spaces[n, k] else 0.25]
        if dice.spaces[n, k]:
            answers += [int(dice.space_fonts[n, k]), 0, 0, *[0.5] * 7]
        answers += [int(dice.fonts[n, k]), n % 5, n % 7]  # a margin that is cut off again
        answers += [float(dice.turns[n, k]) / (NUM_TURNS - 1), *dice.warps[n, k].tolist()]
    for k in range(len(text)):
        answers += dice.gaps[n, k].tolist()[0 if dice.spaces[n, k] else 1 :]
    module = scripted(*answers, *dot_answers(dice, n), *arc_answers(recipe, dice, n))
    captcha_ = module.ImageCaptcha(recipe.width, recipe.height, list(recipe.fonts) or None)
    picture = captcha_.generate_image("".join(text))
    assert not module.secrets.answers, "the package asked for fewer numbers"
    return picture


def dot_answers(dice: Dice, n: int) -> list[int]:
    return dice.dots[n].flatten().tolist()


def arc_answers(recipe: CaptchaRecipe, dice: Dice, n: int) -> list[int]:
    left, top, right, bottom, start, end = dice.arcs[n].tolist()
    across, down = recipe.width // 5, recipe.height // 5
    return [left, right - across, top - down, bottom - top, end - 160, start]


def dice_of(recipe: CaptchaRecipe, count: int, seed: int = 0) -> Dice:
    num_fonts = 3 * max(len(recipe.fonts), 1)
    return throw(recipe, num_fonts, count, seeded_generator("test", seed))
