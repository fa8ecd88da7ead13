"""Both cases of a letter as one class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from utils.text.charset import BLANK, Charset


def fold_case(
    charset: Charset, convert: Callable[[str], str] | None = None
) -> tuple[Charset, np.ndarray]:
    """A charset with one case of each letter, and the class (C,) in it of each class.

    A letter is written as `convert` (str.lower, str.upper) has it; else in the case that the
    charset has, the lower of both. It stands for the other case too, whether the charset had that
    or not, and what counts as one already takes its other cases with it.
    """
    root = list(range(charset.num_classes))

    def find(label: int) -> int:
        while root[label] != label:
            label = root[label]
        return label

    members = {ch: charset.stands_for(ch) for ch in charset.characters}
    for character, label in zip(charset.characters, range(1, charset.num_classes), strict=True):
        for other in {case for ch in members[character] for case in cases(ch)}:
            if not charset.missing([other]):
                [twin] = charset.encode(other)
                root[find(twin)] = find(label)
    groups: dict[int, list[str]] = {}
    for character, label in zip(charset.characters, range(1, charset.num_classes), strict=True):
        groups.setdefault(find(label), []).append(character)
    names, alike, taken = {}, [], set("".join(members.values()))
    for key, group in groups.items():
        known = "".join(members[ch] for ch in group)
        new = {case for ch in known for case in cases(ch)} - taken
        taken |= new
        name = min(group, key=lambda ch: ch != ch.lower())
        if convert is not None and convert(name) in {*known, *new}:
            name = convert(name)
        names[key] = name
        others = "".join(dict.fromkeys(known + "".join(sorted(new)))).replace(name, "")
        alike += [name + others] if others else []
    how = f", {'ignoring' if convert is None else convert.__name__} case"
    name = charset.name.removesuffix(how) + how
    folded = Charset("".join(names.values()), name, tuple(alike))
    folded = replace(folded, drops=charset.drops, nfc=charset.nfc)
    numbers = [folded.encode(names[find(label)])[0] for label in range(1, charset.num_classes)]
    return folded, np.array([BLANK, *numbers])


def cases(character: str) -> set[str]:
    """Lower and upper case, where these are one character."""
    return {case for case in (character.lower(), character.upper()) if len(case) == 1}


def merge_classes(log_probs: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """log_probs (N, T, C) of fewer classes: class c goes to classes[c], probabilities add up."""
    order = classes.argsort(kind="stable")
    starts = np.searchsorted(classes[order], np.arange(classes.max() + 1))
    return np.logaddexp.reduceat(log_probs[..., order], starts, axis=2)
