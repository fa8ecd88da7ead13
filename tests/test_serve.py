"""The HTTP service: what it reads is what the reader reads, and every error has one shape."""

from __future__ import annotations

import asyncio
import base64
import codecs
import json
import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from lively import scribble, write_checkpoint
from serving import encoded, files, options, serving

from utils.checkpoint import load_checkpoint, save_checkpoint
from utils.reading_options import decoder_for
from utils.recognizer import Recognizer
from utils.serve.options import ServeOptions


def test_pictures_of_many_requests_read_as_they_do_offline(mixed_model: Path):
    pictures = [encoded(seed, 20 + 9 * seed) for seed in range(16)]
    wanted = Recognizer.load(mixed_model, "cpu").read(pictures)
    sizes: list[int] = []

    async def work(client, app):
        app.state.service.models["digits"]._told = sizes.append
        answers = await asyncio.gather(
            *(client.post("/predict", files=files(*pictures[i : i + 2])) for i in range(0, 16, 2))
        )
        return [result for answer in answers for result in answer.json()["results"]]

    found = serving(options(mixed_model), work)
    assert [each["text"] for each in found] == [each.text for each in wanted]
    for each, picture in zip(found, wanted, strict=True):
        assert each["confidence"] == pytest.approx(picture.confidence, abs=1e-5)
        assert (each["error"], each["model"], each["height"]) == (None, "digits", 32)
    assert [each["file"] for each in found] == ["0.png", "1.png"] * 8
    assert sum(sizes) == 16
    assert max(sizes) > 1  # of several requests


def test_what_a_request_asks_for_leaks_into_no_other(mixed_model: Path):
    picture = encoded(3)
    queries = [{}, {"length": "2"}, {"allow": "01"}, {"decoder": "beam", "n_best": 3},
               {"reject_below": 1}, {"characters": True}, {"probabilities": True}]  # fmt: skip

    async def work(client, app):
        return await asyncio.gather(
            *(client.post("/predict", files=files(picture), params=query) for query in queries)
        )

    answers = [answer.json()["results"][0] for answer in serving(options(mixed_model), work)]
    plain, short, few, best, rejected, placed, shown = answers
    [wanted] = Recognizer.load(mixed_model, "cpu").read([picture], characters=True)
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


def test_bad_pictures_keep_their_place_and_only_bad_ones_are_an_error(mixed_model: Path):
    async def work(client, app):
        some = await client.post("/predict", files=files(encoded(1), b"junk", encoded(2)))
        none = await client.post("/predict", files=files(b"junk", b""))
        return some, none

    some, none = serving(options(mixed_model), work)
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


def test_both_forms_of_crnn(mixed_model: Path):
    picture, grey = encoded(4, 90), np.asarray(scribble(4, 90))
    [wanted] = Recognizer.load(mixed_model, "cpu").read([picture])
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

    for answer in serving(options(mixed_model), work):
        assert answer.status_code == 200
        assert answer.json()["text"] == wanted.text
        assert answer.json()["confidence"] == pytest.approx(wanted.confidence, abs=1e-5)


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


def test_a_wish_is_for_the_model_that_reads_and_no_other(mixed_model: Path, tmp_path: Path):
    letters = write_checkpoint(tmp_path / "letters.pth", "abcdefghij")
    both = replace(options(mixed_model), model=(str(mixed_model), str(letters)))

    async def work(client, app):
        picture, wish = files(encoded(1)), {"allow": "012"}
        return [
            await client.post("/predict", files=picture, params=wish),
            await client.post("/predict", files=picture, params=wish | {"model": "letters"}),
        ]

    fits, not_there = serving(both, work)
    assert fits.status_code == 200
    assert set(fits.json()["results"][0]["text"]) <= set("012")
    assert (not_there.status_code, not_there.json()["code"]) == (422, "bad_option")


def test_the_same_wish_is_compiled_once(mixed_model: Path):
    async def work(client, app):
        with mock.patch("utils.serve.service.decoder_for", wraps=decoder_for) as made:
            await asyncio.gather(
                *(
                    client.post("/predict", files=files(encoded(i)), params={"length": "3"})
                    for i in range(6)
                )
            )
            return made.call_count

    assert serving(options(mixed_model), work) == 1


def test_metrics_and_log_tell_what_happened(mixed_model: Path, capsys: pytest.CaptureFixture[str]):
    async def work(client, app):
        await client.post("/predict", files=files(encoded(1), b"junk"))
        await client.get("/of/no/use")
        return (await client.get("/metrics")).text

    text = serving(options(mixed_model, log="json"), work)
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


def test_no_sample_without_the_package_that_draws(mixed_model: Path):
    with mock.patch.dict(sys.modules, {"captcha": None, "captcha.image": None}):
        answer = serving(options(mixed_model), lambda client, app: client.get("/sample"))
    assert (answer.status_code, answer.json()["code"]) == (404, "no_sample")


def test_the_page_and_a_sample_come_from_here(mixed_model: Path):
    async def work(client, app):
        page, docs, sample = [await client.get(path) for path in ("/", "/docs", "/sample")]
        parts = [await client.get(f"/page/{name}") for name in ("page.js", "page.css", "docs.js")]
        read = await client.post("/predict", files=files(sample.content))
        return page, docs, sample, parts, read

    page, docs, sample, parts, read = serving(options(mixed_model), work)
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for answer in (page, docs, *parts):
        assert answer.status_code == 200
        assert "http://" not in answer.text
        assert "https://" not in answer.text
    assert 4 <= len(sample.headers["x-text"]) <= 8
    assert sample.headers["x-text"].isdigit()  # of what the model reads
    assert (read.status_code, read.json()["results"][0]["width"]) == (200, 160)
