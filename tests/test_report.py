"""The folder that a report is, and the comparison of two readers."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_case import READ, Page, evaluation_of

from utils.errors import UserError
from utils.metrics import wilson_interval
from utils.show.comparison import Comparison
from utils.show.report import FILES, MOST_SHOWN, check_report_folder, write_report
from utils.text.alike import Alike


def test_a_report_is_whole(tmp_path: Path, pictures: list[Path]):
    page = write_report(evaluation_of(READ), pictures, tmp_path / "my report")
    assert page == tmp_path / "my report" / "report.html"
    assert {path.name for path in page.parent.iterdir()} == set(FILES)
    for name in FILES:
        if name.endswith(".png"):
            Image.open(page.parent / name).load()


def test_the_page_asks_for_nothing(tmp_path: Path, pictures: list[Path]):
    text = write_report(evaluation_of(READ), pictures, tmp_path / "r").read_text(encoding="utf-8")
    shown = Page(text)
    assert len(shown.images) == 5 + 3  # plots, and the wrong cases
    assert all(str(image["src"]).startswith("data:image/") for image in shown.images)
    assert all(image["alt"] for image in shown.images)
    assert not re.search(r"https?://|src=\"[^d]|@import|url\(", text)
    assert "<script" not in text


def test_the_page_names_errors_and_figures(tmp_path: Path, pictures: list[Path]):
    evaluation = evaluation_of(READ, alike=Alike(("dD",)))
    shown = Page(write_report(evaluation, pictures, tmp_path).read_text(encoding="utf-8"))
    for words in ("How a <model>.pth reads data", "25.00% (95 %:", "with dD as one each", "'&'",
                  "nothing", "Wrong with the highest confidence, alike characters last (3 of 3)",
                  "confidence 0.8000", "test/3.png", "京"):  # fmt: skip
        assert words in shown.text, words
    assert shown.text.index("test/2.png") < shown.text.index("test/1.png")  # d and D count as one
    assert "test/0.png" not in shown.text


def test_large_pictures_are_made_smaller(tmp_path: Path, pictures: list[Path]):
    shown = Page(write_report(evaluation_of(READ), pictures, tmp_path).read_text(encoding="utf-8"))
    assert {image["width"] for image in shown.images if "width" in image} == {"320"}


def test_a_gallery_has_an_end(tmp_path: Path, pictures: list[Path]):
    many = [("a", "b", 0.5)] * (MOST_SHOWN + 20)
    page = write_report(evaluation_of(many), pictures[:1] * len(many), tmp_path)
    text = page.read_text(encoding="utf-8")
    assert text.count('class="case"') == MOST_SHOWN
    assert f"({MOST_SHOWN} of {MOST_SHOWN + 20})" in text
    assert len((tmp_path / "errors.tsv").read_text("utf-8").splitlines()) == len(many) + 1


def test_a_page_of_noise_has_an_end_too(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 256, (320, 320, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    many = [("a", "b", 0.5)] * MOST_SHOWN
    page = write_report(evaluation_of(many), [tmp_path / "noise.png"] * MOST_SHOWN, tmp_path / "r")
    assert page.stat().st_size < 5e6
    assert 10 < page.read_text(encoding="utf-8").count('class="case"') < MOST_SHOWN


def test_figures_are_of_labels_as_the_reader_writes_them(tmp_path: Path, pictures: list[Path]):
    """One that ignores case is not wrong where the case is another."""
    read = [("aBc", "abc", 0.9), ("ABD", "abd", 0.8), ("x", "y", 0.2), ("q", "q", 0.9)]
    evaluation = evaluation_of(read, fold=str.lower)
    assert evaluation.score.sequence_accuracy == 0.75
    assert [case.file for case in evaluation.worst()] == ["test/2.png"]
    assert evaluation.reliability.error < 0.2
    assert "labels compared as this reader writes them: 2 change" in evaluation.to_text()
    assert "\nright by length  1: 50.0%, 3: 100.0%\n" in evaluation.to_text()
    assert "\nright by place  1: 75.0%, 2: 100.0%, 3: 100.0%\n" in evaluation.to_text()
    assert "\nleast often right  x 0.0%, a 100.0%" in evaluation.to_text()
    plain = evaluation_of([(label, label, 0.9) for label, _, _ in read])
    assert Comparison(evaluation, plain).counts["other"] == 1
    write_report(evaluation, pictures, tmp_path / "r")
    assert len((tmp_path / "r" / "errors.tsv").read_text("utf-8").splitlines()) == 2


def test_pictures_that_cannot_be_read_are_told(tmp_path: Path, pictures: list[Path]):
    pictures[2].write_bytes(b"no picture")
    shown = Page(write_report(evaluation_of(READ), pictures, tmp_path).read_text(encoding="utf-8"))
    assert len(shown.images) == 5 + 2


def test_nothing_wrong(tmp_path: Path, pictures: list[Path]):
    page = write_report(evaluation_of(READ[:1]), pictures[:1], tmp_path)
    assert "Nothing was wrong." in page.read_text(encoding="utf-8")
    assert (tmp_path / "errors.tsv").read_text("utf-8") == (
        "file\tlabel\ttext\tconfidence\tedits\terror\n"
    )


def test_errors_are_listed_the_surest_first(tmp_path: Path, pictures: list[Path]):
    write_report(evaluation_of(READ), pictures, tmp_path)
    rows = [line.split("\t") for line in (tmp_path / "errors.tsv").read_text("utf-8").splitlines()]
    assert rows[1:] == [
        ["test/1.png", "abd", "abD", "0.800000", "1", ""],
        ["test/2.png", "<b>&", "<b>", "0.700000", "1", ""],
        ["test/3.png", "京x", "京", "0.200000", "1", ""],
    ]


def test_metrics_say_it_all(tmp_path: Path, pictures: list[Path]):
    write_report(evaluation_of(READ, alike=Alike(("dD",))), pictures, tmp_path)
    found = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert found["metrics"]["n"] == 4
    length, place = found["by_length"]["3"], found["by_position"]["2"]
    assert (length["n"], length["right"], length["accuracy"]) == (2, 1, 0.5)
    assert length["interval_95"] == list(wilson_interval(1, 2))
    assert (place["n"], place["right"], place["accuracy"]) == (4, 3, 0.75)
    assert found["by_class"]["d"]["recall"] == 0.0
    assert found["alike"]["metrics"]["sequence_accuracy"] == 0.5
    assert found["coverage"][0] == {"answered": 1.0, "right": 0.25, "least_confidence": 0.2}
    assert sum(found["reliability"]["count"]) == 4
    assert "cases" not in found


def test_a_file_in_the_place_of_the_folder(tmp_path: Path):
    (tmp_path / "r").touch()
    with pytest.raises(UserError, match="it is a file; expected a folder"):
        check_report_folder(tmp_path / "r")
    check_report_folder(tmp_path / "new")


def test_what_is_left_with_alike_characters_as_one_comes_first(
    tmp_path: Path, pictures: list[Path]
):
    read = [("oa", "0a", 0.9), ("xy", "xz", 0.2), ("ab", "ab", 0.9), ("0x", "oz", 0.5)]
    evaluation = evaluation_of(read, alike=Alike.of("0oO"))
    assert [case.file for case in evaluation.worst()] == ["test/3.png", "test/1.png", "test/0.png"]
    told = evaluation.to_text()
    left = told.split("still confused, with those as one (label -> text, count):\n")[1]
    assert left.splitlines()[:3] == ["  'y' -> 'z'  1", "  'x' -> 'z'  1", ""]
    found = evaluation.metrics()["alike"]["confusions"]
    assert {(pair["label"], pair["text"]) for pair in found} == {("y", "z"), ("x", "z")}
    page = write_report(evaluation, pictures, tmp_path).read_text(encoding="utf-8")
    assert "Still confused, with 0oO as one each" in page


def test_pictures_on_the_page_are_pictures(tmp_path: Path, pictures: list[Path]):
    text = write_report(evaluation_of(READ), pictures, tmp_path).read_text(encoding="utf-8")
    for image in Page(text).images:
        content = base64.b64decode(str(image["src"]).split(",", 1)[1], validate=True)
        assert content[:4] in (b"\x89PNG", b"\xff\xd8\xff\xe0")
