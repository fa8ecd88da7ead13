"""benchmarks.looks: statistics of drawn shapes are known, and both renderers are measured alike."""

from __future__ import annotations

import numpy as np
import pytest
from benchmark_tables import run
from PIL import Image

from benchmarks import looks
from benchmarks.pictures import recipe_of
from utils.synth.captcha import CaptchaRenderer


def drawn(*boxes: tuple[slice, slice], level: int = 200) -> looks.Looks:
    """One picture of 60 x 160 with these boxes of ink on paper of level 250."""
    picture = np.full((1, 60, 160), 250, np.uint8)
    for rows, columns in boxes:
        picture[0, rows, columns] = level
    return looks.Looks([], picture, picture)


BAR = (slice(10, 50), slice(20, 25))


def test_statistics_of_bars():
    two = drawn(BAR, (slice(10, 50), slice(100, 105)))
    assert looks.ink_share(two)[0] == pytest.approx(100 * 400 / 9600)
    assert looks.text_width(two)[0] == 85
    assert looks.stroke_width(two)[0] == pytest.approx(2 * 200 / 90)
    assert looks.mean_level(two)[0] == pytest.approx(250 - 50 * 400 / 9600)
    assert looks.num_levels(two)[0] == 2
    assert looks.contrast(drawn())[0] == 0
    assert looks.png_size(drawn())[0] < looks.png_size(two)[0]


def test_paper_has_no_ink_and_no_width():
    assert looks.ink_share(drawn(BAR, level=250 - looks.DARKER))[0] == 0
    assert looks.text_width(drawn())[0] == 0
    assert looks.stroke_width(drawn())[0] == 0


def test_ink_up_to_the_edge_has_a_perimeter_there():
    assert looks.stroke_width(drawn((slice(0, 60), slice(0, 4))))[0] == pytest.approx(480 / 128)


def test_difference_of_means_stands_beside_chance():
    package, fast = np.array([9.0, 11.0] * 50), np.array([10.0, 12.0] * 50)
    assert looks.compared(package, fast) == ["10.00 (1.00)", "11.00 (1.00)", "+10.0 % (± 2.8)"]
    assert looks.compared(package, package - 1e-6)[2].startswith("+0.0 %")


@pytest.mark.parametrize("draw", [looks.package_looks, looks.fast_looks])
def test_letters_are_those_of_the_picture_without_scribbles(draw):
    found = draw(recipe_of("digits", 2, 3), 40, 0)
    assert found.pictures.shape == found.letters.shape == (40, 60, 160)
    assert np.array_equal(np.asarray(found.shown[3].convert("L")), found.pictures[3])
    assert (found.pictures <= found.letters.astype(int) + 1).mean() > 0.99  # they only add ink
    added = found.pictures.astype(int) != found.letters
    assert (added.mean(axis=(1, 2)) > 0.02).all()
    assert added.mean() < 0.2


def test_the_packages_pictures_are_its_own():
    recipe = recipe_of("digits", 2, 3)
    found = looks.package_looks(recipe, looks.SHOWN, 7)
    picture, _ = CaptchaRenderer(recipe).draw(7, "looks", 1)
    assert found.shown[1].tobytes() == picture.tobytes()


def test_table_and_figure(tmp_path, capsys):
    figure = tmp_path / "a figure.png"
    (table,) = run(looks.main, "looks", capsys, "--n", "40", "--figure", str(figure))
    assert list(table)[2:] == list(looks.STATISTICS)
    assert {len(cells) for cells in table.values()} == {3}
    with Image.open(figure) as picture:
        assert picture.width > 7 * 160
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 1000
