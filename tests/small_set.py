"""A small set of captchas, made by generate_data.py as a user would."""

from __future__ import annotations

from pathlib import Path

import generate_data
from utils.errors import run_script

SCRIPT = Path(generate_data.__file__)
SMALL = {
    "num_samples": 20,
    "charset": "digits",
    "min_length": 2,
    "max_length": 3,
    "width": 80,
    "height": 32,
    "num_workers": 1,
}


def flags(root: Path, *more: str, **changes: object) -> list[str]:
    """A command line of a small set; a change to None leaves a flag out."""
    values = {**SMALL, "output_dir": root, **changes}
    words = [[f"--{name}", str(value)] for name, value in values.items() if value is not None]
    return [*sum(words, []), *more]


def make(root: Path, *more: str, **changes: object) -> int:
    return run_script(lambda: generate_data.main(flags(root, *more, **changes)))


def contents(root: Path) -> dict[str, bytes]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
