"""A checkpoint as a file for other programs, checked against PyTorch before it is kept.

python export.py checkpoints/best.pth
python export.py checkpoints/best.pth --data_root ./data --format onnx-int8
python export.py checkpoints/best.pth --format aoti
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from utils.dataset import SPLITS, BadRows, Row, check_pictures, open_dataset
from utils.errors import run_script
from utils.export.bundle import write_bundle
from utils.export.options import ExportOptions, idle_flags
from utils.files import atomic_write, find_pictures, write_text
from utils.options import parse

if TYPE_CHECKING:
    from utils.checkpoint import Checkpoint
    from utils.export.measure import Measured
    from utils.picture import Source

DESCRIPTION = "A checkpoint as a file for other programs, checked against PyTorch."
EPILOG = """\
onnx: an .onnx file that takes any number of pictures of any width, and their true widths; what
the checkpoint knows stands in its metadata, and Recognizer.load and inference.py read with it
without torch. onnx-int8: the same in eight bits, calibrated on pictures of --data_root; kept only
if it is faster, and loses at most 0.5 points of its texts. ddddocr: an .onnx file and the
charsets .json beside it, for ddddocr's import_onnx_path and charsets_path. aoti: a .pt2 package,
compiled for this machine's kind of processor, for programs in C++ with libtorch of this release:
examples/cpp is one; it takes a C++ compiler.
exit code: 0 done; 1 eight bits were not worth it, nothing written; 2 an error, in a sentence"""

EXAMPLES = Path(__file__).parent / "examples"
"""Pictures to check with where none are given."""

MOST_LOST = 0.005
"""Share of texts that eight bits may lose."""


def main(argv: Sequence[str] | None = None) -> int:
    parsed = parse(ExportOptions, argv, DESCRIPTION, EPILOG)
    options = parsed.options
    for sentence in idle_flags(parsed):
        print(f"warning: {sentence}", file=sys.stderr)
    from utils.checkpoint import load_checkpoint
    from utils.device import set_threads

    check_tools(options.format)
    set_threads(1)
    checkpoint = load_checkpoint(options.path or "")
    to_calibrate, to_score = labelled(options)
    pictures = [row.picture for row in to_score] or find_pictures(EXAMPLES)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "draft.onnx"
        if options.format == "ddddocr":
            return for_ddddocr(options, checkpoint, draft, pictures)
        if options.format == "aoti":
            return as_package(options, checkpoint, draft.with_suffix(".pt2"), pictures, to_score)
        return as_onnx(options, checkpoint, draft, pictures, to_calibrate, to_score)


def as_onnx(
    options: ExportOptions,
    checkpoint: Checkpoint,
    draft: Path,
    pictures: Sequence[Source],
    to_calibrate: Sequence[Row],
    to_score: Sequence[Row],
) -> int:
    from utils.export.int8 import quantize
    from utils.export.measure import as_table, measure
    from utils.export.onnx_file import write_onnx
    from utils.recognizer import Recognizer

    exporter, parity = write_onnx(checkpoint, draft, pictures)
    print(f"exported by {exporter}: {parity}")
    readers = {
        "PyTorch": (checkpoint.path, Recognizer.of(checkpoint, "cpu")),
        "ONNX": (draft, Recognizer.load(draft, "cpu", 1)),
    }
    made = draft
    if options.format == "onnx-int8":
        made = draft.with_name("small.onnx")
        quantize(draft, checkpoint, [row.picture for row in to_calibrate], made)
        print(f"eight bits: calibrated on {len(to_calibrate):,} pictures")
        readers["eight bits"] = (made, Recognizer.load(made, "cpu", 1))
    found = measure(readers, pictures, to_score)
    print(as_table(found, len(to_score)))
    if options.format == "onnx-int8" and (why := not_worth_it(found)):
        print(f"not written: {why}; --format onnx is the better one here")
        return 1
    if options.bundle:
        write_bundle(Path(options.bundle), made, checkpoint.header, pictures[0])
        print(f"{options.bundle}: its README.md says how to read with it")
    keep(made, options.output)
    print(f"{options.output}: python inference.py --model_path {options.output} --image_path F")
    return 0


def as_package(
    options: ExportOptions,
    checkpoint: Checkpoint,
    draft: Path,
    pictures: Sequence[Source],
    to_score: Sequence[Row],
) -> int:
    """Compile it; and say what it is worth beside PyTorch."""
    from utils.export.aoti_file import AotiNetwork, write_aoti
    from utils.export.measure import as_table, measure
    from utils.recognizer import Recognizer

    parity = write_aoti(checkpoint, draft, pictures)
    print(f"compiled by AOTInductor: {parity}")
    header = checkpoint.header
    readers = {
        "PyTorch": (checkpoint.path, Recognizer.of(checkpoint, "cpu")),
        "AOTInductor": (draft, Recognizer(AotiNetwork(draft), header.image, header.charset)),
    }
    print(as_table(measure(readers, pictures, to_score), len(to_score)))
    keep(draft, options.output)
    print(f"{options.output}: build/read_pictures {options.output} F (examples/cpp builds it)")
    return 0


def keep(draft: Path, output: Path) -> None:
    with atomic_write(output) as file:
        file.write(draft.read_bytes())


def check_tools(form: str) -> None:
    """UserError where what writes the format is not installed."""
    if form == "aoti":
        from utils.export.aoti_file import need_compiler

        need_compiler()
    else:
        from utils.export.onnx_file import need_onnx

        need_onnx()


def for_ddddocr(
    options: ExportOptions, checkpoint: Checkpoint, draft: Path, pictures: Sequence[Source]
) -> int:
    from utils.export.ddddocr import charset_json, write_ddddocr

    most = write_ddddocr(checkpoint, draft, pictures)
    output, charsets = options.output, options.charsets
    keep(draft, output)
    write_text(charsets, charset_json(checkpoint.header.charset, checkpoint.header.image))
    print(f"logits within {most:.1e} of PyTorch's; {output.stat().st_size / 1e6:.2f} MB")
    print(
        f"{output}: DdddOcr(det=False, ocr=False, show_ad=False, import_onnx_path={str(output)!r}, "
        f"charsets_path={str(charsets)!r}).classification(data)"
    )
    return 0


def labelled(options: ExportOptions) -> tuple[list[Row], list[Row]]:
    """Of --data_root, rows to calibrate on (of its first split) and to score (of its last)."""
    if options.data_root is None:
        return [], []
    bad_rows = BadRows(0)
    data = open_dataset(options.data_root, bad_rows)
    splits = [name for name in SPLITS if name in data.splits] or ["test"]
    to_calibrate = list(islice(data.split(splits[0]), options.num_calibration))
    to_score = list(islice(data.split(splits[-1]), options.num_pictures))
    for rows in (to_calibrate, to_score):
        check_pictures(rows, bad_rows)
    bad_rows.settle()
    return to_calibrate, to_score


def not_worth_it(found: dict[str, Measured]) -> str | None:
    """Why eight bits are not kept."""
    plain, small = found["ONNX"], found["eight bits"]
    lost = (plain.exact or 0) - (small.exact or 0)
    if lost > MOST_LOST:
        return f"eight bits lose {lost:.2%} of the texts, more than {MOST_LOST:.1%}"
    if not small.is_faster_than(plain):
        return "eight bits are not faster"
    return None


if __name__ == "__main__":
    sys.exit(run_script(main))
