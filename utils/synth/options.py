"""The flags of generate_data.py: what they mean, and what does not go together."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from utils.changes import LEVELS
from utils.dataset import SPLITS
from utils.errors import UserError
from utils.files import check_output_file
from utils.options import Parsed, option
from utils.synth.captcha import RENDERERS, CaptchaRecipe
from utils.synth.description import split_sizes
from utils.synth.fonts import FoundFonts, find_fonts
from utils.synth.recipes import KINDS, MOST_PIXELS, Recipe, recipe_problems
from utils.synth.words import SYSTEM_WORDS, WordRecipe, system_words
from utils.text.charset import PRESETS, preset_charset, read_charset_file


@dataclass(frozen=True)
class GenerateOptions:
    output_dir: str = option("./data", "folder of the data set")
    kind: str = option("captcha", "what to draw", tuple(KINDS))
    num_samples: int = option(50_000, "pictures of all splits together", least=1)
    width: int = option(160, "width of a captcha in pixels", least=16, most=MOST_PIXELS)
    height: int = option(
        None,
        "pixels (default: 60; words: 48, and less, down to a third)",
        least=16,
        most=MOST_PIXELS,
    )
    min_length: int = option(None, "fewest characters of a label (default: 4; words: 1)", least=1)
    max_length: int = option(None, "most characters of a label (default: 8; words: 20)", least=1)
    charset: str | None = option(
        None, "characters to draw (default: alnum62; words: printable)", tuple(PRESETS)
    )
    charset_file: str | None = option(None, "UTF-8 file of characters to draw, one a line")
    split_ratio: tuple[float, ...] = option(
        (0.8, 0.1, 0.1), "shares of train, val and test", least=0, most=1
    )
    fonts: tuple[str, ...] = option(
        (), "fonts, folders of fonts, or system (default: the captcha package's own; words: system)"
    )
    renderer: str = option(
        "package", "of captchas: the captcha package, or our own of its look, faster", RENDERERS
    )
    words: str | None = option(
        None, f"UTF-8 text whose words are drawn (default: {SYSTEM_WORDS}, where there is one)"
    )
    number_share: float = option(0.1, "of words, how many are numbers", least=0, most=1)
    random_share: float = option(0.1, "of words, how many are random strings", least=0, most=1)
    letter_colors: float = option(
        0.0, "share of words whose letters are each of another colour", least=0, most=1
    )
    lines: float = option(0.0, "share of words with thin lines across", least=0, most=1)
    loose: float = option(
        0.0,
        "share of words whose letters stand apart, some turned or moved, as captchas have them",
        least=0,
        most=1,
    )
    white: float = option(0.0, "share of words on plain white", least=0, most=1)
    display: float = option(
        0.0, "share of words on the photographed display of a meter", least=0, most=1
    )
    augment: str = option("medium", "how much words are turned, bent, blurred...", tuple(LEVELS))
    seed: int = option(0, "the same seed draws the same pictures")
    num_workers: int | None = option(
        None, "processes that draw (default: all usable cores)", least=1
    )
    resume: bool = option(False, "go on with the set in --output_dir, or add to it")
    config: str | None = option(None, "TOML recipe that presets these flags")

    @property
    def sizes(self) -> dict[str, int]:
        return split_sizes(self.num_samples, self.split_ratio)

    @property
    def lengths(self) -> tuple[int, int]:
        """Fewest and most characters."""
        usual = (1, 20) if self.kind == "word" else (4, 8)
        return self.min_length or usual[0], self.max_length or usual[1]

    @cached_property
    def found_fonts(self) -> FoundFonts:
        return find_fonts(self.fonts or (("system",) if self.kind == "word" else ()))

    @cached_property
    def recipe(self) -> Recipe:
        """Raises UserError for a charset file or fonts that cannot be used."""
        preset = self.charset or ("printable" if self.kind == "word" else "alnum62")
        charset = (
            read_charset_file(self.charset_file) if self.charset_file else preset_charset(preset)
        )
        drawn = (charset.characters, charset.name)
        if self.kind == "captcha":
            size = (self.width, self.height or 60)
            return CaptchaRecipe(*drawn, *self.lengths, *size, self.found_fonts.paths)
        return WordRecipe(
            *drawn,
            *self.lengths,
            self.height or 48,
            self.found_fonts.paths,
            os.path.abspath(self.words) if self.words else system_words(charset),
            self.number_share,
            self.random_share,
            self.augment,
            self.letter_colors,
            self.lines,
            self.loose,
            self.white,
            self.display,
        )

    def problems(self) -> list[str]:
        """What does not go together, a sentence each."""
        problems = []
        shortest, longest = self.lengths
        if longest < shortest:
            problems.append(
                f"--max_length {longest}: less than --min_length {shortest}; raise the one or "
                "lower the other"
            )
        if self.charset and self.charset_file:
            problems.append("--charset and --charset_file: both are given; leave one out")
        if len(self.split_ratio) != len(SPLITS) or abs(sum(self.split_ratio) - 1) > 1e-6:
            ratio = " ".join(f"{share:g}" for share in self.split_ratio)
            problems.append(f"--split_ratio {ratio}: expected 3 shares that sum to 1")
        else:
            problems += [
                f"--num_samples {self.num_samples}: leaves nothing for {name}, whose share is "
                f"{share:g}; draw more, or set that share to 0"
                for (name, size), share in zip(self.sizes.items(), self.split_ratio, strict=True)
                if share and not size
            ]
        outputs = ["dataset.json", "samples.png", *(f"{split}/labels.txt" for split in SPLITS)]
        try:
            for name in outputs:
                check_output_file(Path(self.output_dir) / name)
        except UserError as error:
            problems.append(f"--output_dir {error}")
        try:
            recipe = self.recipe
            problems += recipe_problems(recipe) if longest >= shortest else []
        except UserError as error:
            problems.append(str(error))
        return problems


IDLE = {
    "captcha": (
        "words", "number_share", "random_share", "letter_colors", "lines", "loose", "white",
        "display", "augment",
    ),
    "word": ("width", "renderer"),
}  # fmt: skip
"""Flags that a kind does not know."""


def idle_flags(parsed: Parsed[GenerateOptions]) -> list[str]:
    """A sentence for each given flag that has no effect."""
    options = parsed.options
    found = {name: f"on --kind {options.kind}" for name in IDLE[options.kind]}
    if not any(ch.isdecimal() for ch in options.recipe.characters):
        found.setdefault("number_share", "on a charset without digits")
    if options.number_share + options.random_share == 1:
        found.setdefault("words", "where --number_share and --random_share leave nothing")
    return [f"--{name} has no effect {why}" for name, why in found.items() if name in parsed.given]
