"""Make a data set of captchas or words: pictures, labels.txt, dataset.json and samples.png.

python generate_data.py --num_samples 10000 --charset digits --output_dir data/digits
python generate_data.py --kind word --output_dir data/words     words as signs show them
python generate_data.py --resume                  go on where the last run stopped
python generate_data.py --resume --num_samples N  add to a set, under the same other flags

Picture k of a split is drawn from (seed, split, k) alone (by --renderer fast from (seed, split,
k // 32), 32 at once): the same --seed gives the same bytes whatever the number of workers, and a
smaller --num_samples the first ones of a larger, split by split.
"""

from __future__ import annotations

import sys
import time
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tqdm import tqdm

from utils.augment import LEVELS
from utils.dataset import SPLITS
from utils.device import usable_cores
from utils.errors import UserError, run_script
from utils.files import check_output_file, remove_leftovers, write_text
from utils.options import Parsed, option, parse
from utils.picture import open_picture
from utils.show.contact_sheet import write_contact_sheet
from utils.synth.captcha import RENDERERS, CaptchaRecipe, font_problems
from utils.synth.description import check_target, describe, split_sizes, write_description
from utils.synth.drawing import draw_all, file_name, split_chunks
from utils.synth.fonts import find_fonts
from utils.synth.recipes import KINDS, Recipe
from utils.synth.words import SYSTEM_WORDS, WordRecipe, system_words, word_problems
from utils.text.charset import PRESETS, preset_charset, read_charset_file

SAMPLES = 20


@dataclass(frozen=True)
class GenerateOptions:
    output_dir: str = option("./data", "folder of the data set")
    kind: str = option("captcha", "what to draw", tuple(KINDS))
    num_samples: int = option(50_000, "pictures of all splits together", least=1)
    width: int = option(160, "width of a captcha in pixels", least=16, most=4096)
    height: int = option(
        None, "pixels (default: 60; words: 48, and less, down to a third)", least=16, most=4096
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
    def recipe(self) -> Recipe:
        """Raises UserError for a charset file or fonts that cannot be used."""
        preset = self.charset or ("printable" if self.kind == "word" else "alnum62")
        charset = (
            read_charset_file(self.charset_file) if self.charset_file else preset_charset(preset)
        )
        drawn = (charset.characters, charset.name)
        if self.kind == "captcha":
            fonts = tuple(find_fonts(self.fonts))
            return CaptchaRecipe(*drawn, *self.lengths, self.width, self.height or 60, fonts)
        fonts = tuple(find_fonts(self.fonts or ("system",)))
        return WordRecipe(
            *drawn,
            *self.lengths,
            self.height or 48,
            fonts,
            self.words or system_words(charset),
            self.number_share,
            self.random_share,
            self.augment,
            self.letter_colors,
            self.lines,
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
            if isinstance(recipe, CaptchaRecipe):
                problems += font_problems(recipe)
            elif longest >= shortest:
                problems += word_problems(recipe)
        except UserError as error:
            problems.append(str(error))
        return problems


def main(argv: list[str] | None = None) -> int:
    parsed = parse(GenerateOptions, argv, __doc__ or "")
    options = parsed.options
    for name in idle_flags(parsed):
        print(f"warning: --{name} has no effect on --kind {options.kind}")
    try:
        generate(options)
    except KeyboardInterrupt:
        print("\nstopped; the same command with --resume goes on from here", file=sys.stderr)
        return 130
    return 0


IDLE = {
    "captcha": ("words", "number_share", "random_share", "letter_colors", "lines", "augment"),
    "word": ("width", "renderer"),
}
"""Flags that a kind does not know."""


def idle_flags(parsed: Parsed[GenerateOptions]) -> list[str]:
    return [name for name in IDLE[parsed.options.kind] if name in parsed.given]


def generate(options: GenerateOptions) -> None:
    """Draw what is missing of the set, labels.txt of a split after its last picture."""
    root, recipe = Path(options.output_dir), options.recipe
    sizes = {split: size for split, size in options.sizes.items() if size}
    workers = usable_cores() if options.num_workers is None else options.num_workers
    description = describe(
        recipe, options.num_samples, options.split_ratio, options.seed, options.renderer
    )
    check_target(root, description, options.resume)
    # It comes first, so that whatever is left in the folder can be resumed.
    write_description(root, description, complete=False)
    for folder in (root, *(root / split for split in sizes)):
        folder.mkdir(exist_ok=True)
        remove_leftovers(folder)
    print(f"{root}: {options.num_samples:,} {recipe}, seed {options.seed}")
    chunks = split_chunks(root, recipe, sizes, options.seed, options.renderer)
    labels: dict[str, list[str]] = {split: [] for split in sizes}
    new, started = 0, time.perf_counter()
    with (
        tqdm(total=options.num_samples, unit=" pictures", disable=None) as bar,
        closing(draw_all(recipe, chunks, workers, options.renderer)) as results,
    ):
        for chunk, drawn in zip(chunks, results, strict=True):
            labels[chunk.split] += drawn.texts
            new += drawn.new
            bar.update(len(drawn.texts))
            if chunk.stop == sizes[chunk.split]:
                write_labels(chunk.folder, labels[chunk.split])
    seconds = time.perf_counter() - started
    write_samples(root, labels)
    write_description(root, description, complete=True)
    report(root, sizes, new, seconds)


def write_labels(folder: Path, labels: list[str]) -> None:
    rows = [f"{file_name(index)}\t{label}\n" for index, label in enumerate(labels)]
    write_text(folder / "labels.txt", "".join(rows))


def write_samples(root: Path, labels: dict[str, list[str]]) -> None:
    """samples.png: the first pictures of the set with their labels."""
    first = [
        (root / split / file_name(index), label)
        for split, texts in labels.items()
        for index, label in enumerate(texts[:SAMPLES])
    ][:SAMPLES]
    pictures = [open_picture(path, 3) for path, _ in first]
    write_contact_sheet(root / "samples.png", pictures, [label for _, label in first])


def report(root: Path, sizes: dict[str, int], new: int, seconds: float) -> None:
    """What was made, and the command that comes next."""
    counts = ", ".join(f"{size:,} {split}" for split, size in sizes.items())
    there = sum(sizes.values()) - new
    print(
        f"done: {counts}; drew {new:,} in {seconds:.1f} s ({new / seconds:,.0f} pictures/s)"
        + (f", {there:,} were there" if there else "")
    )
    print(f"look at {root / 'samples.png'}")
    if "val" in sizes:
        folder = f'"{root}"' if " " in str(root) else root
        fresh = "" if "train" in sizes else " --fresh 1"
        print(f"next: python train.py --data_root {folder}{fresh}")


if __name__ == "__main__":
    sys.exit(run_script(main))
