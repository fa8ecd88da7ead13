"""The two pictures for people: whole PNGs, in the right places, without display or warning."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from utils.errors import UserError
from utils.recognizer import Prediction
from utils.show import plots
from utils.text.charset import Charset
from utils.text.reading import Decoder

pytestmark = pytest.mark.filterwarnings("error", "ignore::DeprecationWarning")

HISTORY = [
    {
        "epoch": float(epoch),
        "pictures": 100.0 * epoch,
        "loss": 3.0 / epoch,
        "val_loss": 3.5 / epoch,
        "sequence_accuracy": 0.1 * epoch,
        "sequence_accuracy_ignoring_case": 0.2 * epoch,
        "character_accuracy": 0.3 * epoch,
        "lr": 10.0**-epoch,
        "blank_share": 0.5,
        "seconds": 1.0,
    }
    for epoch in (1, 2, 3)
]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that were saved, to look at what they show."""
    saved: list[Any] = []
    save = plots.save_figure

    def save_and_keep(figure, path):
        saved.append(figure)
        save(figure, path)

    monkeypatch.setattr(plots, "save_figure", save_and_keep)
    return saved


def log_probs_of(path: list[int], classes: int) -> np.ndarray:
    """(T, C) that put 0.9 on each class of the path."""
    probs = np.full((len(path), classes), 0.1 / (classes - 1))
    probs[np.arange(len(path)), path] = 0.9
    return np.log(probs)


def read(charset: Charset, log_probs: np.ndarray, confidence: float) -> Prediction:
    lengths = np.array([len(log_probs)])
    [found] = Decoder(charset).read(log_probs[None], lengths, characters=True)
    return Prediction(found.text, confidence, guess=found.text, characters=found.characters)


def test_curves_show_each_column(tmp_path: Path, figures: list[Any]):
    plots.plot_curves(HISTORY, tmp_path / "run 1" / "curves.png")
    Image.open(tmp_path / "run 1" / "curves.png").load()
    lines = {
        (axes.get_title(), line.get_label()): list(line.get_ydata())
        for axes in figures[0].axes
        for line in axes.lines
    }
    columns = {
        ("loss", "train"): "loss",
        ("loss", "val"): "val_loss",
        ("accuracy on val", "sequence"): "sequence_accuracy",
        ("accuracy on val", "sequence, ignoring case"): "sequence_accuracy_ignoring_case",
        ("accuracy on val", "character"): "character_accuracy",
        ("learning rate", "learning rate"): "lr",
    }
    assert lines == {key: [row[name] for row in HISTORY] for key, name in columns.items()}
    assert figures[0].axes[2].get_yscale() == "log"


@pytest.mark.parametrize(
    "history",
    [[], HISTORY[:1], [{"epoch": 1.0, "loss": float("nan"), "lr": 0.0}]],
    ids=["none", "one epoch", "nothing finite"],
)
def test_curves_of_little_history(history: list[dict[str, float]], tmp_path: Path):
    plots.plot_curves(history, tmp_path / "curves.png")
    Image.open(tmp_path / "curves.png").load()


def test_reading_marks_each_character_where_it_was_read(tmp_path: Path, figures: list[Any]):
    charset = Charset("abc")
    log_probs = log_probs_of([0, 1, 1, 0, 3, 0, 1, 1], 4)
    reading = read(charset, log_probs, 0.4321)
    plots.plot_reading(
        Image.new("RGB", (32, 12)), log_probs, charset, reading, tmp_path / "reading.png"
    )
    Image.open(tmp_path / "reading.png").load()
    above, below = figures[0].axes[:2]
    marks = [(text.get_text(), text.get_position()[0]) for text in above.texts]
    assert marks == [("a", 2.0), ("c", 4.5), ("a", 7.0)]
    assert [label.get_text() for label in below.get_yticklabels()] == ["blank", "a", "c"]
    shown = below.images[0].get_array()
    np.testing.assert_allclose(shown, np.exp(log_probs).T[[0, 1, 3]], atol=1e-6)
    assert above.images[0].get_extent()[:2] == below.images[0].get_extent()[:2] == [0, 8]
    assert "0.4321" in figures[0].get_suptitle()


def test_reading_shows_the_rival_of_a_character(tmp_path: Path, figures: list[Any]):
    log_probs = np.log([[0.9, 0.05, 0.03, 0.02], [0.1, 0.5, 0.01, 0.39]])
    charset, picture = Charset("vwV"), Image.new("L", (8, 8))
    reading = read(charset, log_probs, 0.5)
    plots.plot_reading(picture, log_probs, charset, reading, tmp_path / "r.png")
    labels = [label.get_text() for label in figures[0].axes[1].get_yticklabels()]
    assert labels == ["blank", "v", "V"]


def test_characters_that_no_font_has_are_escaped(
    tmp_path: Path, figures: list[Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(plots, "FONTS", ("DejaVu Sans",))
    charset = Charset("中_$\t é")
    text = "中$_$\t é"
    path = [step for label_id in charset.encode(text) for step in (label_id, 0)]
    log_probs = log_probs_of(path, charset.num_classes)
    reading = read(charset, log_probs, 0.5)
    assert reading.guess == text
    plots.plot_reading(Image.new("L", (60, 20)), log_probs, charset, reading, tmp_path / "r.png")
    marks = [mark.get_text() for mark in figures[0].axes[0].texts]
    assert marks == ["\\u4e2d", "$", "_", "$", "\\t", "␣", "é"]
    assert not any(mark.get_parse_math() for mark in figures[0].axes[0].texts)


def test_a_rejected_reading_says_so(tmp_path: Path, figures: list[Any]):
    charset, log_probs = Charset("ab"), log_probs_of([0, 1, 0], 3)
    reading = replace(read(charset, log_probs, 0.2), text="", rejected=True)
    plots.plot_reading(Image.new("L", (9, 9)), log_probs, charset, reading, tmp_path / "r.png")
    assert figures[0].get_suptitle() == "a   confidence 0.2000   rejected"
    assert [mark.get_text() for mark in figures[0].axes[0].texts] == ["a"]


def test_nothing_read_is_drawn_too(tmp_path: Path):
    log_probs = log_probs_of([0, 0, 0], 3)
    charset = Charset("ab")
    nothing = read(charset, log_probs, 0.9)
    plots.plot_reading(Image.new("L", (1, 1)), log_probs, charset, nothing, tmp_path / "r.png")
    Image.open(tmp_path / "r.png").load()


def test_a_folder_in_the_way_is_told(tmp_path: Path):
    with pytest.raises(UserError, match="it is a folder"):
        plots.plot_curves(HISTORY, tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_display_is_asked_for(tmp_path: Path):
    program = (
        "import sys\n"
        "from utils.show.plots import plot_curves\n"
        "assert 'matplotlib' not in sys.modules, 'matplotlib is imported late'\n"
        "plot_curves([{'epoch': 1.0, 'loss': 1.0, 'lr': 0.1}], sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", program, tmp_path / "c.png"], cwd=root, check=True)
    assert (tmp_path / "c.png").is_file()
