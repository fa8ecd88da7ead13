"""What a recipe reaches on a small set: k-fold cross-validation of train.py.

  python -m benchmarks.folds data/captcha_v2 --flags "--config recipes/finetune.toml"
  python -m benchmarks.folds data/meters --ignore . --num_pictures 100 --flags "--num_epochs 30"

All pictures of the set's splits are put together and dealt into folds. Each fold is read by a model
that was trained on the others, of which a tenth chooses the epoch: nothing that is scored was seen.
`--flags` goes to train.py; the time is that of its whole run, with its start.
"""

from __future__ import annotations

import random
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import Report
from utils.dataset import SPLITS, BadRows, Row, open_dataset
from utils.errors import UserError, run_script
from utils.files import write_text
from utils.metrics import Score
from utils.options import option, parse
from utils.text.asked import Decoding
from utils.text.charset import Charset
from utils.text.ngram import NgramCounts
from utils.text.reading import Decoder

Pairs = list[tuple[str, str]]
"""Labels and texts."""

BEST_PATH, WITH_LM = "best path", "with a language model"
TRAIN = Path(__file__).parent.parent / "train.py"


@dataclass(frozen=True)
class Options:
    data_root: str | None = option(None, "data set", positional=True)
    folds: int = option(5, "parts that the set is dealt into", least=2)
    num_folds: int = option(None, "folds that are run (default: all)", above=0)
    num_pictures: int = option(None, "pictures to train with (default: all of the others)", least=4)
    flags: str = option("", "flags of train.py, in quotes")
    ignore: str | None = option(None, "also score without these characters, such as .")
    lm_weight: float = option(
        None, "also read with the beam and a language model of the training labels", above=0
    )
    lm_order: int = option(3, "characters that count together in it", least=1)
    seed: int = option(0, "deals the folds", least=0)
    output: str | None = option(None, "Markdown file to write the table to")
    save_dir: str | None = option(None, "where the runs' checkpoints stay (default: nowhere)")
    config: str | None = option(None, "TOML recipe that presets flags")

    def problems(self) -> list[str]:
        found = [] if self.data_root else ["no data set is given"]
        try:
            split_flags(self.flags)
        except ValueError as error:
            found.append(f"--flags {self.flags}: {error}; close the quotes")
        if self.num_folds and self.num_folds > self.folds:
            found.append(f"--num_folds {self.num_folds}: more than --folds {self.folds}")
        return found


def all_rows(root: str) -> list[Row]:
    bad_rows = BadRows(0)
    data = open_dataset(root, bad_rows)
    bad_rows.settle()
    if data.is_one_split:
        return list(data.split("train"))
    return [row for name in SPLITS if name in data.splits for row in data.split(name)]


