"""What readers still get wrong on captchas of the package, and how much of that looks alike.

  python -m benchmarks.misreadings --figure output/misreadings.png
  python -m benchmarks.misreadings --model_path one.pth other.pth --charset_file alike.txt

All models read the same pictures; those of the default seed are the test set of the card in
checkpoints/. The package stretches every glyph to one height, after which the groups of ALIKE look
much the same. A text is "right but for the alike" if it is right when each group counts as one
character.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.pictures import draw_folder
from benchmarks.report import Report
from utils.checkpoint import SHIPPED_MODEL
from utils.device import DEVICES
from utils.errors import UserError, run_script
from utils.files import check_output_file
from utils.metrics import Score, score_texts
from utils.options import option, parse
from utils.picture import open_picture
from utils.recognizer import Prediction, Recognizer
from utils.show.contact_sheet import write_contact_sheet
from utils.synth.captcha import CaptchaRecipe
from utils.text.alike import Alike
from utils.text.charset import PRESETS, preset_charset, read_charset_file

ALIKE = ("0Oo", "1lI", "cC", "sS", "uU", "vV", "wW", "xX", "zZ")
"""Characters that look alike, once all have the same height."""

fold = Alike(ALIKE).fold
"""The text with one character for all that look alike."""

SHOWN = 6
"""Pictures of each kind of error in the figure."""


@dataclass(frozen=True)
class Options:
    model_path: tuple[str, ...] = option((str(SHIPPED_MODEL),), "checkpoints to read with")
    n: int = option(10_000, "pictures", above=0)
    charset: str | None = option(
        None, "what the texts are made of (default: alnum62)", tuple(PRESETS)
    )
    charset_file: str | None = option(None, "the same, from a file with one character a line")
    min_length: int = option(4, "shortest text", above=0)
    max_length: int = option(8, "longest text", above=0)
    seed: int = option(1, "of the pictures", least=0)
    device: str = option("auto", "where to read", DEVICES)
    figure: str | None = option(None, "PNG file for the first model's surest errors")
    output: str | None = option(None, "Markdown file to write the tables to")
    config: str | None = option(None, "TOML recipe that presets flags")

    def problems(self) -> list[str]:
        found = []
        if self.charset and self.charset_file:
            found.append("--charset and --charset_file fight: give one of them")
        if self.min_length > self.max_length:
            found.append(
                f"--max_length {self.max_length}: expected {self.min_length} (--min_length) or more"
            )
        return found


@dataclass(frozen=True)
class Reading:
    """What one model made of all pictures, scored."""

    name: str
    predictions: list[Prediction]
    labels: list[str]

    @cached_property
    def texts(self) -> list[str]:
        return [prediction.text for prediction in self.predictions]

    @cached_property
    def score(self) -> Score:
        return score_texts(zip(self.labels, self.texts, strict=True))

    @cached_property
    def wrong(self) -> list[int]:
        return [i for i, label in enumerate(self.labels) if label != self.texts[i]]

    def is_right_but_for_the_alike(self, i: int) -> bool:
        return fold(self.texts[i]) == fold(self.labels[i])


def percent(right: int, n: int) -> str:
    return f"{100 * right / n:.2f}"


def accuracy_rows(readings: Sequence[Reading]) -> list[list[str]]:
    """Chance alone moves a share of texts by the figure in brackets or less, 19 times of 20."""
    rows = []
    for reading in readings:
        score = reading.score
        folded = sum(map(reading.is_right_but_for_the_alike, range(score.n)))
        cells = [reading.name]
        for right in (score.exact, score.exact_ignoring_case, folded):
            share = right / score.n
            chance = 196 * math.sqrt(share * (1 - share) / score.n)
            cells.append(f"{percent(right, score.n)} (± {chance:.2f})")
        rows.append([*cells, f"{100 * score.character_accuracy:.2f}"])
    return rows


def length_rows(readings: Sequence[Reading]) -> list[list[str]]:
    """A row for each length of the labels: exact, and right but for the alike, of each model."""
    labels = readings[0].labels
    rows = []
    for length in sorted({len(label) for label in labels}):
        those = [i for i, label in enumerate(labels) if len(label) == length]
        cells = [str(length), f"{len(those):,}"]
        for reading in readings:
            exact = sum(reading.texts[i] == labels[i] for i in those)
            folded = sum(map(reading.is_right_but_for_the_alike, those))
            cells.append(f"{percent(exact, len(those))} / {percent(folded, len(those))}")
        rows.append(cells)
    return rows


def kind_of_error(label: str, text: str) -> str:
    if fold(text) == fold(label):
        return "only alike characters taken for each other"
    if len(text) != len(label):
        return "a character too few or too many"
    return "another character taken for another"


def error_rows(readings: Sequence[Reading]) -> list[list[str]]:
    """Wrong texts of each model by kind, and those that all models read wrong."""
    found: dict[str, list[int]] = {}
    for place, reading in enumerate(readings):
        for i in reading.wrong:
            kind = kind_of_error(reading.labels[i], reading.texts[i])
            found.setdefault(kind, [0] * len(readings))[place] += 1
    rows = [[kind, *map(str, counts)] for kind, counts in sorted(found.items())]
    if len(readings) > 1:
        common = set.intersection(*(set(reading.wrong) for reading in readings))
        rows.append(["wrong with every model", *[str(len(common))] * len(readings)])
    return rows


def alike_rows(readings: Sequence[Reading]) -> list[list[str]]:
    """How many of the characters of each group are taken for another one of it."""
    rows = []
    for group in ALIKE:
        total = sum(label.count(character) for label in readings[0].labels for character in group)
        if not total:
            continue
        cells = ["/".join(group), f"{total:,}"]
        for reading in readings:
            pairs = reading.score.confusions.items()
            wrong = sum(count for (a, b), count in pairs if a and b and a in group and b in group)
            cells.append(f"{wrong} ({percent(wrong, total)} %)")
        rows.append(cells)
    return rows


def draw_figure(path: str, reading: Reading, files: list[Path]) -> None:
    """The surest errors: a row for each group that is confused often, the most confused first,
    and one for texts that are wrong otherwise."""
    rows: dict[str, list[int]] = {group: [] for group in ALIKE}
    others = []
    for i in sorted(reading.wrong, key=lambda i: -reading.predictions[i].confidence):
        pairs = zip(reading.labels[i], reading.texts[i], strict=False)
        different = {character for pair in pairs if pair[0] != pair[1] for character in pair}
        if not reading.is_right_but_for_the_alike(i):
            others.append(i)
        elif group := next((group for group in ALIKE if different <= set(group)), None):
            rows[group].append(i)
    often = sorted(rows.values(), key=len, reverse=True)
    shown = [i for row in (*often, others) if len(row) >= SHOWN for i in row[:SHOWN]]
    if not shown:
        raise UserError(f"--figure {path}: too few errors to show; give more pictures with --n")
    captions = [
        f"{reading.labels[i]}\nread: {reading.texts[i]}\n{reading.predictions[i].confidence:.2f}"
        for i in shown
    ]
    pictures = [open_picture(files[i], 3) for i in shown]
    write_contact_sheet(path, pictures, captions, columns=SHOWN)


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    if options.figure:
        check_output_file(options.figure)
    readers = [Recognizer.load(path, options.device) for path in options.model_path]
    file = options.charset_file
    charset = read_charset_file(file) if file else preset_charset(options.charset or "alnum62")
    lengths = options.min_length, options.max_length
    recipe = CaptchaRecipe(charset.characters, charset.name, *lengths)
    report = Report("misreadings", argv, options.output, ["captcha", "pillow"])
    with tempfile.TemporaryDirectory() as folder:
        drawn = draw_folder(Path(folder), recipe, options.n, options.seed)
        files, labels = [path for path, _ in drawn], [label for _, label in drawn]
        readings = []
        for path, reader in zip(map(Path, options.model_path), readers, strict=True):
            name = f"{path.parent.name}/{path.name}"
            readings.append(Reading(name, reader.read(files), labels))
        report.print(
            f"\n{len(charset)} characters, {lengths[0]} to {lengths[1]} a text, {recipe.width} x "
            f"{recipe.height} pixels, seed {options.seed}; n = {options.n:,} pictures; percent"
        )
        header = ["model", "exact", "ignoring case", "right but for the alike", "characters"]
        report.table(header, accuracy_rows(readings))
        names = [reading.name for reading in readings]
        models = [f"{name}: exact / but for the alike" for name in names]
        report.table(["characters", "n", *models], length_rows(readings))
        report.table(["wrong texts", *names], error_rows(readings))
        report.table(["taken for each other", "characters", *names], alike_rows(readings))
        if options.figure:
            draw_figure(options.figure, readings[0], files)
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
