"""dataset.json: what a set was made of, and whether another run may go on with it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

from models import __version__
from utils.dataset import SPLITS
from utils.errors import UserError
from utils.files import file_digest, write_text
from utils.synth import lines, words
from utils.synth.captcha import CaptchaRecipe
from utils.synth.recipes import Recipe, draws_together, kind_of

FORMAT_VERSION = 1
"""Of dataset.json; it also goes up when the same seed comes to draw other captchas."""

LOOK_VERSIONS = {"word": words.LOOK_VERSION, "line": lines.LOOK_VERSION}
"""What goes up in its place when the same seed comes to draw others of a kind."""

DRAWN_WITH = {
    "package": ("captcha", "pillow"),
    "fast": ("captcha", "pillow", "torch"),
    "word": ("numpy", "pillow"),
    "line": ("numpy", "pillow"),
}
"""Renderers, or kinds that have but one, and the packages whose versions decide on their bytes."""


def split_sizes(num_samples: int, ratio: tuple[float, ...]) -> dict[str, int]:
    """Pictures of each split; no split shrinks when num_samples grows.

    Webster's apportionment: the next picture goes where share / (2 * size + 1) is largest.
    """
    shares = [Fraction(str(share)) for share in ratio]
    sizes = [int(num_samples * share / sum(shares)) for share in shares]
    while sum(sizes) < num_samples:
        neediest = max(range(len(sizes)), key=lambda i: shares[i] / (2 * sizes[i] + 1))
        sizes[neediest] += 1
    return dict(zip(SPLITS, sizes, strict=True))


def describe(
    recipe: Recipe,
    num_samples: int,
    split_ratio: tuple[float, ...],
    seed: int,
    renderer: str = "package",
    shards: int = 1,
    packing: str = "files",
) -> dict[str, Any]:
    """All that the pictures depend on; the content of dataset.json, less `complete`."""
    renderer = renderer if isinstance(recipe, CaptchaRecipe) else kind_of(recipe)
    return {
        "format_version": LOOK_VERSIONS.get(renderer, FORMAT_VERSION),
        "renderer": renderer,
        **({"block": recipe.block_size} if draws_together(recipe, renderer) else {}),
        "recipe": {**recipe.to_json(), "fonts": list(recipe.fonts)},
        "num_samples": num_samples,
        "split_ratio": list(split_ratio),
        "splits": split_sizes(num_samples, split_ratio),
        "shards": shards,
        "format": packing,
        "seed": seed,
        "fonts": [_digest(font) for font in recipe.fonts],
        **{name: _digest(path) for name, path in recipe.files.items()},
        "versions": {
            "project": __version__,
            **{name: version(name) for name in DRAWN_WITH[renderer]},
        },
    }


def _digest(path: str) -> str:
    """What tells a file from another of its name."""
    return f"{Path(path).name} sha256:{file_digest(path)[:16]}"


def write_description(root: Path, description: dict[str, Any], complete: bool) -> None:
    text = json.dumps({**description, "complete": complete}, ensure_ascii=False, indent=2)
    write_text(root / "dataset.json", text + "\n")


def check_target(
    root: Path, description: dict[str, Any], resume: bool, folders: Iterable[Path]
) -> None:
    """UserError where a set stands in `root` that this description may not go on with, or in the
    folders that are to be filled anew. Beside them other shards of the same set may stand."""
    path = root / "dataset.json"
    taken = [folder for folder in folders if folder.is_dir() and any(folder.iterdir())]
    if not path.exists() and not taken:
        return
    if not resume and (taken or description["shards"] == 1):
        raise UserError(
            f"--output_dir {root}: a data set stands there already; go on with it by --resume, "
            "or give another folder"
        )
    if not path.exists():
        raise UserError(
            f"--resume: {taken[0]} holds files, but no {path} says what made them; "
            "give another --output_dir"
        )
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        count, facts = int(before["num_samples"]), _identity(before)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: not a data set's description ({error!r}); give another --output_dir"
        ) from None
    if facts["--kind"] != _identity(description)["--kind"]:
        raise UserError(f"--output_dir {root}: a set of another --kind stands there; give another")
    problems = [
        f"{name} {_shown(value)}: the set in {root} was made with {_shown(facts[name])}"
        for name, value in _identity(description).items()
        if name in facts and value != facts[name]
    ]
    if description["num_samples"] < count:
        problems.append(
            f"--num_samples {description['num_samples']}: the set in {root} is to have {count}, "
            "and a set only grows"
        )
    if problems:
        raise UserError("\n".join([*problems, "go on with the same, or give another --output_dir"]))


NOT_FLAGS = ("kind", "characters", "charset_name", "fonts", "words", "corpus")
"""Fields of a recipe that are no flag, or whose files count and not their names."""


def _identity(description: dict[str, Any]) -> dict[str, Any]:
    """What two runs must share to draw the same pictures, by the name that the user knows."""
    recipe, versions = description["recipe"], description["versions"]
    renderer = description.get("renderer", "package")  # older sets do not say it
    # The fast renderer's pictures depend on how many are drawn at once; older sets do not say it.
    block = {"pictures drawn at once": description.get("block", 32)} if renderer == "fast" else {}
    return {
        "--kind": recipe.get("kind", "captcha"),
        **({} if renderer in LOOK_VERSIONS else {"--renderer": renderer}),
        **block,
        "--charset": recipe["characters"],
        **{f"--{name}": value for name, value in recipe.items() if name not in NOT_FLAGS},
        "--fonts": description["fonts"],
        "--words": description.get("words", ""),
        "--corpus": description.get("corpus", ""),
        "--split_ratio": description["split_ratio"],
        "--seed": description["seed"],
        **_of_shards(description),
        **{f"package {name}": versions[name] for name in DRAWN_WITH[renderer]},
        "dataset.json format": description["format_version"],
    }


def _of_shards(description: dict[str, Any]) -> dict[str, Any]:
    """Older sets have none. What is cut into shards, or packed, does not grow."""
    shards, packing = description.get("shards", 1), description.get("format", "files")
    fixed = shards > 1 or packing != "files"
    count = {"--num_samples": description["num_samples"]} if fixed else {}
    return {"--format": packing, "shards": shards} | count


def _shown(value: Any) -> str:
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return (text if len(text) <= 80 else f"{text[:77]}...") or "(none)"