def deal(count: int, folds: int, fold: int, seed: int) -> tuple[list[int], list[int], list[int]]:
    """Places to train on, to choose the epoch by, and to score."""
    order = random.Random(f"{seed}/{count}").sample(range(count), count)
    scored = order[fold::folds]
    others = [place for index, place in enumerate(order) if index % folds != fold]
    chosen_by = max(1, len(others) // 10)
    return others[chosen_by:], others[:chosen_by], scored


def write_split(folder: Path, rows: list[Row]) -> None:
    folder.mkdir(parents=True)
    lines = []
    for index, row in enumerate(rows):
        name = f"{index:05d}{row.path.suffix}"
        (folder / name).write_bytes(row.picture.read_bytes())
        lines.append(f"{name}\t{row.label}\n")
    write_text(folder / "labels.txt", "".join(lines))


def split_flags(flags: str) -> list[str]:
    """Words of a command line; a backslash is one of a Windows path."""
    reader = shlex.shlex(flags, posix=True, punctuation_chars=False)
    reader.whitespace_split, reader.commenters, reader.escape = True, "", ""
    return list(reader)


def language_decoder(charset: Charset, labels: list[str], options: Options, path: Path) -> Decoder:
    """The beam with a language model of these labels."""
    NgramCounts.of(labels, charset.characters, options.lm_order).save(path)
    return Decoder(charset, Decoding("beam", lm=str(path), lm_weight=options.lm_weight))


def run_fold(
    rows: list[Row], fold: int, options: Options, root: Path
) -> tuple[dict[str, Pairs], float]:
    """(label, text) of each picture of the fold, by way of reading, and the seconds of training."""
    from utils.recognizer import Recognizer

    train, val, scored = deal(len(rows), options.folds, fold, options.seed)
    write_split(root / "train", [rows[i] for i in train[: options.num_pictures]])
    write_split(root / "val", [rows[i] for i in val])
    words = [*split_flags(options.flags), "--data_root", str(root), "--save_dir", str(root / "run")]
    started = time.monotonic()
    done = subprocess.run([sys.executable, str(TRAIN), *words])
    seconds = time.monotonic() - started
    best = next((root / "run").glob("best.*"), None)
    if done.returncode or best is None:
        raise UserError("train.py did not end well; see above")
    reader = Recognizer.load(best, "cpu")
    ways: dict[str, Decoder | None] = {BEST_PATH: None}
    if options.lm_weight:
        known = [reader.charset.fold(rows[i].label) for i in [*train[: options.num_pictures], *val]]
        ways[WITH_LM] = language_decoder(reader.charset, known, options, root / "lm.json")
    labels = [reader.charset.fold(rows[i].label) for i in scored]
    pictures = [rows[i].picture for i in scored]
    found = {
        way: [
            (label, prediction.text)
            for label, prediction in zip(
                labels, reader.read(pictures, decoder=decoder), strict=True
            )
        ]
        for way, decoder in ways.items()
    }
    if options.save_dir:
        shutil.copytree(root / "run", Path(options.save_dir) / f"fold{fold}", dirs_exist_ok=True)
    return found, seconds


def score(pairs: Pairs, ignored: str = "") -> Score:
    found, table = Score(), dict.fromkeys(map(ord, ignored))
    for label, text in pairs:
        found.add(label.translate(table), text.translate(table))
    return found


def shares(pairs: Pairs, ignored: str | None) -> list[float]:
    """Exact, without what is ignored, ignoring case, characters."""
    found = score(pairs)
    without = [score(pairs, ignored).sequence_accuracy] if ignored else []
    others = [found.sequence_accuracy_ignoring_case, found.character_accuracy]
    return [found.sequence_accuracy, *without, *others]


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    report = Report("folds", argv, options.output)
    rows = all_rows(options.data_root or "")
    if len(rows) < 4 * options.folds:
        raise UserError(
            f"{options.data_root}: {len(rows)} pictures are too few for {options.folds} folds"
        )
    without = [f"without {options.ignore}"] if options.ignore else []
    kinds = ["exact", *without, "ignoring case", "characters"]
    ways = [BEST_PATH, *([WITH_LM] * bool(options.lm_weight))]
    lines, numbers, times, every = [], [], [], []
    for fold in range(options.num_folds or options.folds):
        with tempfile.TemporaryDirectory() as folder:
            found, seconds = run_fold(rows, fold, options, Path(folder))
        values = [share for way in ways for share in shares(found[way], options.ignore)]
        trained = len(deal(len(rows), options.folds, fold, options.seed)[0])
        trained = min(trained, options.num_pictures or trained)
        shown = [f"{share:.2%}" for share in values]
        scored = len(found[BEST_PATH])
        lines.append([str(fold + 1), str(trained), str(scored), *shown, f"{seconds:.0f}"])
        print(f"fold {fold + 1}: {', '.join(shown)} in {seconds:.0f} s", flush=True)
        numbers.append(values)
        times.append(seconds)
        every += [pair for pair in found[ways[-1]] if pair[0] != pair[1]]
    means = [f"{statistics.mean(column):.2%}" for column in zip(*numbers, strict=True)]
    lines.append(["mean", "", "", *means, f"{statistics.mean(times):.0f}"])
    report.print(f"\nn = {sum(int(line[2]) for line in lines[:-1])} pictures, each read once")
    columns = [kind if way == BEST_PATH else f"{kind}, {way}" for way in ways for kind in kinds]
    report.table(["fold", "trained on", "n", *columns, "s"], lines)
    wrong = ", ".join(f"{label} as {text or 'nothing'}" for label, text in every[:20])
    report.print(f"\n{len(every)} wrong texts, such as {wrong}" if every else "\nall are right")
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
