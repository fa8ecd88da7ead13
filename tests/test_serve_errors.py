"""What a request may not be: every error has one shape, and bounds hold before work is done."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from unittest import mock

import pytest
from PIL import Image
from serving import encoded, files, options, serving

from utils.recognizer import Recognizer

FORM = {"content-type": "application/x-www-form-urlencoded"}
MULTIPART = {"content-type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "code"),
    [
        ("POST", "/crnn", {"content": b"{"}, 400, "bad_json"),
        ("POST", "/crnn", {"content": b"\xff\xfe"}, 400, "bad_json"),
        ("POST", "/crnn", {"content": b"[" * 100_000}, 400, "bad_json"),
        ("POST", "/crnn", {"json": [1]}, 422, "no_img"),
        ("POST", "/crnn", {"json": {"img": 7}}, 422, "no_img"),
        ("POST", "/crnn", {"json": {"img": "*"}}, 422, "bad_base64"),
        ("POST", "/crnn", {"json": {"img": "é"}}, 422, "bad_base64"),
        ("POST", "/crnn", {"json": {"img": "AAAA"}}, 422, "bad_picture"),
        ("POST", "/crnn", {"data": {"shape": ["1", "1"]}}, 422, "no_img"),
        ("POST", "/crnn", {"data": {"img": "AAAA"}}, 422, "bad_shape"),
        ("POST", "/crnn", {"data": {"img": "AAAA", "shape": ["2", "2"]}}, 422, "bad_shape"),
        ("POST", "/crnn", {"data": {"img": "AAAA", "shape": ["-1", "-3"]}}, 422, "bad_shape"),
        ("POST", "/crnn", {"data": {"img": "AAAA", "shape": ["1", "x"]}}, 422, "bad_shape"),
        ("POST", "/crnn", {"data": {"img": "AAAA", "shape": ["1" * 5000, "1"]}}, 422, "bad_shape"),
        ("POST", "/crnn", {"content": b"%", "headers": FORM}, 422, "no_img"),
        ("POST", "/predict", {}, 422, "no_files"),
        ("POST", "/predict", {"content": b"junk", "headers": MULTIPART}, 400, "bad_request"),
        ("POST", "/predict", {"data": {"files": "a text"}}, 422, "no_files"),
        ("POST", "/predict?length=x", {"files": files(b"x")}, 422, "bad_option"),
        ("POST", "/predict?length=999", {"files": files(b"x")}, 422, "bad_option"),
        ("POST", "/predict?lenth=3", {"files": files(b"x")}, 422, "bad_option"),
        ("POST", "/predict?n_best=3", {"files": files(b"x")}, 422, "bad_option"),
        ("POST", "/predict?allow=xyz", {"files": files(b"x")}, 422, "bad_option"),
        ("POST", "/predict?decoder=best", {"files": files(b"x")}, 422, "bad_option"),
        ("POST", "/predict?model=none", {"files": files(b"x")}, 404, "unknown_model"),
        ("GET", "/predict", {}, 405, "bad_method"),
        ("GET", "/nothing", {}, 404, "not_found"),
    ],
)
def test_every_error_has_one_shape(mixed_model: Path, method, path, sent, status, code):
    answer = serving(options(mixed_model), lambda client, app: client.request(method, path, **sent))
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert list(answer.json()) == ["code", "message", "detail"]
    assert answer.json()["message"]
    assert "--" not in answer.json()["message"]  # no flags of a command line


def test_bounds_on_bytes_pixels_and_files(mixed_model: Path):
    bounds = options(mixed_model, max_bytes=20_000, max_pixels=10_000, max_files=3)

    async def slices():
        for _ in range(30):
            yield b"x" * 1000

    async def work(client, app):
        return [
            await client.post("/crnn", content=b"x" * 20_001),
            await client.post("/crnn", content=slices()),  # of a length that nobody announced
            await client.post("/predict", files=files(*[encoded(1)] * 4)),
            await client.post("/predict", files=files(encoded(1, 400, 32))),
        ]

    large, long, many, wide = serving(bounds, work)
    for answer in (large, long):
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert answer.headers["connection"] == "close"
    assert (many.status_code, many.json()["code"]) == (413, "too_many_files")
    assert wide.status_code == 422
    assert "400 x 32 pixels are more than 10,000" in wide.json()["message"]


def test_a_request_that_comes_too_slowly_is_ended(mixed_model: Path):
    async def drops():
        while True:
            yield b" "
            await asyncio.sleep(0.05)

    async def work(client, app):
        return await client.post("/crnn", content=drops())

    answer = serving(options(mixed_model, time_limit=0.3), work)
    assert (answer.status_code, answer.json()["code"]) == (408, "slow_upload")


def test_the_key(mixed_model: Path):
    async def work(client, app):
        found = [await client.get("/healthz"), await client.get("/models")]
        for headers in ({}, {"X-API-Key": "wrong"}, {"X-API-Key": "a secret"}):
            found.append(await client.post("/predict", files=files(encoded(1)), headers=headers))
        return found

    answers = serving(options(mixed_model, api_key="a secret"), work)
    assert [answer.status_code for answer in answers] == [200, 200, 401, 401, 200]
    assert answers[2].json()["code"] == "bad_key"


def multipart(charset: str, name: bytes) -> dict:
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="' + name
    body += b'"\r\n\r\n' + encoded(1) + b"\r\n--x--\r\n"
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    return {"content": body, "headers": {"content-type": kind}}


@pytest.mark.parametrize(
    ("charset", "name", "status"),
    [
        ("undefined", b"a.png", 400),
        ("utf-7", b"+2AA-", 200),  # half of a character, which JSON cannot hold
        ("unicode_escape", b"\\ud800", 200),
        ("no-such", b"a.png", 200),
        ("utf-8", "图.png".encode(), 200),
        ("utf-8", b"\xff.png", 200),
    ],
)
def test_names_in_any_charset(mixed_model: Path, charset, name, status):
    sent = multipart(charset, name)
    answer = serving(options(mixed_model), lambda client, app: client.post("/predict", **sent))
    assert answer.status_code == status, answer.text
    if status == 400:
        assert answer.json()["code"] == "bad_charset"


@pytest.mark.parametrize("name", ["../there.png", "there.png", "{0}/there.png", "../none.png"])
def test_a_name_of_an_upload_is_only_told_back(
    mixed_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    """Whatever file of that name there is, or is not."""
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for place in (tmp_path, folder):
        (place / "there.png").write_bytes(b"another file")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    name = name.format(tmp_path.as_posix())
    sent = [("files", (name, encoded(2)))]
    answer = serving(
        options(mixed_model), lambda client, app: client.post("/predict", files=sent)
    ).json()
    (wanted,) = Recognizer.load(mixed_model, "cpu").read([encoded(2)])
    (result,) = answer["results"]
    assert (result["file"], result["text"]) == (name, wanted.text)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.png")} == before


def test_a_bomb_is_told_by_its_header_alone(mixed_model: Path):
    bomb, icon = io.BytesIO(), io.BytesIO()
    Image.new("1", (13_000, 13_000)).save(bomb, "PNG")
    Image.new("RGB", (16, 16)).save(icon, "ICO")

    async def work(client, app):
        with mock.patch("PIL.ImageFile.ImageFile.load", side_effect=AssertionError("decoded")):
            large = await client.post("/predict", files=files(bomb.getvalue()))
        return large, await client.post("/predict", files=files(icon.getvalue()))

    large, icon_answer = serving(options(mixed_model), work)
    assert "13000 x 13000 pixels are more than 16,000,000" in large.json()["message"]
    assert "not a picture that Pillow can read" in icon_answer.json()["message"]


def test_bytes_that_are_held_are_bounded_over_all_requests(mixed_model: Path):
    go, arrived = asyncio.Event(), asyncio.Event()

    async def halting():
        yield b"x" * 15_000
        arrived.set()
        await go.wait()

    async def work(client, app):
        waiting = asyncio.create_task(client.post("/crnn", content=halting()))
        await arrived.wait()
        refused = await client.post("/crnn", content=b"x" * 10_000)
        go.set()
        await waiting
        return refused, await client.post("/predict", files=files(encoded(1)))

    refused, after = serving(options(mixed_model, max_bytes=20_000, max_held_bytes=20_000), work)
    assert (refused.status_code, refused.json()["code"]) == (503, "busy")
    assert refused.headers["retry-after"] == "1"
    assert after.status_code == 200
