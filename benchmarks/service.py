"""Requests a second of the service: with and without batches of many requests, and what bounds it.

  pip install -r requirements-dev.txt
  python export.py checkpoints/captcha62-light.safetensors --output_path output/light.onnx
  python -m benchmarks.service --model_path output/light.onnx

`--clients` connections on loopback each send a picture, wait for its text, and send the next. The
services, and an endpoint that takes the same requests and reads nothing (`echo`), are processes of
their own, one at a time, in turn. `offline`: the same pictures, read from memory in batches, and no
service. What both allow together, one after the other on the same cores: 1 / (1 / offline +
1 / echo). Every text is compared with the one that was read offline.
"""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.pictures import draw_folder, recipe_of
from benchmarks.report import Report, ratio
from utils.checkpoint import SHIPPED_MODEL
from utils.errors import UserError, run_script
from utils.options import option, parse

if TYPE_CHECKING:
    from utils.recognizer import Recognizer

ROOT = Path(__file__).parent.parent
BOUNDARY = "a-part-of-the-request"
WITH, WITHOUT, ECHO = "batches", "one at a time", "echo"
PATIENCE = 60
"""Seconds that an answer may take before the measurement is given up."""

SERVE = [sys.executable, "serve.py", "--log", "none"]


@dataclass(frozen=True)
class Options:
    model_path: str = option(str(SHIPPED_MODEL), "checkpoint or .onnx file to serve")
    clients: int = option(64, "connections", above=0)
    seconds: float = option(10.0, "of each measurement", above=0)
    rounds: int = option(3, "rounds, each of which measures everything", above=0)
    num_samples: int = option(200, "pictures that are sent", above=0)
    num_threads: int = option(1, "threads of the network", above=0)
    output: str | None = option(None, "Markdown file to write the table to")
    config: str | None = option(None, "TOML recipe that presets flags")


@dataclass
class Load:
    """What clients saw: seconds of each answer, by client; texts that are not the offline ones."""

    took: list[list[float]]
    wrong: int = 0
    failed: int = 0
    seconds: float = 1.0

    @property
    def rate(self) -> float:
        return sum(map(len, self.took)) / self.seconds

    def quantile(self, share: float) -> float:
        """Milliseconds."""
        ordered = sorted(each for client in self.took for each in client)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    @property
    def starved(self) -> float:
        """Answers of the client with the fewest, as a share of the median client's."""
        counts = [len(client) for client in self.took]
        return min(counts) / max(1, statistics.median(counts))


def echo() -> Any:
    """The application that reads no picture."""
    from fastapi import FastAPI
    from fastapi.responses import JSONResponse

    async def predict(request):
        form = await request.form()
        data = [await file.read() for file in form.getlist("files")]
        await form.close()
        return JSONResponse({"results": [{"text": "", "bytes": len(each)} for each in data]})

    app = FastAPI()
    app.add_route("/predict", predict, methods=["POST"])
    return app


@contextmanager
def running(command: list[str], port: int) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None:
                raise UserError(f"{' '.join(command)}: ended with {process.returncode}")
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait(30)


def request_of(data: bytes) -> bytes:
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    ).encode()
    body = head + data + f"\r\n--{BOUNDARY}--\r\n".encode()
    return (
        "POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body; TimeoutError after PATIENCE seconds."""
    async with asyncio.timeout(PATIENCE):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        return int(head.split(b" ", 2)[1]), await reader.readexactly(length)


async def send_all(
    port: int, requests: Sequence[bytes], texts: Sequence[str] | None, clients: int, seconds: float
) -> Load:
    load = Load([[] for _ in range(clients)])
    ends = time.perf_counter() + seconds

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        place = number
        while (started := time.perf_counter()) < ends:
            place = (place + 7) % len(requests)
            writer.write(requests[place])
            status, body = await answer(reader)
            load.took[number].append(time.perf_counter() - started)
            if status != 200:
                load.failed += 1
            elif texts and json.loads(body)["results"][0]["text"] != texts[place]:
                load.wrong += 1
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(clients)))
    load.seconds = time.perf_counter() - started
    return load


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def measure(way: str, options: Options, requests: list[bytes], texts: list[str]) -> Load:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", "benchmarks.service:echo",
               "--log-level", "warning", "--no-access-log", "--port", str(port)]  # fmt: skip
    if way != ECHO:
        command = [*SERVE, "--port", str(port), "--model", options.model_path]
        command += ["--num_threads", str(options.num_threads), "--device", "cpu"]
        command += ["--max_batch", "1"] * (way == WITHOUT)
    known = None if way == ECHO else texts
    with running(command, port):
        asyncio.run(send_all(port, requests, None, options.clients, min(2, options.seconds)))
        return asyncio.run(send_all(port, requests, known, options.clients, options.seconds))


def drawn_and_read(
    model_path: str, num_threads: int, count: int
) -> tuple[list[bytes], list[str], Recognizer]:
    """Captchas as PNG, what is read of them offline, and with what."""
    from utils.reading_options import load_reader

    reader = load_reader(Path(model_path), "cpu", num_threads)
    with tempfile.TemporaryDirectory() as folder:
        drawn = draw_folder(Path(folder), recipe_of("alnum62", 4, 8), count, 0)
        pictures = [path.read_bytes() for path, _ in drawn]
    return pictures, [found.text for found in reader.read(pictures)], reader


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    report = Report("service", argv, options.output, ["fastapi", "uvicorn", "onnxruntime"])
    pictures, texts, reader = drawn_and_read(
        options.model_path, options.num_threads, options.num_samples
    )
    requests = [request_of(data) for data in pictures]
    loads: dict[str, list[Load]] = {WITH: [], WITHOUT: [], ECHO: []}
    offline: list[float] = []
    for _ in range(options.rounds):
        started = time.perf_counter()
        reader.read(pictures)
        offline.append(len(pictures) / (time.perf_counter() - started))
        for way, found in loads.items():
            found.append(measure(way, options, requests, texts))
    rates = {way: [load.rate for load in found] for way, found in loads.items()}
    rows = [["offline", f"{statistics.median(offline):,.0f}", "", "", "", "", ""]]
    for way, found in loads.items():
        rows.append([
            way, f"{statistics.median(rates[way]):,.0f}", ratio(rates[way], rates[WITHOUT]),
            *(f"{statistics.median(load.quantile(q) for load in found):.1f}" for q in (0.5, 0.99)),
            f"{min(load.starved for load in found):.2f}",
            str(sum(load.wrong + load.failed for load in found)),
        ])  # fmt: skip
    report.print(
        f"\n{options.clients} clients, {options.num_threads} threads, n = {options.rounds} rounds "
        f"of {options.seconds:g} s, in turn"
    )
    report.table(
        ["what", "pictures/s (median)", "times one at a time (min to max)", "ms, median", "ms, p99",
         "least busy client", "wrong or failed"], rows,
    )  # fmt: skip
    allowed = [1 / (1 / a + 1 / b) for a, b in zip(offline, rates[ECHO], strict=True)]
    report.print(f"\nof what offline and echo allow together: {ratio(rates[WITH], allowed)}")
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
