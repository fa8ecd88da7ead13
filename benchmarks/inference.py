"""How fast a checkpoint reads: one picture, batches, a folder; in PyTorch and in onnxruntime.

  pip install -r requirements-export.txt
  python -m benchmarks.inference

The network alone goes from prepared pictures to logits; a reading from a PNG in memory to text
and confidence (`Recognizer.read`). Both in fp32 on one thread. The folder is read from disk, on
all cores; import, load and drawing are not counted.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.pictures import draw_folder, recipe_of
from benchmarks.report import Report, in_turn, median_ms, ratio
from utils.checkpoint import SHIPPED_MODEL, load_checkpoint
from utils.device import set_threads
from utils.errors import run_script
from utils.export.onnx_file import need_onnx, write_onnx
from utils.options import option, parse
from utils.picture import prepare, stack
from utils.recognizer import Recognizer
from utils.text.charset import PRESETS


@dataclass(frozen=True)
class Options:
    model_path: str = option(str(SHIPPED_MODEL), "checkpoint to read with")
    rounds: int = option(5, "rounds, each of which times everything", above=0)
    calls: int = option(30, "calls a round; a tenth of them for batches", above=0)
    batch_size: int = option(64, "pictures of a batch", above=0)
    num_samples: int = option(1000, "pictures of the folder", above=0)
    charset: str = option("alnum62", "what the pictures' texts are made of", tuple(PRESETS))
    num_threads: int | None = option(
        None, "CPU threads for the folder (default: the cores, at most 8)", above=0
    )
    output: str | None = option(None, "Markdown file to write the tables to")
    config: str | None = option(None, "TOML recipe that presets flags")


def works(readers: dict[str, Recognizer], paths: list[Path]) -> dict[str, Callable[[], object]]:
    """What is timed, for the pictures of these files at once."""
    data = [path.read_bytes() for path in paths]
    batch = stack([prepare(picture, readers["PyTorch"].image) for picture in data])
    networks = {
        f"network, {name}": partial(each.network.log_probs, *batch)
        for name, each in readers.items()
    }
    return networks | {
        f"reading, {name}": partial(each.read, data, len(data)) for name, each in readers.items()
    }


def latency_table(
    reader: Recognizer, onnx_path: Path, paths: list[Path], options: Options, report: Report
) -> None:
    import torch

    torch.set_num_threads(1)
    readers = {"PyTorch": reader, "ONNX": Recognizer.load(onnx_path, "cpu", 1)}
    found: list[dict[str, list[float]]] = []
    for size in (1, options.batch_size):
        calls = options.calls if size == 1 else max(options.calls // 10, 1)
        measures = {
            name: partial(median_ms, work, calls)
            for name, work in works(readers, paths[:size]).items()
        }
        found.append(in_turn(measures, options.rounds))
    one, many = found
    size = len(paths[: options.batch_size])
    base = {name: name.replace("ONNX", "PyTorch") for name in one}
    report.print(
        f"\none thread, fp32, n = {options.rounds} rounds of {options.calls} calls, in turn"
    )
    report.table(
        [
            "what",
            "ms, one picture",
            "times PyTorch",
            f"ms a picture, {size} at once",
            "times PyTorch",
        ],
        [
            [
                name,
                f"{statistics.median(one[name]):.2f}",
                ratio(one[name], one[base[name]]),
                f"{statistics.median(many[name]) / size:.2f}",
                ratio(many[name], many[base[name]]),
            ]
            for name in one
        ],
    )


def folder_table(
    reader: Recognizer, onnx_path: Path, paths: list[Path], options: Options, report: Report
) -> None:
    threads = set_threads(options.num_threads)
    readers = {
        "PyTorch": reader,
        "ONNX": Recognizer.load(onnx_path, "cpu", threads),
    }
    times = in_turn(
        {
            name: partial(median_ms, partial(each.read, paths, options.batch_size), 1, 1)
            for name, each in readers.items()
        },
        options.rounds,
    )
    report.print(f"\nfolder of {len(paths):,} PNG files, {threads} threads, n = {options.rounds}")
    report.table(
        ["network", "s, the folder", "pictures/s", "times PyTorch"],
        [
            [
                name,
                f"{statistics.median(values) / 1000:.2f}",
                f"{len(paths) / statistics.median(values) * 1000:,.0f}",
                ratio(values, times["PyTorch"]),
            ]
            for name, values in times.items()
        ],
    )


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    set_threads(1)
    need_onnx()
    checkpoint = load_checkpoint(options.model_path or "")
    reader = Recognizer.of(checkpoint, "cpu")
    report = Report("inference", argv, options.output, ["onnxruntime"])
    with tempfile.TemporaryDirectory() as folder:
        onnx_path = Path(folder) / "model.onnx"
        recipe = recipe_of(options.charset, 4, 8)
        pictures = draw_folder(Path(folder), recipe, options.num_samples, 0)
        paths = [path for path, _ in pictures]
        _, parity = write_onnx(checkpoint, onnx_path, paths)
        report.print(
            f"\nmodel {checkpoint.header.model.backbone}; its ONNX file has "
            f"{onnx_path.stat().st_size / 1e6:.2f} MB, and gives PyTorch's: {parity}"
        )
        latency_table(reader, onnx_path, paths, options, report)
        folder_table(reader, onnx_path, paths, options, report)
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
