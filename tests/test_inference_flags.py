"""inference.py's command line: flags that fight, flags without effect, help, odd consoles."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from lively import scribble, write_checkpoint

import inference
from utils.errors import UserError, run_script

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("flags", "sentences"),
    [
        ("", ["--mode single needs --image_path F, the picture to read"]),
        ("--image_dir d", ["the picture to read; for a folder add --mode batch"]),
        ("--mode batch", ["--mode batch needs --image_dir D, the folder of pictures"]),
        ("--mode batch --image_path f", ["for one picture leave out --mode batch"]),
        (
            "--mode evaluate --visualize --recursive --batch_size 0 --max_bad_rows -1",
            [
                "--batch_size 0: expected 1 or more",
                "--max_bad_rows -1: expected 0 or more",
                "--visualize goes with --mode single, not evaluate",
                "--recursive goes with --mode batch, not evaluate",
            ],
        ),
        ("--image_path f --recursive", ["--recursive goes with --mode batch, not single"]),
        ("--image_path f --output_path t.txt", ["--mode single writes .png; change its end"]),
        (
            "--mode batch --image_dir d --output_path t.json",
            ["--output_path t.json: --mode batch writes .tsv, .txt, .csv, .jsonl"],
        ),
        ("--mode evaluate --output_path t.csv", ["--mode evaluate writes .txt, .json, .md"]),
        ("--mode evaluate --output_path .", ["--output_path .: it is a folder"]),
        ("--mode evaluate --split tests", ["--split tests: expected one of train, val, test"]),
        ("--mode evaluate --num_threads 0", ["--num_threads 0: expected 1 or more"]),
    ],
)
def test_flags_that_fight_are_told_at_once(flags: str, sentences: list[str]):
    with pytest.raises(UserError) as error:
        inference.main(flags.split())
    lines = str(error.value).splitlines()
    assert len(lines) == len(sentences)
    for line, sentence in zip(lines, sentences, strict=True):
        assert sentence in line


@pytest.mark.parametrize(
    ("flags", "idle"),
    [
        ("--mode single", ["image_dir d", "batch_size 8", "split val", "output_path r.png"]),
        ("--mode batch --image_dir {folder}", ["image_path f", "data_root d", "max_bad_rows 1"]),
        ("--mode evaluate --data_root {data}", ["image_path f", "image_dir d"]),
    ],
)
def test_flags_without_effect_are_named(
    flags: str,
    idle: list[str],
    tiny_checkpoint: Path,
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    pictures = tiny_data / "test"
    words = [word.format(folder=pictures, data=tiny_data) for word in flags.split(" ")]
    if "single" in words:
        words += ["--image_path", str(pictures / "000.png")]
    for flag in idle:
        name, value = flag.split()
        words += [f"--{name}", value]
    assert inference.main(["--model_path", str(tiny_checkpoint), "--num_threads", "1", *words]) == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == len(idle)
    for flag in idle:
        assert any(f"--{flag.split()[0]} has no effect" in line for line in warnings)


def test_text_that_the_console_cannot_show_is_escaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model = write_checkpoint(tmp_path / "m.pth", "天地玄黄")
    scribble(0).save(tmp_path / "p.png")
    words = ["--model_path", str(model), "--image_path", str(tmp_path / "p.png")]
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, "ascii"))
    assert (
        run_script(lambda: inference.main([*words, "--device", "cpu", "--num_threads", "1"])) == 0
    )
    sys.stdout.flush()
    assert printed.getvalue().startswith(b"text: \\u")


@pytest.mark.parametrize("script", ["inference", "convert_to_safetensors"])
def test_help_needs_no_torch(script: str):
    program = (
        f"import sys, {script}\n"
        f"try: {script}.main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "exit code" in done.stdout
