"""Captchas drawn by the `captcha` package, each one a function of its seed alone."""

from __future__ import annotations

import importlib.util
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from PIL import Image, ImageFont

from utils.errors import UserError
from utils.synth.fonts import NO_CHARACTER, check_font
from utils.text.charset import Charset

RENDERERS = ("package", "fast")
"""What can draw a recipe: the captcha package itself, or its look in torch (utils.synth.fast)."""


BLOCK_PIXELS = 128 * 160 * 60
"""What the fast renderer draws at once: a quarter of it takes a fifth more time a picture."""


@dataclass(frozen=True)
class CaptchaRecipe:
    """What a captcha data set is made of; stands in dataset.json and draws the same again."""

    characters: str
    charset_name: str
    min_length: int = 4
    max_length: int = 8
    width: int = 160
    height: int = 60
    fonts: tuple[str, ...] = ()
    """Paths of TrueType fonts; none: the package's own."""

    @property
    def charset(self) -> Charset:
        return Charset(self.characters, self.charset_name)

    @property
    def files(self) -> dict[str, str]:
        """By flag, what the texts come from: nothing."""
        return {}

    @property
    def block_size(self) -> int:
        """Pictures that the fast renderer draws at once. They depend on it, so it is no setting."""
        return max(1, min(128, BLOCK_PIXELS // self.pixels))

    @property
    def pixels(self) -> int:
        return self.width * self.height

    def __str__(self) -> str:
        return (
            f"captchas of {self.min_length} to {self.max_length} characters of "
            f"{self.charset_name} ({len(self.characters)}), {self.width} x {self.height}"
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> CaptchaRecipe:
        return cls(**{**values, "fonts": tuple(values["fonts"])})

    def fingerprint(self) -> list[object]:
        """What tells its files from others of their names: nothing."""
        return []


class CaptchaRenderer:
    """Draws a recipe's captchas. Not shared between threads: make one for each."""

    def __init__(self, recipe: CaptchaRecipe):
        self.recipe = recipe
        self._rng = random.Random()
        module = _seeded_package(self._rng)
        try:
            for font in recipe.fonts:
                check_font(font)
            self._captcha = _without_blank_work(module)(
                recipe.width, recipe.height, fonts=list(recipe.fonts) or None
            )
            self._captcha.truefonts  # noqa: B018 - opens the fonts, so that a bad one is told now
        except OSError as error:
            fonts = ", ".join(recipe.fonts)
            raise UserError(f"--fonts {fonts}: not a font that can be opened ({error})") from None

    @property
    def fonts(self) -> list[ImageFont.FreeTypeFont]:
        """Each file in each of the package's sizes, as it chooses between them."""
        return list(self._captcha.truefonts)

    def open_fonts(self) -> list[ImageFont.FreeTypeFont]:
        """The recipe's fonts, each opened once, at the first size."""
        fonts = {str(font.path): font for font in reversed(self._captcha.truefonts)}
        return list(fonts.values())

    def draw(self, *seed: int | str) -> tuple[Image.Image, str]:
        """The picture (RGB) and its text: a function of the recipe and the seed words alone."""
        text = self.text(*seed)
        return self._captcha.generate_image(text), text

    def picture(self, text: str, *seed: int | str) -> Image.Image:
        """A picture (RGB) of that text."""
        self._rng.seed("/".join(str(word) for word in seed))
        return self._captcha.generate_image(text)

    def text(self, *seed: int | str) -> str:
        """The text that `draw` gives, without the picture."""
        recipe = self.recipe
        self._rng.seed("/".join(str(word) for word in seed))
        length = self._rng.randint(recipe.min_length, recipe.max_length)
        return "".join(self._rng.choice(recipe.characters) for _ in range(length))


def _seeded_package(rng: random.Random) -> ModuleType:
    """A private copy of captcha.image that draws from `rng`.

    captcha 0.7.1 draws from `secrets`, which no seed reaches. The copy is ours alone: the module
    that others import stays as it is.
    """
    try:
        spec = importlib.util.find_spec("captcha.image")
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.loader is None:
        raise UserError("the package captcha is missing; run pip install -r requirements.txt")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.secrets = SimpleNamespace(  # type: ignore[attr-defined]
        randbelow=rng.randrange, randbits=rng.getrandbits, choice=rng.choice
    )
    return module


def _without_blank_work(module: ModuleType) -> Any:
    """The package's ImageCaptcha, less the work that cannot be seen; the pictures are the same.

    A third of its glyphs are spaces, which it rotates and warps like letters. Only their size
    counts, and the random numbers that they use up.
    """

    class Captcha(module.ImageCaptcha):  # type: ignore[misc, name-defined]
        def _draw_character(self, c: str, draw: Any, color: Any) -> Image.Image:
            if c != " ":
                return super()._draw_character(c, draw, color)
            secrets = module.secrets
            font = secrets.choice(self.truefonts)
            _, _, width, height = draw.multiline_textbbox((1, 1), c, font=font)
            for low, high in (self.character_offset_dx, self.character_offset_dy):
                secrets.randbelow(high - low + 1)
            for _ in range(7):  # one angle, two warps, four corners
                secrets.randbits(32)
            return Image.new("RGBA", (int(width), int(height)))

    return Captcha


def font_problems(recipe: CaptchaRecipe) -> list[str]:
    """Fonts that would draw an empty box for some character."""
    problems = []
    for opened in CaptchaRenderer(recipe).open_fonts():
        missing_glyph = bytes(opened.getmask(NO_CHARACTER))
        lacking = [ch for ch in recipe.characters if bytes(opened.getmask(ch)) == missing_glyph]
        if lacking:
            problems.append(
                f"font {Path(str(opened.path)).name} has no glyph for {''.join(lacking[:20])!r} "
                f"({len(lacking)} of {len(recipe.characters)} characters); give one with --fonts"
            )
    return problems
