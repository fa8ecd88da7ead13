"""Characters that count as one, because they look alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from utils.errors import UserError
from utils.text.charset import Charset


@dataclass(frozen=True)
class Alike:
    """Groups of characters; the first of each stands for all of it."""

    groups: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str) -> Alike:
        """`0oO,1lI,cC` -> three groups. No character may stand in two of them."""
        groups = tuple(text.split(","))
        for group in groups:
            if len(set(group)) < 2 or len(set(group)) < len(group):
                raise UserError(
                    f"{text}: {group!r} is no group of different characters; expected two "
                    "or more, and commas between the groups, such as 0oO,1lI,cC"
                )
        seen: set[str] = set()
        for group in groups:
            both = seen & set(group)
            if both:
                raise UserError(f"{text}: {min(both)!r} stands in two groups; put them together")
            seen |= set(group)
        return cls(groups)

    @cached_property
    def _table(self) -> dict[int, str]:
        return {ord(ch): group[0] for group in self.groups for ch in group[1:]}

    def fold(self, text: str) -> str:
        """The text with the first character of each group for all of it."""
        return text.translate(self._table)

    def fold_charset(self, charset: Charset) -> Charset:
        """The charset with one character of each group, the first one that it has."""
        groups = []
        for group in self.groups:
            known = [ch for ch in group if ch in charset.characters]
            if known:
                groups.append(known[0] + group.replace(known[0], ""))
        others = {ch for group in groups for ch in group[1:]}
        kept = "".join(ch for ch in charset.characters if ch not in others)
        name = f"{charset.name}, alike as one" if groups else charset.name
        return Charset(kept, name, tuple(groups), charset.drops, charset.nfc)
