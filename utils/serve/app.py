"""The endpoints: HTTP on one side, `Service` on the other."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from models import __version__
from utils.errors import UserError
from utils.files import file_digest
from utils.reading_options import load_reader
from utils.serve.guard import Guard
from utils.serve.metrics import Metrics
from utils.serve.options import ServeOptions
from utils.serve.payload import ENCODED, FILES, encoded, uploaded
from utils.serve.schema import CrnnOut, ModelOut, PredictOut, Problem, ReadQuery, all_out
from utils.serve.service import Refusal, Service, Wish
from utils.serve.web import add_page, sampler

OPTIONS = "CRNN_SERVE_OPTIONS"
"""The variable that hands a worker process its options, as JSON."""

STARTUP_FAILURE = 3
"""The exit code after which uvicorn does not start a process again."""

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": what}
    for status, what in {
        400: "a request that cannot be understood",
        401: "no key, or a wrong one",
        404: "no such model",
        408: "the request came too slowly",
        413: "too many bytes or pictures",
        422: "no picture that can be read, or options that do not go together",
        503: "too much is waiting, or it took too long: try again",
    }.items()
}


def from_environment() -> FastAPI:
    """What uvicorn calls in each process; one that cannot start says why, and ends them all."""
    handed = json.loads(os.environ[OPTIONS])
    options = ServeOptions.from_json(handed["options"])
    try:
        if digests(options) != handed["digests"]:
            raise UserError("a model file has changed since the service started; start it anew")
        return create_app(options)
    except UserError as error:
        print(f"serve.py: error: {error}", file=sys.stderr)
        sys.exit(STARTUP_FAILURE)


def hand_over(options: ServeOptions) -> None:
    """To the processes that are started from here."""
    handed = {"options": options.to_json(), "digests": digests(options)}
    os.environ[OPTIONS] = json.dumps(handed)


def digests(options: ServeOptions) -> list[str]:
    """Of the model files: all processes read with the same ones."""
    return [file_digest(path) for _, path in options.models()]


def create_app(options: ServeOptions) -> FastAPI:
    metrics = Metrics()
    readers = {
        name: load_reader(path, options.device, options.num_threads, options.provider)
        for name, path in options.models()
    }

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, float]]:
        app.state.service = service = Service(options, readers, metrics)
        yield {"time_limit": options.time_limit}
        await service.close()

    app = FastAPI(
        title="CRNN reader", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        description="Reads captchas and single text lines.",
    )  # fmt: skip
    add_endpoints(app, metrics)
    add_page(app)
    app.add_api_route(
        "/sample", sampler(next(iter(readers.values())).charset), include_in_schema=False,
        dependencies=[Depends(admitted)], response_class=Response,
    )  # fmt: skip
    add_problems(app)
    paths = frozenset(path for path in (getattr(route, "path", "") for route in app.routes) if path)
    app.add_middleware(Guard, options=options, metrics=metrics, paths=paths)
    return app


def admitted(request: Request) -> Service:
    """The service, for a request that may be read."""
    request.scope["guard"].check(dict(request.scope["headers"]))
    return request.app.state.service


Admitted = Annotated[Service, Depends(admitted)]


def add_endpoints(app: FastAPI, metrics: Metrics) -> None:
    @app.post(
        "/predict", response_model=PredictOut, response_model_exclude_none=False,
        responses=PROBLEMS, openapi_extra={"requestBody": FILES},
    )  # fmt: skip
    async def predict(
        request: Request, service: Admitted, query: Annotated[ReadQuery, Query()]
    ) -> PredictOut:
        """Read one picture, or several: multipart/form-data with a part `files` for each."""
        started = time.perf_counter()
        uploads = await uploaded(request, service.options.max_files)
        answers = await service.read([data for _, data in uploads], query.wish())
        results = await service.aside(all_out, uploads, answers, query)
        if all(result.error for result in results):
            first = results[0]
            told = [{"file": result.file, "error": result.error} for result in results]
            raise Refusal(422, "bad_picture", f"{first.file}: {first.error}", told)
        return PredictOut(
            results=results, milliseconds=round((time.perf_counter() - started) * 1000, 3)
        )

    @app.post(
        "/crnn", response_model=CrnnOut, responses=PROBLEMS, openapi_extra={"requestBody": ENCODED}
    )
    async def crnn(request: Request, service: Admitted) -> CrnnOut:
        """Read one picture: {"img": base64 of its file}; or form-encoded, the older way, `img`
        being base64 of raw grey bytes, and `shape` two fields, h and w."""
        picture = await encoded(request, service.options)
        [answer] = await service.read([picture], Wish())
        if answer.prediction.error:
            raise Refusal(422, "bad_picture", f"img: {answer.prediction.error}")
        return CrnnOut(text=answer.prediction.text, confidence=answer.prediction.confidence)

    @app.get("/models")
    async def models(request: Request) -> list[ModelOut]:
        """The models by name; the first one reads where a request names none."""
        batchers = request.app.state.service.models
        return [ModelOut.of(name, batcher.recognizer) for name, batcher in batchers.items()]

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process lives."""
        return {"status": "ok"}

    @app.get("/readyz", responses={503: PROBLEMS[503]})
    async def readyz(request: Request) -> dict[str, str]:
        """It takes pictures: 503 while its queue is full."""
        service: Service = request.app.state.service
        if service.pending >= service.options.queue_size:
            raise Refusal(503, "queue_full", f"{service.pending} pictures are waiting already")
        return {"status": "ready"}

    @app.get("/metrics", response_class=Response)
    async def prometheus() -> Response:
        """Counts and times, as Prometheus reads them."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def add_problems(app: FastAPI) -> None:
    """All errors in one shape."""

    def problem(status: int, code: str, message: str, detail: object = None) -> JSONResponse:
        retry = {"Retry-After": "1"} if status == 503 else {}
        body = Problem(code=code, message=message, detail=detail)
        return JSONResponse(body.model_dump(), status, retry)

    @app.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> JSONResponse:
        return problem(error.status, error.code, error.message, error.detail)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> JSONResponse:
        return problem(400, "disconnected", "the client went away")  # which nobody reads

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return problem(500, "internal", "the service failed; its log says why")

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "bad_method"}.get(error.status_code, "bad_request")
        answer = problem(error.status_code, code, str(error.detail))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        told = [
            {"where": ".".join(map(str, each["loc"])), "message": each["msg"]}
            for each in error.errors()
        ]
        return problem(422, "bad_option", f"{where}: {first['msg']}", told)
