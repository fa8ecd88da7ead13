"""A run's data: rows of both splits, checked, the charset they need, and whether they changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from utils.checkpoint import Checkpoint
from utils.data.joined import JoinedRows, parse_shares, selected
from utils.dataset import BadRows, Row, check_pictures, facts, open_dataset, read_recipe, relabelled
from utils.errors import UserError
from utils.synth.captcha import CaptchaRecipe
from utils.synth.recipes import Recipe, one_by_one
from utils.synth.words import WordRecipe
from utils.text.alike import Alike
from utils.text.case import fold_case
from utils.text.charset import Charset
from utils.training.labels import check_known, data_charset
from utils.training.weights import changed_charset

if TYPE_CHECKING:
    from utils.training.options import TrainOptions

FRESH_EPOCH = 10_000
"""Pictures of an epoch where all are drawn anew and there is no training split to go by."""

OVERFIT_STEPS = 25
"""Steps of one round of --overfit_batch, after which it is scored."""


@dataclass(frozen=True)
class Data:
    """Rows to train and validate on, and the recipe that draws fresh ones."""

    root: Path
    train: Sequence[Row]
    val: Sequence[Row]
    recipe: Recipe | None
    epoch_size: int
    """Pictures of one epoch: as many as there are to train on, unless all are drawn anew."""
    fresh_recipe: Recipe | None = None
    """The recipe with the hard characters more often, which fresh pictures are drawn by."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Characters that the labels lost because the charset drops them, with counts."""
    empty: tuple[str, ...] = ()
    """Where the labels stand of which nothing was left."""
    groups: tuple[tuple[list[str], float], ...] = ()
    """Of --select: the parts of each name, and the share of a batch that comes from them; of
    --replay, the new set's and the old one's."""
    old_val: Sequence[Row] = ()
    """What --init_from could read before."""

    def folded(self, charset: Charset) -> Data:
        """With the labels as a reader of that charset writes them; those of which nothing is left
        are left out, named."""
        if not (charset.alike or charset.drops):
            return self
        splits = (self.train, self.val)
        empty = [row.where for rows in splits for row in rows if not charset.fold(row.label)]
        dropped = charset.missing(row.label for rows in splits for row in rows)
        train, val = (relabelled(rows, charset.fold) for rows in splits)
        if not val or (self.train and not train):
            raise UserError(
                f"{self.root}: no label of a split has a character of charset {charset.name}; "
                "choose another charset, or --label_case"
            )
        epoch_size = len(train) if self.epoch_size == len(self.train) else self.epoch_size
        return replace(
            self, train=train, val=val, epoch_size=epoch_size, dropped=dropped, empty=tuple(empty)
        )

    @property
    def shares(self) -> list[tuple[np.ndarray, float]]:
        """Places of the training rows that each group has, and its share of every batch; none where
        an epoch is all rows once."""
        if not (self.groups and isinstance(self.train, JoinedRows)):
            once = self.epoch_size == len(self.train) or not self.train
            return [] if once else [(np.arange(len(self.train)), 1.0)]
        return [
            (np.concatenate([np.arange(*ends) for ends in self.train.bounds(names)]), share)
            for names, share in self.groups
        ]

    @property
    def rows(self) -> Iterator[Row]:
        """All of them, those to train on first."""
        return chain(self.train, self.val)

    def fingerprint(self) -> str:
        """SHA-256 of all file names and labels in order, and of the recipe."""
        rows = facts(self.train, self.root) + facts(self.val, self.root)
        known = [len(self.train), rows, self.recipe and self.recipe.to_json()]
        return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def read_data(options: TrainOptions) -> Data:
    """Rows of both splits, every picture that will be read checked, bad ones settled."""
    bad_rows = BadRows(options.max_bad_rows)
    data = open_dataset(options.data_root, bad_rows, ("train", "val"))
    if data.is_one_split:
        raise UserError(
            f"--data_root {options.data_root}: it is one split; expected a root with train/ and "
            "val/, so that no picture is both learned and scored"
        )
    train, val = data.splits.get("train", []), data.split("val")
    groups: list[list[str]] = []
    if options.select:
        shares = parse_shares(options.select, options.batch_ratio)
        train, groups = selected(data.split("train"), list(shares), data.root)
    if options.fresh < 1:
        train = check_pictures(train or data.split("train"), bad_rows)
    val = check_pictures(val, bad_rows)
    old = read_old(options, bad_rows)
    bad_rows.settle()
    if not val or not (train or options.fresh == 1):
        raise UserError(f"{options.data_root}: no picture of a split can be read; mend the set")
    recipe = data.recipe
    if options.fresh > 0:
        source = options.fresh_root or options.data_root
        recipe = read_recipe(Path(source))
        if recipe is None:
            raise UserError(
                f"--fresh {options.fresh}: {source} has no dataset.json to draw by; give a set of "
                "generate_data.py as --fresh_root, or use --fresh 0"
            )
        one_by_one(recipe)  # opens the fonts: a missing one is told before the workers
    if options.overfit_batch:
        batch = list(train[: options.batch_size])
        return Data(data.root, batch * OVERFIT_STEPS, batch, None, len(batch) * OVERFIT_STEPS)
    epoch_size = options.epoch_size or len(train) or FRESH_EPOCH
    fresh_recipe = recipe
    if options.fresh > 0 and options.hard_characters and recipe is not None:
        fresh_recipe = more_often(recipe, options.hard_characters, options.hard_weight)
    found = Data(
        data.root, train, val, recipe, epoch_size, fresh_recipe, old_val=old.get("val", ())
    )
    if groups:
        found = replace(found, groups=tuple(zip(groups, shares.values(), strict=True)))
    return with_replay(found, old["train"], options.replay) if options.replay else found


