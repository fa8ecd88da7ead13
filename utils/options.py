"""Command-line options from a frozen dataclass: field = flag = default = help = what is stored.

A field is declared with `option(default, "help")`; its annotation says how the text is read.
Every problem of the command line and of a --config recipe is collected and told at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from utils.errors import UserError

T = TypeVar("T")

METAVARS = {int: "N", float: "X", str: "TEXT"}


def option(
    default: Any,
    help: str,
    choices: Sequence[str] = (),
    positional: bool = False,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
) -> Any:
    """A dataclass field that is also a flag.

    A positional takes zero or one word, that of a tuple any number. A number is `least` or more,
    `above` that, `most` or less.
    """
    bounds = {"least": least, "above": above, "most": most}
    metadata = {"help": help, "choices": tuple(choices), "positional": positional, **bounds}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Parsed(typing.Generic[T]):
    """The options and the names of those that the user gave, on the line or in a recipe."""

    options: T
    given: frozenset[str]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> typing.NoReturn:
        raise UserError(f"{message}; see --help")


def as_flags(options: Any, names: Iterable[str]) -> list[str]:
    """A command line of these fields, for another script's main; None is left out. Not for bool."""
    values = {name: getattr(options, name) for name in names}
    return [
        word
        for name, value in values.items()
        if value is not None
        for word in (f"--{name}", str(value))
    ]


def parse(cls: type[T], argv: Sequence[str] | None, description: str, epilog: str = "") -> Parsed:
    """Read argv (None: the process's own) into `cls`, a dataclass of option() fields.

    `cls` may have a method problems() -> list of sentences, for values that do not go together.
    Raises UserError with one sentence a line, all of them at once.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    kinds = {name: hint for name, hint in typing.get_type_hints(cls).items() if name in fields}
    parser = _build_parser(fields, kinds, description, epilog)
    values, unknown = parser.parse_known_intermixed_args(argv)
    problems = [_unknown_flag(word, fields) for word in unknown if word.startswith("-")]
    stray = [word for word in unknown if not word.startswith("-")]
    if stray and not problems:
        problems.append(f"{' '.join(stray)!r} belongs to no flag; see --help")
    given: dict[str, Any] = {}
    wrong: list[str] = []
    if getattr(values, "config", None):
        given.update(_read_recipe(Path(values.config), fields, kinds, problems))
    for name, text in vars(values).items():
        if text not in (None, []) and name in fields:
            try:
                given[name] = _convert(text, kinds[name], fields[name].metadata)
            except ValueError as error:
                flag = name if fields[name].metadata["positional"] else f"--{name}"
                problems.append(f"{flag} {_shown(text)}: {error}")
                wrong.append(f"{flag} ")
    options = cls(**given)
    if hasattr(options, "problems"):  # a wrong value counts as left out: nothing more is said of it
        found = options.problems()
        problems += [text for text in found if not any(flag in text for flag in wrong)]
    if problems:
        raise UserError("\n".join(problems))
    return Parsed(options, frozenset(given))


def _build_parser(fields, kinds, description: str, epilog: str) -> argparse.ArgumentParser:
    parser = _Parser(
        description=description,
        epilog=epilog,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, field in fields.items():
        kind, help_text = _bare(kinds[name]), field.metadata["help"]
        if field.metadata["choices"]:
            help_text += f" [{', '.join(field.metadata['choices'])}]"
        if field.default is not None and field.default != ():
            help_text += f" (default: {_shown(field.default)})"
        help_text = help_text.replace("%", "%%")
        if field.metadata["positional"]:
            many = "*" if typing.get_origin(kind) is tuple else "?"
            parser.add_argument(name, nargs=many, default=None, help=help_text)
        elif kind is bool:
            parser.add_argument(
                f"--{name}", action=argparse.BooleanOptionalAction, default=None, help=help_text
            )
        elif typing.get_origin(kind) is tuple:
            metavar = METAVARS[typing.get_args(kind)[0]]
            parser.add_argument(
                f"--{name}", nargs="+", default=None, metavar=metavar, help=help_text
            )
        else:
            metavar = METAVARS[kind]
            parser.add_argument(f"--{name}", default=None, metavar=metavar, help=help_text)
    return parser


def _bare(kind: Any) -> Any:
    """`int | None` -> int."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return next(part for part in typing.get_args(kind) if part is not type(None))
    return kind


