"""An HTTP service that reads pictures, many requests together.

python serve.py
python serve.py --model digits=checkpoints/digits.onnx --port 8000 --workers 2
python serve.py --horizontal across.onnx --vertical down.onnx
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from utils.errors import UserError, need, run_script
from utils.options import parse
from utils.serve.options import ServeOptions

EPILOG = """\
POST /predict: pictures, multipart (files); POST /crnn: {"img": base64}. GET /docs tells all of it;
/models, /healthz, /readyz, /metrics (Prometheus). Errors are JSON: code, message, detail.
SIGTERM or Ctrl-C: takes nothing more, and answers what it took."""

PACKAGES = ("httptools", "fastapi", "uvicorn", "python_multipart", "prometheus_client")


def main(argv: Sequence[str] | None = None) -> int:
    options: ServeOptions = parse(ServeOptions, argv, (__doc__ or "").strip(), EPILOG).options
    options = replace(options, api_key=options.api_key or os.environ.get("CRNN_API_KEY"))
    need(PACKAGES, "requirements-serve.txt")
    check_port(options.host, options.port)
    import uvicorn

    from utils.serve.app import create_app, hand_over
    from utils.serve.heads import BoundedHeads
    from utils.serve.metrics import FOLDER

    app = create_app(options)  # also tells of a bad file before any process starts
    names = ", ".join(f"{name} ({path})" for name, path in options.models())
    print(f"models: {names}; http://{options.host}:{options.port}/docs", flush=True)
    how: dict[str, Any] = {
        "host": options.host, "port": options.port, "log_level": "warning", "access_log": False,
        "timeout_graceful_shutdown": options.longest_answer, "http": BoundedHeads,
    }  # fmt: skip
    if options.workers == 1:
        uvicorn.run(app, **how)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ[FOLDER] = folder
        hand_over(options)
        uvicorn.run(
            "utils.serve.app:from_environment", factory=True, workers=options.workers, **how
        )
    return 0


def check_port(host: str, port: int) -> None:
    """UserError where it cannot be listened on."""
    try:
        [(family, *_), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise UserError(
            f"--host {host}: no address of that name; give one of this machine"
        ) from None
    try:
        with socket.create_server((host, port), family=family):
            pass
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        raise UserError(
            f"--port {port}: cannot listen on {host}:{port} ({reason}); choose another"
        ) from None


if __name__ == "__main__":
    sys.exit(run_script(main))