def with_replay(data: Data, old: Sequence[Row], share: float) -> Data:
    """With that share of each batch from the old rows, and epochs as much longer."""
    return replace(
        data,
        train=JoinedRows({"new": data.train, "old": old}),
        epoch_size=round(len(data.train) / (1 - share)),
        groups=((["new"], 1 - share), (["old"], share)),
    )


def read_old(options: TrainOptions, bad_rows: BadRows) -> dict[str, Sequence[Row]]:
    """Those splits of --old_root that are needed, checked; none without one."""
    if options.old_root is None:
        return {}
    names = ("train", "val") if options.replay else ("val",)
    old = open_dataset(options.old_root, bad_rows, names)
    return {name: check_pictures(old.split(name), bad_rows) for name in names}


def more_often(recipe: Recipe, characters: str, weight: int) -> CaptchaRecipe:
    """The recipe with each of these characters `weight` times as often as each of the others.

    UserError where the recipe has not got them, or draws words.
    """
    if not isinstance(recipe, CaptchaRecipe):
        raise UserError(
            f"--hard_characters {characters}: the set's recipe draws words; leave it out, or take "
            "a set of captchas"
        )
    if missing := set(characters) - set(recipe.characters):
        raise UserError(
            f"--hard_characters {characters}: {''.join(sorted(missing))!r} is not among the "
            f"characters of {recipe.charset_name}, which the set is drawn from; leave it out, or "
            "take a set that has it"
        )
    return replace(
        recipe, characters=recipe.characters + "".join(dict.fromkeys(characters)) * (weight - 1)
    )


def check_same_data(resumed: Checkpoint, data: Data) -> None:
    """UserError where the rows are not those that the run began with."""
    if resumed.training is not None and resumed.training["data"] != data.fingerprint():
        raise UserError(
            f"--resume {resumed.path}: the data set has changed since that run began; restore it, "
            f"or start a new run with --init_from {resumed.path}"
        )


def choose_charset(options: TrainOptions, data: Data, init_from: Checkpoint | None) -> Charset:
    """The run's charset, every label known to it."""
    drawn = [data.recipe.characters] if options.fresh > 0 and data.recipe is not None else []
    own = data.recipe if options.fresh_root is None else None
    texts = chain(drawn, (row.label for row in data.rows))
    found = data_charset(options.charset, options.charset_file, own, texts)
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
        labels = chain((row.label for row in data.rows), drawn)
        charset = changed_charset(known, charset, labels, options.charset_change, init_from.path)
    check_known(data.rows, charset)
    missing = charset.missing(drawn)
    if missing and charset.drops and isinstance(data.recipe, WordRecipe):
        missing = {} if len(missing) < len(data.recipe.characters) else missing
    if missing:
        raise UserError(
            f"--fresh {options.fresh}: the set's recipe draws {''.join(missing)!r}, which charset "
            f"{charset.name} lacks; leave the charset to the set, or use --fresh 0"
        )
    return charset


def as_labels_are_written(charset: Charset, options: TrainOptions) -> Charset:
    """The charset with --alike, --label_case and --label_drop."""
    if options.alike is not None:
        charset = Alike.of(options.alike).fold_charset(charset)
    if options.label_case != "keep":
        convert = {"lower": str.lower, "upper": str.upper}[options.label_case]
        charset, _ = fold_case(charset, convert)
    return charset if options.label_drop is None else replace(charset, drops=options.label_drop)
