"""What cameras, scanners and people do to a picture of text, and how much of it --augment does."""

from __future__ import annotations

import io
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

Change = Callable[[Image.Image, float, random.Random], Image.Image]
"""A picture (L or RGB), a strength of 0 to 1, and its dice -> a picture of its size."""

LEAST_SIDE, MOST_SIDE = 8, 16_384
"""Pixels; what is smaller or larger stays as it is."""


def perspective(image: Image.Image, strength: float, rng: random.Random) -> Image.Image:
    """Seen from the side: each corner comes in by up to a fifth of the height. What would leave the
    picture goes out by a third of that at most."""
    width, height = image.size
    most = 0.2 * strength * height

    def moved(place: float, end: float) -> float:
        out = rng.uniform(-most / 3, most)
        return place + (out if place == end else -out)

    corners = [(moved(x, width), moved(y, height))
               for x, y in ((0, 0), (0, height), (width, height), (width, 0))]  # fmt: skip
    return _transformed(image, Image.Transform.QUAD, [value for pair in corners for value in pair])


def rotation(image: Image.Image, strength: float, rng: random.Random) -> Image.Image:
    """By up to 8 degrees about the middle, less for wide pictures, whose ends would leave it."""
    degrees = min(8.0, 8.0 * 3 * image.height / image.width) * strength * rng.uniform(-1, 1)
    return image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=_paper(image))


def shear(image: Image.Image, strength: float, rng: random.Random) -> Image.Image:
    """Slanted by up to 20 degrees."""
    slant = 0.36 * strength * rng.uniform(-1, 1)
    return _transformed(
        image, Image.Transform.AFFINE, [1, slant, -slant * image.height / 2, 0, 1, 0]
    )


def elastic(image: Image.Image, strength: float, rng: random.Random) -> Image.Image:
    """The points of a coarse grid are moved, and all between them follows."""
    width, height = image.size
    columns, rows = max(2, round(width / height * 2)), 2
    most = 0.12 * strength * height

    def point(column: int, row: int) -> tuple[float, float]:
        return (
            width * column / columns + rng.uniform(-most, most) * (0 < column < columns),
            height * row / rows + rng.uniform(-most, most),
        )

    grid = [[point(column, row) for column in range(columns + 1)] for row in range(rows + 1)]
    cells = []
    for row, column in itertools.product(range(rows), range(columns)):
        box = (width * column // columns, height * row // rows,
               width * (column + 1) // columns, height * (row + 1) // rows)  # fmt: skip
        corners = (grid[row][column], grid[row + 1][column], grid[row + 1][column + 1],
                   grid[row][column + 1])  # fmt: skip
        cells.append((box, [value for pair in corners for value in pair]))
    return _transformed(image, Image.Transform.MESH, cells)


def blur(image: Image.Image, strength: float, rng: random.Random) -> Image.Image:
    """Out of focus, or moved while it was taken."""
    radius = strength * rng.uniform(0.2, 1.0) * image.height / 24
    if rng.random() < 0.5:
        return image.filter(ImageFilter.GaussianBlur(radius))
    return image.filter(ImageFilter.BoxBlur((2 * radius, 0) if rng.random() < 0.7 else (0, radius)))


def noise(image: Image.Image, strength: float, rng: random.Random) -> Image.Image:
    """Grain of up to 30 levels, alike in all colours or not."""
    values = np.asarray(image, np.float32)
    generator = np.random.default_rng(rng.getrandbits(64))
    shape = values.shape if rng.random() < 0.5 else (*values.shape[:2], *[1] * (values.ndim - 2))
    return _as_picture(values + generator.normal(0, 30 * strength * rng.uniform(0.2, 1), shape))


def jpeg(image: Image.Image, strength: float, rng: random.Random) -> Image.Image:
    """Saved with a quality of 95 down to 15."""
    data = io.BytesIO()
    image.save(data, format="JPEG", quality=round(95 - 80 * strength * rng.random()))
    return Image.open(data).convert(image.mode)


def shade(image: Image.Image, strength: float, rng: random.Random) -> Image.Image:
    """Darker towards one side, by up to 60 %."""
    width, height = image.size
    angle = np.float32(rng.uniform(0, 2 * np.pi))
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
    slope = (np.cos(angle) * x + np.sin(angle) * y[:, None] + 1.5) / 3  # (H, W), 0 to 1 or so
    light = 1 - 0.6 * strength * rng.random() * np.clip(slope, 0, 1)
    values = np.asarray(image, np.float32)
    return _as_picture(values * (light if values.ndim == 2 else light[:, :, None]))


def fade(image: Image.Image, strength: float, rng: random.Random) -> Image.Image:
    """Nearer to one level of light, down to a fifth of the contrast."""
    level = np.float32(rng.uniform(20, 235))
    share = 1 - 0.8 * strength * rng.random()
    return _as_picture(level + share * (np.asarray(image, np.float32) - level))


def cutout(image: Image.Image, strength: float, rng: random.Random) -> Image.Image:
    """Up to three small patches of a colour of the picture: not larger than half a letter."""
    image = image.copy()
    width, height = image.size
    for _ in range(rng.randint(1, 3)):
        side = max(1, round(0.25 * height * strength * rng.uniform(0.4, 1)))
        left, top = rng.randrange(width), rng.randrange(height)
        colour = image.getpixel((rng.randrange(width), rng.randrange(height)))
        image.paste(colour, (left, top, left + side, top + side))  # type: ignore[arg-type]
    return image


def resample(image: Image.Image, strength: float, rng: random.Random) -> Image.Image:
    """Made up to three times smaller, and as large as before again."""
    scale = 1 / (1 + 2 * strength * rng.random())
    small = (max(4, round(image.width * scale)), max(4, round(image.height * scale)))
    ways = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.NEAREST)
    return image.resize(small, rng.choice(ways[:2])).resize(image.size, rng.choice(ways))


