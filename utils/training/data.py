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
from utils.data.joined import JoinedRows, counts_of, folders_of, parse_shares, selected
from utils.dataset import (
    BadRows,
    DataSet,
    Row,
    check_pictures,
    facts,
    kept,
    open_dataset,
    read_recipe,
    relabelled,
)
from utils.errors import UserError
from utils.synth.lines import LineRecipe
from utils.synth.recipes import Recipe, more_often, recipe_problems
from utils.text.charset import Charset

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
    old: DataSet | None = None
    """What --init_from could read before, where --old_root says so."""
    bad_rows: BadRows = field(default_factory=lambda: BadRows(0))
    """Those that were left out, and how many more may be."""

    def folded(self, charset: Charset) -> Data:
        """With the labels as a reader of that charset writes them; those of which nothing is left
        are left out, named."""
        if not (charset.alike or charset.drops or charset.nfc):
            return self
        splits = (self.train, self.val)
        empty = [row.where for rows in splits for row in rows if not charset.fold(row.label)]
        labels = (row.label for rows in splits for row in rows)
        dropped = charset.missing(labels) if charset.drops else {}
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

    def kept(self, mask: np.ndarray) -> Data:
        """With the rows at which the mask (rows,) is true."""
        count = len(self.train)
        train, val = kept(self.train, mask[:count]), kept(self.val, mask[count:])
        if not val or (self.train and not train):
            raise UserError(f"{self.root}: no label of a split fits into its picture")
        once = self.epoch_size == count
        return replace(
            self, train=train, val=val, epoch_size=len(train) if once else self.epoch_size
        )

    def check_groups(self) -> None:
        """UserError where nothing is left of one that is to be a part of each batch."""
        for names, _ in self.groups:
            assert isinstance(self.train, JoinedRows)
            if not any(start < stop for start, stop in self.train.bounds(names)):
                raise UserError(
                    f"--select {' and '.join(names)}: no picture of it can be used; mend the set, "
                    "or leave it out"
                )

    def with_replay(self, share: float, batch_size: int, charset: Charset) -> Data:
        """With that share of each batch from the old set's training rows, and an epoch in which the
        new ones come once, unless it has another size already."""
        if self.old is None or not share:
            return self
        old = relabelled(self.old.split("train"), charset.fold)
        if not old:
            raise UserError(
                f"--replay {share}: no label of {self.old.root} has a character of charset "
                f"{charset.name}; leave it out, or add --charset_change extend"
            )
        shares = (1 - share, share)
        steps = -(-len(self.train) // counts_of(shares, batch_size)[0])
        once = self.epoch_size == len(self.train)
        return replace(
            self,
            train=JoinedRows({"new": self.train, "old": old}),
            epoch_size=steps * batch_size if once else self.epoch_size,
            groups=tuple(zip((["new"], ["old"]), shares, strict=True)),
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

    @property
    def replayed(self) -> Sequence[Row]:
        """The old set's training rows, where there is --replay."""
        return self.old.splits.get("train", ()) if self.old else ()

    def fingerprint(self) -> str:
        """SHA-256 of all file names and labels in order, and of the recipe."""
        rows = facts(self.train, self.root) + facts(self.val, self.root)
        known = [len(self.train), rows, self.recipe and self.recipe.to_json()]
        if self.old and self.replayed:
            known.append(facts(self.replayed, self.old.root))
        if self.fresh_recipe and (files := self.fresh_recipe.fingerprint()):
            known.append(files)
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
        rows = data.split("train")
        shares = parse_shares(options.select, options.batch_ratio, folders_of(rows))
        train, groups = selected(rows, list(shares), data.root)
    if options.fresh < 1:
        train = check_pictures(train or data.split("train"), bad_rows)
    val = check_pictures(val, bad_rows)
    old = read_old(options, bad_rows)
    bad_rows.settle()
    if old is not None:
        _ = [old.split(name) for name in old.splits]  # says so where one is empty
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
        problems = recipe_problems(recipe)  # a font that is missing is told before the first step
        if problems:
            raise UserError("\n".join(f"{source}/dataset.json: {text}" for text in problems))
    if options.overfit_batch:
        batch = list(train[: options.batch_size])
        return Data(data.root, batch * OVERFIT_STEPS, batch, None, len(batch) * OVERFIT_STEPS)
    epoch_size = options.epoch_size or len(train) or FRESH_EPOCH
    fresh_recipe = None if options.fresh == 0 and isinstance(recipe, LineRecipe) else recipe
    if options.fresh > 0 and options.hard_characters and recipe is not None:
        fresh_recipe = more_often(recipe, options.hard_characters, options.hard_weight)
    found = Data(
        data.root, train, val, recipe, epoch_size, fresh_recipe, old=old, bad_rows=bad_rows
    )
    if groups:
        counts_of(list(shares.values()), options.batch_size)
        found = replace(found, groups=tuple(zip(groups, shares.values(), strict=True)))
    return found


def read_old(options: TrainOptions, bad_rows: BadRows) -> DataSet | None:
    """Those splits of --old_root that are needed, checked."""
    if options.old_root is None or options.overfit_batch:
        return None
    names = ("train", "val") if options.replay else ("val",)
    old = open_dataset(options.old_root, bad_rows, names)
    if old.is_one_split and options.replay:
        raise UserError(
            f"--old_root {options.old_root}: it is one split; expected a root with train/ and "
            "val/, so that no picture is both replayed and scored"
        )
    return replace(old, splits={name: check_pictures(old.split(name), bad_rows) for name in names})


def check_same_data(resumed: Checkpoint, data: Data) -> None:
    """UserError where the rows are not those that the run began with."""
    if resumed.training is not None and resumed.training["data"] != data.fingerprint():
        raise UserError(
            f"--resume {resumed.path}: the data set has changed since that run began; restore it, "
            f"or start a new run with --init_from {resumed.path}"
        )
