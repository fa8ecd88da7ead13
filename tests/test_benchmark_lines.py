"""Benchmarks of lines and of large heads."""

from __future__ import annotations

from benchmark_tables import run

from benchmarks import heads, lines
from tests.small_fonts import font_file
from utils.text.charset import PRESETS


def test_lines_beside_a_pillow_loop(tmp_path, capsys):
    font = font_file(tmp_path / "digits.ttf", PRESETS["digits"])
    flags = ["--fonts", font, "--charset", "digits", "--rounds", "1", "--count", "8"]
    [table] = run(lines.main, "lines", capsys, *flags, "--warm_up", "4")
    assert list(table)[2:] == [
        lines.LOOP, lines.KEPT, "ours, grey", "ours, grey, vertical", "ours, RGB",
    ]  # fmt: skip
    assert table[lines.LOOP][1] == "1.00 (1.00 to 1.00)"


def test_large_heads(capsys):
    flags = ["--rounds", "1", "--batches", "1", "--batch_size", "2", "--width", "64"]
    flags += ["--num_classes", "1500", "--head_sizes", "0", "24"]
    [table] = run(heads.main, "heads", capsys, *flags)
    names = [f"{way}, --head_size {size}" for size in (0, 24) for way in ("whole", "steps")]
    assert list(table)[2:] == names
    weights = [int(table[name][0].replace(",", "")) for name in names]
    assert weights[0] == weights[1] > weights[2] == weights[3]
