"""The web page, its parts, and the captchas that it draws to try with."""

from __future__ import annotations

import io
import random
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles

from utils.serve.service import Refusal

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

    @app.get("/sample", include_in_schema=False)
    def sample() -> Response:
        """A captcha that nobody saw before; its text stands in X-Text."""
        try:
            from utils.synth.captcha import CaptchaRecipe, CaptchaRenderer
        except ImportError:
            raise Refusal(
                404, "no_sample", "the package captcha, which draws, is missing"
            ) from None
        from utils.text.charset import preset_charset

        charset = preset_charset("alnum62")
        recipe = CaptchaRecipe(charset.characters, charset.name, 4, 8, 160, 60)
        picture, text = CaptchaRenderer(recipe).draw("sample", random.getrandbits(64))
        file = io.BytesIO()
        picture.save(file, "PNG")
        return Response(file.getvalue(), media_type="image/png", headers={"X-Text": text})
