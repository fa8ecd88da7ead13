"""Captchas from seeds: the package's own pictures, and nobody else's random numbers touched."""

from __future__ import annotations

import importlib.util
import random
import secrets
import sys
from pathlib import Path

import captcha.image
import matplotlib
import pytest

from utils.errors import UserError
from utils.synth.captcha import CaptchaRecipe, CaptchaRenderer, font_problems
from utils.text.charset import PRESETS

DEJAVU = str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf")
DROID = str(Path(captcha.__path__[0]) / "data/DroidSansMono.ttf")
ALNUM62 = CaptchaRecipe(PRESETS["alnum62"], "alnum62")
RECIPES = [
    ALNUM62,
    CaptchaRecipe("01 ", "with a space", 1, 3, 90, 40, (DEJAVU, DROID)),
    CaptchaRecipe("W", "crowded", 20, 20, 60, 60),
]


class SeededSecrets:
    """What captcha.image uses of `secrets`, from a seeded generator."""

    def __init__(self, rng: random.Random):
        self.rng = rng

    def randbelow(self, bound):
        return self.rng.randrange(0, bound)

    def randbits(self, count):
        return self.rng.getrandbits(count)

    def choice(self, items):
        return self.rng.choice(items)


def plain_package():
    """A private copy of captcha.image, as it was installed."""
    spec = importlib.util.spec_from_file_location("plain_captcha", captcha.image.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.charset_name)
def test_pictures_are_those_of_the_plain_package(recipe):
    module, renderer = plain_package(), CaptchaRenderer(recipe)
    plain = module.ImageCaptcha(recipe.width, recipe.height, list(recipe.fonts) or None)
    for index in range(30):
        rng = random.Random(f"7/train/{index}")
        module.secrets = SeededSecrets(rng)
        length = rng.randint(recipe.min_length, recipe.max_length)
        label = "".join(rng.choice(recipe.characters) for _ in range(length))
        expected = plain.generate_image(label)
        picture, text = renderer.draw(7, "train", index)
        assert text == label
        assert (picture.mode, picture.size) == ("RGB", (recipe.width, recipe.height))
        assert picture.tobytes() == expected.tobytes()


def test_a_picture_depends_on_its_seed_alone():
    first, second = CaptchaRenderer(ALNUM62), CaptchaRenderer(ALNUM62)
    pictures = [first.draw(0, "val", index) for index in range(5)]
    for index in (3, 0, 4):
        picture, text = second.draw(0, "val", index)
        assert (picture.tobytes(), text) == (pictures[index][0].tobytes(), pictures[index][1])
    assert len({picture.tobytes() for picture, _ in pictures}) == 5


def test_the_text_alone_is_that_of_the_picture():
    renderer = CaptchaRenderer(ALNUM62)
    for index in range(10):
        assert renderer.text(1, index) == renderer.draw(1, index)[1]


def test_seeds_keep_their_meaning():
    """Sets that are half made are gone on with: this text may change only with the format."""
    assert CaptchaRenderer(ALNUM62).text(0, "train", 0) == "rseaer"


def test_lengths_and_characters_of_the_recipe_all_occur():
    renderer = CaptchaRenderer(CaptchaRecipe("abc", "few", 2, 4))
    texts = [renderer.text(0, index) for index in range(200)]
    assert {len(text) for text in texts} == {2, 3, 4}
    assert set("".join(texts)) == set("abc")


def test_other_users_of_the_package_and_of_random_are_left_alone():
    random.seed(3)
    before = random.getstate()
    drawing = captcha.image.ImageCaptcha.__dict__["_draw_character"]
    CaptchaRenderer(ALNUM62).draw(0)
    assert captcha.image.secrets is secrets
    assert captcha.image.ImageCaptcha.__dict__["_draw_character"] is drawing
    assert random.getstate() == before


def test_a_recipe_survives_json():
    import json

    recipe = RECIPES[1]
    assert CaptchaRecipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_sound_fonts_have_no_problems():
    assert font_problems(ALNUM62) == []
    assert font_problems(CaptchaRecipe("\u0436", "ru", fonts=(DEJAVU,))) == []


def test_fonts_that_lack_a_glyph_are_named_with_the_characters():
    recipe = CaptchaRecipe("a\u4e2db\u6587", "mixed", fonts=(DEJAVU, DROID))
    problems = sorted(font_problems(recipe))
    assert len(problems) == 2
    assert problems[0].startswith("font DejaVuSans.ttf has no glyph for '\u4e2d\u6587' (2 of 4")


def test_a_file_that_is_no_font(tmp_path):
    path = tmp_path / "text.ttf"
    path.write_text("not a font", encoding="utf-8")
    with pytest.raises(UserError, match=r"text\.ttf: not a font"):
        font_problems(CaptchaRecipe("a", "a", fonts=(str(path),)))


def test_without_the_package_the_way_to_it_is_told(monkeypatch):
    monkeypatch.delitem(sys.modules, "captcha.image")
    monkeypatch.setitem(sys.modules, "captcha", None)
    with pytest.raises(UserError, match="captcha is missing; run pip install"):
        CaptchaRenderer(ALNUM62)
