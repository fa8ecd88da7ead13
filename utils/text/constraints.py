"""What a user asks of the texts, as one automaton over a charset's class ids.

Every mistake is a UserError that begins with the flag's value, so that a script can put the flag's
name before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from utils.errors import UserError
from utils.text.automaton import Automaton, any_of, both, lexicon, sequence_of
from utils.text.charset import Charset
from utils.text.presets import SMALL

KINDS: dict[str, Callable[[str], bool]] = {
    "D": str.isdecimal,
    "L": str.isalpha,
    "U": str.isupper,
    "S": str.islower,
    "A": str.isalnum,
    "?": lambda character: True,
}
"""Letters of a pattern: digit, letter, upper case, small letter, letter or digit, anything."""

MOST_CHARACTERS = 10_000

PATTERN_HELP = (
    "one sign a character: D digit, L letter, U upper case, S small letter, A letter or digit, "
    "? anything, [xyz] one of these, \\D a real D; all others stand for themselves"
)


@dataclass(frozen=True)
class Constraints:
    """What texts may be; None leaves it open. All of them hold together."""

    allow: str | None = None
    """Characters, or the name of a preset charset."""
    length: str | None = None
    """A number of characters, or a range such as 4-8."""
    pattern: str | None = None
    """See PATTERN_HELP."""
    lexicon: str | None = None
    """A UTF-8 file with one text a line."""

    def problems(self) -> list[str]:
        """What is wrong whatever the charset, a sentence each."""
        found = []
        for name, check in (("length", parse_length), ("pattern", split_pattern),
                            ("allow", _check_allow), ("lexicon", read_lines)):  # fmt: skip
            value = getattr(self, name)
            try:
                if value is not None:
                    check(value)
            except UserError as error:
                found.append(str(error))
        return found

    def automaton(self, charset: Charset, max_steps: int | None = None) -> Automaton | None:
        """All of them over the charset's ids; None where nothing is asked.

        No text is longer than `max_steps`, the time steps of the widest picture.
        """
        found = []
        if self.allow is not None:
            found.append(any_of(allowed_labels(self.allow, charset)))
        if self.length is not None:
            least, most = parse_length(self.length)
            if max_steps is not None and least > max_steps:
                raise UserError(
                    f"--length {self.length}: the shortest allowed text takes {least} time steps, "
                    f"and the widest picture of this model has {max_steps}; allow shorter ones"
                )
            most = min(most, max_steps or most)
            found.append(sequence_of([range(1, charset.num_classes)] * most, least))
        if self.pattern is not None:
            found.append(sequence_of(parse_pattern(self.pattern, charset)))
        if self.lexicon is not None:
            found.append(read_lexicon(self.lexicon, charset))
        return reduce(both, found) if found else None


def allowed_labels(allow: str, charset: Charset) -> set[int]:
    """Ids of a preset's characters, or of the characters given."""
    _check_allow(allow)
    characters = SMALL.get(allow, allow)
    _check(f"--allow {allow}", characters, charset)
    return set(charset.encode(characters))


def parse_length(length: str) -> tuple[int, int]:
    """`6` or `4-8` as (least, most)."""
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", length.strip())
    if not match:
        raise UserError(f"--length {length}: expected a number, or two of them such as 4-8")
    least, most = int(match[1]), int(match[2] or match[1])
    if not 0 < least <= most <= MOST_CHARACTERS:
        raise UserError(
            f"--length {length}: expected 1 to {MOST_CHARACTERS:,}, the smaller one first"
        )
    return least, most


def split_pattern(pattern: str) -> list[str]:
    """A pattern's signs, one for each place."""
    signs = re.findall(r"\\.|\[(?:\\.|[^\]\\])+\]|[^\\\[]", pattern, re.DOTALL)
    if not pattern or "".join(signs) != pattern:
        raise UserError(f"--pattern {pattern}: expected {PATTERN_HELP}")
    return signs


def parse_pattern(pattern: str, charset: Charset) -> list[set[int]]:
    """The ids that each place of a text may have."""
    places = []
    for sign in split_pattern(pattern):
        if sign in KINDS:
            characters = "".join(
                ch for ch in charset.characters if any(map(KINDS[sign], charset.stands_for(ch)))
            )
            if not characters:
                raise UserError(
                    f"--pattern {pattern}: charset {charset.name} has no character for {sign}; "
                    f"it stands for: {PATTERN_HELP}"
                )
        else:
            inner = sign[1:-1] if len(sign) > 2 else sign
            characters = re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL)
            _check(f"--pattern {pattern}", characters, charset)
        places.append(set(charset.encode(characters)))
    return places


def read_lines(path: str) -> list[str]:
    """The lines of a lexicon."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(f"--lexicon {path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--lexicon {path}: cannot be read as UTF-8 ({error})") from None
    if not any(lines):
        raise UserError(f"--lexicon {path}: it is empty; expected one text a line")
    return lines


def read_lexicon(path: str, charset: Charset) -> Automaton:
    """The texts of a file, one a line; empty lines do not count."""
    lines = read_lines(path)
    for number, line in enumerate(lines, start=1):
        missing = charset.missing([line])
        if missing:
            raise UserError(
                f"{path}:{number}: {line!r} has {next(iter(missing))!r}, which is not in charset "
                f"{charset.name}; drop the line"
            )
    return lexicon(charset.encode(line) for line in lines if line)


def _check_allow(allow: str) -> None:
    if not allow:
        raise UserError("--allow '': no character is allowed; give some, or a preset's name")


def _check(what: str, characters: str, charset: Charset) -> None:
    missing = list(charset.missing([characters]))
    if missing:
        raise UserError(
            f"{what}: {''.join(missing)!r} is not in charset {charset.name}, which the model reads "
            f"({charset.characters[:80]}{'...' if len(charset) > 80 else ''}); leave it out"
        )
