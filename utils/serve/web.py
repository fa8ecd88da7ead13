"""The web page, its parts, and the captchas that it draws to try with."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles

from utils.errors import UserError
from utils.serve.service import Refusal
from utils.text.charset import Charset

PAGE = Path(__file__).parent / "page"
POLICY = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}
"""Nothing is fetched from elsewhere."""


def add_page(app: FastAPI) -> None:
    app.mount("/page", StaticFiles(directory=PAGE), name="page")

    @app.get("/", include_in_schema=False)
    async def index() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers=POLICY)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(PAGE / "docs.html", headers=POLICY)


def sampler(charset: Charset) -> Callable[[], Response]:
    """An endpoint that draws a captcha of that charset, one at a time; its text, in percent
    encoding, stands in X-Text."""
    lock = threading.Lock()

    @cache
    def renderer():
        from utils.synth.captcha import CaptchaRecipe, CaptchaRenderer

        return CaptchaRenderer(CaptchaRecipe(charset.characters, charset.name, 4, 8, 160, 60))

    def sample() -> Response:
        try:
            with lock:
                picture, text = renderer().draw("sample", random.getrandbits(64))
        except UserError as error:  # no package captcha, or its font lacks the characters
            raise Refusal(404, "no_sample", f"no sample can be drawn: {error}") from None
        file = io.BytesIO()
        picture.save(file, "PNG")
        headers = {"X-Text": quote(text)}
        return Response(file.getvalue(), media_type="image/png", headers=headers)

    return sample
