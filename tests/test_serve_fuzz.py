"""What no client would send on purpose: requests made from the OpenAPI schema, damaged pictures."""

from __future__ import annotations

import random
import subprocess
import sys

from serving import encoded, files, options, serving
from test_serve_process import running


def test_every_answer_is_one_that_the_schema_tells(onnx, tmp_path):
    """That bytes are a picture, and as many as its shape says, no schema can tell."""
    with running("--model", onnx, "--log", "none") as (address, _):
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json"]
        command += ["--max-examples", "40", "--seed", "1", "--generation-deterministic"]
        command += ["--exclude-checks", "positive_data_acceptance", "--no-color"]
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", cwd=tmp_path, timeout=300
        )
    assert done.returncode == 0, done.stdout
    assert "Tested: 6" in done.stdout


def test_damaged_pictures_are_read_or_told(mixed_model):
    rng, pictures = random.Random(0), []
    for seed in range(300):
        data = bytearray(encoded(seed % 5))
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        pictures.append(bytes(data[: rng.randint(1, len(data))] if seed % 3 == 0 else data))

    async def work(client, app):
        answers = [await client.post("/predict", files=files(data)) for data in pictures]
        return answers, app.state.service.pending

    answers, pending = serving(options(mixed_model), work)
    codes = {answer.status_code for answer in answers}
    assert codes == {200, 422}
    assert all(a.json()["code"] == "bad_picture" for a in answers if a.status_code == 422)
    assert pending == 0
