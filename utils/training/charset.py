"""The charset of a run: what was asked for, what the labels need, and what --init_from knows."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from utils.checkpoint import Checkpoint
from utils.errors import UserError
from utils.synth.recipes import kind_of
from utils.text.alike import Alike
from utils.text.case import fold_case
from utils.text.charset import Charset, sample
from utils.training.labels import check_known, data_charset
from utils.training.weights import changed_charset

if TYPE_CHECKING:
    from utils.training.data import Data
    from utils.training.options import TrainOptions


def choose_charset(options: TrainOptions, data: Data, init_from: Checkpoint | None) -> Charset:
    """The run's charset, every label known to it."""
    drawn = [data.recipe.characters] if options.fresh > 0 and data.recipe is not None else []
    own = data.recipe if options.fresh_root is None else None

    is_nfc = options.label_nfc or bool(init_from and init_from.header.charset.nfc)

    def texts() -> Iterator[str]:
        """Made anew for each use: a set may have millions of labels."""
        labels = chain((row.label for row in chain(data.rows, data.replayed)), drawn)
        return (unicodedata.normalize("NFC", label) for label in labels) if is_nfc else labels

    found = data_charset(options.charset, options.charset_file, own, texts())
    charset = as_labels_are_written(found, options)
    if init_from is not None:
        known = as_labels_are_written(init_from.header.charset, options)
        told_apart = known.num_classes != init_from.header.charset.num_classes
        if told_apart and options.charset_change != "replace":
            flag = f"--alike {options.alike}"
            if options.alike is None:
                flag = f"--label_case {options.label_case}"
            raise UserError(
                f"{flag}: the weights of {init_from.path} tell these characters apart; add "
                "--charset_change replace, or leave the flag out"
            )
        charset = changed_charset(known, charset, texts(), options.charset_change, init_from.path)
    check_known(chain(data.rows, data.replayed), charset)
    missing = charset.missing(drawn)
    if missing and charset.drops and data.recipe and kind_of(data.recipe) != "captcha":
        missing = {} if len(missing) < len(data.recipe.characters) else missing
    if missing:
        raise UserError(
            f"--fresh {options.fresh}: the set's recipe draws {''.join(missing)[:50]!r} "
            f"({len(missing):,} characters), which charset {charset.name} lacks; leave the charset "
            "to the set, or use --fresh 0"
        )
    return charset


def as_labels_are_written(charset: Charset, options: TrainOptions) -> Charset:
    """The charset with --alike, --label_case, --label_drop and --label_nfc."""
    if options.alike is not None:
        charset = Alike.of(options.alike).fold_charset(charset)
    if options.label_case != "keep":
        convert = {"lower": str.lower, "upper": str.upper}[options.label_case]
        charset, _ = fold_case(charset, convert)
    if options.label_drop is not None:
        charset = replace(charset, drops=options.label_drop)
    if options.label_nfc is not None:
        charset = replace(charset, nfc=options.label_nfc)
    never = [ch for ch in charset.characters if charset.nfc and ch != charset.fold(ch)]
    if never:
        raise UserError(
            f"--label_nfc: charset {charset.name} has {len(never):,} characters that NFC writes "
            f"otherwise ({sample(never)}); leave them out of it, or leave the flag out"
        )
    return charset
