"""The pictures of a training step: read from disk, or drawn anew by one of the two renderers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from PIL import Image, ImageEnhance

from utils.changes import LEVELS, beside, varied
from utils.data.joined import JoinedRows
from utils.data.widths import of_like_widths
from utils.dataset import Row
from utils.errors import UserError
from utils.picture import (
    ImageSpec,
    PictureError,
    lying,
    open_picture,
    prepare,
    width_at_ratio,
)
from utils.synth.captcha import CaptchaRecipe
from utils.synth.recipes import Recipe, Renderer, draws_together, one_by_one
from utils.text.charset import Charset
from utils.text.decoding import steps_needed
from utils.training.batch import Batch, Block, collate, join
from utils.training.curriculum import Lesson
from utils.training.drawn import FreshPictures, as_input
from utils.training.labels import WIDTH_STRIDE

MOST_SKIPPED = 1000
"""Bad pictures in a row."""

DRAWN_AT_ONCE = 4
"""Steps of drawn pictures that keep their ratio: dealt by width, they are half as wide."""

TRIES = 200
"""Texts that are drawn until a charset leaves something of one."""


class TrainingPictures:
    """Map-style data set from a Block to its Batch.

    The share `fresh` of each epoch is drawn anew by the recipe, the rest is read from the rows and
    varied in colour. Fresh pictures are all different as they are, and jitter would blur what
    little tells v from V: it cost 2 points on them.

    Picture i of epoch e is a function of (seed, e, i); those of the fast renderer, which draws them
    together, of (seed, e, block) and `device`.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        spec: ImageSpec,
        charset: Charset,
        seed: int,
        recipe: Recipe | None = None,
        fresh: float = 0.0,
        renderer: str = "package",
        color_jitter: float = 0.0,
        device: torch.device | str = "cpu",
        augment: str = "none",
        may_skip: bool = False,
        lesson: Lesson | None = None,
    ):
        self.augment, self.may_skip = augment, may_skip
        self.rows, self.spec, self.charset, self.seed = rows, spec, charset, seed
        self.recipe, self.fresh, self.color_jitter = recipe, fresh, color_jitter
        self.device = torch.device(device)
        self._together = recipe if fresh and draws_together(recipe, renderer) else None
        self.lesson = lesson
        self._one_by_one: dict[bool, Renderer] = {}  # the lesson's, and the others'
        self._fast: FreshPictures | None = None

    def steps_at_once(self, batch_size: int) -> int:
        """Steps whose pictures are best made together: more than 1 for the fast renderer, and
        where drawn pictures keep their ratio: their widths are known once they are drawn."""
        if self._together:
            return max(1, self._together.block_size // batch_size)
        return DRAWN_AT_ONCE if self.recipe and self.fresh and self.spec.keep_ratio else 1

    def __getitem__(self, block: Block) -> Batch:
        return replace(self._made(block), sizes=block.sizes)

    def _made(self, block: Block) -> Batch:
        """This rank's pictures of it."""
        together, count = self._together, len(block.pictures)
        if together is not None and self.fresh == 1:
            return self._draw_together(together, block, count, block.places)
        items, read, drawn, bad = [], [], [], list[str]()
        for place, picture in enumerate(block.places):
            is_drawn, rng = self._thrown(block, picture)
            if is_drawn and together is not None:
                drawn.append(place)
                continue
            index = block.pictures[picture]
            if is_drawn and self.recipe is not None:
                items.append(self._draw(self.recipe, block.epoch, index))
            else:
                items.append(self._read(index % len(self.rows), rng, bad))
            read.append(place)
        if together is None and block.may_deal and self.spec.keep_ratio:
            widths = np.array([picture.shape[2] for picture, _ in items])
            dice = np.random.default_rng([self.seed, block.epoch, block.start])
            items = [items[i] for i in of_like_widths(widths, block.sizes[0], dice)]
        if together is None or not drawn:
            return collate(items, self.charset, bad)
        number = np.cumsum([self._thrown(block, picture)[0] for picture in range(count)])
        places = [int(number[block.places[place]]) - 1 for place in drawn]
        fresh = self._draw_together(together, block, int(number[-1]), places)
        if not items:
            return fresh
        fresh = replace(fresh, images=as_input(fresh.images, self.spec))
        back = torch.tensor(read + drawn).argsort()
        return join(collate(items, self.charset, bad), fresh).each(lambda value: value[back])

    def _thrown(self, block: Block, picture: int) -> tuple[bool, random.Random]:
        """Whether a picture of it is drawn anew, and what else is left to chance."""
        rng = random.Random(f"{self.seed}/{block.epoch}/{block.pictures[picture]}")
        return self.recipe is not None and rng.random() < self.fresh, rng

    def _read(self, place: int, rng: random.Random, bad: list[str]) -> tuple[np.ndarray, str]:
        picture, label = self._opened(place, bad)
        level = LEVELS[self.augment]
        if level is not None and picture.height > 2 * self.spec.height:
            picture.thumbnail((picture.width, 2 * self.spec.height))  # blur and grain as it is seen
        if level is not None and self.spec.keep_ratio:
            picture = self._stretched(picture, label, level.strength, rng)
        if level is not None and rng.random() < level.joined:
            other = rng.choice(self._part_of(place))
            if self.spec.keep_ratio:
                picture, label = self._joined(picture, label, *self._opened(other, bad))
        picture = varied(picture, self.augment, rng)
        if self.color_jitter:
            picture = jitter(picture, self.color_jitter, rng)
        return prepare(picture, replace(self.spec, direction="horizontal")), label

    def _part_of(self, place: int) -> range:
        """The places of the set that this one is of."""
        if isinstance(self.rows, JoinedRows):
            return self.rows.part_of(place)
        return range(len(self.rows))

    def _opened(self, place: int, bad: list[str]) -> tuple[Image.Image, str]:
        """The picture, its text from left to right, and the label of a place. Where bad ones may
        be skipped, those of the next place of its set that can be read, and a sentence on each of
        the others in `bad`."""
        part = self._part_of(place)
        for tried in range(min(len(part), MOST_SKIPPED)):
            row = self.rows[part[(place - part.start + tried) % len(part)]]
            try:
                picture = open_picture(row.picture, self.spec.channels)
                return lying(picture, self.spec), row.label
            except PictureError as error:
                bad.append(f"{row.where}: {row.path.name}: {error}")
                if not self.may_skip:
                    break
        raise UserError(bad[-1])

    def _stretched(
        self, picture: Image.Image, label: str, strength: float, rng: random.Random
    ) -> Image.Image:
        """Wider or narrower by up to half an octave, as far as the label has room; pictures that
        are all scaled to one width need no more of that."""
        width = width_at_ratio(*picture.size, self.spec)
        least = 2 * WIDTH_STRIDE * steps_needed(label)
        wanted = width * 2 ** (strength * rng.uniform(-0.5, 0.5))
        wanted = min(max(wanted, min(width, least)), max(width, self.spec.width))
        size = (max(1, round(picture.width * wanted / width)), picture.height)
        return picture.resize(size, Image.Resampling.BILINEAR)

    def _joined(
        self, picture: Image.Image, label: str, right: Image.Image, text: str
    ) -> tuple[Image.Image, str]:
        """With another picture and its label behind, where both together fit into the width."""
        text = label + text
        width = width_at_ratio(*picture.size, self.spec) + width_at_ratio(*right.size, self.spec)
        if width > self.spec.width or steps_needed(text) > width // WIDTH_STRIDE:
            return picture, label
        return beside(picture, right), text

    def _draw(self, recipe: Recipe, epoch: int, index: int) -> tuple[np.ndarray, str]:
        is_first = self.lesson is not None and self.lesson.lasts(epoch)
        if is_first not in self._one_by_one:  # made here, because it does not travel to a worker
            own = self.lesson.recipe(recipe) if self.lesson and is_first else recipe
            self._one_by_one = {is_first: one_by_one(own, self.spec.channels)}
        renderer = self._one_by_one[is_first]
        for time in range(TRIES):
            seed: list[int | str] = [self.seed, "fresh", epoch, index, *([time] if time else [])]
            picture, text = renderer.draw(*seed)
            # A charset that drops may leave nothing; one that folds may need more room.
            if label := self.charset.fold(text):
                image = prepare(picture, self.spec)
                if steps_needed(label) <= image.shape[2] // WIDTH_STRIDE:
                    return image, label
        raise UserError(
            f"--fresh {self.fresh}: of {TRIES} texts of the recipe, charset {self.charset.name} "
            "left nothing that fits; choose another charset, or another set to draw from"
        )

    def _draw_together(
        self, recipe: CaptchaRecipe, block: Block, count: int, places: Sequence[int]
    ) -> Batch:
        """Those at `places` of the block's `count` drawn ones. Their seed is where in the epoch
        they stand, so that none is drawn a second time where the batches are others."""
        if self._fast is None:
            self._fast = FreshPictures(recipe, self.spec, self.charset, self.device)
        return self._fast.draw(count, places, self.seed, "fresh", block.epoch, block.start)


def jitter(picture: Image.Image, strength: float, rng: random.Random) -> Image.Image:
    """Brightness, contrast and colour, each times a factor in 1 - strength .. 1 + strength."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhance(picture).enhance(rng.uniform(1 - strength, 1 + strength))
    return picture
