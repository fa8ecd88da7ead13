"""Read one picture or a folder of pictures, or score a labelled set.

python inference.py --image_path captcha.png --visualize
python inference.py --mode batch --image_dir pictures --output_path output/texts.csv
python inference.py --mode evaluate --data_root ./data --split test
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from utils.data.joined import sets_of
from utils.dataset import BadRows, open_dataset
from utils.errors import UserError, run_script
from utils.files import find_pictures, write_text
from utils.inference_options import InferenceOptions, warn_of_idle_flags
from utils.options import parse
from utils.picture import Source, lying, open_picture
from utils.reading_options import note
from utils.recognizer import Prediction, Recognizer
from utils.show.cases import PREDICTION_FORMATS, Case, reading_text, remark
from utils.show.comparison import Comparison, write_comparison
from utils.show.evaluation import EVALUATION_FORMATS, Evaluation
from utils.show.report import write_report
from utils.text.alike import Alike
from utils.text.charset import protocol_of

DESCRIPTION = "Read one picture or a folder of pictures, or score a labelled set."
EPILOG = """\
--output_path: .png (single, --visualize), .tsv .txt .csv .jsonl (batch), .txt .md .json (evaluate)
exit code: 0 done; 1 batch, and not one picture could be read; 2 an error, told in a sentence"""


def main(argv: Sequence[str] | None = None) -> int:
    parsed = parse(InferenceOptions, argv, DESCRIPTION, EPILOG)
    warn_of_idle_flags(parsed)
    modes = {"single": read_one, "batch": read_folder, "evaluate": evaluate}
    return modes[parsed.options.mode](parsed.options)


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


def read_folder(options: InferenceOptions) -> int:
    folder = Path(options.image_dir or "")
    pictures = find_pictures(folder, options.recursive)
    reader = options.load_reader(*options.models)
    for sentence in reader.misdirected(pictures):
        note(f"warning: {sentence}")
    predictions, speed = options.read(reader, pictures, options.characters)
    cases = [
        Case.of(path.relative_to(folder).as_posix(), prediction)
        for path, prediction in zip(pictures, predictions, strict=True)
    ]
    bad = [case for case in cases if case.error]
    for case in bad:
        note(f"bad: {case.file}: {case.error}")
    output = Path(options.output_path or "output/predictions.tsv")
    write_text(output, PREDICTION_FORMATS[output.suffix.lower()](cases))
    counts = sorted(Counter(filter(None, map(remark, cases))).items())
    remarks = "".join(f", {count} {what}" for what, count in counts)
    print(f"read {len(cases) - len(bad)} pictures, {len(bad)} bad{remarks}, {speed}: {output}")
    return 1 if len(bad) == len(cases) else 0


def evaluate(options: InferenceOptions) -> int:
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
    left_out = list(bad_rows.sentences)
    models = [[path] for path in options.models] if options.compare else [options.models]
    readers = [options.load_reader(*paths) for paths in models]
    names = [" and ".join(map(str, paths)) for paths in models]
    pictures: list[Source] = [row.picture for row in rows]
    for reader in readers:
        reader.check_one_charset()
    alike = Alike.of(options.alike) if options.alike else Alike()
    name = f"{data.root}" if data.is_one_split else f"{data.root}, split {options.split}"
    evaluations: list[Evaluation] = []
    for model, reader in zip(names, readers, strict=True):
        for sentence in (*reader.squeezed(rows), *reader.misdirected(pictures)):
            note(f"{model}: {sentence}")
        predictions, speed = options.read(reader, pictures)
        if not evaluations:
            errors = [prediction.error for prediction in predictions]
            for sentence in bad_rows.settle_pictures(rows, errors):
                note(f"counted as an error: {sentence}")
        cases = [
            Case.of(row.path.relative_to(data.root).as_posix(), prediction, row.label)
            for row, prediction in zip(rows, predictions, strict=True)
        ]
        charset, decoder = reader.across[0].charset, reader.across[1]
        unknown = charset.missing(charset.fold(row.label) for row in rows)
        evaluations.append(
            Evaluation(
                model, name, cases, left_out, unknown, alike, decoder.charset.fold,
                sets, protocol_of(decoder.charset),
            )
        )  # fmt: skip
    return tell(options, evaluations, pictures, speed)


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
