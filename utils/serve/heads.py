"""Bounds on the heads of requests, which the server reads before the application hears of them."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_BYTES = 65_536
"""In a row that are neither the beginning nor the end of a head, nor of a body: of a head, or of
what follows a body in chunks."""


class BoundedHeads(HttpToolsProtocol):
    """A connection of uvicorn's. A head that is too large, or not whole `time_limit` seconds (of
    the application's lifespan state) after it began, is answered with an error, and that is its
    end; where nothing is said for as long, or nothing of use, it is closed. While a request is
    being answered the time stands still, and nothing is written into its answer."""

    _timer: asyncio.TimerHandle | None = None
    """Runs while a head is awaited."""
    _begun = False
    """Whether a part of it is here."""
    _useful = False
    """Whether what arrived last was."""
    _bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._useful = False
        super().data_received(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        self._bytes = 0 if self._useful else self._bytes + len(data)
        if self._bytes > MAX_BYTES:
            self._refuse(431, "large_head", f"the request's head has over {MAX_BYTES:,} bytes")
        elif self._timer is None and not self._answering:
            self._await_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._useful = self._begun = True
        self._await_head()  # anew, if the connection was idle before

    def on_headers_complete(self) -> None:
        self._useful, self._begun = True, False
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._useful = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._useful = True
        super().on_message_complete()

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(self.app_state["time_limit"], self._too_late)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        if self._answering:
            self._await_head()
        else:
            seconds = self.app_state["time_limit"]
            self._refuse(408, "slow_head", f"the request's head did not arrive in {seconds:g} s")

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._stop_waiting()
        if self._answering:  # the connection ends with that
            self.cycle.keep_alive = False
            self.transport.pause_reading()
            return
        if self._begun:
            body = json.dumps({"code": code, "message": message, "detail": None}).encode()
            head = (
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                "Connection: close\r\n\r\n"
            )
            self.transport.write(head.encode("ascii") + body)
        self.transport.close()
