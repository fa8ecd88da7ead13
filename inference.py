"""Read one picture or a folder of pictures, or score a labelled set.

python inference.py --image_path captcha.png --visualize
python inference.py --mode batch --image_dir pictures --output_path output/texts.csv
python inference.py --mode evaluate --data_root ./data --split test
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from utils.checkpoint import SHIPPED_MODEL
from utils.dataset import SPLITS, BadRows, open_dataset
from utils.device import DEVICES, set_threads
from utils.errors import UserError, run_script
from utils.files import check_output_file, find_pictures, write_text
from utils.options import Parsed, option, parse
from utils.picture import Source, open_picture
from utils.recognizer import Prediction, Recognizer
from utils.show.report import EVALUATION_FORMATS, PREDICTION_FORMATS, Case, Evaluation

DESCRIPTION = "Read one picture or a folder of pictures, or score a labelled set."
EPILOG = """\
--output_path: .png (single, with --visualize), .tsv .txt .csv .jsonl (batch), .txt .json (evaluate)
exit code: 0 done; 1 batch, and not one picture could be read; 2 an error, told in a sentence"""

MODES = ("single", "batch", "evaluate")
ENDINGS = {
    "single": (".png",),
    "batch": tuple(PREDICTION_FORMATS),
    "evaluate": tuple(EVALUATION_FORMATS),
}
USED_BY = {
    "image_path": ("single",),
    "image_dir": ("batch",),
    "batch_size": ("batch", "evaluate"),
    "data_root": ("evaluate",),
    "split": ("evaluate",),
    "max_bad_rows": ("evaluate",),
}
DEFAULT_MODELS = ("checkpoints/best.safetensors", "checkpoints/best.pth")


@dataclass(frozen=True)
class Options:
    model_path: str | None = option(
        None,
        f"checkpoint to read with (default: the newer of {' and '.join(DEFAULT_MODELS)}; where "
        f"there is neither, {SHIPPED_MODEL.name}, which comes with the project)",
    )
    mode: str = option("single", "one picture, a folder, or a labelled set", MODES)
    image_path: str | None = option(None, "single: the picture")
    visualize: bool = option(False, "single: save a picture of how it was read")
    image_dir: str | None = option(None, "batch: the folder of pictures")
    recursive: bool = option(False, "batch: look into sub-folders too")
    data_root: str = option("./data", "evaluate: the data set")
    split: str = option("test", "evaluate: which part of it", SPLITS)
    output_path: str | None = option(
        None,
        "file to write (default: output/NAME_reading.png in single, output/predictions.tsv in "
        "batch, none in evaluate)",
    )
    batch_size: int = option(64, "pictures a step", least=1)
    device: str = option("auto", "where the network runs", DEVICES)
    num_threads: int | None = option(None, "CPU threads (default: the cores, at most 8)", least=1)
    max_bad_rows: int = option(
        0, "evaluate: so many bad rows or pictures are let pass, named", least=0
    )
    config: str | None = option(None, "recipe (TOML) that presets these flags")

    def problems(self) -> list[str]:
        found = []
        if self.mode == "single" and not self.image_path:
            other = "; for a folder add --mode batch" if self.image_dir else ""
            found.append(f"--mode single needs --image_path F, the picture to read{other}")
        if self.mode == "batch" and not self.image_dir:
            other = "; for one picture leave out --mode batch" if self.image_path else ""
            found.append(f"--mode batch needs --image_dir D, the folder of pictures{other}")
        if self.visualize and self.mode != "single":
            found.append(f"--visualize goes with --mode single, not {self.mode}; leave it out")
        if self.recursive and self.mode != "batch":
            found.append(f"--recursive goes with --mode batch, not {self.mode}; leave it out")
        if self.output_path:
            found += self._output_problems(Path(self.output_path))
        return found

    def _output_problems(self, path: Path) -> list[str]:
        try:
            check_output_file(path)
        except UserError as error:
            return [f"--output_path {error}"]
        if path.suffix.lower() not in ENDINGS[self.mode]:
            expected = ", ".join(ENDINGS[self.mode])
            return [f"--output_path {path}: --mode {self.mode} writes {expected}; change its end"]
        return []


def main(argv: Sequence[str] | None = None) -> int:
    parsed = parse(Options, argv, DESCRIPTION, EPILOG)
    warn_of_idle_flags(parsed)
    modes = {"single": read_one, "batch": read_folder, "evaluate": evaluate}
    return modes[parsed.options.mode](parsed.options)


def warn_of_idle_flags(parsed: Parsed[Options]) -> None:
    options = parsed.options
    for name, modes in USED_BY.items():
        if name in parsed.given and options.mode not in modes:
            note(f"warning: --{name} has no effect in --mode {options.mode}")
    if options.mode == "single" and options.output_path and not options.visualize:
        note("warning: --output_path has no effect in --mode single without --visualize")


def note(sentence: str) -> None:
    """Beside the results, which alone stand on stdout; a progress bar stays whole."""
    tqdm.write(sentence, file=sys.stderr)


def load_recognizer(model_path: Path, options: Options) -> Recognizer:
    set_threads(options.num_threads)
    return Recognizer.load(model_path, options.device)


def find_model(options: Options) -> Path:
    """--model_path, or the newer one of what training and conversion write, or the shipped one."""
    if options.model_path:
        return Path(options.model_path)
    there = [Path(name) for name in DEFAULT_MODELS if Path(name).is_file()]
    if there:
        newest = max(there, key=lambda path: path.stat().st_mtime)
        note(f"model: {newest}" + (" (the newer of two)" if len(there) > 1 else ""))
        return newest
    if not SHIPPED_MODEL.is_file():
        raise UserError(
            f"no --model_path is given, and neither {' nor '.join(DEFAULT_MODELS)} is there, nor "
            f"{SHIPPED_MODEL}, which comes with the project; give one, or make one with python "
            "train.py"
        )
    note(f"model: {SHIPPED_MODEL} (comes with the project)")
    return SHIPPED_MODEL


def read_one(options: Options) -> int:
    path = Path(options.image_path or "")
    if not path.is_file():
        what = "it is a folder, which --mode batch reads" if path.is_dir() else "no such file"
        raise UserError(f"--image_path {path}: {what}; give the path of a picture")
    recognizer = load_recognizer(find_model(options), options)
    prediction = recognizer.read([path])[0]
    if prediction.error:
        raise UserError(f"--image_path {path}: {prediction.error}; give another picture")
    print(f"text: {prediction.text or '(none)'}   confidence: {prediction.confidence:.4f}")
    if options.visualize:
        output = Path(options.output_path or f"output/{path.stem}_reading.png")
        visualize(recognizer, path, prediction, output)
        print(f"picture of the reading: {output}")
    return 0


def visualize(recognizer: Recognizer, path: Path, prediction: Prediction, output: Path) -> None:
    from utils.show.plots import plot_reading

    found = next(recognizer.batches([path]))
    picture = open_picture(path, channels=3)
    if recognizer.image.direction == "vertical":
        picture = picture.transpose(Image.Transpose.ROTATE_90)
    log_probs = found.log_probs[0, : found.lengths[0]]  # (1, T, C) -> (length, C)
    plot_reading(picture, log_probs, recognizer.charset, prediction, output)


def read_all(
    recognizer: Recognizer, pictures: Sequence[Source], batch_size: int
) -> tuple[list[Prediction], str]:
    """Predictions in order, with a progress bar, and a phrase that says how fast they came."""
    start = time.perf_counter()
    stream = recognizer.stream(pictures, batch_size)
    bar = tqdm(stream, total=len(pictures), unit="picture", disable=None)
    predictions = list(bar)
    seconds = time.perf_counter() - start
    return predictions, f"{len(pictures) / seconds:,.0f} pictures/s"


def read_folder(options: Options) -> int:
    folder = Path(options.image_dir or "")
    pictures = find_pictures(folder, options.recursive)
    recognizer = load_recognizer(find_model(options), options)
    predictions, speed = read_all(recognizer, pictures, options.batch_size)
    cases = [
        Case.of(path.relative_to(folder).as_posix(), prediction)
        for path, prediction in zip(pictures, predictions, strict=True)
    ]
    bad = [case for case in cases if case.error]
    for case in bad:
        note(f"bad: {case.file}: {case.error}")
    output = Path(options.output_path or "output/predictions.tsv")
    write_text(output, PREDICTION_FORMATS[output.suffix.lower()](cases))
    print(f"read {len(cases) - len(bad)} pictures, {len(bad)} bad, {speed}: {output}")
    return 1 if len(bad) == len(cases) else 0


def evaluate(options: Options) -> int:
    bad_rows = BadRows(options.max_bad_rows)
    data = open_dataset(options.data_root, bad_rows, only=(options.split,))
    rows = data.split(options.split)
    if data.is_one_split:
        note(f"{data.root} is one split, and is read whole whatever --split says")
    bad_rows.settle()
    left_out = list(bad_rows.sentences)
    model_path = find_model(options)
    recognizer = load_recognizer(model_path, options)
    predictions, speed = read_all(recognizer, [row.path for row in rows], options.batch_size)
    for row, prediction in zip(rows, predictions, strict=True):
        if prediction.error:
            bad_rows.add(f"{row.where}: {row.path.name}: {prediction.error}")
    if len(bad_rows.sentences) > bad_rows.allowed:
        bad_rows.settle()  # raises; what is allowed is not left out here, but counted as wrong
    for sentence in bad_rows.sentences[len(left_out) :]:
        note(f"counted as an error: {sentence}")
    evaluation = Evaluation(
        model=str(model_path),
        data=f"{data.root}" if data.is_one_split else f"{data.root}, split {options.split}",
        cases=[
            Case.of(row.path.relative_to(data.root).as_posix(), prediction, row.label)
            for row, prediction in zip(rows, predictions, strict=True)
        ],
        left_out=left_out,
        outside_charset=recognizer.charset.missing(row.label for row in rows),
    )
    print(evaluation.to_text(), end="")
    if options.output_path:
        output = Path(options.output_path)
        write_text(output, EVALUATION_FORMATS[output.suffix.lower()](evaluation))
        print(f"\nreport: {output}")
    print(speed)
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
