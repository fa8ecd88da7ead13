"""Read one picture or a folder of pictures, or score a labelled set.

python inference.py --image_path captcha.png --visualize
python inference.py --mode batch --image_dir pictures --output_path output/texts.csv
python inference.py --mode evaluate --data_root ./data --split test
torchrun --nproc_per_node 4 inference.py --mode batch ...     and evaluate: a share for each rank
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tqdm import tqdm

from utils.by_shape import Reader
from utils.data.joined import sets_of
from utils.dataset import BadRows, DataSet, Row, facts, open_dataset
from utils.errors import UserError, run_script
from utils.files import find_pictures, write_text
from utils.inference_options import InferenceOptions, warn_of_idle_flags
from utils.options import parse
from utils.parts import Parts
from utils.picture import Source, lying, open_picture
from utils.ranks import Ranks
from utils.reading_options import note
from utils.recognizer import Prediction, Recognizer
from utils.show.cases import Case, reading_text
from utils.show.comparison import Comparison, write_comparison
from utils.show.evaluation import EVALUATION_FORMATS, Evaluation
from utils.show.report import write_report
from utils.text.alike import Alike
from utils.text.charset import protocol_of

PATIENCE = timedelta(days=1)
"""How long ranks wait for the last one: shares of a large set end hours apart where machines
differ."""

DESCRIPTION = "Read one picture or a folder of pictures, or score a labelled set."
EPILOG = """\
--output_path: .png (single, --visualize), .tsv .txt .csv .jsonl (batch), .txt .md .json (evaluate)
exit code: 0 done; 1 batch, and not one picture could be read; 2 an error, told in a sentence"""


def main(argv: Sequence[str] | None = None) -> int:
    ranks = Ranks.of_environment()
    with ranks.joined(PATIENCE):
        with ranks.one_answer():
            parsed = parse(InferenceOptions, argv, DESCRIPTION, EPILOG)
            warn_of_idle_flags(parsed)
        if parsed.options.mode == "single":
            return read_one(parsed.options) if ranks.is_main else 0
        modes = {"batch": read_folder, "evaluate": evaluate}
        return modes[parsed.options.mode](parsed.options, ranks)


def read_one(options: InferenceOptions) -> int:
    path = Path(options.image_path or "")
    if not path.is_file():
        what = "it is a folder, which --mode batch reads" if path.is_dir() else "no such file"
        raise UserError(f"--image_path {path}: {what}; give the path of a picture")
    reader = options.load_reader(*options.models)
    recognizer, decoder = reader.of(path)
    asked = options.characters or options.visualize
    [prediction] = recognizer.read([path], 1, decoder, options.reject_below, asked)
    if prediction.error:
        raise UserError(f"--image_path {path}: {prediction.error}; give another picture")
    for sentence in reader.misdirected([path]):
        note(f"warning: {sentence}")
    print(reading_text(prediction, options.reject_below, options.characters), end="")
    if options.visualize:
        output = Path(options.output_path or f"output/{path.stem}_reading.png")
        visualize(recognizer, path, prediction, output)
        print(f"picture of the reading: {output}")
    return 0


def visualize(recognizer: Recognizer, path: Path, prediction: Prediction, output: Path) -> None:
    from utils.show.plots import plot_reading

    found = next(recognizer.batches([path]))
    picture = lying(open_picture(path, channels=3), recognizer.image)
    log_probs = found.log_probs[0, : found.lengths[0]]  # (1, T, C) -> (length, C)
    plot_reading(picture, log_probs, recognizer.charset, prediction, output)


def read_folder(options: InferenceOptions, ranks: Ranks) -> int:
    folder = Path(options.image_dir or "")
    with ranks.one_answer():
        pictures = find_pictures(folder, options.recursive)
        models = options.models
        reader = options.load_reader(*models)
        for sentence in reader.misdirected(pictures):
            note(f"warning: {sentence}")
    names = [path.relative_to(folder).as_posix() for path in pictures]
    output = Path(options.output_path or "output/predictions.tsv")
    hangs_on = {"image_dir": str(folder.resolve()), **options.facts(models)}
    with Parts(output, names, options.part_size, hangs_on, options.resume, ranks) as parts:
        total = sum(len(pictures[parts.of(part, len(pictures))]) for part in parts.left)
        start = time.perf_counter()
        with tqdm(total=total, unit="picture", disable=None if ranks.is_main else True) as bar:
            for part in parts.left:
                place = parts.of(part, len(pictures))
                found = options.stream(reader, pictures[place], bar, options.characters)
                cases = [Case.of(*pair) for pair in zip(names[place], found, strict=True)]
                parts.write(part, cases)
        everyone = sum(ranks.everyones(total))  # and all have written theirs
        if not ranks.is_main:
            return 0
        speed = f"{everyone / (time.perf_counter() - start):,.0f} pictures/s"
        count = parts.join()
    for sentence in count.bad:
        note(f"bad: {sentence}")
    remarks = "".join(f", {count} {what}" for what, count in sorted(count.remarks.items()))
    bad = len(count.bad)
    print(f"read {count.pictures - bad} pictures, {bad} bad{remarks}, {speed}: {output}")
    return 1 if bad == count.pictures else 0


@dataclass(frozen=True)
class Labelled:
    """A labelled set, and the readers that are to read it."""

    data: DataSet
    rows: Sequence[Row]
    left_out: list[str]
    bad_rows: BadRows
    models: list[Path]
    names: list[str]
    readers: list[Reader]

    @classmethod
    def of(cls, options: InferenceOptions) -> Labelled:
        bad_rows = BadRows(options.max_bad_rows)
        data = open_dataset(options.data_root, bad_rows, only=(options.split,))
        rows = data.split(options.split)
        sets = sets_of(rows)
        if data.is_one_split:
            what = "a folder of sets" if sets else "one split"
            note(f"{data.root} is {what}, and is read whole whatever --split says")
        for name, count in sets.items():
            if not count:
                note(f"left out: {name}: no picture is in it")
        bad_rows.settle()
        models = options.models
        groups = [[path] for path in models] if options.compare else [models]
        readers = [options.load_reader(*paths) for paths in groups]
        for reader in readers:
            reader.check_one_charset()
        names = [" and ".join(map(str, paths)) for paths in groups]
        return cls(data, rows, list(bad_rows.sentences), bad_rows, models, names, readers)

    def check_alike(self, options: InferenceOptions, ranks: Ranks) -> None:
        """UserError where the ranks do not have the same rows, models and flags."""
        if ranks.are_many:
            rows = json.dumps(facts(self.rows, self.data.root)).encode()
            digest = hashlib.sha256(rows).hexdigest()
            ranks.agree({"the labelled set": digest, **options.facts(self.models)})


def evaluate(options: InferenceOptions, ranks: Ranks) -> int:
    with ranks.one_answer():
        asked = Labelled.of(options)
    with ranks.one_answer():
        asked.check_alike(options, ranks)
    data, rows = asked.data, asked.rows
    pictures: list[Source] = [row.picture for row in rows]
    alike = Alike.of(options.alike) if options.alike else Alike()
    name = f"{data.root}" if data.is_one_split else f"{data.root}, split {options.split}"
    evaluations: list[Evaluation] = []
    for model, reader in zip(asked.names, asked.readers, strict=True):
        for sentence in (*reader.squeezed(rows), *reader.misdirected(pictures)):
            note(f"{model}: {sentence}")
        start, own = time.perf_counter(), ranks.part(pictures)
        with tqdm(total=len(own), unit="picture", disable=None if ranks.is_main else True) as bar:
            parts = ranks.at_main(list(options.stream(reader, own, bar)))
        if parts is None:
            continue  # rank 0 goes on with what all have read
        predictions = [prediction for part in parts for prediction in part]
        speed = f"{len(pictures) / (time.perf_counter() - start):,.0f} pictures/s"
        if not evaluations:
            errors = [prediction.error for prediction in predictions]
            for sentence in asked.bad_rows.settle_pictures(rows, errors):
                note(f"counted as an error: {sentence}")
        cases = [
            Case.of(row.path.relative_to(data.root).as_posix(), prediction, row.label)
            for row, prediction in zip(rows, predictions, strict=True)
        ]
        charset, decoder = reader.across[0].charset, reader.across[1]
        unknown = charset.missing(charset.fold(row.label) for row in rows)
        evaluations.append(
            Evaluation(
                model, name, cases, asked.left_out, unknown, alike, decoder.charset.fold,
                sets_of(rows), protocol_of(decoder.charset),
            )
        )  # fmt: skip
    return tell(options, evaluations, pictures, speed) if ranks.is_main else 0


def tell(
    options: InferenceOptions, found: list[Evaluation], pictures: list[Source], speed: str
) -> int:
    """Print and write what was asked for on one model, or on two."""
    if len(found) == 2:
        comparison = Comparison(*found)
        print(comparison.to_text(), end="")
        if options.report:
            print(f"comparison: {write_comparison(comparison, pictures, options.report)}")
        return 0
    [evaluation] = found
    print(evaluation.to_text(), end="")
    if options.report:
        page = write_report(evaluation, pictures, options.report)
        print(f"\nreport: {page}, with metrics.json, errors.tsv and the plots beside it")
    if options.output_path:
        output = Path(options.output_path)
        write_text(output, EVALUATION_FORMATS[output.suffix.lower()](evaluation))
        print(f"\nreport: {output}")
    print(speed)
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
