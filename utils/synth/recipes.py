"""The kinds of recipes that dataset.json can hold, and what draws each of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, get_origin, get_type_hints

from utils.errors import UserError
from utils.synth.captcha import CaptchaRecipe, CaptchaRenderer, font_problems
from utils.synth.lines import LEAST_STEP, LineRecipe, line_problems
from utils.synth.words import LEAST_RATIO, Texts, WordRecipe, word_problems
from utils.text.decoding import steps_needed

if TYPE_CHECKING:
    from PIL import Image

Recipe = CaptchaRecipe | WordRecipe | LineRecipe

MOST_PIXELS = 4096
"""Of the height and the width of a picture to draw."""

KINDS: dict[str, type[CaptchaRecipe] | type[WordRecipe] | type[LineRecipe]] = {
    "captcha": CaptchaRecipe,
    "word": WordRecipe,
    "line": LineRecipe,
}


class Renderer(Protocol):
    """Draws any picture of a set by its seed, its split and its place there."""

    def draw(self, *seed: int | str) -> tuple[Image.Image, str]: ...

    def text(self, *seed: int | str) -> str: ...


def recipe_from_json(values: dict[str, Any]) -> Recipe:
    """KeyError or TypeError for what is none."""
    values = dict(values)
    recipe = KINDS[values.pop("kind", "captcha")].from_json(values)
    for name, kind in get_type_hints(type(recipe)).items():
        kind = tuple if get_origin(kind) is tuple else kind
        value = getattr(recipe, name)
        if not isinstance(value, (int, float) if kind is float else kind):
            raise TypeError(f"{name} is {value!r}")
    return recipe


def recipe_problems(recipe: Recipe) -> list[str]:
    """Values out of range, fonts or words that are missing, and characters that no font has: a
    sentence each."""
    found = [] if recipe.characters else ["a charset without characters; name some"]
    if not 1 <= recipe.min_length <= recipe.max_length:
        lengths = f"{recipe.min_length} to {recipe.max_length}"
        found.append(f"lengths from {lengths}: expected 1 or more, the smaller one first")
    sizes = {"height": recipe.height, "width": getattr(recipe, "width", recipe.height)}
    found += [
        f"--{name} {size}: expected 16 to {MOST_PIXELS}"
        for name, size in sizes.items()
        if not 16 <= size <= MOST_PIXELS
    ]
    if found:
        return found
    if isinstance(recipe, CaptchaRecipe):
        return font_problems(recipe)
    return word_problems(recipe) if isinstance(recipe, WordRecipe) else line_problems(recipe)


def kind_of(recipe: Recipe) -> str:
    return next(name for name, kind in KINDS.items() if isinstance(recipe, kind))


def more_often(recipe: Recipe, characters: str, weight: int) -> CaptchaRecipe:
    """The recipe with each of these characters `weight` times as often as each of the others.

    UserError where the recipe has not got them, or draws no captchas.
    """
    if not isinstance(recipe, CaptchaRecipe):
        raise UserError(
            f"--hard_characters {characters}: the set's recipe draws {kind_of(recipe)}s; leave it "
            "out, or take a set of captchas"
        )
    if missing := set(characters) - set(recipe.characters):
        raise UserError(
            f"--hard_characters {characters}: {''.join(sorted(missing))!r} is not among the "
            f"characters of {recipe.charset_name}, which the set is drawn from; leave it out, or "
            "take a set that has it"
        )
    return replace(
        recipe, characters=recipe.characters + "".join(dict.fromkeys(characters)) * (weight - 1)
    )


def draws_together(recipe: Recipe | None, renderer: str) -> TypeGuard[CaptchaRecipe]:
    """Whether pictures of the recipe are drawn in blocks, by the fast renderer."""
    return isinstance(recipe, CaptchaRecipe) and renderer == "fast"


def one_by_one(recipe: Recipe, channels: int = 3) -> Renderer:
    """What draws the pictures of a recipe each for itself; words and lines grey where `channels`
    is 1."""
    if isinstance(recipe, WordRecipe):
        from utils.synth.scene import WordRenderer

        return WordRenderer(recipe, channels)
    if isinstance(recipe, LineRecipe):
        from utils.synth.line_scene import LineRenderer

        return LineRenderer(recipe, channels)
    return CaptchaRenderer(recipe)


def narrowest(recipe: Recipe, text: str) -> tuple[int, int]:
    """Width and height of the narrowest picture that the recipe can draw of a text; of a vertical
    one, once it is turned."""
    if isinstance(recipe, WordRecipe):
        return round(recipe.height * LEAST_RATIO * steps_needed(text)), recipe.height
    if isinstance(recipe, LineRecipe) and recipe.tight:
        least = round(recipe.height * LEAST_STEP * steps_needed(text))
        return min(recipe.width, least), recipe.height
    return recipe.width, recipe.height


def needing_most(recipe: Recipe) -> Iterable[str]:
    """Texts among which is one that needs the most time steps of all that may be drawn."""
    if isinstance(recipe, WordRecipe):
        return Texts(recipe).needing_most()
    return ["0" * recipe.max_length]
