"""Scoring a model between two epochs, and the pictures that a run leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from utils.dataset import BadRows, Row
from utils.metrics import Score
from utils.ranks import Ranks
from utils.recognizer import Recognizer
from utils.show.contact_sheet import write_readings
from utils.show.plots import plot_curves
from utils.text.alignment import text_log_probs
from utils.text.decoding import greedy_decode
from utils.training.state import Progress, write_history
from utils.training.stop import StopRequest

BATCH_SIZE = 250


@dataclass(frozen=True)
class Validation:
    """Score, mean CTC loss (each sequence's divided by its length) and texts of the rows."""

    score: Score
    loss: float
    texts: list[str]


def validate(
    recognizer: Recognizer, rows: Sequence[Row], ranks: Ranks, stop: StopRequest, batch_size: int
) -> Validation | None:
    """Read every row's picture by greedy decoding; an unreadable one counts as an error. Each rank
    reads its share, and has what all found. After each batch they look whether they are to stop,
    which makes None. Batches are a few of those that fit into memory when they are learned."""
    size = recognizer.fitting(min(BATCH_SIZE, 8 * batch_size), whole=False)
    looks = -(-len(rows) // ranks.world_size) // size + 1  # as many on all ranks
    found = _validate(recognizer, ranks.part(rows), size, looks, stop)
    if found is None:
        return None
    parts = ranks.everyones(found)
    return Validation(
        sum((part.score for part in parts), Score()),
        sum(part.loss for part in parts) / len(rows),
        [text for part in parts for text in part.texts],
    )


def _validate(
    recognizer: Recognizer, rows: Sequence[Row], size: int, looks: int, stop: StopRequest
) -> Validation | None:
    """With the sum of the losses."""
    score, losses = Score(), 0.0
    texts = [""] * len(rows)
    batches = recognizer.batches([row.picture for row in rows], size, whole=False)
    for _ in range(looks):
        output = next(batches, None)
        if output is not None and output.indices:
            found = greedy_decode(output.steps, output.lengths)
            targets = [recognizer.charset.encode(rows[index].label) for index in output.indices]
            truth = text_log_probs(output.steps, output.lengths, targets)
            for index, ids, target, log_prob in zip(
                output.indices, found, targets, truth, strict=True
            ):
                texts[index] = recognizer.charset.decode(ids)
                losses -= float(log_prob) / len(target)
        if stop.agreed():
            return None
    for row, text in zip(rows, texts, strict=True):
        score.add(row.label, text)
    return Validation(score, losses, texts)


def skip_bad_rows(bad_rows: BadRows, skipped: list[str], ranks: Ranks) -> None:
    """Count and print what the ranks had to skip; where these are too many, all of them end."""
    if bad_rows.allowed:
        everyones = ranks.everyones(skipped)
        with ranks.one_answer():
            for sentence in chain(*everyones):
                bad_rows.skip(sentence)
    skipped.clear()


def write_run_pictures(
    save_dir: Path, progress: Progress, rows: Sequence[Row], texts: list[str]
) -> None:
    """history.csv, curves.png and predictions.png: 30 validation pictures with label and text."""
    write_history(save_dir / "history.csv", progress.history)
    plot_curves(progress.history, save_dir / "curves.png")
    write_readings(save_dir / "predictions.png", rows[:30], texts[:30])
