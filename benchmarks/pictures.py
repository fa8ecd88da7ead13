"""The pictures that readers are measured on, drawn by the `captcha` package from a seed."""

from __future__ import annotations

import json
from pathlib import Path

from utils.files import write_text
from utils.synth.captcha import CaptchaRecipe, CaptchaRenderer
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


def draw_texts(
    folder: Path, recipe: CaptchaRecipe, texts: list[str], seed: int
) -> list[tuple[Path, str]]:
    """PNG files of these texts: (path, label) each."""
    folder.mkdir(parents=True, exist_ok=True)
    renderer = CaptchaRenderer(recipe)
    drawn = []
    for index, text in enumerate(texts):
        path = folder / file_name(index)
        renderer.picture(text, seed, "texts", index).save(path)
        drawn.append((path, text))
    return drawn


def draw_set(root: Path, sizes: dict[str, int]) -> None:
    """A data root of captchas with 4 to 8 of 62 characters, a folder of files a split."""
    recipe = recipe_of("alnum62", 4, 8)
    for seed, (name, count) in enumerate(sizes.items()):
        files = draw_folder(root / "drawn" / name, recipe, count, seed)
        files[0][0].parent.rename(root / name)
        rows = "".join(f"{path.name}\t{label}\n" for path, label in files)
        write_text(root / name / "labels.txt", rows)
    write_text(root / "dataset.json", json.dumps({"recipe": recipe.to_json()}))
