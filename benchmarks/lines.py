"""How fast lines are drawn for training, on one core, beside a plain Pillow loop of their look.

  python -m benchmarks.lines --fonts fonts/cjk

The loop throws like dice (grounds, colours, sizes, gaps, slants, blur, grain, each as often) and
makes each picture by Pillow's and numpy's own means: a font of that size, one ImageDraw.text a
character, Image.resize or transform, BoxBlur, and normal noise.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from benchmarks.report import Report, in_turn, rate_rows
from benchmarks.words import rate
from utils.errors import run_script
from utils.options import option, parse
from utils.synth.canvas import LEAST_CONTRAST, any_colour, paint_on
from utils.synth.faces import Faces
from utils.synth.fonts import find_fonts
from utils.synth.line_scene import LineRenderer
from utils.synth.lines import LEAST_EM, MOST_EM, LineRecipe, LineTexts
from utils.text.charset import PRESETS, preset_charset

LOOP = "Pillow, each font opened for its line"
KEPT = "Pillow, all fonts kept open in all sizes"


@dataclass(frozen=True)
class Options:
    rounds: int = option(5, "rounds, each of which times every way", above=0)
    count: int = option(1000, "lines a round", above=0)
    warm_up: int = option(
        100_000, "lines that are drawn before, so that glyphs are known; a tenth by Pillow", least=0
    )
    fonts: tuple[str, ...] = option(("system",), "fonts, folders of fonts, or system")
    charset: str = option("chinese_common", "characters of the lines", tuple(PRESETS))
    min_length: int = option(5, "fewest characters of a line", above=0)
    max_length: int = option(12, "most characters of a line", above=0)
    output: str | None = option(None, "Markdown file to write the table to")
    config: str | None = option(None, "TOML recipe that presets flags")


class PillowLoop:
    """One line a call, in grey, with fonts from `opened(path, size, index)`."""

    def __init__(self, recipe: LineRecipe, opened: Callable[..., ImageFont.FreeTypeFont]):
        self._recipe, self._opened = recipe, opened
        self._faces = Faces(recipe.fonts, recipe.characters, recipe.height)
        self._texts = LineTexts(recipe, self._faces)
        self._rng, self._noise = random.Random(0), np.random.default_rng(0)

    def __call__(self) -> Image.Image:
        rng, recipe = self._rng, self._recipe
        text, face = self._texts.draw(rng)
        path, index = self._faces.names[face]
        em = round(recipe.height * rng.uniform(LEAST_EM, MOST_EM))
        font = self._opened(path, em, index)
        gap = rng.uniform(0, 0.5) * em if rng.random() < 0.4 else 0.0
        sway = rng.uniform(0, 0.3) * em if rng.random() < 0.3 else 0.0
        places, pen = [], 0.0
        for character in text:
            places.append((pen, em * 0.3 + sway * rng.uniform(-1, 1)))
            pen += font.getlength(character) + gap
        layer = Image.new("L", (round(pen) + 2, em * 2))
        draw = ImageDraw.Draw(layer)
        for place, character in zip(places, text, strict=True):
            draw.text(place, character, 255, font)
        layer = layer.crop(layer.getbbox())
        picture = self._paper()
        paint = self._paint
        width = min(round(layer.width * 2 ** rng.uniform(-0.25, 0.25)), recipe.width)
        size = (width, min(layer.height, recipe.height))
        if rng.random() < 0.3:
            layer = layer.transform(size, Image.Transform.QUAD, self._corners(*layer.size),
                                    Image.Resampling.BILINEAR)  # fmt: skip
        else:
            layer = layer.resize(size, Image.Resampling.BILINEAR)
        left = rng.randint(0, recipe.width - layer.width)
        top = rng.randint(0, recipe.height - layer.height)
        picture.paste(paint, (left, top), layer)
        if rng.random() < 0.3:
            picture = picture.filter(ImageFilter.BoxBlur(rng.uniform(0.2, 1)))
        if rng.random() < 0.3:
            picture = self._with_noise(np.asarray(picture, np.float32), rng.uniform(2, 12))
        return picture

    def _corners(self, width: int, height: int) -> tuple[float, ...]:
        rng, most = self._rng, 0.12 * min(width, height)
        slant = rng.uniform(-0.25, 0.25) * min(width, height)
        a, b, c, d, e, f, g, h = (rng.uniform(0, most) for _ in range(8))
        return (-a - slant, -b, -c, height + d, width + e, height + f, width + g + slant, -h)

    def _paper(self) -> Image.Image:
        """The ground; and what the text is painted with, in `_paint`."""
        rng, recipe = self._rng, self._recipe
        ground = any_colour(1, rng)
        level, self._paint = float(ground[0]), int(paint_on(ground, LEAST_CONTRAST, rng)[0])
        size, kind = (recipe.width, recipe.height), rng.random()
        picture = Image.new("L", size, int(level))
        if kind < 0.25:
            return self._with_noise(np.full(size[::-1], level, np.float32), rng.uniform(5, 40))
        if kind < 0.4:
            cell = rng.randint(2, 15)
            coarse = self._noise.normal(
                level, rng.uniform(5, 25), (32 // cell + 1, 512 // cell + 1)
            )
            clouds = Image.fromarray(coarse.clip(0, 255).astype(np.uint8))
            return clouds.resize(size, Image.Resampling.BICUBIC)
        if kind < 0.55:
            slope = np.linspace(-1, 1, size[0]) * rng.uniform(-40, 40) + level
            rows = np.repeat(slope[None], size[1], axis=0)
            return Image.fromarray(rows.clip(0, 255).astype(np.uint8))
        if kind < 0.6:
            draw, far = ImageDraw.Draw(picture), rng.randint(8, 32)
            for x in range(rng.randrange(8), size[0], far):
                draw.line((x, 0, x, size[1]), int(level * 0.7 + self._paint * 0.3))
        return picture

    def _with_noise(self, values: np.ndarray, strength: float) -> Image.Image:
        values = values + self._noise.normal(0, strength, values.shape)
        return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def opened(path: str, size: int, index: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size, index, "", ImageFont.Layout.BASIC)


def ours(recipe: LineRecipe, channels: int) -> Callable[[], object]:
    renderer, index = LineRenderer(recipe, channels), itertools.count()
    return lambda: renderer.draw(0, next(index))


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    report = Report("lines", argv, options.output, ["pillow", "numpy"])
    charset, fonts = preset_charset(options.charset), find_fonts(options.fonts).paths
    lengths = (options.min_length, options.max_length)
    recipe = LineRecipe(charset.characters, charset.name, *lengths, fonts=fonts)
    kept = lru_cache(maxsize=None)(opened)
    ways: dict[str, Callable[[], object]] = {
        LOOP: PillowLoop(recipe, opened),
        KEPT: PillowLoop(recipe, kept),
        "ours, grey": ours(recipe, 1),
        "ours, grey, vertical": ours(replace(recipe, direction="vertical"), 1),
        "ours, RGB": ours(recipe, 3),
    }
    cold = {name: rate(draw, options.count) for name, draw in ways.items()}
    for name, draw in ways.items():  # the loop knows its fonts soon
        rate(draw, options.warm_up // (1 if name.startswith("ours") else 10) or 1)
    rates = in_turn(
        {name: partial(rate, draw, options.count) for name, draw in ways.items()}, options.rounds
    )
    report.print(
        f"\n{len(fonts):,} fonts; lines of {lengths[0]} to {lengths[1]} characters of "
        f"{charset.name}, {recipe.height} x {recipe.width}; n = {options.rounds} rounds of "
        f"{options.count:,} lines, after {options.warm_up:,}"
    )
    report.table(
        ["drawn by", "lines/s (median)", "times the loop (min to max)"], rate_rows(rates, LOOP)
    )
    first = ", ".join(f"{name} {value:,.0f}" for name, value in cold.items())
    report.print(f"\nThe first {options.count:,}, lines/s: {first}")
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
