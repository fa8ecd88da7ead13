"""Heads of requests: bounded in bytes and in time, and the service goes on."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from urllib.parse import urlsplit

import httpx
import pytest
from serving import encoded, files
from test_serve_process import running

from utils.serve.heads import MAX_BYTES

START = b"GET /healthz HTTP/1.1\r\nHost: here\r\n"


@pytest.fixture(scope="module")
def address(onnx) -> Iterator[str]:
    with running("--model", onnx, "--log", "none", "--time_limit", "2.5") as (address, _):
        yield address
        answer = httpx.post(address + "/predict", files=files(encoded(1)))
        assert answer.status_code == 200  # after all of them


def connect(address: str) -> socket.socket:
    place = urlsplit(address)
    return socket.create_connection((place.hostname, place.port), timeout=10)


def answer_of(connection: socket.socket) -> tuple[int, dict]:
    """Status and JSON of what comes until the other side closes."""
    got = b""
    while part := connection.recv(65_536):
        got += part
    head, _, body = got.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def whole_answer(connection: socket.socket) -> bytes:
    got = b""
    while not got.endswith(b"}"):
        part = connection.recv(65_536)
        assert part, f"closed after {got!r}"
        got += part
    return got


@pytest.mark.parametrize("filling", [b"X-Filling: " + b"x" * 1000 + b"\r\n", b"x" * 1000])
def test_a_head_without_end_is_refused(address: str, filling: bytes):
    with closing(connect(address)) as connection:
        connection.sendall(START + b"X-First: ")
        sent = 0
        for _ in range(40 * MAX_BYTES // len(filling)):
            try:
                connection.sendall(filling)
            except ConnectionError:
                break
            sent += len(filling)
            if sent % 50_000 < len(filling):
                time.sleep(0.05)  # in several parts
        else:
            raise AssertionError("all of it was taken")
        assert sent < 25 * MAX_BYTES


def test_a_head_of_too_many_bytes_is_told_so(address: str):
    with closing(connect(address)) as connection:
        connection.sendall(START + b"X-First: ")
        time.sleep(0.3)
        connection.sendall(b"x" * (MAX_BYTES + 1))
        status, problem = answer_of(connection)
    assert (status, problem["code"]) == (431, "large_head")
    assert "over 65,536 bytes" in problem["message"]


def test_a_head_that_takes_too_long_is_told_so(address: str):
    started = time.monotonic()
    with closing(connect(address)) as connection:
        connection.sendall(START)
        status, problem = answer_of(connection)
    assert (status, problem["code"]) == (408, "slow_head")
    assert 2 < time.monotonic() - started < 9


def test_a_connection_on_which_nothing_is_said_is_closed(address: str):
    with closing(connect(address)) as connection:
        assert connection.recv(100) == b""


def test_a_second_request_of_a_connection_has_a_time_of_its_own(address: str):
    with closing(connect(address)) as connection:
        connection.sendall(START + b"\r\n")
        assert whole_answer(connection).startswith(b"HTTP/1.1 200")
        time.sleep(1.5)
        connection.sendall(START)
        time.sleep(1.5)
        connection.sendall(b"\r\n")  # within its time, after that of the first
        assert whole_answer(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(START)
        status, problem = answer_of(connection)
    assert (status, problem["code"]) == (408, "slow_head")


def test_a_head_behind_a_large_body_is_not_charged_with_it(address: str):
    head = b"POST /crnn HTTP/1.1\r\nHost: here\r\nContent-Length: 200000\r\n\r\n"
    with closing(connect(address)) as connection:
        connection.sendall(head + b"x" * 200_000 + START)
        time.sleep(0.5)
        connection.sendall(b"\r\n")
        answers = connection.recv(65_536)
    assert answers.startswith(b"HTTP/1.1 400")
    assert b"large_head" not in answers


def test_an_answer_that_is_on_its_way_is_not_written_into(address: str):
    """A request that takes longer than the limit of the head behind it."""
    body = b"x" * 1000
    slow = (
        f"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Length: {2 * len(body)}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    ).encode()
    with closing(connect(address)) as connection:
        connection.sendall(START + b"\r\n" + slow + body)
        time.sleep(1.5)
        connection.sendall(body + START)  # and a head that does not end
        got = b""
        while part := connection.recv(65_536):
            got += part
    answers = got.split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers[:2]] == [b"200", b"400"], got
    assert all(answer.endswith(b"}") for answer in answers)


@pytest.mark.parametrize(
    "noise",
    [b"\r\n", b"\0", START[:4] + b"/healthz HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nx"],
)
def test_noise_after_an_answer_keeps_no_connection_open(address: str, noise: bytes):
    with closing(connect(address)) as connection:
        connection.sendall(START + b"\r\n")
        assert whole_answer(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(noise)
        while connection.recv(65_536):
            pass


def test_what_follows_a_body_in_chunks_is_bounded(address: str):
    head = b"POST /healthz HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    line, sent = b"X-A: " + b"a" * 1000 + b"\r\n", 0
    with closing(connect(address)) as connection:
        connection.sendall(head)
        with suppress(ConnectionError):
            for _ in range(20_000):
                connection.sendall(line)
                sent += len(line)
    assert sent < 10_000_000


def test_a_large_body_behind_a_head_is_none_of_its_bytes(address: str):
    answer = httpx.post(address + "/predict", files=files(b"x" * 300_000))
    assert answer.json()["code"] != "large_head"
    assert answer.status_code == 422
