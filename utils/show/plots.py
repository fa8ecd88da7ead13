"""Pictures for people: a run's curves, and how one reading came about.

matplotlib is imported late, and only its object API: pyplot would look for a display.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from utils.files import atomic_write
from utils.text.charset import BLANK, Charset

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from utils.recognizer import Prediction

FONTS = (
    "DejaVu Sans",  # comes with matplotlib; the others draw Chinese where they are installed
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",  # the first face of that collection, which is all that matplotlib lists
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Microsoft YaHei",
    "SimHei",
    "PingFang SC",
    "Hiragino Sans GB",
    "Arial Unicode MS",
)

PANELS = {
    "loss": {"loss": "train", "val_loss": "val"},
    "accuracy on val": {
        "character_accuracy": "character",
        "sequence_accuracy_ignoring_case": "sequence, ignoring case",
        "sequence_accuracy": "sequence",
    },
    "learning rate": {"lr": "learning rate"},
}


def plot_curves(history: list[dict[str, float]], path: str | Path) -> None:
    """Write the curves of a run as PNG; `history` holds the rows of history.csv, one an epoch."""
    figure = new_figure(13, 3.8)
    epochs = [row["epoch"] for row in history]
    panels = dict(zip(PANELS, figure.subplots(1, len(PANELS)), strict=True))
    for title, axes in panels.items():
        for column, label in PANELS[title].items():
            values = [row.get(column, np.nan) for row in history]
            axes.plot(epochs, values, marker=".", label=label)
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    panels["loss"].legend()
    panels["accuracy on val"].legend()
    panels["accuracy on val"].set_ylim(0, 1)
    if any(row.get("lr", 0.0) > 0 for row in history):
        panels["learning rate"].set_yscale("log")
    save_figure(figure, path)


def plot_reading(
    picture: Image.Image,
    log_probs: np.ndarray,
    charset: Charset,
    prediction: Prediction,
    path: str | Path,
) -> None:
    """Write a PNG of one reading: the picture, each of the prediction's `characters` above the
    place where it was read, and under it the probabilities over time.

    log_probs (T, C) end at the true length; the picture is turned already where it is vertical.
    Both span the same width, time step t standing at the share t / T of the picture.
    """
    steps = len(log_probs)
    read = list(zip(prediction.characters, charset.encode(prediction.guess), strict=True))
    probs = np.exp(log_probs)
    classes = _classes_to_show(probs, [label_id for _, label_id in read])
    fonts = installed_fonts()
    names = [
        "blank" if class_id == BLANK else drawable(charset.decode([class_id]), fonts)
        for class_id in classes
    ]
    width = min(max(0.2 * steps, 8.0), 30.0)
    heights = [min(max(width * picture.height / picture.width, 0.8), 4.0), 0.24 * len(classes)]
    with any_characters():
        figure = new_figure(width, sum(heights) + 1.6)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=heights)
        title = f"{drawable(prediction.guess, fonts)}   confidence {prediction.confidence:.4f}"
        title += "   rejected" if prediction.rejected else ""
        figure.suptitle(title)
        above.imshow(picture, extent=(0, steps, 0, 1), aspect="auto", cmap="gray")
        above.set_yticks([])
        for character, label_id in read:
            _mark_span(above, character.start, character.end, names[classes.index(label_id)])
        shades = below.imshow(
            probs[:, classes].T,
            extent=(0, steps, len(classes), 0),
            aspect="auto",
            interpolation="nearest",
            cmap="Blues",
            vmin=0.0,
            vmax=1.0,
        )
        below.set_yticks(np.arange(len(classes)) + 0.5, names)
        below.set_xlabel("time step")
        figure.colorbar(shades, ax=[above, below], label="probability", pad=0.01)
        save_figure(figure, path)


def installed_fonts() -> list[str]:
    """Those of FONTS that this machine has; the first comes with matplotlib."""
    from matplotlib.font_manager import fontManager

    there = {font.name for font in fontManager.ttflist}
    return [name for name in FONTS if name in there]


def font_files(names: list[str]) -> list[str]:
    """Of each, the file whose weight is nearest to the usual one."""
    from matplotlib.font_manager import fontManager

    files = {}
    for name in names:
        own = [font for font in fontManager.ttflist if font.name == name]
        files[name] = min(own, key=lambda font: fontManager.score_weight(font.weight, 400)).fname
    return list(files.values())


def drawable(text: str, fonts: list[str]) -> str:
    """The text with an escape for each character that no font draws, and a mark for a space."""
    from matplotlib.font_manager import findfont, get_font

    faces = [get_font(findfont(font)) for font in fonts]

    def shown(character: str) -> str:
        if character == " ":
            return "␣"
        if character.isprintable() and any(face.get_char_index(ord(character)) for face in faces):
            return character
        return character.encode("unicode_escape").decode("ascii")

    return "".join(map(shown, text))


def _classes_to_show(probs: np.ndarray, label_ids: list[int], max_rivals: int = 6) -> list[int]:
    """The blank, what was read in its order, and the most probable of what else came near."""
    shown = list(dict.fromkeys([BLANK, *label_ids]))
    peaks = probs.max(axis=0)
    peaks[shown] = 0.0
    rivals = np.argsort(-peaks, kind="stable")[:max_rivals]
    return shown + [int(rival) for rival in rivals if peaks[rival] >= 0.05]


def _mark_span(axes: Axes, start: int, end: int, name: str) -> None:
    axes.axvspan(start, end, color="tab:orange", alpha=0.25, linewidth=0)
    axes.text(
        (start + end) / 2,
        1.02,
        name,
        transform=axes.get_xaxis_transform(),
        ha="center",
        va="bottom",
        fontsize=14 if len(name) == 1 else 8,
        rotation=0 if len(name) == 1 else 90,
    )


@contextmanager
def any_characters() -> Iterator[None]:
    """Inside, figures are made and saved with all fonts that there are, and text is only text."""
    import matplotlib

    # Without the second, a text with two dollar signs would be set as a formula.
    with matplotlib.rc_context({"font.family": installed_fonts(), "text.parse_math": False}):
        yield


def new_figure(width: float, height: float) -> Figure:
    """A figure of that many inches, drawn by Agg, which needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: str | Path) -> None:
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=110)
