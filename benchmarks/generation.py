"""Pictures a second: the `captcha` package itself, our renderer of the same bytes, the fast one.

  python -m benchmarks.generation
  python -m benchmarks.generation --device cuda     the fast one on a GPU, in larger blocks

Each draws for --seconds a round, in turn, on one core (the fast one on --device); ratios are to
the package in the same round. Writing files is not counted.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.pictures import recipe_of
from benchmarks.report import Report, in_turn, rate_rows
from utils.device import DEVICES, pick_device, set_threads
from utils.errors import run_script
from utils.options import option, parse
from utils.synth.captcha import CaptchaRecipe, CaptchaRenderer
from utils.text.charset import PRESETS

PACKAGE = "`ImageCaptcha.generate_image`"


@dataclass(frozen=True)
class Options:
    rounds: int = option(5, "rounds, each of which times every renderer", above=0)
    seconds: float = option(2.0, "how long each draws a round", above=0)
    charset: str = option("alnum62", "what the texts are made of", tuple(PRESETS))
    min_length: int = option(4, "shortest text", above=0)
    max_length: int = option(8, "longest text", above=0)
    block: int | None = option(
        None,
        "pictures that the fast renderer draws at once (default: as in training, 128; cuda: 4096)",
        above=0,
    )
    device: str = option("cpu", "where the fast renderer draws", DEVICES)
    output: str | None = option(None, "Markdown file to write the table to")
    config: str | None = option(None, "TOML recipe that presets flags")

    def problems(self) -> list[str]:
        if self.min_length <= self.max_length:
            return []
        return [
            f"--max_length {self.max_length}: expected {self.min_length} (--min_length) or more"
        ]


def rate(draw_some: Callable[[], int], seconds: float) -> float:
    """Pictures a second, over the first whole blocks that take that long or longer."""
    count, started = 0, time.perf_counter()
    while True:
        count += draw_some()
        spent = time.perf_counter() - started
        if spent >= seconds:
            return count / spent


def package(recipe: CaptchaRecipe) -> Callable[[], int]:
    """Draws one picture a call by captcha's own class, of texts that are there already."""
    from captcha.image import ImageCaptcha

    renderer = CaptchaRenderer(recipe)
    texts = itertools.cycle([renderer.text(0, index) for index in range(1000)])
    drawing = ImageCaptcha(recipe.width, recipe.height)

    def draw() -> int:
        drawing.generate_image(next(texts))
        return 1

    return draw


def exact(recipe: CaptchaRecipe) -> Callable[[], int]:
    renderer, indices = CaptchaRenderer(recipe), itertools.count()

    def draw() -> int:
        renderer.draw(0, next(indices))
        return 1

    return draw


def fast(recipe: CaptchaRecipe, channels: int, device: Any, block: int) -> Callable[[], int]:
    import torch

    from utils.synth.dice import seeded_generator
    from utils.synth.fast import FastRenderer

    renderer = FastRenderer(recipe, channels, device)
    generator = seeded_generator(0, device=device)

    def draw() -> int:
        renderer.draw(block, generator)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return block

    return draw


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    set_threads(1)
    device = pick_device(options.device)
    recipe = recipe_of(options.charset, options.min_length, options.max_length)
    block = options.block or (4096 if device.type == "cuda" else recipe.block_size)
    where = "one core" if device.type == "cpu" else device.type
    renderers = {
        PACKAGE: package(recipe),
        "`CaptchaRenderer`: the same pictures, seeded": exact(recipe),
        f"`FastRenderer`, grey, {where}": fast(recipe, 1, device, block),
        f"`FastRenderer`, RGB, {where}": fast(recipe, 3, device, block),
    }
    report = Report("generation", argv, options.output, ["captcha", "pillow"])
    for draw in renderers.values():
        draw()  # the first call opens fonts and warms caches
    rates = in_turn(
        {name: partial(rate, draw, options.seconds) for name, draw in renderers.items()},
        options.rounds,
    )
    report.print(
        f"\n{len(recipe.characters)} characters, {options.min_length} to {options.max_length} a "
        f"text, {recipe.width} x {recipe.height} pixels; blocks of {block}; "
        f"n = {options.rounds} rounds of {options.seconds:g} s each, in turn"
    )
    report.table(
        ["renderer", "pictures/s (median)", "times the package (min to max)"],
        rate_rows(rates, PACKAGE),
    )
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
