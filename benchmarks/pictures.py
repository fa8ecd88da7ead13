"""The pictures that readers are measured on, drawn by the `captcha` package from a seed."""

from __future__ import annotations

from pathlib import Path

from utils.synth.captcha import CaptchaRecipe
from utils.synth.drawing import draw_all, file_name, split_chunks
from utils.text.charset import preset_charset


def recipe_of(preset: str, min_length: int, max_length: int) -> CaptchaRecipe:
    """Captchas of a preset charset, in the package's own size of 160 x 60."""
    return CaptchaRecipe(preset_charset(preset).characters, preset, min_length, max_length)


def draw_folder(
    folder: Path, recipe: CaptchaRecipe, count: int, seed: int
) -> list[tuple[Path, str]]:
    """`count` PNG files below the folder, as generate_data.py makes them: (path, label) each."""
    chunks = split_chunks(folder, recipe, {"test": count}, seed)
    texts = [text for drawn in draw_all(recipe, chunks, 1) for text in drawn.texts]
    return [(folder / "test" / file_name(index), text) for index, text in enumerate(texts)]