CHANGES: dict[str, Change] = {
    "perspective": perspective,
    "rotation": rotation,
    "shear": shear,
    "elastic": elastic,
    "shade": shade,
    "fade": fade,
    "cutout": cutout,
    "blur": blur,
    "resample": resample,
    "noise": noise,
    "jpeg": jpeg,
}
"""In the order in which they happen to a picture: shapes, light, and what a camera does."""


def shrunk(image: Image.Image, strength: float, rng: random.Random) -> Image.Image:
    """Made narrower by up to two fifths and lower by up to a quarter, anywhere on a ground of its
    size: people do not always cut their pictures alike."""
    width = max(1, round(image.width * (1 - 0.4 * strength * rng.random())))
    height = max(1, round(image.height * (1 - 0.25 * strength * rng.random())))
    canvas = Image.new(image.mode, image.size, _paper(image))
    place = (
        rng.randint(0, max(0, image.width - width)),
        rng.randint(0, max(0, image.height - height)),
    )
    canvas.paste(image.resize((width, height), Image.Resampling.BILINEAR), place)
    return canvas


def beside(left: Image.Image, right: Image.Image) -> Image.Image:
    """Two pictures as one, the right one scaled to the height of the left."""
    width = max(1, round(right.width * left.height / right.height))
    joined = Image.new(left.mode, (left.width + width, left.height))
    joined.paste(left, (0, 0))
    joined.paste(right.resize((width, left.height), Image.Resampling.BILINEAR), (left.width, 0))
    return joined


@dataclass(frozen=True)
class Level:
    """How likely each change is, how strong at most, and how likely it is that another picture
    comes beside it, and that it gets room around."""

    probability: float
    strength: float
    joined: float
    shrunk: float


LEVELS = {
    "none": None,
    "light": Level(0.15, 0.3, 0.0, 0.1),
    "medium": Level(0.25, 0.6, 0.1, 0.25),
    "heavy": Level(0.35, 1.0, 0.2, 0.5),
}


def augmented(image: Image.Image, level: str, rng: random.Random) -> Image.Image:
    """The picture after the changes that fall to it."""
    chosen = LEVELS[level]
    if chosen is None or min(image.size) < LEAST_SIDE or max(image.size) > MOST_SIDE:
        return image
    for change in CHANGES.values():
        if rng.random() < chosen.probability:
            image = change(image, chosen.strength, rng)
    return image


def varied(image: Image.Image, level: str, rng: random.Random) -> Image.Image:
    """As `augmented`, and some with room around them before that: for pictures that people cut."""
    chosen = LEVELS[level]
    if chosen is not None and min(image.size) >= LEAST_SIDE and rng.random() < chosen.shrunk:
        image = shrunk(image, chosen.strength, rng)
    return augmented(image, level, rng)


def _transformed(image: Image.Image, method: Image.Transform, data: list) -> Image.Image:
    return image.transform(
        image.size, method, data, Image.Resampling.BICUBIC, fillcolor=_paper(image)
    )


def _paper(image: Image.Image):
    """The middle colour of the edge (median), which fills what comes from outside."""
    values = np.asarray(image)
    edge = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    middle = np.median(edge.reshape(len(edge), -1), axis=0).round().astype(int).tolist()
    return middle[0] if image.mode == "L" else tuple(middle)


def _as_picture(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))
