"""Fonts that are there wherever matplotlib is, and a small set of words, made as a user would."""

from __future__ import annotations

from pathlib import Path

from test_fonts import FONTS, MONO

import generate_data
from utils.errors import run_script
from utils.synth.words import WordRecipe
from utils.text.charset import PRESETS

FACES = (MONO, str(FONTS / "DejaVuSerif-Bold.ttf"), str(FONTS / "cmr10.ttf"))
PRINTABLE = WordRecipe(PRESETS["printable"], "printable", fonts=FACES)


def flags(root: Path, words: Path, *more: str) -> list[str]:
    return [
        "--kind", "word", "--output_dir", str(root), "--num_samples", "40", "--words", str(words),
        "--fonts", *FACES, "--num_workers", "1", *more,
    ]  # fmt: skip


def make(root: Path, words: Path, *more: str) -> int:
    return run_script(lambda: generate_data.main(flags(root, words, *more)))
