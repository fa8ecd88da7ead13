"""Checks of labels before the first step: which charset, and do they fit into the time steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from utils.dataset import Row
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


def check_fits(
    labels: Iterable[tuple[str, str]], widths: Iterable[int], spec: ImageSpec, out_width
) -> None:
    """UserError for (where, label) pairs too long for their pictures, scaled to these widths.

    `out_width` gives the time steps of a width; the sentence says what would do.
    """
    too_long = [
        (steps_needed(label), where, label, width)
        for (where, label), width in zip(labels, widths, strict=False)
        if steps_needed(label) > out_width(width)
    ]
    if not too_long:
        return
    needed, where, label, width = max(too_long)
    enough = next(w for w in range(width, 1 << 20) if out_width(w) >= needed)
    fix = f"use --img_width {enough} or more"
    if width < spec.width:  # its own ratio makes it so narrow
        fix = f"use --img_height {-(-spec.height * enough // width)} or more, or --no-keep_ratio"
    raise UserError(
        f"{where}: label {label!r} needs {needed} time steps and a width of {width} gives "
        f"{out_width(width)} ({len(too_long)} labels do not fit); {fix}"
    )
