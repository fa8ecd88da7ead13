"""serve.py as a process: older clients, its end, several of it, and what keeps it from starting."""

from __future__ import annotations

import codecs
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import requests
import uvicorn.main  # noqa: F401  (sys.modules has it; the name is a command)
from lively import scribble
from serving import encoded, files

import serve
from utils.errors import UserError
from utils.recognizer import Recognizer
from utils.serve import app
from utils.serve.options import ServeOptions

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def wait_for(address: str, process: subprocess.Popen[str]) -> None:
    """Until the service takes requests."""
    for _ in range(300):
        try:
            if httpx.get(address + "/readyz").status_code == 200:
                return
        except httpx.TransportError:
            assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    raise AssertionError(f"{address} is not ready after 30 s")


@contextmanager
def running(*words: object) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a service that is ready, and its process; it ends with this."""
    port = free_port()
    command = [sys.executable, "serve.py", "--port", str(port), "--num_threads", "1"]
    process = subprocess.Popen(
        [*command, *map(str, words)], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, process)
        yield address, process
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def test_the_older_client_is_answered_and_torch_is_not_needed(onnx: Path, tmp_path: Path):
    model = Path(shutil.copy(onnx, tmp_path))
    img = np.asarray(scribble(5))
    [wanted] = Recognizer.load(onnx, "cpu").read([img])
    with running("--model", model, "--log", "none") as (address, process):
        url = address + "/crnn"
        answer = requests.post(
            url, data={"img": codecs.encode(img.tobytes(), "base64"), "shape": [*img.shape]}
        )
        assert answer.status_code == 200
        assert answer.json()["text"] == wanted.text
        model.write_bytes(b"")  # what it reads with is in memory
        again = httpx.post(address + "/predict", files=files(encoded(5)))
        assert again.json()["results"][0]["text"] == wanted.text
        if sys.platform == "linux":
            maps = Path(f"/proc/{process.pid}/maps").read_text()
            assert "onnxruntime" in maps
            assert "libtorch" not in maps


def test_what_was_taken_before_sigterm_is_answered(onnx: Path):
    picture = encoded(1)
    with running("--model", onnx, "--log", "none") as (address, process):
        answers: list[int] = []
        started, go = threading.Semaphore(0), threading.Event()

        def ask() -> None:
            answers.append(send_slowly(address, picture, started, go))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert started.acquire(timeout=20)
        time.sleep(1.5)  # until their heads are read
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        go.set()
        for thread in threads:
            thread.join(30)
        assert answers == [200] * 8
        assert process.wait(20) in (0, -signal.SIGTERM)
        with pytest.raises(httpx.TransportError):
            httpx.get(address + "/healthz")


def send_slowly(
    address: str, picture: bytes, started: threading.Semaphore, go: threading.Event
) -> int:
    """The status of a request whose body arrives in two parts."""
    request = httpx.Request("POST", address + "/predict", files=files(*[picture] * 20))
    data, headers = request.read(), dict(request.headers)

    def parts() -> Iterator[bytes]:
        yield data[:100]
        started.release()
        go.wait(20)
        yield data[100:]

    headers.pop("content-length", None)
    return httpx.post(address + "/predict", content=parts(), headers=headers).status_code


@pytest.mark.skipif(os.name == "nt", reason="uvicorn has one process there")
def test_several_processes_tell_one_set_of_counts(onnx: Path):
    with running("--model", onnx, "--workers", "2", "--log", "none") as (address, _):
        for seed in range(12):
            with httpx.Client() as client:  # a connection of its own, to either process
                assert client.post(address + "/predict", files=files(encoded(seed))).is_success
        counts = httpx.get(address + "/metrics").text
    line = next(line for line in counts.splitlines() if line.startswith("crnn_pictures_total"))
    assert line == 'crnn_pictures_total{model="digits",outcome="read"} 12.0'


def test_a_process_that_finds_another_model_says_so_and_is_not_started_again(
    onnx: Path, tmp_path: Path, monkeypatch, capsys
):
    model = Path(shutil.copy(onnx, tmp_path))
    options = ServeOptions((str(model),), device="cpu")
    monkeypatch.setenv(app.OPTIONS, "")
    app.hand_over(options)
    assert app.from_environment().title
    model.write_bytes(model.read_bytes()[:-1])
    with pytest.raises(SystemExit) as ended:
        app.from_environment()
    assert ended.value.code == sys.modules["uvicorn.main"].STARTUP_FAILURE
    assert "a model file has changed since the service started" in capsys.readouterr().err


def test_what_keeps_it_from_starting(onnx: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("uvicorn.run", lambda *_, **__: pytest.fail("it started"))
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(onnx.read_bytes()[:500])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(UserError, match=f"--port {port}: cannot listen on 127.0.0.1:{port}"):
            serve.main(["--model", str(onnx), "--port", port])
    free = ["--port", str(free_port())]
    with pytest.raises(UserError, match=r"bad\.onnx: (truncated|an ONNX file, but not)"):
        serve.main(["--model", str(bad), *free])
    for words, sentence in (
        (["--model", "gone.onnx"], "--model gone.onnx: no such file"),
        (["--model", str(onnx), str(onnx)], "--model: digits is given twice"),
        (["--horizontal", str(onnx)], "--horizontal and --vertical go together"),
        (["--max_held_bytes", "9"], "--max_held_bytes 9: less than --max_bytes"),
        (["--host", "no.such.host.invalid"], "--host no.such.host.invalid: no address of"),
        (["--queue_size", "3"], "--queue_size 3: less than --max_files 64"),
        (["--port", "70000"], "--port 70000"),
    ):
        with pytest.raises(UserError, match=sentence):
            serve.main([*free, *words])
    monkeypatch.setattr(serve, "PACKAGES", ("fastapi_that_is_not_there",))
    with pytest.raises(UserError, match=r"pip install -r requirements-serve\.txt"):
        serve.main(["--model", str(onnx), *free])
