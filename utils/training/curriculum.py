"""A first lesson of few characters: what lets a reader of thousands of them start.

Bengio, Louradour, Collobert and Weston, "Curriculum learning", ICML 2009. With all characters at
once each is seen so seldom that for long none is told from another.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from utils.errors import UserError
from utils.synth.lines import LineRecipe
from utils.synth.recipes import Recipe
from utils.text.charset import BLANK, Charset

if TYPE_CHECKING:
    from utils.training.options import TrainOptions


@dataclass(frozen=True)
class Lesson:
    """The first `epochs` know `size` of the characters `drawn`, chosen by the seed; 0: all from the
    start."""

    charset: Charset
    drawn: str
    size: int
    epochs: int
    seed: int

    def lasts(self, epoch: int) -> bool:
        return bool(self.size) and epoch < self.epochs

    def ends_before(self, epoch: int) -> bool:
        """Whether that epoch is the first one after it."""
        return bool(self.size) and epoch == self.epochs

    def schedule(self, step: int, total_steps: int, steps_per_epoch: int) -> tuple[int, int]:
        """A step, and the number of all, of the run that it is a part of: the lesson is one, and
        what comes after it another, with a warm-up of its own."""
        first = min(self.epochs * steps_per_epoch, total_steps) if self.size else 0
        return (step, first) if step < first else (step - first, total_steps - first)

    @cached_property
    def characters(self) -> str:
        return "".join(random.Random(f"{self.seed}/lesson").sample(self.drawn, self.size))

    def recipe(self, recipe: Recipe) -> LineRecipe:
        """What is drawn: random texts, for a corpus has few that are of these characters."""
        assert isinstance(recipe, LineRecipe)
        return replace(recipe, characters=self.characters, corpus=None)

    @cached_property
    def _classes(self) -> Tensor:
        """(size + 1,): the blank's, and theirs."""
        written = self.charset.fold(self.characters)
        return torch.tensor([BLANK, *sorted(self.charset.encode(written))])

    def of(self, heads: Iterable[nn.Linear], targets: Tensor) -> tuple[list[nn.Linear], Tensor]:
        """Heads with the lesson's classes only, and the targets in places among these."""
        classes = self._classes.to(targets.device)
        places = torch.zeros(self.charset.num_classes, dtype=targets.dtype, device=targets.device)
        places[classes] = torch.arange(len(classes), dtype=targets.dtype, device=targets.device)
        return [LessonHead(head, classes) for head in heads], places[targets]


def one_of_each(characters: str, charset: Charset) -> str:
    """Of the characters that a recipe draws, one for each class of the charset; no space, which no
    line is made of alone."""
    found: dict[str, str] = {}
    for character in characters:
        written = charset.fold(character)
        if written in charset.known and not written.isspace():
            found.setdefault(written, character)
    return "".join(found.values())


def lesson_of(options: TrainOptions, charset: Charset, recipe: Recipe | None) -> Lesson:
    """UserError where there are no lines to draw it from, or not so many characters."""
    size, drawn = options.first_characters, ""
    if size and not isinstance(recipe, LineRecipe):
        raise UserError(
            f"--first_characters {size}: it goes with a set of lines, which generate_data.py "
            "--kind line makes"
        )
    if size and recipe is not None:
        drawn = one_of_each(recipe.characters, charset)
    if size and size >= len(drawn):
        raise UserError(
            f"--first_characters {size}: expected fewer than the {len(drawn):,} of charset "
            f"{charset.name} that are drawn"
        )
    return Lesson(charset, drawn, size, options.first_epochs, options.seed)


class LessonHead(nn.Linear):
    """The rows of a head that are the lesson's: no other class takes part, nor is pushed away."""

    def __init__(self, head: nn.Linear, classes: Tensor):
        nn.Module.__init__(self)
        self.in_features, self.out_features = head.in_features, len(classes)
        # Tensors, not parameters: gradients go on to the whole head.
        object.__setattr__(self, "weight", head.weight[classes])
        object.__setattr__(self, "bias", head.bias[classes])
