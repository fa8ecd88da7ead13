"""What stands before every endpoint: bounds on bytes and time, the key, the log and the counts."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from utils.serve.metrics import Metrics
from utils.serve.options import ServeOptions
from utils.serve.service import Refusal


class Guard:
    """ASGI middleware. A body that is too large or too slow raises Refusal where it is read."""

    def __init__(self, app: Any, options: ServeOptions, metrics: Metrics, paths: frozenset[str]):
        self._app, self._options, self._metrics, self._paths = app, options, metrics, paths
        self._key = (options.api_key or "").encode()
        self._held = 0
        """Bytes of the bodies of all requests that are not answered."""

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, length = time.perf_counter(), 0, 0
        deadline = time.monotonic() + self._options.time_limit

        async def bounded() -> dict[str, Any]:
            nonlocal length
            left = deadline - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), max(left, 0.001))
            except TimeoutError:
                raise self._refusal(
                    408, "slow_upload",
                    f"the request did not arrive within {self._options.time_limit:g} s",
                ) from None  # fmt: skip
            got = len(message.get("body", b""))
            length, self._held = length + got, self._held + got
            if length > self._options.max_bytes:
                raise self._too_large()
            if self._held > self._options.max_held_bytes:
                raise self._refusal(
                    503, "busy", "too many bytes of requests are held already; try again later"
                )
            return message

        async def noted(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if status >= 400:  # what is left of the body is not read
                    message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        scope["guard"] = self
        try:
            await self._app(scope, bounded, noted)
        except Exception:
            status = status or 500  # which is sent further out
            raise
        finally:
            self._held -= length
            self._tell(scope, status, time.perf_counter() - started, length)

    def check(self, headers: dict[bytes, bytes]) -> None:
        """Raises Refusal before anything is read: of who has no key, or says to send too much."""
        if self._key and not secrets.compare_digest(headers.get(b"x-api-key", b""), self._key):
            raise self._refusal(401, "bad_key", "the header X-API-Key is missing or wrong")
        announced = headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._options.max_bytes:
            raise self._too_large()

    def _too_large(self) -> Refusal:
        return self._refusal(
            413, "too_large", f"the request has more than {self._options.max_bytes:,} bytes"
        )

    def _refusal(self, status: int, code: str, message: str) -> Refusal:
        self._metrics.refused.labels(code).inc()
        return Refusal(status, code, message)

    def _tell(self, scope, status: int, seconds: float, length: int) -> None:
        path = scope["path"] if scope["path"] in self._paths else "other"
        self._metrics.requests.labels(path, str(status)).inc()
        self._metrics.seconds.labels(path).observe(seconds)
        if self._options.log == "json":
            client = scope.get("client") or ("",)
            line = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "client": client[0],
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "ms": round(seconds * 1000, 2),
                "bytes": length,
                "pictures": scope.get("pictures", 0),
            }
            with suppress(OSError):  # whoever read the log has gone
                sys.stdout.write(json.dumps(line) + "\n")  # ASCII, in one piece
                sys.stdout.flush()