def _convert(value: Any, kind: Any, metadata: Mapping[str, Any]) -> Any:
    """A flag's text, or a recipe's value, as the field's type; ValueError says what is wanted."""
    kind = _bare(kind)
    if typing.get_origin(kind) is tuple:
        items = value if isinstance(value, list) else [value]
        return tuple(_convert(item, typing.get_args(kind)[0], metadata) for item in items)
    if kind is bool:
        if not isinstance(value, bool):
            raise ValueError("expected true or false")
        return value
    if kind is str:
        if not isinstance(value, str):
            raise ValueError("expected a text in quotes")
        if not value:
            raise ValueError("it is empty; leave the flag out, or say more")
        choices = metadata["choices"]
        if choices and value not in choices:
            near = get_close_matches(value, choices, n=1, cutoff=0.0)[0]
            raise ValueError(f"expected one of {', '.join(choices)}; did you mean {near!r}?")
        return value
    wanted = "a whole number" if kind is int else "a number"
    if isinstance(value, bool) or (kind is int and isinstance(value, float)):
        raise ValueError(f"expected {wanted}")
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"expected {wanted}") from None
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError(f"expected {wanted} that is finite")
    least, above, most = (metadata[name] for name in ("least", "above", "most"))
    too_low = (least is not None and number < least) or (above is not None and number <= above)
    if too_low or (most is not None and number > most):
        raise ValueError(f"expected {_range(least, above, most)}")
    return number


def _check_number(value: Any, kind: Any) -> None:
    """ValueError for a number in quotes, which a recipe need not have: only flags are all text."""
    bare = _bare(kind)
    inner = typing.get_args(bare)[0] if typing.get_origin(bare) is tuple else bare
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str) and inner in (int, float):
            raise ValueError("expected a number without quotes")


def _range(least: float | None, above: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f"{least} to {most}"
    words = {"{} or more": least, "more than {}": above, "at most {}": most}
    return ", ".join(text.format(bound) for text, bound in words.items() if bound is not None)


def _shown(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return " ".join(str(item) for item in value)
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _unknown_flag(word: str, fields) -> str:
    flag = word.split("=")[0]
    near = get_close_matches(flag.lstrip("-"), fields, n=1, cutoff=0.5)
    return f"{flag} is not a flag of this script" + (
        f"; did you mean --{near[0]}?" if near else "; see --help"
    )


def _read_recipe(path: Path, fields, kinds, problems: list[str]) -> dict[str, Any]:
    """The flags that a TOML recipe sets; problems are added to the list."""
    if path.is_dir():
        problems.append(f"--config {path}: it is a folder; give a TOML file")
        return {}
    try:
        recipe = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        problems.append(f"--config {path}: no such file")
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        problems.append(f"--config {path}: not a TOML recipe ({error})")
        return {}
    values = {}
    for key, value in recipe.items():
        if key == "config":
            problems.append(f"{path}: 'config' stands in a recipe; give it on the command line")
            continue
        if key not in fields:
            near = get_close_matches(key, fields, n=1, cutoff=0.0)[0]
            problems.append(f"{path}: {key!r} is not a flag of this script; did you mean {near!r}?")
            continue
        try:
            _check_number(value, kinds[key])
            values[key] = _convert(value, kinds[key], fields[key].metadata)
        except ValueError as error:
            problems.append(f"{path}: {key} = {value!r}: {error}")
    return values
