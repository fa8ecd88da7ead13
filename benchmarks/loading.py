"""Load time of one model as .pth and as .safetensors.

  python -m benchmarks.loading

Both files are written from that checkpoint, without what only a resume needs. A load is
`Recognizer.load`: read, check, build the network. In a fresh process it is the first one, after
torch is imported; the process as a whole runs from its start to a loaded reader.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.report import Report, in_turn, median_ms, ratio
from utils.checkpoint import SHIPPED_MODEL, load_checkpoint, save_checkpoint
from utils.errors import run_script
from utils.options import option, parse
from utils.recognizer import Recognizer

ROOT = Path(__file__).resolve().parent.parent
FORMATS = (".pth", ".safetensors")
CHILD = """
import json, sys, time
import torch
from utils.recognizer import Recognizer
started = time.perf_counter()
Recognizer.load(sys.argv[1], "cpu")
print(json.dumps(time.perf_counter() - started))
"""


@dataclass(frozen=True)
class Options:
    model_path: str = option(str(SHIPPED_MODEL), "checkpoint whose weights are loaded")
    processes: int = option(10, "fresh processes of each format", above=0)
    loads: int = option(50, "loads of each format in one process", above=0)
    output: str | None = option(None, "Markdown file to write the table to")
    config: str | None = option(None, "TOML recipe that presets flags")


def fresh_load(path: Path, whole: list[float]) -> float:
    """Seconds of the first load in a process of its own; those of the process go to `whole`."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD, str(path)],
        cwd=ROOT, check=True, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    whole.append(time.perf_counter() - started)
    return json.loads(done.stdout)


def table_rows(paths: list[Path], options: Options) -> list[list[str]]:
    whole: dict[str, list[float]] = {path.suffix: [] for path in paths}
    first = in_turn(
        {path.suffix: partial(fresh_load, path, whole[path.suffix]) for path in paths},
        options.processes,
    )
    again = in_turn(
        {
            path.suffix: partial(median_ms, partial(Recognizer.load, path, "cpu"), 1, 0)
            for path in paths
        },
        options.loads,
    )
    rows = []
    for path in paths:
        name = path.suffix
        rows.append(
            [
                name,
                f"{path.stat().st_size / 1e6:.2f}",
                f"{statistics.median(first[name]) * 1000:.1f}",
                ratio(first[name], first[".pth"]),
                f"{statistics.median(whole[name]):.2f}",
                f"{statistics.median(again[name]):.1f}",
                ratio(again[name], again[".pth"]),
            ]
        )
    return rows


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    checkpoint = load_checkpoint(options.model_path or "")
    report = Report("loading", argv, options.output, ["safetensors"])
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"model{suffix}" for suffix in FORMATS]
        for path in paths:
            save_checkpoint(path, checkpoint.header, checkpoint.state_dict)
        rows = table_rows(paths, options)
    report.print(
        f"\nmodel {checkpoint.header.model.backbone}; n = {options.processes} fresh processes and "
        f"{options.loads} loads in one process, of each format in turn"
    )
    header = ["format", "MB", "ms, first load of a process", "times .pth"]
    header += ["s, the whole process", "ms, later loads", "times .pth"]
    report.table(header, rows)
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
