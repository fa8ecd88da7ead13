"""The README's commands run as they are printed, in a copy of the project, on smaller sizes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from utils.checkpoint import SHIPPED_MODEL

ROOT = Path(__file__).parent.parent
REDUCED = {  # the only difference from what is printed: flags put behind each command
    "quick_start.py": "--num_samples 40 --num_epochs 1",
    "generate_data.py": "--num_samples 40",
    "train.py": "--num_epochs 1 --epoch_size 64",
    "export.py": "--num_pictures 8",
    "train.py --resume": "",  # it has the flags of the run that it goes on with
}
LEFT_OUT = ("-m pytest",)  # the command that is running


def blocks(language: str, name: str = "README.md") -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def python_commands() -> list[str]:
    """`python ...` of every bash block; of the two first ones, what follows the installation."""
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    commands = [re.sub(r"^.*\.venv/bin/python", "python", line) for line in lines]
    return [line for line in commands if not any(part in line for part in LEFT_OUT)]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, with no checkpoint but the one in git, in a folder with a space in its name."""
    target = tmp_path_factory.mktemp("readme") / "a copy"

    def made_here(folder: str, names: list[str]) -> list[str]:
        ours = {"data", "output", "checkpoints"} if Path(folder) == ROOT else set()
        return [name for name in names if name[0] == "." or name in {"__pycache__"} | ours]

    shutil.copytree(ROOT, target, ignore=made_here)
    shutil.copytree(ROOT / "examples", target / "my_pictures")
    (target / "checkpoints").mkdir()
    shutil.copy(SHIPPED_MODEL, target / "checkpoints")
    return target


def run(words: list[str], folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONIOENCODING": "utf-8"}
    result = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, f"{words}\n{result.stdout}\n{result.stderr}"


def test_every_command_runs_in_the_order_of_the_readme(copy: Path) -> None:
    commands = python_commands()
    assert len(commands) >= 8
    for command in commands:
        assert command.startswith("python "), command
        words = shlex.split(command)[1:]
        script = " ".join(words[:2]) if " ".join(words[:2]) in REDUCED else words[0]
        run(words + REDUCED.get(script, "").split(), copy)
    for made in (
        "output/quick_start.png",
        "output/first_look.png",
        "output/captcha_1_reading.png",
        "output/readings.csv",
        "output/report.json",
    ):
        assert (copy / made).stat().st_size > 0
    for snippet in blocks("python"):
        run(["-c", snippet], copy)


def test_both_readmes_print_the_same_commands() -> None:
    assert blocks("bash", "README.zh-CN.md") == blocks("bash")
    assert blocks("python", "README.zh-CN.md") == blocks("python")


def test_every_file_that_the_readmes_point_to_is_there() -> None:
    for name in ("README.md", "README.zh-CN.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
            assert (ROOT / link).exists(), f"{name}: {link}"


def test_ci_finds_the_test_command_in_the_readme() -> None:
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    assert sum(line.startswith("python -m venv") and line.endswith("pytest") for line in lines) == 1
