"""Bounds on the heads of requests, which the server reads before the application hears of them."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_BYTES = 65_536
"""Of a head, beside the read in which it begins: what stands before it may be another's body."""


class BoundedHeads(HttpToolsProtocol):
    """A connection of uvicorn's. A head that is too large, or not whole `time_limit` seconds (of
    the application's lifespan state) after it began, is answered with an error, and that is its
    end; a connection on which nothing is said for as long is closed."""

    _timer: asyncio.TimerHandle | None = None
    """Runs while a head is awaited."""
    _begun = 0
    """Heads of this connection."""
    _bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_here()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self._begun
        super().data_received(data)
        if self._timer is None or self._begun != before:
            return
        self._bytes += len(data)
        if self._bytes > MAX_BYTES:
            self._refuse(431, "large_head", f"the request's head has over {MAX_BYTES:,} bytes")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begun, self._bytes = self._begun + 1, 0
        self._head_is_here()  # of a connection that was idle before
        self._await_head()

    def on_headers_complete(self) -> None:
        self._head_is_here()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._timer = self.loop.call_later(self.app_state["time_limit"], self._too_late)

    def _head_is_here(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        if self._begun:
            seconds = self.app_state["time_limit"]
            self._refuse(408, "slow_head", f"the request's head did not arrive in {seconds:g} s")
        else:
            self.transport.close()

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._head_is_here()
        body = json.dumps({"code": code, "message": message, "detail": None}).encode()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        if not self.transport.is_closing():
            self.transport.write(head.encode("ascii") + body)
            self.transport.close()
