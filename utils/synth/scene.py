"""Words as signs and screens show them: a font, two colours, a ground, and a camera."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from utils.changes import augmented
from utils.errors import UserError
from utils.synth import display, layout, lettering
from utils.synth.canvas import (
    LEAST_CONTRAST,
    Painted,
    any_colour,
    arched,
    as_picture,
    grain,
    paint_on,
    paste,
)
from utils.synth.fonts import Face
from utils.synth.layout import Layout, Place
from utils.synth.words import LEAST_RATIO, NO_FONT, Texts, WordRecipe
from utils.text.decoding import steps_needed

FONT_SIZE = 40
"""Pixels of an em; more where pictures are higher than 48."""

LEAST_HEIGHT = 12
"""Pixels of the smallest picture."""

TRIES = 50
"""Fonts that are tried for a text, and then texts, before a recipe is given up."""


class WordRenderer:
    """Draws a recipe's words, each a function of its seed alone; grey (channels 1) or RGB (3).

    Raises UserError for a font that cannot be opened, and where no font has the characters.
    """

    def __init__(self, recipe: WordRecipe, channels: int = 3):
        self.recipe, self._channels = recipe, channels
        self._texts = Texts(recipe)
        self._faces: dict[str, Face] = {}
        self._rng = random.Random()
        if not recipe.fonts:
            raise UserError(NO_FONT)

    def draw(self, *seed: int | str) -> tuple[Image.Image, str]:
        """The picture (L or RGB) and its text: a function of the recipe and the seed words."""
        text, face = self._chosen(*seed)
        return self._picture(text, face), text

    def text(self, *seed: int | str) -> str:
        """The text that `draw` gives, without the picture."""
        return self._chosen(*seed)[0]

    def _chosen(self, *seed: int | str) -> tuple[str, Face]:
        """A text, and a font that has all its characters."""
        self._rng.seed("/".join(str(word) for word in seed))
        for _ in range(TRIES):
            text = self._texts.draw(self._rng)
            for _ in range(TRIES):
                face = self._face(self._rng.choice(self.recipe.fonts))
                if face.has(text):
                    return text, face
        raise UserError(
            f"--fonts: of {len(self.recipe.fonts)} fonts, none was found that has all characters "
            f"of texts such as {text!r}; give others, or a smaller charset"
        )

    def _face(self, path: str) -> Face:
        if path not in self._faces:
            self._faces[path] = Face(path, max(FONT_SIZE, self.recipe.height * 5 // 6))
        return self._faces[path]

    def _picture(self, text: str, face: Face) -> Image.Image:
        rng = self._rng
        noise = np.random.default_rng(rng.getrandbits(64))
        place = (
            layout.display if self._lot(self.recipe.display)
            else layout.loose if self._lot(self.recipe.loose)
            else layout.close
        )  # fmt: skip
        is_display, is_loose = place is layout.display, place is layout.loose
        ink, starts = self._written(text, face, place)
        letters, starts = self._placed(ink, starts, place(rng), steps_needed(text))
        if is_display:
            room = display.Room.around(letters)
            display.add_print(letters, room, rng)
        if not is_loose and rng.random() < 0.1:
            self._add_neighbours(letters, face)
        if is_display:
            canvas, paint = display.window(letters.shape, room, self._channels, rng, noise)
        else:
            canvas, paint = self._paper(letters.shape, starts, noise)
        covered = letters.astype(np.float32)[:, :, None] / 255
        effect = rng.random()
        if not is_loose and effect < (0.15 if is_display else 0.25):  # displays have no outlines
            other = self._colour()
            around = self._shadow(letters) if effect < 0.15 else self._outline(letters)
            canvas += around[:, :, None] * (other - canvas)
        canvas += covered * rng.uniform(0.75, 1) * (paint - canvas)
        if is_display:
            display.add_light(canvas, rng)
        picture = as_picture(canvas)
        if self._lot(self.recipe.lines):
            self._add_lines(picture)
        return augmented(picture, self.recipe.augment, rng)

    def _lot(self, share: float) -> bool:
        """Whether a picture is one of that share; a share of 0 takes nothing from the stream."""
        return share > 0 and self._rng.random() < share

    def _written(self, text: str, face: Face, place: Place) -> tuple[np.ndarray, np.ndarray]:
        """(h, w): the letters as they stand on their line; and where each of them starts."""
        rng = self._rng
        spacing = FONT_SIZE * max(0.0, rng.gauss(0.0, 0.08) if rng.random() < 0.3 else 0.0)
        if place is layout.loose:
            spacing, change = lettering.loose(text, face, rng)
        elif place is layout.display:
            change = display.digits(text, face, rng)
        else:
            change = lettering.small_decimals(text, rng)
        ink, starts = face.write_letters(text, spacing, change)
        if place is layout.close and rng.random() < 0.1 and len(text) > 3:
            ink = arched(ink, rng.uniform(-0.35, 0.35))
        return ink, starts

    def _placed(
        self, ink: np.ndarray, starts: np.ndarray, how: Layout, steps: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """(height, W): the letters scaled, stretched, with margins that may cut them; and where
        each of them starts."""
        height = max(LEAST_HEIGHT, round(self.recipe.height * how.height))
        letters = height / (1 + how.top + how.bottom)
        width = ink.shape[1] / ink.shape[0] * letters * how.stretch
        width = max(width, height * LEAST_RATIO * steps)
        left, top = how.left * letters, how.top * letters
        size = (max(1, round(width)), max(1, round(letters)))
        scaled = np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BILINEAR))
        whole = left + width + how.right * letters
        whole = max(round(whole), round(height * LEAST_RATIO * steps), 8)
        placed = np.zeros((height, whole), np.uint8)
        paste(placed, scaled, round(left), round(top))
        return placed, starts * size[0] / ink.shape[1] + left

    def _add_neighbours(self, letters: np.ndarray, face: Face) -> None:
        """A piece of the line above or below, or of the word before or behind, at the edge."""
        rng, (height, width) = self._rng, letters.shape
        other = "".join(rng.choice(self.recipe.characters) for _ in range(8))
        known = "".join(character for character in other if face.has(character))
        if not known:
            return
        ink = Image.fromarray(face.write(known))
        is_line = rng.random() < 0.6
        wide = width if is_line else max(1, ink.width * height // ink.height)
        scaled = np.asarray(ink.resize((wide, height)))
        seen = round(height * rng.uniform(0.05, 0.15))
        is_first = rng.random() < 0.5
        if is_line:
            paste(letters, scaled, 0, seen - height if is_first else height - seen)
        else:
            paste(letters, scaled, seen - wide if is_first else width - seen, 0)

    def _colour(self) -> np.ndarray:
        return any_colour(self._channels, self._rng)

    def _paint_on(self, ground: np.ndarray, least: float = LEAST_CONTRAST) -> np.ndarray:
        return paint_on(ground, least, self._rng)

    def _paint_by_letter(self, starts: np.ndarray, width: int, ground: np.ndarray) -> np.ndarray:
        """(1, width, channels): a colour for each letter, from where it starts."""
        paints = np.stack([self._paint_on(ground, LEAST_CONTRAST / 2) for _ in starts])
        letter = np.searchsorted(np.sort(starts)[1:], np.arange(width), side="right")
        return paints[letter][None]

    def _add_lines(self, picture: Image.Image) -> None:
        rng, (width, height) = self._rng, picture.size
        draw = ImageDraw.Draw(picture)
        is_black = rng.random() < 0.5
        for _ in range(rng.randint(1, 8)):
            ends = [rng.randrange(side) for side in (width, height, width, height)]
            colour = tuple(int(level) for level in self._colour() * (not is_black))
            thick = 1 if rng.random() < 0.5 else rng.randint(1, max(1, height // 24))
            draw.line(ends, colour if len(colour) == 3 else colour[0], thick)

    def _paper(self, shape: tuple[int, ...], starts: np.ndarray, noise) -> Painted:
        rng = self._rng
        if self._lot(self.recipe.white):
            ground = np.full(self._channels, 255, np.float32)
            canvas, paint = np.full((*shape, self._channels), ground), self._paint_on(ground)
        else:
            ground = self._colour()
            paint = self._paint_on(ground)
            canvas = self._ground(shape, ground, paint, noise)
        if self._lot(self.recipe.letter_colors):
            return canvas, self._paint_by_letter(starts, shape[1], ground)
        if rng.random() < 0.15:  # letters that are not of one colour
            return canvas, paint + grain(shape, self._channels, 30, noise)
        return canvas, paint

    def _ground(
        self, shape: tuple[int, ...], colour: np.ndarray, paint: np.ndarray, noise
    ) -> np.ndarray:
        """(H, W, channels): plain, clouded, or with the edge of something else."""
        rng, (height, width) = self._rng, shape
        canvas = np.broadcast_to(colour, (height, width, self._channels)).copy()
        kind = rng.random()
        if kind < 0.3:
            canvas += grain(shape, self._channels, rng.uniform(5, 45), noise)
        elif kind < 0.45:  # a border, a stripe, or the end of the sign
            other = self._colour() * 0.6 + colour * 0.4
            thick = max(1, round(height * rng.uniform(0.03, 0.12)))
            for edge in rng.sample(range(4), rng.randint(1, 3)):
                turned = np.rot90(canvas, edge)
                turned[:thick] = other
        elif kind < 0.5:  # lines across
            other = colour * 0.7 + paint * 0.3
            canvas[:: rng.randint(3, 8)] = other
        return canvas

    def _shadow(self, letters: np.ndarray) -> np.ndarray:
        """(H, W), 0..1: the letters, moved and softened."""
        rng, far = self._rng, max(1, letters.shape[0] // 12)
        moved = np.zeros_like(letters)
        paste(moved, letters, rng.randint(-far, far), rng.randint(-far, far))
        image = Image.fromarray(moved)
        if rng.random() < 0.5:
            image = image.filter(ImageFilter.BoxBlur(rng.uniform(0.3, 1.5)))
        return np.asarray(image, np.float32) / 255 * rng.uniform(0.4, 1)

    def _outline(self, letters: np.ndarray) -> np.ndarray:
        """(H, W), 0..1: the letters, and a pixel or two around them."""
        wide = 5 if letters.shape[0] > 36 and self._rng.random() < 0.5 else 3
        grown = Image.fromarray(letters).filter(ImageFilter.MaxFilter(wide))
        return np.asarray(grown, np.float32) / 255
