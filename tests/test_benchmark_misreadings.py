"""benchmarks.misreadings: wrong texts by kind, of readers whose errors are known."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmark_tables import run
from PIL import Image

from benchmarks import misreadings
from utils.errors import UserError
from utils.recognizer import Prediction, Recognizer

LABELS = ["vO12", "Xz34", "abcde", "fghij", "kmnpq"]
GOOD = ["VO12", "Xz34", "abcde", "fghij", "kmnpq"]
POOR = ["V012", "XZ3", "abCde", "fghiR", "kmnpq"]


def reading(name: str, texts: list[str]) -> misreadings.Reading:
    predictions = [Prediction(text, 0.9 - 0.1 * place) for place, text in enumerate(texts)]
    return misreadings.Reading(name, predictions, LABELS)


BOTH = [reading("good", GOOD), reading("poor", POOR)]


def test_accuracy_with_alike_characters_as_one() -> None:
    good, poor = misreadings.accuracy_rows(BOTH)
    assert good == ["good", "80.00 (± 35.06)", *["100.00 (± 0.00)"] * 2, "95.65"]
    assert [cell.split(" ")[0] for cell in poor[:4]] == ["poor", "20.00", "40.00", "60.00"]


def test_accuracy_by_length() -> None:
    assert misreadings.length_rows(BOTH) == [
        ["4", "2", "50.00 / 100.00", "0.00 / 50.00"],
        ["5", "3", "100.00 / 100.00", "33.33 / 66.67"],
    ]


def test_wrong_texts_by_kind() -> None:
    assert misreadings.error_rows(BOTH) == [
        ["a character too few or too many", "0", "1"],
        ["another character taken for another", "0", "1"],
        ["only alike characters taken for each other", "1", "2"],
        ["wrong with every model", "1", "1"],
    ]


def test_confusions_inside_each_group() -> None:
    rows = {row[0]: row[1:] for row in misreadings.alike_rows(BOTH)}
    assert rows["v/V"] == ["1", "1 (100.00 %)", "1 (100.00 %)"]
    assert rows["0/O/o"] == ["1", "0 (0.00 %)", "1 (100.00 %)"]
    assert "w/W" not in rows  # there is none to be taken for another


def test_no_character_looks_like_two() -> None:
    characters = "".join(misreadings.ALIKE)
    assert len(set(characters)) == len(characters)


def test_the_figure_shows_the_surest_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / f"{place}.png" for place in range(len(LABELS))]
    for file in files:
        Image.new("RGB", (160, 60)).save(file)
    sheets: list[tuple[list[str], int]] = []
    monkeypatch.setattr(
        misreadings, "write_contact_sheet",
        lambda path, pictures, captions, columns: sheets.append((captions, columns)),
    )  # fmt: skip
    monkeypatch.setattr(misreadings, "SHOWN", 1)
    misreadings.draw_figure("figure.png", BOTH[1], files)
    ((captions, columns),) = sheets
    assert columns == 1
    assert captions == ["abcde\nread: abCde\n0.70", "Xz34\nread: XZ3\n0.80"]
    with pytest.raises(UserError, match="too few errors to show"):
        misreadings.draw_figure("figure.png", reading("right", LABELS), files)


def test_misreadings(tiny_checkpoint: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    def read(self: Recognizer, images: list[Path]) -> list[Prediction]:
        return [Prediction("00", 0.5)] * len(images)

    monkeypatch.setattr(Recognizer, "read", read)
    figure = tmp_path / "errors.png"
    accuracy, lengths, errors, alike = run(
        misreadings.main, "misreadings", capsys, "--model_path", str(tiny_checkpoint), "--n", "9",
        "--charset", "digits", "--min_length", "2", "--max_length", "3", "--figure", str(figure),
    )  # fmt: skip
    assert accuracy["tiny model/best.pth"][0] == "0.00 (± 0.00)"
    assert {"2", "3"} <= set(lengths)
    assert set(errors) > {"another character taken for another"}
    assert set(alike) > {"0/O/o"}
    assert figure.read_bytes().startswith(b"\x89PNG")
