"""The service under a long load with bad requests in it: texts, answers, and memory.

  pip install -r requirements-dev.txt
  python -m benchmarks.soak --model_path output/light.onnx

Clients on loopback send `--count` requests in all. One in `--bad_every` is malformed: no picture, a
truncated one, one 30,000 pixels wide, a small file of 400 million pixels, broken JSON, a wrong
shape, an upload that halts for a while or for good, a connection that is dropped. Every text of a
good one is compared with what is read offline; memory is the resident set of the service after a
tenth of the requests, and at the end. Ends with code 2 for a wrong text, an answer of another
status than is right, more than 5 % refusals, or memory that grew by more than 5 %.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import Report
from benchmarks.service import SERVE, answer, drawn_and_read, free_port, request_of, running
from utils.checkpoint import SHIPPED_MODEL
from utils.errors import UserError, run_script
from utils.options import option, parse

MOST = 0.05
"""Share of refusals, and of memory that may be added."""

TIME_LIMIT = 3
"""Seconds of an upload that halts for good."""

WARM_UP = 0.1
"""Share of the requests after which memory is looked at first."""


@dataclass(frozen=True)
class Options:
    model_path: str = option(str(SHIPPED_MODEL), "checkpoint or .onnx file to serve")
    count: int = option(100_000, "requests", above=0)
    clients: int = option(64, "connections", above=0)
    bad_every: int = option(20, "of so many requests, one is malformed", least=2)
    num_samples: int = option(200, "pictures that are sent", above=0)
    num_threads: int = option(1, "threads of the network", above=0)
    output: str | None = option(None, "Markdown file to write the table to")
    config: str | None = option(None, "TOML recipe that presets flags")

    def problems(self) -> list[str]:
        return [] if sys.platform == "linux" else ["memory is read from /proc, which Linux has"]


def post(path: str, kind: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
    return (head + f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def bad_requests(good: bytes) -> dict[str, tuple[bytes, tuple[int, ...]]]:
    """By name: a request, and the statuses that are right for it."""
    from PIL import Image

    def picture(width: int, height: int) -> bytes:
        file = io.BytesIO()
        Image.new("1", (width, height), 1).save(file, "PNG")
        return file.getvalue()

    form = "application/x-www-form-urlencoded"
    return {
        "no picture": (request_of(b"nothing of the kind"), (422,)),
        "truncated": (request_of(good[: len(good) // 2]), (422,)),
        "30,000 wide": (request_of(picture(30_000, 40)), (200,)),
        "a bomb": (request_of(picture(20_000, 20_000)), (422,)),
        "broken JSON": (post("/crnn", "application/json", b'{"img": '), (400,)),
        "wrong shape": (post("/crnn", form, b"img=AAAA&shape=7&shape=9"), (422,)),
    }


class Soak:
    """What is sent, and what came back."""

    def __init__(self, options: Options, port: int, pid: int, pictures: list[bytes], texts):
        self.options, self.port, self.pid = options, port, pid
        self.good = [request_of(data) for data in pictures]
        self.texts, self.bad = texts, bad_requests(pictures[0])
        self.kinds = [*self.bad, "resumes", "halts", "dropped"]
        self.seen: Counter[tuple[str, int]] = Counter()
        self.wrong, self.sent, self.early = 0, 0, 0

    async def client(self) -> None:
        connection = None
        while self.sent < self.options.count:
            number = self.sent
            self.sent += 1
            if number == int(self.options.count * WARM_UP):
                self.early = memory(self.pid)
            if connection is None:
                connection = await asyncio.open_connection("127.0.0.1", self.port)
            if number % self.options.bad_every:
                keep = await self.send_good(connection, number % len(self.good))
            else:
                kind = self.kinds[number // self.options.bad_every % len(self.kinds)]
                keep = await self.send_bad(connection, kind)
            if not keep:
                connection[1].close()
                connection = None
        if connection is not None:
            connection[1].close()

    async def send_good(self, connection, place: int) -> bool:
        reader, writer = connection
        writer.write(self.good[place])
        status, body = await answer(reader)
        self.seen["good", status] += 1
        if status == 200:
            self.wrong += json.loads(body)["results"][0]["text"] != self.texts[place]
        return status == 200

    async def send_bad(self, connection, kind: str) -> bool:
        reader, writer = connection
        request = self.bad[kind][0] if kind in self.bad else self.good[0]
        half = len(request) if kind in self.bad else len(request) // 2
        writer.write(request[:half])
        await writer.drain()
        if kind == "dropped":
            self.seen[kind, 0] += 1
            return False
        if kind == "resumes":
            await asyncio.sleep(0.3)
            writer.write(request[half:])
        status, _ = await answer(reader)
        self.seen[kind, status] += 1
        return status == 200

    def unexpected(self) -> int:
        """Answers of another status than is right; 503 is right for all that is sent in full."""
        right = {kind: statuses for kind, (_, statuses) in self.bad.items()}
        right |= {"good": (200,), "resumes": (200,), "halts": (408,), "dropped": (0,)}
        return sum(n for (kind, s), n in self.seen.items() if s not in (*right[kind], 503))


def memory(pid: int) -> int:
    """Bytes of the resident set."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


async def soak(load: Soak) -> float:
    """Seconds."""
    started = time.perf_counter()
    await asyncio.gather(*(load.client() for _ in range(load.options.clients)))
    return time.perf_counter() - started


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    report = Report("soak", argv, options.output, ["fastapi", "uvicorn", "onnxruntime"])
    pictures, texts, _ = drawn_and_read(
        options.model_path, options.num_threads, options.num_samples
    )
    port = free_port()
    command = [*SERVE, "--port", str(port), "--model", options.model_path, "--device", "cpu"]
    command += ["--num_threads", str(options.num_threads), "--time_limit", str(TIME_LIMIT)]
    with running(command, port) as process:
        load = Soak(options, port, process.pid, pictures, texts)
        seconds = asyncio.run(soak(load))
        late = memory(process.pid)
    report.print(f"\n{options.count:,} requests of {options.clients} clients in {seconds:,.0f} s")
    rows = [[kind, str(s or "none"), f"{n:,}"] for (kind, s), n in sorted(load.seen.items())]
    report.table(["request", "status", "how many"], rows)
    grown = late / load.early - 1
    report.print(
        f"\nwrong texts {load.wrong}, unexpected answers {load.unexpected()}; memory "
        f"{load.early / 1e6:,.0f} -> {late / 1e6:,.0f} MB ({grown:+.1%})"
    )
    report.save()
    refused = sum(n for (_, status), n in load.seen.items() if status == 503) / options.count
    if load.wrong or load.unexpected() or refused > MOST or grown > MOST:
        raise UserError(
            f"wrong texts, other answers, {refused:.1%} refusals, or {grown:+.1%} memory: see above"
        )
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
