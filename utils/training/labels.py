"""Checks of labels before the first step: which charset, and do they fit into the time steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from utils.dataset import Row
from utils.errors import UserError
from utils.synth.captcha import CaptchaRecipe
from utils.text.charset import Charset, charset_of_texts, preset_charset, read_charset_file


def data_charset(
    preset: str | None, path: str | None, recipe: CaptchaRecipe | None, rows: Iterable[Row]
) -> Charset:
    """What was asked for, else the data set's own, else every character of the labels."""
    if path is not None:
        return read_charset_file(path)
    if preset is not None:
        return preset_charset(preset)
    if recipe is not None:
        return recipe.charset
    return charset_of_texts(row.label for row in rows)


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


def steps_needed(label: str) -> int:
    """Time steps that CTC needs: one a character, and a blank between equal neighbours."""
    return len(label) + sum(a == b for a, b in zip(label, label[1:], strict=False))


def check_fits(labels: Iterable[tuple[str, str]], width: int, out_width) -> None:
    """UserError for (where, label) pairs too long for pictures of that width.

    `out_width` gives the time steps of a width; the sentence names the width that would do.
    """
    steps = out_width(width)
    too_long = [pair for pair in labels if steps_needed(pair[1]) > steps]
    if not too_long:
        return
    where, longest = max(too_long, key=lambda pair: steps_needed(pair[1]))
    needed = steps_needed(longest)
    enough = next(w for w in range(width, 1 << 20) if out_width(w) >= needed)
    raise UserError(
        f"{where}: label {longest!r} needs {needed} time steps and a width of {width} gives "
        f"{steps} ({len(too_long)} labels do not fit); use --img_width {enough} or more"
    )
