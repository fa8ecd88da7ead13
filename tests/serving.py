"""A service in this process, without a network."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from lively import scribble

from utils.serve.app import create_app
from utils.serve.options import ServeOptions

Work = Callable[[httpx.AsyncClient, FastAPI], Awaitable[Any]]


def serving(options: ServeOptions, work: Work) -> Any:
    """What `work` returns, of a client of a service that ends with it."""

    async def run() -> Any:
        app = create_app(options)
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await asyncio.wait_for(work(client, app), 60)

    return asyncio.run(run())


def files(*pictures: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    """Of a multipart request, under the names 0.png, 1.png and so on."""
    return [("files", (f"{index}.png", data)) for index, data in enumerate(pictures)]


def encoded(seed: int, width: int = 80, height: int = 32) -> bytes:
    """A PNG file."""
    file = io.BytesIO()
    scribble(seed, width, height).save(file, "PNG")
    return file.getvalue()


def options(model: Path, **others) -> ServeOptions:
    """Of a service with one model, and no log."""
    return ServeOptions((str(model),), device="cpu", num_threads=1, **{"log": "none", **others})
