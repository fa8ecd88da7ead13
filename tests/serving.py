"""A service in this process, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from fastapi import FastAPI

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
