"""Both cases of a letter as one class."""

from __future__ import annotations

import numpy as np

from utils.text.charset import BLANK, Charset


def fold_case(charset: Charset) -> tuple[Charset, np.ndarray]:
    """A charset with one case of each letter, the lower where it has both, and the class (C,) in it
    of each class. What counts as one already takes its other cases with it."""
    root = list(range(charset.num_classes))

    def find(label: int) -> int:
        while root[label] != label:
            label = root[label]
        return label

    members = {ch: charset.stands_for(ch) for ch in charset.characters}
    for character, label in zip(charset.characters, range(1, charset.num_classes), strict=True):
        for other in {case for ch in members[character] for case in (ch.lower(), ch.upper())}:
            if not charset.missing([other]) and len(other) == 1:
                [twin] = charset.encode(other)
                root[find(twin)] = find(label)
    groups: dict[int, list[str]] = {}
    for character, label in zip(charset.characters, range(1, charset.num_classes), strict=True):
        groups.setdefault(find(label), []).append(character)
    names = {key: min(group, key=lambda ch: ch != ch.lower()) for key, group in groups.items()}
    alike = []
    for key, group in groups.items():
        others = "".join(members[ch] for ch in group).replace(names[key], "")
        alike += [names[key] + others] if others else []
    folded = Charset("".join(names.values()), f"{charset.name}, ignoring case", tuple(alike))
    numbers = [folded.encode(names[find(label)])[0] for label in range(1, charset.num_classes)]
    return folded, np.array([BLANK, *numbers])


def merge_classes(log_probs: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """log_probs (N, T, C) of fewer classes: class c goes to classes[c], probabilities add up."""
    order = classes.argsort(kind="stable")
    starts = np.searchsorted(classes[order], np.arange(classes.max() + 1))
    return np.logaddexp.reduceat(log_probs[..., order], starts, axis=2)
