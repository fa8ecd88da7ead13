"""Accuracy and speed of our reader and of others, on the same pictures and in the same run.

  python -m benchmarks.peers

The others are not in requirements.txt; whichever is installed takes part:

  pip install ddddocr rapidocr onnxruntime captcha-whisperer captix
  apt install tesseract-ocr

Pictures are drawn by the `captcha` package from a seed: 62 characters, 4 to 8 of them, and four
digits. Every reader starts at a PNG file; spaces are dropped from all texts. A reader that fails
on a picture has read nothing there. Most others were made for other captchas, or for documents:
the figures say how they read these pictures, not how good they are at what they were made for.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.pictures import draw_folder, recipe_of
from benchmarks.readers import PEERS, Peer, Read, own_readers
from benchmarks.report import Report
from utils.checkpoint import SHIPPED_MODEL
from utils.device import set_threads
from utils.errors import UserError, run_script
from utils.metrics import score_texts
from utils.options import option, parse
from utils.recognizer import Recognizer

TURN = 25
"""Pictures that a reader reads before the next one has its turn."""

HEADER = ["reader", "version", "model, MB", "exact", "ignoring case", "characters"]
HEADER += ["ms a picture, one thread", "ms, as it comes"]

Pictures = Sequence[tuple[Path, str]]
There = dict[str, tuple[Peer, Any, str]]
"""Readers by name: the peer, what it was found as, its version."""


@dataclass(frozen=True)
class Options:
    model_path: str = option(str(SHIPPED_MODEL), "our checkpoint")
    n: int = option(1000, "pictures of each set", above=0)
    timed: int = option(100, "of these, read once more with threads as they come", least=0)
    only: tuple[str, ...] = option((), "readers whose names begin so (default: all)")
    seed: int = option(0, "of the pictures", least=0)
    output: str | None = option(None, "Markdown file to write the tables to")
    config: str | None = option(None, "TOML recipe that presets flags")


@dataclass
class Reading:
    """What one reader made of a set, picture by picture."""

    texts: list[str | None] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def add(self, read: Read, path: Path) -> None:
        started = time.perf_counter()
        try:
            text = "".join(read(path).split())
        except Exception as error:  # readers raise what they like; this one has read nothing
            text = None
            self.errors.append(one_line(error))
        self.seconds.append(time.perf_counter() - started)
        self.texts.append(text)

    def ms(self) -> str:
        return f"{statistics.median(self.seconds) * 1000:.1f}" if self.seconds else "-"


def one_line(error: Exception) -> str:
    """What a cell of the table says of an error."""
    sentence = (str(error).splitlines() or [""])[0].replace("|", "/")[:150]
    return sentence if isinstance(error, UserError) else f"{type(error).__name__}: {sentence}"


def read_in_turn(readers: Mapping[str, Read], pictures: Pictures) -> dict[str, Reading]:
    """Every reader reads all pictures, some at a time, so that a noisy machine is noisy for all."""
    found = {name: Reading() for name in readers}
    if pictures:
        for read in readers.values():
            Reading().add(read, pictures[0][0])  # the first call is not like the others
    for start in range(0, len(pictures), TURN):
        for name, read in readers.items():
            for path, _ in pictures[start : start + TURN]:
                found[name].add(read, path)
    return found


def present(peers: Sequence[Peer]) -> tuple[There, dict[str, str]]:
    """Peers that start, by name; and why the others do not."""
    there: There = {}
    reasons = {}
    for peer in peers:
        try:
            found = peer.find()
            if found is None:
                reasons[peer.name] = f"not installed: `{peer.install}`"
                continue
            peer.start(found[0], "0123456789", None)
            there[peer.name] = peer, *found
        except Exception as error:  # a broken installation, or weights that cannot be downloaded
            reasons[peer.name] = f"does not start: {one_line(error)}"
    return there, reasons


def measure(there: There, characters: str, pictures: Pictures, timed: int) -> list[list[str]]:
    """A row for each reader that is there."""

    def readers(threads: int | None) -> dict[str, Read]:
        return {name: p.start(found, characters, threads) for name, (p, found, _) in there.items()}

    one_thread = read_in_turn(readers(1), pictures)
    as_it_comes = read_in_turn(readers(None), pictures[:timed])
    labels = [label for _, label in pictures]
    rows = []
    for name, (peer, found, version) in there.items():
        reading = one_thread[name]
        score = score_texts(zip(labels, reading.texts, strict=True))
        shares = [score.sequence_accuracy, score.sequence_accuracy_ignoring_case]
        shares.append(score.character_accuracy)
        size = sum(path.stat().st_size for path in peer.files(found) if path.is_file()) / 1e6
        if reading.errors:
            version += f"; failed on {len(reading.errors)}, such as {reading.errors[0]}"
        times = [reading.ms(), as_it_comes[name].ms()]
        size_text = f"{size:.1f}" if size else "-"
        rows.append([name, version, size_text, *(f"{s:.1%}" for s in shares), *times])
    return rows


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    threads = set_threads(None)
    model_path = Path(options.model_path)
    Recognizer.load(model_path, "cpu")  # tells of a bad file before the others are started
    report = Report("peers", argv, options.output, ["captcha"])
    with tempfile.TemporaryDirectory() as folder:
        peers = [*own_readers(model_path, Path(folder)), *PEERS]
        if options.only:
            peers = [peer for peer in peers if peer.name.startswith(options.only)]
        there, reasons = present(peers)
        for preset, shortest, longest in (("alnum62", 4, 8), ("digits", 4, 4)):
            recipe = recipe_of(preset, shortest, longest)
            pictures = draw_folder(Path(folder) / preset, recipe, options.n, options.seed)
            lengths = f"{shortest} to {longest}" if shortest < longest else str(shortest)
            report.print(
                f"\n{len(recipe.characters)} characters, {lengths} a text, n = {options.n:,} "
                f"pictures; ms are medians, as it comes of {min(options.timed, options.n)} "
                f"pictures, torch then with {threads} threads; ours is not told the characters"
            )
            rows = measure(there, recipe.characters, pictures, options.timed)
            rows += [[name, why, *["-"] * (len(HEADER) - 2)] for name, why in reasons.items()]
            report.table(HEADER, rows)
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
