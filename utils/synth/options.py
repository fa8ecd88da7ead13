"""The flags of generate_data.py: what they mean, and what does not go together."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from utils.changes import LEVELS
from utils.data.lmdb_set import need_lmdb
from utils.dataset import SPLITS
from utils.errors import UserError
from utils.files import check_output_file
from utils.options import option
from utils.picture import DIRECTIONS
from utils.synth.captcha import RENDERERS, CaptchaRecipe
from utils.synth.corpus import Corpus
from utils.synth.description import split_sizes
from utils.synth.faces import without_glyph
from utils.synth.fonts import FoundFonts, all_faces, find_fonts
from utils.synth.lines import LineRecipe
from utils.synth.recipes import KINDS, MOST_PIXELS, Recipe, recipe_problems
from utils.synth.shards import FORMATS, Place, Shard
from utils.synth.words import SYSTEM_WORDS, WordRecipe, system_words
from utils.text.charset import PRESETS, Charset, preset_charset, read_charset_file, sample


@dataclass(frozen=True)
class GenerateOptions:
    output_dir: str = option("./data", "folder of the data set")
    kind: str = option("captcha", "what to draw", tuple(KINDS))
    num_samples: int = option(50_000, "pictures of all splits together", least=1)
    width: int = option(
        None, "pixels (default: 160; lines, along them: 512)", least=16, most=MOST_PIXELS
    )
    height: int = option(
        None,
        "pixels (default: 60; words: 48, and less, down to a third; lines, across them: 32)",
        least=16,
        most=MOST_PIXELS,
    )
    min_length: int = option(
        None, "fewest characters of a label (default: 4; words, lines: 1)", least=1
    )
    max_length: int = option(
        None, "most characters of a label (default: 8; words, lines: 20)", least=1
    )
    charset: str | None = option(
        None, "characters to draw (default: alnum62; words, lines: printable)", tuple(PRESETS)
    )
    charset_file: str | None = option(None, "UTF-8 file of characters to draw, one a line")
    split_ratio: tuple[float, ...] = option(
        (0.8, 0.1, 0.1), "shares of train, val and test", least=0, most=1
    )
    fonts: tuple[str, ...] = option(
        (),
        "fonts, folders of fonts, or system (default: the captcha package's own; words, lines: "
        "system)",
    )
    missing_glyphs: str = option(
        "fail", "of lines, what becomes of characters that no font has", ("fail", "drop")
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
    corpus: str = option("random", "UTF-8 text that lines are taken from, or random characters")
    direction: str = option("horizontal", "of lines; vertical: upright, top to bottom", DIRECTIONS)
    tight: float = option(
        0.0, "share of lines whose picture ends where the text does", least=0, most=1
    )
    augment: str = option(
        None,
        "how much words and lines are turned, bent, blurred... (default: words medium, lines none)",
        tuple(LEVELS),
    )
    seed: int = option(0, "the same seed draws the same pictures")
    num_workers: int | None = option(
        None, "processes that draw (default: all usable cores)", least=1
    )
    shard: str | None = option(
        None,
        "I/N: draw the I-th of N shards only, of the same set whatever N is; for machines "
        "that share the work",
    )
    format: str = option("files", "PNG files with labels.txt, or an LMDB", FORMATS)
    resume: bool = option(False, "go on with the set in --output_dir, or add to it")
    config: str | None = option(None, "TOML recipe that presets these flags")

    @cached_property
    def part(self) -> Shard:
        """Raises UserError for what is none."""
        return Shard.parse(self.shard) if self.shard else Shard()

    def places(self, shard: Shard) -> list[Place]:
        """Those of a shard, split by split; none where it has no picture of one."""
        root = Path(self.output_dir)
        places = [Place.of(shard, root, *item, self.format) for item in self.sizes.items()]
        return [place for place in places if place.indices]

    @property
    def sizes(self) -> dict[str, int]:
        return split_sizes(self.num_samples, self.split_ratio)

    @property
    def lengths(self) -> tuple[int, int]:
        """Fewest and most characters."""
        return self._filled("min_length"), self._filled("max_length")

    def _filled(self, name: str) -> Any:
        """A flag's value, or what its kind takes for it."""
        return getattr(self, name) or getattr(KINDS[self.kind], name)

    @cached_property
    def found_fonts(self) -> FoundFonts:
        return find_fonts(self.fonts or (() if self.kind == "captcha" else ("system",)))

    @cached_property
    def charset_asked(self) -> Charset:
        """Raises UserError for a file that cannot be used."""
        if self.charset_file:
            return read_charset_file(self.charset_file)
        return preset_charset(
            self.charset or ("alnum62" if self.kind == "captcha" else "printable")
        )

    @cached_property
    def without_glyph(self) -> list[str]:
        """Characters that --missing_glyphs drop leaves out."""
        if self.kind != "line" or self.missing_glyphs == "fail":
            return []
        return without_glyph(self.charset_asked.characters, all_faces(self.found_fonts.paths))

    @cached_property
    def recipe(self) -> Recipe:
        """Raises UserError for a charset file or fonts that cannot be used."""
        charset, fonts = self.charset_asked, self.found_fonts.paths
        height = self._filled("height")
        if self.kind == "captcha":
            size = (self._filled("width"), height)
            return CaptchaRecipe(charset.characters, charset.name, *self.lengths, *size, fonts)
        augment = self._filled("augment")
        if self.kind == "line":
            lacking = set(self.without_glyph)
            if len(lacking) == len(charset):
                raise UserError(
                    f"--missing_glyphs drop: none of {len(fonts):,} fonts has any of the "
                    f"{len(lacking):,} characters of charset {charset.name}; give other fonts"
                )
            return LineRecipe(
                "".join(ch for ch in charset.characters if ch not in lacking),
                charset.name + (f"-{len(lacking)}" if lacking else ""),
                *self.lengths,
                height,
                self._filled("width"),
                fonts,
                None if self.corpus == "random" else os.path.abspath(self.corpus),
                self.direction,
                self.tight,
                augment,
            )
        return WordRecipe(
            charset.characters,
            charset.name,
            *self.lengths,
            height,
            fonts,
            os.path.abspath(self.words) if self.words else system_words(charset),
            self.number_share,
            self.random_share,
            augment,
            self.letter_colors,
            self.lines,
            self.loose,
            self.white,
            self.display,
        )

    def left_out(self) -> list[str]:
        """A sentence on each font, and on the characters, that are not drawn."""
        found = [f"left out: {sentence}" for sentence in self.found_fonts.left_out]
        if lacking := self.without_glyph:
            found.append(
                f"left out: {len(lacking):,} of {len(self.charset_asked):,} characters, which no "
                f"font has: {sample(lacking)}"
            )
        if isinstance(self.recipe, LineRecipe) and self.recipe.corpus:
            found += Corpus.read(self.recipe.corpus, self.recipe.characters).sentences()
        return found

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
        for check in (lambda: self.part, lambda: self.format == "lmdb" and need_lmdb()):
            try:
                check()
            except UserError as error:
                problems.append(str(error))
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
