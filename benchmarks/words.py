"""How fast words are drawn for training, on one core, beside a plain Pillow loop.

  python -m benchmarks.words --fonts system --words words.txt

The loop opens a font and writes each word in black on white; the renderer also chooses colours,
grounds and effects, and bends, blurs and grains the picture (--augment of generate_data.py).
"""

from __future__ import annotations

import itertools
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.report import Report, in_turn, rate_rows
from utils.errors import run_script
from utils.options import option, parse
from utils.synth.fonts import find_fonts
from utils.synth.scene import WordRenderer
from utils.synth.words import Texts, WordRecipe
from utils.text.charset import preset_charset

LOOP = "Pillow, black on white"


@dataclass(frozen=True)
class Options:
    rounds: int = option(5, "rounds, each of which times every way", above=0)
    count: int = option(1000, "words a round", above=0)
    warm_up: int = option(3000, "words that are drawn before, so that glyphs are known", least=0)
    fonts: tuple[str, ...] = option(("system",), "fonts, folders of fonts, or system")
    words: str | None = option(None, "UTF-8 text whose words are drawn (default: random strings)")
    output: str | None = option(None, "Markdown file to write the table to")
    config: str | None = option(None, "TOML recipe that presets flags")


def pillow(recipe: WordRecipe) -> Callable[[], object]:
    from PIL import Image, ImageDraw, ImageFont

    texts, rng = Texts(recipe), random.Random(0)

    def draw() -> object:
        font = ImageFont.truetype(rng.choice(recipe.fonts), 40)
        text = texts.draw(rng)
        left, top, right, bottom = font.getbbox(text)
        size = (max(1, int(right - left)), max(1, int(bottom - top)))
        image = Image.new("L", size, 255)
        ImageDraw.Draw(image).text((-left, -top), text, 0, font)
        return image

    return draw


def ours(recipe: WordRecipe, channels: int) -> Callable[[], object]:
    renderer, index = WordRenderer(recipe, channels), itertools.count()
    return lambda: renderer.draw(0, next(index))


def rate(draw: Callable[[], object], count: int) -> float:
    """Words a second."""
    started = time.perf_counter()
    for _ in range(count):
        draw()
    return count / (time.perf_counter() - started)


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    report = Report("words", argv, options.output, ["pillow", "numpy"])
    charset = preset_charset("printable")
    fonts = find_fonts(options.fonts).paths
    recipe = WordRecipe(charset.characters, charset.name, fonts=fonts, words=options.words)
    ways = {LOOP: pillow(recipe)}
    for level, channels in [("none", 1), ("medium", 1), ("medium", 3), ("heavy", 1)]:
        colour = "grey" if channels == 1 else "RGB"
        ways[f"ours, {colour}, --augment {level}"] = ours(replace(recipe, augment=level), channels)
    for draw in ways.values():
        rate(draw, options.warm_up)
    rates = in_turn(
        {name: partial(rate, draw, options.count) for name, draw in ways.items()}, options.rounds
    )
    report.print(f"\n{len(fonts):,} fonts; n = {options.rounds} rounds of {options.count:,} words")
    report.table(
        ["drawn by", "words/s (median)", "times the loop (min to max)"], rate_rows(rates, LOOP)
    )
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
