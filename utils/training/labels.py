"""Checks of labels before the first step: which charset, and do they fit into the time steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from utils.dataset import BadRows, Row
from utils.errors import UserError
from utils.picture import ImageSpec
from utils.synth.recipes import Recipe
from utils.text.charset import Charset, charset_of_texts, preset_charset, read_charset_file
from utils.text.decoding import steps_needed


def data_charset(
    preset: str | None, path: str | None, recipe: Recipe | None, texts: Iterable[str]
) -> Charset:
    """What was asked for, else the data set's own, else every character of the texts."""
    if path is not None:
        return read_charset_file(path)
    if preset is not None:
        return preset_charset(preset)
    if recipe is not None:
        return recipe.charset
    return charset_of_texts(texts)


def check_known(rows: Iterable[Row], charset: Charset) -> None:
    """UserError that lists every character of the labels that the charset lacks, with counts.

    One that drops them lacks none.
    """
    first: Row | None = None
    missing: Counter[str] = Counter()
    for row in rows:
        found = charset.missing([charset.fold(row.label)])
        missing.update(found)
        first = first or (row if found else None)
    if first is None:
        return
    shown = ", ".join(f"{ch!r} x {count}" for ch, count in missing.most_common(50))
    raise UserError(
        f"{first.where}: label {first.label!r} has characters that are not in charset "
        f"{charset.name}; missing in all labels: {shown}; add them with --charset_file, drop the "
        "rows, or let --label_drop leave these characters out"
    )


WIDTH_STRIDE = 4
"""Pixels of a time step, for every backbone."""


@dataclass(frozen=True, order=True)
class TooLong:
    """A label that has no room: the time steps that it needs, and the width that it has."""

    needed: int
    where: str
    label: str
    width: int
    place: int

    def sentence(self, out_width: Callable[[int], int]) -> str:
        return (
            f"{self.where}: label {self.label!r} needs {self.needed} time steps and a width of "
            f"{self.width} gives {out_width(self.width)}"
        )


def too_long(
    labels: Iterable[tuple[str, str]], widths: Iterable[int], out_width: Callable[[int], int]
) -> list[TooLong]:
    """The (where, label) pairs too long for their pictures, scaled to these widths; `out_width`
    gives the time steps of a width."""
    return [
        TooLong(steps_needed(label), where, label, width, place)
        for place, ((where, label), width) in enumerate(zip(labels, widths, strict=False))
        if steps_needed(label) > out_width(width)
    ]


def check_fits(
    found: Sequence[TooLong],
    spec: ImageSpec,
    out_width: Callable[[int], int],
    bad_rows: BadRows | None = None,
) -> None:
    """UserError for more than may still be left out; the sentence says what would do for all."""
    if len(found) <= (bad_rows.left if bad_rows else 0):
        return
    worst = max(found)
    enough = next(w for w in range(worst.width, 1 << 20) if out_width(w) >= worst.needed)
    fix = f"use --img_width {enough} or more"
    if worst.width < spec.width:  # its own ratio makes it so narrow
        height = -(-spec.height * enough // worst.width)
        fix = f"use --img_height {height} or more, or --no-keep_ratio"
    if worst.width == ImageSpec.MIN_WIDTH:
        fix = "use --no-keep_ratio"
    if bad_rows is not None:
        fix += f", or leave them out with --max_bad_rows {len(bad_rows.sentences) + len(found)}"
    raise UserError(f"{worst.sentence(out_width)} ({len(found)} labels do not fit); {fix}")
