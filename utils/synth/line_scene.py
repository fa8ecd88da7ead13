"""Lines as pictures: characters side by side or one below the other, on a ground, seen by a camera.

Glyphs are drawn once and kept; a line is put together from them at one size, scaled as a
whole, and what is costly to throw (colours that go together, grain) comes from pools.
"""

from __future__ import annotations

import random

import numpy as np
from PIL import Image, ImageFilter

from utils.changes import augmented
from utils.synth.canvas import LEAST_CONTRAST, any_colour, grain, paint_on
from utils.synth.faces import Faces
from utils.synth.fonts import Glyph
from utils.synth.lines import LEAST_EM, LEAST_STEP, MOST_EM, LineRecipe, LineTexts
from utils.text.decoding import steps_needed

BASELINE = 0.88
"""Of an em, from the top of the square that an upright character of vertical text stands in."""

SPACE = 0.35
"""Of an em, how far a space moves the pen."""

NOISE = 2**20
"""Values of the pool that grain is cut from."""

NUM_COLOURS = 4096
"""Pairs of a ground and a paint that pictures choose from."""

Colour = tuple[int, ...]
"""Levels 0..255 of each channel."""


class LineRenderer:
    """Draws a recipe's lines, each a function of its seed alone; grey (channels 1) or RGB (3).

    A horizontal picture is `width` wide and `height` high, a vertical one `height` wide and `width`
    high; of `tight` lines it ends near the text. Raises UserError as Faces and LineTexts do.
    """

    def __init__(self, recipe: LineRecipe, channels: int = 3):
        self.recipe, self._channels = recipe, channels
        self._faces = Faces(recipe.fonts, recipe.characters, recipe.height)
        self._texts = LineTexts(recipe, self._faces)
        self._pool = np.random.default_rng(0).standard_normal(NOISE, np.float32)
        self._rng = random.Random(0)
        self._colours = [self._two_colours() for _ in range(NUM_COLOURS)]

    def draw(self, *seed: int | str) -> tuple[Image.Image, str]:
        """The picture (L or RGB) and its text: a function of the recipe and the seed words."""
        text, glyphs = self._chosen(*seed)
        return self._picture(text, glyphs), text

    def text(self, *seed: int | str) -> str:
        """The text that `draw` gives, without the picture."""
        return self._chosen(*seed)[0]

    def _two_colours(self) -> tuple[Colour, Colour]:
        """Of a ground, and of text that can be seen on it."""
        ground = any_colour(self._channels, self._rng)
        paint = paint_on(ground, LEAST_CONTRAST, self._rng)
        return tuple(map(int, ground)), tuple(map(int, paint))

    def _chosen(self, *seed: int | str) -> tuple[str, list[Glyph | None]]:
        """A text, and its glyphs; None for a space."""
        self._rng.seed("/".join(map(str, seed)))
        text, face = self._texts.draw(self._rng)
        return text, self._faces.glyphs(face, text)

    def _picture(self, text: str, glyphs: list[Glyph | None]) -> Image.Image:
        recipe, rng = self.recipe, self._rng
        is_down = recipe.direction == "vertical"
        ink = self._scaled(self._strip(glyphs), steps_needed(text))
        along, across = ink.size[::-1] if is_down else ink.size
        length, start = recipe.width, rng.random()
        if recipe.tight > 0 and rng.random() < recipe.tight:
            length = min(length, round(along + recipe.height * rng.uniform(0, 0.6)))
        place = round(start * (length - along)), rng.randint(0, recipe.height - across)
        size = length, recipe.height
        if is_down:
            place, size = place[::-1], size[::-1]
        picture, paint = self._paper(size)
        picture.paste(paint, place, ink)
        picture = self._seen(picture)
        if is_down:  # what --augment does goes by the height of a line
            lying = picture.transpose(Image.Transpose.ROTATE_90)
            return augmented(lying, recipe.augment, rng).transpose(Image.Transpose.ROTATE_270)
        return augmented(picture, recipe.augment, rng)

    def _strip(self, glyphs: list[Glyph | None]) -> Image.Image:
        """Coverage 0..255: the characters at an em of `height` pixels, cut to their ink."""
        rng, em = self._rng, self.recipe.height
        is_down = self.recipe.direction == "vertical"
        widths = [SPACE * em if g is None else em if is_down else g.advance for g in glyphs]
        room = self.recipe.width / LEAST_EM - sum(widths)  # at the smallest size
        gap = rng.uniform(0, 0.5) * em if rng.random() < 0.4 else 0.0
        gap = max(0.0, min(gap, room / len(glyphs)))
        sway = rng.uniform(0, 0.3) * em if rng.random() < 0.3 else 0.0
        pen, placed = 0.0, []
        for glyph, width in zip(glyphs, widths, strict=True):
            if glyph is not None:
                aside = sway * rng.uniform(-1, 1) if sway else 0.0
                if is_down:
                    left = (em - glyph.advance) / 2 + glyph.left + aside
                    top = pen + BASELINE * em + glyph.top
                else:
                    left, top = pen + glyph.left, glyph.top + aside
                placed.append((round(left), round(top), glyph.ink))
            pen += width + gap
        x, y = min(left for left, _, _ in placed), min(top for _, top, _ in placed)
        right = max(left + ink.shape[1] for left, _, ink in placed)
        bottom = max(top + ink.shape[0] for _, top, ink in placed)
        strip = np.zeros((bottom - y, right - x), np.uint8)
        for left, top, ink in placed:
            part = strip[top - y :, left - x :][: ink.shape[0], : ink.shape[1]]
            np.maximum(part, ink, out=part)
        return as_image(strip)

    def _scaled(self, strip: Image.Image, steps: int) -> Image.Image:
        """The strip at a size that fits the picture, stretched; some slanted and in perspective."""
        recipe, rng = self.recipe, self._rng
        is_down = recipe.direction == "vertical"
        along, across = strip.size[::-1] if is_down else strip.size
        scale = min(rng.uniform(LEAST_EM, MOST_EM), recipe.height / across)
        stretch = 2 ** rng.uniform(-0.25, 0.25)
        length = max(along * scale * stretch, recipe.height * LEAST_STEP * steps)
        if length > recipe.width:
            scale *= max(recipe.width / length, LEAST_EM)
            length = recipe.width
        size = (max(1, round(length)), max(1, round(across * scale)))
        size = size[::-1] if is_down else size
        if rng.random() < 0.3:
            return self._warped(strip, size)
        return strip.resize(size, Image.Resampling.BILINEAR)

    def _warped(self, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        """As of a picture taken from the side: nothing of it is lost, so it becomes smaller."""
        rng, (width, height) = self._rng, image.size
        most = 0.12 * min(width, height)
        slant = rng.uniform(-0.25, 0.25) * min(width, height)
        (a, b, c, d), (e, f, g, h) = ([rng.uniform(0, most) for _ in range(4)] for _ in range(2))
        top, bottom = max(slant, 0.0), max(-slant, 0.0)
        corners = (
            -a - top, -e,
            -b - bottom, height + f,
            width + c + top, height + g,
            width + d + bottom, -h,
        )  # fmt: skip
        return image.transform(size, Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)

    def _paper(self, size: tuple[int, int]) -> tuple[Image.Image, Colour]:
        """The ground, and the colour of the text on it."""
        rng = self._rng
        ground, paint = self._colours[rng.randrange(NUM_COLOURS)]
        kind, shape = rng.random(), size[::-1]
        if kind < 0.25:
            return self._with_noise(ground, shape, rng.uniform(5, 40)), paint
        if kind < 0.4:
            noise = np.random.default_rng(rng.getrandbits(64))
            clouds = grain(shape, self._channels, rng.uniform(5, 25), noise)
            return as_image(as_levels(clouds + ground)), paint
        if kind < 0.55:  # lighter towards one side
            slope = np.linspace(-1, 1, max(shape), dtype=np.float32) * rng.uniform(-40, 40)
            slope = slope[:, None, None] if shape[0] > shape[1] else slope[None, :, None]
            whole = np.broadcast_to(slope, (*shape, 1))
            return as_image(as_levels(whole + np.array(ground, np.float32))), paint
        picture = Image.new("L" if self._channels == 1 else "RGB", size, ground)
        if kind < 0.6:
            between = ((7 * g + 3 * p) // 10 for g, p in zip(ground, paint, strict=True))
            self._rule(picture, tuple(between))
        return picture, paint

    def _rule(self, picture: Image.Image, colour: Colour) -> None:
        """Lines across the picture, as on paper."""
        rng, (width, height) = self._rng, picture.size
        first, apart, is_level = rng.randrange(8), rng.randint(8, 32), rng.random() < 0.5
        for place in range(first, height if is_level else width, apart):
            box = (0, place, width, place + 1) if is_level else (place, 0, place + 1, height)
            picture.paste(colour, box)

    def _with_noise(
        self, levels: Colour | np.ndarray, shape: tuple[int, int], strength: float
    ) -> Image.Image:
        """A picture of these levels, a colour or (H, W, channels), with grain."""
        size = shape[0] * shape[1] * self._channels
        start = self._rng.randrange(NOISE // 2)
        part = self._pool[start : start + size]
        part = part if len(part) == size else np.resize(part, size)  # of very large pictures
        values = part.reshape(*shape, self._channels) * np.float32(strength)
        return as_image(as_levels(values + np.asarray(levels, np.float32)))

    def _seen(self, picture: Image.Image) -> Image.Image:
        """Some out of focus, some with the grain of a camera."""
        rng = self._rng
        is_blurred, is_noisy = rng.random() < 0.3, rng.random() < 0.3
        if is_blurred:
            radius = rng.uniform(0.2, 1.0) * self.recipe.height / 32
            picture = picture.filter(ImageFilter.BoxBlur(radius))
        if is_noisy:
            shape = picture.size[::-1]
            levels = np.asarray(picture).reshape(*shape, self._channels)
            picture = self._with_noise(levels, shape, rng.uniform(2, 12))
        return picture


def as_levels(values: np.ndarray) -> np.ndarray:
    """(H, W, channels) of any size -> bytes (H, W), or (H, W, 3)."""
    levels = np.clip(values, 0, 255, out=values).astype(np.uint8)
    return levels[:, :, 0] if levels.shape[2] == 1 else levels


def as_image(levels: np.ndarray) -> Image.Image:
    """Of bytes, which are not copied."""
    mode = "L" if levels.ndim == 2 else "RGB"
    return Image.frombuffer(
        mode, levels.shape[1::-1], np.ascontiguousarray(levels), "raw", mode, 0, 1
    )
