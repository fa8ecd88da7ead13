"""What readers still get wrong on captchas of the package, and how much of that looks alike.

  python -m benchmarks.ceiling --figure output/ceiling.png
  python -m benchmarks.ceiling --model_path one.pth other.pth --charset_file alike.txt

All models read the same pictures. The package stretches every glyph to one height, so that some
characters differ in the thickness of their strokes alone. A text is "right but for the alike" if
it is right when those count as one character.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
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
from utils.text.charset import PRESETS, preset_charset, read_charset_file

ALIKE = ("0Oo", "1lI", "cC", "sS", "uU", "vV", "wW", "xX", "zZ")
"""Characters that the package draws in the same shape, stretched to the same height."""

FOLD = str.maketrans({character: group[0] for group in ALIKE for character in group[1:]})

SHOWN = 6
"""Pictures of each kind of error in the figure."""


@dataclass(frozen=True)
class Options:
    model_path: tuple[str, ...] = option((str(SHIPPED_MODEL),), "checkpoints to read with")
    n: int = option(10_000, "pictures", above=0)
    charset: str = option("alnum62", "what the texts are made of", tuple(PRESETS))
    charset_file: str | None = option(None, "the same, from a file with one character a line")
    min_length: int = option(4, "shortest text", above=0)
    max_length: int = option(8, "longest text", above=0)
    seed: int = option(1, "of the pictures", least=0)
    device: str = option("auto", "where to read", DEVICES)
    figure: str | None = option(None, "PNG file for the first model's surest errors")
    output: str | None = option(None, "Markdown file to write the tables to")
    config: str | None = option(None, "TOML recipe that presets flags")

    def problems(self) -> list[str]:
        if self.min_length <= self.max_length:
            return []
        return [
            f"--max_length {self.max_length}: expected {self.min_length} (--min_length) or more"
        ]


@dataclass(frozen=True)
class Reading:
    """What one model made of all pictures, scored."""

    name: str
    predictions: list[Prediction]
    score: Score

    @property
    def texts(self) -> list[str]:
        return [prediction.text for prediction in self.predictions]


def fold(text: str) -> str:
    """The text with one character for all that look alike."""
    return text.translate(FOLD)


def percent(share: float) -> str:
    return f"{100 * share:.2f}"


def accuracy_rows(readings: Sequence[Reading], labels: Sequence[str]) -> list[list[str]]:
    rows = []
    for reading in readings:
        folded = sum(fold(a) == fold(b) for a, b in zip(labels, reading.texts, strict=True))
        shares = [
            reading.score.sequence_accuracy,
            reading.score.sequence_accuracy_ignoring_case,
            folded / len(labels),
            reading.score.character_accuracy,
        ]
        rows.append([reading.name, *map(percent, shares)])
    return rows


def length_rows(readings: Sequence[Reading], labels: Sequence[str]) -> list[list[str]]:
    """A row for each length of the labels: exact, and right but for the alike, of each model."""
    rows = []
    for length in sorted({len(label) for label in labels}):
        those = [i for i, label in enumerate(labels) if len(label) == length]
        cells = [str(length), f"{len(those):,}"]
        for texts in (reading.texts for reading in readings):
            exact = sum(texts[i] == labels[i] for i in those)
            folded = sum(fold(texts[i]) == fold(labels[i]) for i in those)
            cells.append(f"{percent(exact / len(those))} / {percent(folded / len(those))}")
        rows.append(cells)
    return rows


def kind_of_error(label: str, text: str) -> str:
    if fold(text) == fold(label):
        return "only alike characters taken for each other"
    if len(text) != len(label):
        return "a character too few or too many"
    return "another character taken for another"


def error_rows(readings: Sequence[Reading], labels: Sequence[str]) -> list[list[str]]:
    """Wrong texts of each model by kind, and those that all models read wrong."""
    found: dict[str, list[int]] = {}
    for place, reading in enumerate(readings):
        for label, text in zip(labels, reading.texts, strict=True):
            if text != label:
                counts = found.setdefault(kind_of_error(label, text), [0] * len(readings))
                counts[place] += 1
    rows = [[kind, *map(str, counts)] for kind, counts in sorted(found.items())]
    if len(readings) > 1:
        texts = zip(labels, *(reading.texts for reading in readings), strict=True)
        common = sum(all(text != label for text in read) for label, *read in texts)
        rows.append(["wrong with every model", *[str(common)] * len(readings)])
    return rows


def alike_rows(readings: Sequence[Reading], labels: Sequence[str]) -> list[list[str]]:
    """How many of the characters of each group are taken for another one of it."""
    rows = []
    for group in ALIKE:
        total = sum(label.count(character) for label in labels for character in group)
        if not total:
            continue
        cells = ["/".join(group), f"{total:,}"]
        for reading in readings:
            pairs = reading.score.confusions.items()
            wrong = sum(count for (a, b), count in pairs if a and b and a in group and b in group)
            cells.append(f"{wrong} ({percent(wrong / total)} %)")
        rows.append(cells)
    return rows


def draw_figure(path: str, reading: Reading, labels: Sequence[str], files: list[Path]) -> None:
    """The surest errors: a row for each of the groups that are confused most, one for the rest."""
    wrong = [i for i, text in enumerate(reading.texts) if text != labels[i]]
    wrong.sort(key=lambda i: -reading.predictions[i].confidence)
    rows: dict[str, list[int]] = {group: [] for group in (*ALIKE, "the rest")}
    for i in wrong:
        different = {a for a, b in zip(labels[i], reading.texts[i], strict=False) if a != b}
        if fold(reading.texts[i]) != fold(labels[i]):
            rows["the rest"].append(i)
        for group in ALIKE:
            if different <= set(group) and fold(reading.texts[i]) == fold(labels[i]):
                rows[group].append(i)
    full = [places[:SHOWN] for places in rows.values() if len(places) >= SHOWN]
    shown = [i for places in full for i in places]
    if not shown:
        raise UserError(f"--figure {path}: too few errors to show; give more pictures with --n")
    captions = [
        f"{labels[i]}\nread: {reading.texts[i]}\n{reading.predictions[i].confidence:.2f}"
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
    charset = read_charset_file(file) if file else preset_charset(options.charset)
    lengths = options.min_length, options.max_length
    recipe = CaptchaRecipe(charset.characters, charset.name, *lengths)
    report = Report("ceiling", argv, options.output, ["captcha", "pillow"])
    with tempfile.TemporaryDirectory() as folder:
        drawn = draw_folder(Path(folder), recipe, options.n, options.seed)
        files, labels = [path for path, _ in drawn], [label for _, label in drawn]
        readings = []
        for path, reader in zip(map(Path, options.model_path), readers, strict=True):
            predictions = reader.read(files)
            pairs = zip(labels, (each.text for each in predictions), strict=True)
            name = f"{path.parent.name}/{path.name}"
            readings.append(Reading(name, predictions, score_texts(pairs)))
        report.print(
            f"\n{len(charset)} characters, {lengths[0]} to {lengths[1]} a text, {recipe.width} x "
            f"{recipe.height} pixels, seed {options.seed}; n = {options.n:,} pictures; percent"
        )
        header = ["model", "exact", "ignoring case", "right but for the alike", "characters"]
        report.table(header, accuracy_rows(readings, labels))
        names = [reading.name for reading in readings]
        models = [f"{name}: exact / but for the alike" for name in names]
        report.table(["characters", "n", *models], length_rows(readings, labels))
        report.table(["wrong texts", *names], error_rows(readings, labels))
        report.table(["taken for each other", "characters", *names], alike_rows(readings, labels))
        if options.figure:
            draw_figure(options.figure, readings[0], labels, files)
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
