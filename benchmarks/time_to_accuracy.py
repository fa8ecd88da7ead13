"""How long train.py needs to 90 and 95 % of the validation texts, with the curve as a picture.

  python -m benchmarks.time_to_accuracy --num_pictures 72000
  python -m benchmarks.time_to_accuracy --num_pictures 384000 --goals 0.9 0.95

One run of train.py on fresh captchas drawn by torch, validated on captchas of the package. Time
counts from the first step, without validation. The learning rate falls to the end of the run, so
the shortest run that reaches a goal is shorter than a longer run's way to it.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pictures import draw_set
from benchmarks.report import Report
from benchmarks.runs import train_run
from models.registry import BACKBONES
from utils.device import DEVICES
from utils.errors import run_script
from utils.files import check_output_file
from utils.options import as_flags, option, parse
from utils.show.plots import new_figure, save_figure
from utils.synth.captcha import RENDERERS

PASSED_ON = (
    "num_epochs", "backbone", "renderer", "seed", "device", "batch_size", "lr",
    "num_workers", "num_threads", "hard_characters", "hard_weight",
)  # fmt: skip
"""Options that are train.py's."""


@dataclass(frozen=True)
class Options:
    num_pictures: int = option(72_000, "fresh pictures to train on", above=0)
    num_epochs: int = option(12, "parts of the run; each ends with a validation", above=0)
    val_pictures: int = option(4000, "captchas of the package to validate on", above=0)
    goals: tuple[float, ...] = option((0.9,), "shares of texts read exactly", least=0, most=1)
    backbone: str = option("light", "network", tuple(BACKBONES))
    renderer: str = option("fast", "what draws the fresh pictures", RENDERERS)
    hard_characters: str | None = option(
        None, "characters that the fresh pictures hold more often, such as vV0OxXzZ"
    )
    hard_weight: int | None = option(None, "train.py's", least=1, most=100)
    batch_size: int | None = option(None, "pictures a step (default: the backbone's)", above=0)
    lr: float | None = option(None, "peak learning rate (default: the backbone's)", above=0)
    num_workers: int | None = option(None, "train.py's", least=0)
    num_threads: int | None = option(None, "train.py's", above=0)
    seed: int = option(0, "of the training", least=0)
    device: str = option("auto", "where to train", DEVICES)
    save_dir: str | None = option(None, "where the run's checkpoints stay (default: nowhere)")
    output: str | None = option(None, "Markdown file to write the table to")
    curve: str | None = option(None, "PNG file to draw the curve into")
    config: str | None = option(None, "TOML recipe that presets flags")

    def problems(self) -> list[str]:
        if self.num_pictures < self.num_epochs:
            return [f"--num_pictures {self.num_pictures}: fewer than --num_epochs; give more"]
        return []


def train_once(root: Path, options: Options) -> list[dict[str, float]]:
    """history.csv of a run, a dict an epoch."""
    draw_set(root, {"val": options.val_pictures})
    flags = ["--data_root", str(root), "--fresh", "1", "--no-pretrained"]
    flags += ["--epoch_size", str(options.num_pictures // options.num_epochs)]
    return train_run(flags + as_flags(options, PASSED_ON), Path(options.save_dir or root / "run"))


def draw_curve(path: str, history: list[dict[str, float]], goals: tuple[float, ...]) -> None:
    """Accuracy over minutes: exact, and ignoring case."""
    figure = new_figure(7, 4)
    axes = figure.subplots()
    minutes = [row["seconds"] / 60 for row in history]
    for name, label in (("sequence_accuracy", "exact"),
                        ("sequence_accuracy_ignoring_case", "ignoring case")):  # fmt: skip
        axes.plot(minutes, [100 * row[name] for row in history], marker="o", label=label)
    for goal in goals:
        axes.axhline(100 * goal, color="0.7", linewidth=1)
    axes.set(xlabel="minutes of training", ylabel="texts read, %", ylim=(40, 100), xlim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    save_figure(figure, path)


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    if options.curve:
        check_output_file(options.curve)
    report = Report("time_to_accuracy", argv, options.output, ["captcha"])
    with tempfile.TemporaryDirectory() as folder:
        history = train_once(Path(folder), options)
    rows = [
        [f"{row['pictures']:,.0f}", f"{row['seconds']:,.0f}", f"{row['sequence_accuracy']:.2%}",
         f"{row['sequence_accuracy_ignoring_case']:.2%}"]
        for row in history
    ]  # fmt: skip
    report.print(f"\nn = {options.val_pictures:,} captchas of the package; seed {options.seed}")
    report.table(["pictures", "s from the first step", "exact", "ignoring case"], rows)
    for goal in options.goals:
        reached = [row["seconds"] for row in history if row["sequence_accuracy"] >= goal]
        report.print(
            f"\n{goal:.0%} exact: " + (f"after {reached[0]:,.0f} s" if reached else "not reached")
        )
    if options.curve:
        draw_curve(options.curve, history, options.goals)
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
