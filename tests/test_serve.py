"""The HTTP service: what it reads is what the reader reads, and every error has one shape."""

from __future__ import annotations

import asyncio
import base64
import codecs
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lively import scribble, write_checkpoint
from serving import files, serving

from utils.checkpoint import load_checkpoint, save_checkpoint
from utils.picture import ImageSpec
from utils.recognizer import Recognizer
from utils.serve.options import ServeOptions

MIXED = ImageSpec(height=32, width=160, keep_ratio=True)


def encoded(seed: int, width: int = 80, height: int = 32) -> bytes:
    file = io.BytesIO()
    scribble(seed, width, height).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a model")
    return write_checkpoint(folder / "digits.pth", image=MIXED, spread=3)


def options(model: Path, **others) -> ServeOptions:
    return ServeOptions((str(model),), device="cpu", num_threads=1, **{"log": "none", **others})


def test_pictures_of_many_requests_read_as_they_do_offline(model: Path):
    pictures = [encoded(seed, 20 + 9 * seed) for seed in range(16)]
    wanted = Recognizer.load(model, "cpu").read(pictures)
    sizes: list[int] = []

    async def work(client, app):
        app.state.service.models["digits"]._told = sizes.append
        answers = await asyncio.gather(
            *(client.post("/predict", files=files(*pictures[i : i + 2])) for i in range(0, 16, 2))
        )
        return [result for answer in answers for result in answer.json()["results"]]

    found = serving(options(model), work)
    assert [each["text"] for each in found] == [each.text for each in wanted]
    for each, picture in zip(found, wanted, strict=True):
        assert each["confidence"] == pytest.approx(picture.confidence, abs=1e-5)
        assert (each["error"], each["model"], each["height"]) == (None, "digits", 32)
    assert [each["file"] for each in found] == ["0.png", "1.png"] * 8
    assert sum(sizes) == 16
    assert max(sizes) > 1  # of several requests


def test_what_a_request_asks_for_leaks_into_no_other(model: Path):
    picture = encoded(3)
    queries = [{}, {"length": "2"}, {"allow": "01"}, {"decoder": "beam", "n_best": 3},
               {"reject_below": 1}, {"characters": True}, {"probabilities": True}]  # fmt: skip

    async def work(client, app):
        return await asyncio.gather(
            *(client.post("/predict", files=files(picture), params=query) for query in queries)
        )

    answers = [answer.json()["results"][0] for answer in serving(options(model), work)]
    plain, short, few, best, rejected, placed, shown = answers
    [wanted] = Recognizer.load(model, "cpu").read([picture], characters=True)
    assert plain["text"] == wanted.text
    assert len(short["text"]) == 2
    assert set(few["text"]) <= set("01")
    assert len(best["alternatives"]) == 3
    assert best["alternatives"][0]["text"] == best["text"]
    assert (rejected["rejected"], rejected["text"]) == (True, "")
    for character, known in zip(placed["characters"], wanted.characters, strict=True):
        assert character["text"] == known.text
        assert (character["left"], character["right"]) == (known.left, known.right)
        assert character["confidence"] == pytest.approx(known.confidence, abs=1e-5)
    assert len(shown["steps"]) == 20
    for step in shown["steps"]:
        shares = [each["confidence"] for each in step["likeliest"]]
        assert shares == sorted(shares, reverse=True)
        assert 0.3 < sum(shares) <= 1.0001
    asked = {"characters": placed, "alternatives": best, "steps": shown}
    for name, owner in asked.items():
        assert [each is owner for each in answers if each[name] is not None] == [True]


def test_bad_pictures_keep_their_place_and_only_bad_ones_are_an_error(model: Path):
    async def work(client, app):
        some = await client.post("/predict", files=files(encoded(1), b"junk", encoded(2)))
        none = await client.post("/predict", files=files(b"junk", b""))
        return some, none

    some, none = serving(options(model), work)
    errors = [each["error"] for each in some.json()["results"]]
    assert (some.status_code, errors[0], errors[2]) == (200, None, None)
    assert "not a picture that Pillow can read" in errors[1]
    assert none.status_code == 422
    problem = none.json()
    assert list(problem) == ["code", "message", "detail"]
    assert (problem["code"], problem["message"]) == (
        "bad_picture", "0.png: not a picture that Pillow can read",
    )  # fmt: skip
    assert [each["file"] for each in problem["detail"]] == ["0.png", "1.png"]


