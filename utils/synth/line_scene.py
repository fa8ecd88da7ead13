"""Lines as pictures: characters side by side or one below the other, on a ground, seen by a camera.

Glyphs are drawn once a face and kept; a line is put together from them at one size, scaled as a
whole, and its grain comes from a pool of noise.
"""

from __future__ import annotations

import random

import numpy as np
from PIL import Image, ImageFilter

from utils.changes import augmented
from utils.errors import UserError
from utils.synth.canvas import LEAST_CONTRAST, any_colour, as_picture, grain, paint_on, paste
from utils.synth.faces import Faces
from utils.synth.fonts import Glyph
from utils.synth.lines import LEAST_EM, LEAST_STEP, MOST_EM, TRIES, LineRecipe, LineTexts
from utils.text.decoding import steps_needed

BASELINE = 0.88
"""Of an em, from the top of the square that an upright character of vertical text stands in."""

SPACE = 0.35
"""Of an em, how far a space moves the pen."""

NOISE = 2**20
"""Values of the pool that grain is cut from."""


class LineRenderer:
    """Draws a recipe's lines, each a function of its seed alone; grey (channels 1) or RGB (3).

    A horizontal picture is `width` wide and `height` high, a vertical one `height` wide and `width`
    high; of `tight` lines it ends near the text. Raises UserError as LineTexts does.
    """

    def __init__(self, recipe: LineRecipe, channels: int = 3):
        self.recipe, self._channels = recipe, channels
        self._faces = Faces(recipe.fonts, recipe.characters, recipe.height)
        self._texts = LineTexts(recipe, self._faces)
        self._pool = np.random.default_rng(0).standard_normal(NOISE, np.float32)
        self._rng = random.Random()

    def draw(self, *seed: int | str) -> tuple[Image.Image, str]:
        """The picture (L or RGB) and its text: a function of the recipe and the seed words."""
        text, glyphs = self._chosen(*seed)
        return self._picture(text, glyphs), text

    def text(self, *seed: int | str) -> str:
        """The text that `draw` gives, without the picture."""
        return self._chosen(*seed)[0]

    def _chosen(self, *seed: int | str) -> tuple[str, list[Glyph | None]]:
        """A text, and its glyphs; None for a space."""
        self._rng.seed("/".join(map(str, seed)))
        for _ in range(TRIES):
            text, face = self._texts.draw(self._rng)
            glyphs = self._faces.glyphs(face, text)
            if glyphs is not None:
                return text, glyphs
        raise UserError(
            f"--fonts: {self._faces.names[face][0]} says that it has {text!r}, and draws nothing "
            "for a part of it; leave it out"
        )

    def _picture(self, text: str, glyphs: list[Glyph | None]) -> Image.Image:
        recipe, rng = self.recipe, self._rng
        strip = self._strip(glyphs)
        ink = self._scaled(strip, steps_needed(text))
        is_tight = recipe.tight > 0 and rng.random() < recipe.tight
        across, along = ink.shape if recipe.direction == "horizontal" else ink.shape[::-1]
        length, start = recipe.width, rng.random()
        if is_tight:
            length = min(length, round(along + recipe.height * rng.uniform(0, 0.6)))
        start, top = round(start * (length - along)), rng.randint(0, recipe.height - across)
        shape, place = (recipe.height, length), (top, start)
        if recipe.direction == "vertical":
            shape, place = shape[::-1], place[::-1]
        canvas, paint = self._paper(shape)
        y, x = place
        under = canvas[y : y + ink.shape[0], x : x + ink.shape[1]]
        under += ink[:, :, None] * np.float32(1 / 255) * (paint - under)
        return augmented(self._seen(canvas), recipe.augment, rng)

    def _strip(self, glyphs: list[Glyph | None]) -> np.ndarray:
        """(h, w) of 0..255: the characters at an em of `height` pixels, cut to their ink."""
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
            paste(strip, ink, left - x, top - y)
        return strip

    def _scaled(self, strip: np.ndarray, steps: int) -> np.ndarray:
        """The strip at a size that fits the picture, stretched; some slanted and in perspective."""
        recipe, rng = self.recipe, self._rng
        is_down = recipe.direction == "vertical"
        across, along = strip.shape[::-1] if is_down else strip.shape
        scale = min(rng.uniform(LEAST_EM, MOST_EM), recipe.height / across)
        stretch = 2 ** rng.uniform(-0.25, 0.25)
        length = max(along * scale * stretch, recipe.height * LEAST_STEP * steps)
        if length > recipe.width:
            scale *= max(recipe.width / length, LEAST_EM)
            length = recipe.width
        size = (max(1, round(length)), max(1, round(across * scale)))
        image = Image.fromarray(strip)
        size = size[::-1] if is_down else size
        if rng.random() < 0.3:
            image = self._warped(image, size)
        else:
            image = image.resize(size, Image.Resampling.BILINEAR)
        return np.asarray(image, np.float32)

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

    def _paper(self, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, channels) of 0..255, and the colour (channels,) of the text on it."""
        rng, channels = self._rng, self._channels
        ground = any_colour(channels, rng)
        paint = paint_on(ground, LEAST_CONTRAST, rng)
        canvas = np.empty((*shape, channels), np.float32)
        canvas[:] = ground
        kind = rng.random()
        if kind < 0.25:
            self._add_noise(canvas, rng.uniform(5, 40))
        elif kind < 0.4:
            noise = np.random.default_rng(rng.getrandbits(64))
            canvas += grain(shape, channels, rng.uniform(5, 25), noise)
        elif kind < 0.55:  # lighter towards one side
            slope = np.linspace(-1, 1, max(shape), dtype=np.float32) * rng.uniform(-40, 40)
            canvas += slope[:, None, None] if shape[0] > shape[1] else slope[:, None]
        elif kind < 0.6:  # ruled
            edge = canvas if rng.random() < 0.5 else canvas.transpose(1, 0, 2)
            edge[rng.randrange(8) :: rng.randint(8, 32)] = ground * 0.7 + paint * 0.3
        return canvas, paint

    def _add_noise(self, canvas: np.ndarray, strength: float) -> None:
        start, size = self._rng.randrange(NOISE // 2), canvas.size
        part = self._pool[start : start + size]
        part = part if len(part) == size else np.resize(part, size)  # of very large pictures
        canvas += part.reshape(canvas.shape) * np.float32(strength)

    def _seen(self, canvas: np.ndarray) -> Image.Image:
        """Some out of focus, some with the grain of a camera."""
        rng = self._rng
        is_blurred, is_noisy = rng.random() < 0.3, rng.random() < 0.3
        if is_blurred:
            radius = rng.uniform(0.2, 1.0) * self.recipe.height / 32
            blurred = as_picture(canvas).filter(ImageFilter.BoxBlur(radius))
            if not is_noisy:
                return blurred
            canvas = np.asarray(blurred, np.float32).reshape(canvas.shape)
        if is_noisy:
            canvas = canvas if not is_blurred else canvas.copy()
            self._add_noise(canvas, rng.uniform(2, 12))
        return as_picture(canvas)
