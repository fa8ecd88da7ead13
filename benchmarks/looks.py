"""Whether the fast renderer's pictures look like the `captcha` package's: statistics and a figure.

  python -m benchmarks.looks --n 10000

Each draws its own n pictures, from dice of its own, in RGB; they are measured in grey. A pixel is
ink where it is darker than its picture's paper by more than 12 levels. Widths are measured on the
same pictures without dots and arc, which would hide where letters end.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from benchmarks.pictures import recipe_of
from benchmarks.report import Report
from utils.device import set_threads
from utils.errors import run_script
from utils.files import check_output_file
from utils.options import option, parse
from utils.show.plots import new_figure, save_figure
from utils.synth.captcha import CaptchaRecipe, CaptchaRenderer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DARKER = 12
"""Levels by which ink is darker than paper, or more."""

SHOWN = 14
"""Pictures of each renderer in the figure, in two rows."""

PANELS = {
    "ink share, %": np.arange(10, 61, 2),
    "text width, pixels": np.arange(60, 164, 4),
    "stroke width, pixels": np.arange(3, 10.1, 0.25),
}
"""Statistics in the figure, and the bins that they are counted in."""

GREY_BINS = np.arange(0, 257, 4)

COLOURS = {"captcha package": "tab:blue", "fast renderer": "tab:orange"}


@dataclass(frozen=True)
class Options:
    n: int = option(2000, "pictures of each renderer", least=SHOWN)
    seed: int = option(0, "the same seed draws the same pictures")
    figure: str = option("docs/images/looks.png", "PNG file to write the figure to")
    output: str | None = option(None, "Markdown file to write the table to")
    config: str | None = option(None, "TOML recipe that presets flags")


@dataclass(frozen=True)
class Looks:
    """n pictures of one renderer, and its letters alone, as grey levels (n, H, W) of bytes."""

    shown: list[Image.Image]
    """The first pictures, in colour."""
    pictures: np.ndarray
    letters: np.ndarray


def package_looks(recipe: CaptchaRecipe, n: int, seed: int) -> Looks:
    whole, bare = CaptchaRenderer(recipe), CaptchaRenderer(recipe)
    for scribble in ("create_noise_dots", "create_noise_curve"):  # the last that it draws
        setattr(bare._captcha, scribble, lambda image, color: image)
    pictures = [whole.draw(seed, "looks", index)[0] for index in range(n)]
    letters = [bare.draw(seed, "looks", index)[0] for index in range(n)]
    return Looks(pictures[:SHOWN], greys(pictures), greys(letters))


def fast_looks(recipe: CaptchaRecipe, n: int, seed: int) -> Looks:
    import torch

    from utils.synth.dice import seeded_generator, throw
    from utils.synth.fast import FastRenderer

    renderer = FastRenderer(recipe, channels=3)
    pictures: list[Image.Image] = []
    letters: list[Image.Image] = []
    for start in range(0, n, recipe.block_size):
        generator = seeded_generator(seed, "looks", start // recipe.block_size)
        dice = throw(recipe, renderer.atlas.num_fonts, recipe.block_size, generator)
        off = {name: torch.full_like(getattr(dice, name), -9999) for name in ("dots", "arcs")}
        for kind, thrown in ((pictures, dice), (letters, replace(dice, **off))):
            drawn = renderer.render(thrown).images.byte().permute(0, 2, 3, 1).numpy()
            kind += [Image.fromarray(picture) for picture in drawn]
    return Looks(pictures[:SHOWN], greys(pictures[:n]), greys(letters[:n]))


def greys(pictures: list[Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(picture.convert("L")) for picture in pictures])


def ink(pictures: np.ndarray) -> np.ndarray:
    """(n, H, W), True where a pixel is ink. Less than a quarter of a picture is lighter than its
    paper or has its level by chance, so that the upper quartile is paper."""
    paper = np.percentile(pictures, 75, axis=(1, 2), keepdims=True)
    return pictures < paper - DARKER


def ink_share(looks: Looks) -> np.ndarray:
    """Percent of a picture."""
    return 100 * ink(looks.pictures).mean(axis=(1, 2))


def text_width(looks: Looks) -> np.ndarray:
    """Columns from the first to the last with ink of a letter."""
    columns = ink(looks.letters).any(axis=1)
    first, last = columns.argmax(axis=1), columns[:, ::-1].argmax(axis=1)
    return np.where(columns.any(axis=1), columns.shape[1] - first - last, 0)


def stroke_width(looks: Looks) -> np.ndarray:
    """2 x area / perimeter of the letters in pixels: the width, where a stroke is long."""
    inked = np.pad(ink(looks.letters), ((0, 0), (1, 1), (1, 1)))
    sides = sum((inked != np.roll(inked, 1, axis)).sum(axis=(1, 2)) for axis in (1, 2))
    return 2 * inked.sum(axis=(1, 2)) / np.maximum(sides, 1)


def mean_level(looks: Looks) -> np.ndarray:
    return looks.pictures.mean(axis=(1, 2))


def contrast(looks: Looks) -> np.ndarray:
    return looks.pictures.std(axis=(1, 2))


def num_levels(looks: Looks) -> np.ndarray:
    return np.array([len(np.unique(picture)) for picture in looks.pictures])


def png_size(looks: Looks) -> np.ndarray:
    """Bytes of each picture as PNG: all that is irregular in it counts."""

    def size(picture: np.ndarray) -> int:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, format="PNG")
        return len(file.getvalue())

    return np.array([size(picture) for picture in looks.pictures])


STATISTICS: dict[str, Callable[[Looks], np.ndarray]] = {
    "ink share, %": ink_share,
    "text width, pixels": text_width,
    "stroke width, pixels": stroke_width,
    "grey level, mean of a picture": mean_level,
    "grey level, standard deviation in a picture": contrast,
    "different grey levels in a picture": num_levels,
    "bytes as PNG": png_size,
}


def digits(value: float, count: int) -> str:
    return f"{value:#.{count}g}".rstrip(".")


def compared(package: np.ndarray, fast: np.ndarray) -> list[str]:
    """Mean and standard deviation of both, and by how much the means differ: chance alone moves
    that by the second figure or less, 19 times of 20."""
    cells = [
        f"{digits(values.mean(), 4)} ({digits(values.std(), 3)})" for values in (package, fast)
    ]
    unit = package.mean() / 100
    chance = 1.96 * np.sqrt((package.var() + fast.var()) / len(package)) / unit
    difference = round((fast.mean() - package.mean()) / unit, 1) + 0.0  # no -0.0
    return [*cells, f"{difference:+.1f} % (± {chance:.1f})"]


def draw_figure(looks: dict[str, Looks], values: dict[str, list[np.ndarray]], path: str) -> None:
    """Distributions of both, one over the other, and below them some pictures of each."""
    figure = new_figure(11, 5.6)
    (above,), (below,) = figure.subfigures(2, 1, squeeze=False, height_ratios=[1, 1.05])
    panels = above.subplots(1, 4)
    for axes, (name, bins) in zip(panels[:3], PANELS.items(), strict=True):
        draw_distributions(axes, values[name], bins)
        axes.set_xlabel(name)
    draw_distributions(panels[3], [each.pictures for each in looks.values()], GREY_BINS)
    panels[3].set(xlabel="grey level of a pixel, log scale", yscale="log", ylim=(1e-6, 1))
    above.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    for axes, (name, each) in zip(below.subplots(2, 1), looks.items(), strict=True):
        axes.set_title(name, loc="left", color=COLOURS[name], fontsize="medium")
        axes.imshow(strip(each.shown), interpolation="lanczos")
        axes.set_axis_off()
    save_figure(figure, path)


def draw_distributions(axes: Axes, values: list[np.ndarray], bins: np.ndarray) -> None:
    for (name, colour), each in zip(COLOURS.items(), values, strict=True):
        shares = np.histogram(each, bins)[0] / each.size
        filled = name == "captcha package"
        alpha, linewidth = (0.35, 0.0) if filled else (1.0, 1.6)
        axes.stairs(
            shares, bins, label=name, color=colour, fill=filled, alpha=alpha, linewidth=linewidth
        )
    axes.set_ylim(bottom=0)
    axes.set_yticks([])
    axes.spines[["left", "top", "right"]].set_visible(False)


def strip(pictures: list[Image.Image], columns: int = 7, gap: int = 6) -> Image.Image:
    """The pictures in rows, as one."""
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    size = (columns * (width + gap) - gap, rows * (height + gap) - gap)
    whole = Image.new("RGB", size, "white")
    for place, picture in enumerate(pictures):
        row, column = divmod(place, columns)
        whole.paste(picture, (column * (width + gap), row * (height + gap)))
    return whole


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    check_output_file(Path(options.figure))
    set_threads(1)
    recipe = recipe_of("alnum62", 4, 8)
    report = Report("looks", argv, options.output, ["captcha", "pillow"])
    drawn = (package_looks, fast_looks)
    looks = {
        name: draw(recipe, options.n, options.seed)
        for name, draw in zip(COLOURS, drawn, strict=True)
    }
    values = {
        name: [measure(each) for each in looks.values()] for name, measure in STATISTICS.items()
    }
    report.print(
        f"\n{len(recipe.characters)} characters, {recipe.min_length} to {recipe.max_length} a "
        f"text, {recipe.width} x {recipe.height} pixels; n = {options.n:,} pictures of each"
    )
    rows = [[name, *compared(*pair)] for name, pair in values.items()]
    header = [f"{name}: mean (standard deviation)" for name in COLOURS]
    report.table(["of each picture", *header, "difference of means (chance)"], rows)
    draw_figure(looks, values, options.figure)
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
