"""The service when there is more to do than it can: full queues, slow networks, and its end."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from unittest import mock

from serving import encoded, files, options, serving

from utils.serve.batcher import by_width
from utils.serve.schema import ReadQuery


class Held:
    """A network that reads nothing until it is let go."""

    def __init__(self, batcher):
        self.go, self.started = threading.Event(), threading.Event()
        self.wrapped = batcher.recognizer.network
        batcher.recognizer.network = self

    holds_whole = True

    def num_steps(self, image):
        return self.wrapped.num_steps(image)

    def log_probs(self, images, widths):
        self.started.set()
        assert self.go.wait(20)
        return self.wrapped.log_probs(images, widths)


async def until(condition) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to be")


def test_a_full_queue_refuses_and_takes_again(mixed_model: Path):
    picture = encoded(1)

    async def work(client, app):
        service = app.state.service
        held = Held(service.models["digits"])
        taken = [
            asyncio.create_task(client.post("/predict", files=files(picture, picture)))
            for _ in range(4)
        ]
        await until(lambda: service.pending == 8)
        refused = await client.post("/predict", files=files(picture))
        ready = await client.get("/readyz")
        text = (await client.get("/metrics")).text
        held.go.set()
        answers = await asyncio.gather(*taken)
        again = await client.post("/predict", files=files(picture))
        return refused, ready, text, answers, again, service.pending

    bounds = options(mixed_model, queue_size=8, max_files=2)
    refused, ready, text, answers, again, pending = serving(bounds, work)
    assert ready.status_code == 503
    assert (refused.status_code, refused.json()["code"]) == (503, "queue_full")
    assert refused.headers["retry-after"] == "1"
    assert 'crnn_refused_total{reason="queue_full"} 1.0' in text.splitlines()
    assert "crnn_pending_pictures 8.0" in text.splitlines()
    assert [answer.status_code for answer in [*answers, again]] == [200] * 5
    assert pending == 0


def test_what_takes_too_long_is_answered_and_leaves_nothing_behind(mixed_model: Path):
    async def work(client, app):
        service = app.state.service
        held = Held(service.models["digits"])
        late = await client.post("/predict", files=files(encoded(1)))
        pending = service.pending
        held.go.set()
        service.options = replace(service.options, time_limit=20)
        after = await client.post("/predict", files=files(encoded(1)))
        return late, pending, after

    late, pending, after = serving(options(mixed_model, time_limit=0.4), work)
    assert (late.status_code, late.json()["code"]) == (503, "timeout")
    assert "retry-after" in late.headers
    assert pending == 0
    assert after.status_code == 200


def test_what_comes_while_a_batch_is_read_is_read_together(mixed_model: Path):
    sizes: list[int] = []

    async def work(client, app):
        batcher = app.state.service.models["digits"]
        batcher._told = sizes.append
        held = Held(batcher)
        first = asyncio.create_task(client.post("/predict", files=files(encoded(0))))
        await until(held.started.is_set)
        others = [
            asyncio.create_task(client.post("/predict", files=files(encoded(i)))) for i in range(9)
        ]
        await until(lambda: batcher._queue.qsize() == 9)
        held.go.set()
        return await asyncio.gather(first, *others)

    answers = serving(options(mixed_model, max_batch=6), work)
    assert sizes == [1, 6, 3]
    assert {answer.status_code for answer in answers} == {200}


def test_an_error_in_one_batch_ends_neither_the_others_nor_the_service(mixed_model: Path):
    async def work(client, app):
        batcher = app.state.service.models["digits"]
        reader, good = batcher.recognizer, batcher.recognizer.network

        class Broken(Held):
            def log_probs(self, images, widths):
                raise MemoryError("no room")

        Broken(batcher)
        failed = await client.post("/predict", files=files(encoded(0)))
        reader.network = good
        answer = await client.post("/predict", files=files(encoded(0)))
        text = (await client.get("/metrics")).text
        return failed, answer, app.state.service.pending, text

    failed, answer, pending, text = serving(options(mixed_model), work)
    assert 'crnn_requests_total{path="/predict",status="500"} 1.0' in text.splitlines()
    assert (failed.status_code, failed.json()["code"]) == (500, "internal")
    assert (answer.status_code, pending) == (200, 0)


def test_an_error_of_one_wish_is_not_that_of_the_others_in_its_batch(mixed_model: Path):
    async def work(client, app):
        service = app.state.service
        held = Held(service.models["digits"])
        first = asyncio.create_task(client.post("/predict", files=files(encoded(0))))
        await until(held.started.is_set)
        asked = [{}, {"length": "2"}, {}]
        tasks = [
            asyncio.create_task(client.post("/predict", files=files(encoded(i)), params=query))
            for i, query in enumerate(asked)
        ]
        await until(lambda: service.models["digits"]._queue.qsize() == 3)
        bad = service._decoders["digits", ReadQuery(length="2").wish().decoding].result()
        bad.read = mock.Mock(side_effect=ValueError("a bug"))
        held.go.set()
        return [answer.status_code for answer in await asyncio.gather(first, *tasks)]

    assert serving(options(mixed_model), work) == [200, 200, 500, 200]


def test_pictures_of_like_widths_are_read_together():
    assert by_width([100, 20, 30, 31, 150, 99], 9) == [[1, 2], [3], [5, 0], [4]]
    assert by_width([100, 20, 30, 31, 150, 99], 1) == [[1], [2], [3], [5], [0], [4]]
    assert by_width([], 9) == []
    assert by_width([7], 9) == [[0]]