def test_both_forms_of_crnn(model: Path):
    picture, grey = encoded(4, 90), np.asarray(scribble(4, 90))
    [wanted] = Recognizer.load(model, "cpu").read([picture])
    as_json = {"img": base64.b64encode(picture).decode()}
    lines = codecs.encode(grey.tobytes(), "base64").decode()
    assert "\n" in lines[:80]

    async def work(client, app):
        form = {"img": lines, "shape": [str(side) for side in grey.shape]}
        url = {"img": "data:image/png;base64," + as_json["img"]}
        return [
            await client.post("/crnn", json=as_json),
            await client.post("/crnn", json=url),
            await client.post("/crnn", data=form),
        ]

    for answer in serving(options(model), work):
        assert answer.status_code == 200
        assert answer.json()["text"] == wanted.text
        assert answer.json()["confidence"] == pytest.approx(wanted.confidence, abs=1e-5)


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
def test_every_error_has_one_shape(model: Path, method, path, sent, status, code):
    answer = serving(options(model), lambda client, app: client.request(method, path, **sent))
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert list(answer.json()) == ["code", "message", "detail"]
    assert answer.json()["message"]
    assert "--" not in answer.json()["message"]  # no flags of a command line


def test_bounds_on_bytes_pixels_and_files(model: Path):
    bounds = options(model, max_bytes=20_000, max_pixels=10_000, max_files=3)

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


def test_a_request_that_comes_too_slowly_is_ended(model: Path):
    async def drops():
        while True:
            yield b" "
            await asyncio.sleep(0.05)

    async def work(client, app):
        return await client.post("/crnn", content=drops())

    answer = serving(options(model, time_limit=0.3), work)
    assert (answer.status_code, answer.json()["code"]) == (408, "slow_upload")


def test_the_key(model: Path):
    async def work(client, app):
        found = [await client.get("/healthz"), await client.get("/models")]
        for headers in ({}, {"X-API-Key": "wrong"}, {"X-API-Key": "a secret"}):
            found.append(await client.post("/predict", files=files(encoded(1)), headers=headers))
        return found

    answers = serving(options(model, api_key="a secret"), work)
    assert [answer.status_code for answer in answers] == [200, 200, 401, 401, 200]
    assert answers[2].json()["code"] == "bad_key"


def test_models_by_name_and_by_shape(tmp_path: Path):
    across = write_checkpoint(tmp_path / "a.pth", "0123456789")
    down = write_checkpoint(tmp_path / "d.pth", "abcdefghij")
    checkpoint = load_checkpoint(down)
    image = replace(checkpoint.header.image, direction="vertical")
    save_checkpoint(down, replace(checkpoint.header, image=image), checkpoint.state_dict)
    both = ServeOptions(
        (f"third={across}",), str(across), str(down), device="cpu", num_threads=1, log="none"
    )

    async def work(client, app):
        names = [each["name"] for each in (await client.get("/models")).json()]
        wide, high = encoded(1, 80, 32), encoded(1, 32, 80)
        answer = await client.post("/predict", files=files(wide, high))
        named = await client.post("/predict", files=files(high), params={"model": "third"})
        return names, answer.json()["results"], named.json()["results"]

    names, results, named = serving(both, work)
    assert names == ["horizontal", "vertical", "third"]
    assert [each["model"] for each in results] == ["horizontal", "vertical"]
    assert results[0]["text"].isdigit()
    assert results[1]["text"].isalpha()
    assert named[0]["model"] == "third"


def test_metrics_and_log_tell_what_happened(model: Path, capsys: pytest.CaptureFixture[str]):
    async def work(client, app):
        await client.post("/predict", files=files(encoded(1), b"junk"))
        await client.get("/of/no/use")
        return (await client.get("/metrics")).text

    text = serving(options(model, log="json"), work)
    for line in (
        'crnn_requests_total{path="/predict",status="200"} 1.0',
        'crnn_requests_total{path="other",status="404"} 1.0',
        'crnn_pictures_total{model="digits",outcome="read"} 1.0',
        'crnn_pictures_total{model="digits",outcome="bad"} 1.0',
        "crnn_batch_size_count 1.0",
        "crnn_pending_pictures 0.0",
        'crnn_request_seconds_count{path="/predict"} 1.0',
    ):
        assert line in text.splitlines()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["path"], line["status"]) for line in lines] == [
        ("/predict", 200), ("/of/no/use", 404), ("/metrics", 200),
    ]  # fmt: skip
    assert (lines[0]["pictures"], lines[0]["method"]) == (2, "POST")
    assert lines[0]["ms"] > 0
    assert lines[0]["bytes"] > len(encoded(1))


def test_the_page_and_a_sample_come_from_here(model: Path):
    async def work(client, app):
        page, docs, sample = [await client.get(path) for path in ("/", "/docs", "/sample")]
        parts = [await client.get(f"/page/{name}") for name in ("page.js", "page.css", "docs.js")]
        read = await client.post("/predict", files=files(sample.content))
        return page, docs, sample, parts, read

    page, docs, sample, parts, read = serving(options(model), work)
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for answer in (page, docs, *parts):
        assert answer.status_code == 200
        assert "http://" not in answer.text
        assert "https://" not in answer.text
    assert 4 <= len(sample.headers["x-text"]) <= 8
    assert (read.status_code, read.json()["results"][0]["width"]) == (200, 160)
