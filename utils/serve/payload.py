"""The pictures in a request: files of a form, base64 in JSON, or raw grey levels."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from utils.serve.options import ServeOptions
from utils.serve.service import Refusal

FILES = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["files"],
                "properties": {
                    "files": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string", "format": "binary"},
                    }
                },
            }
        }
    },
}
ENCODED = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["img"],
                "properties": {
                    "img": {"type": "string", "description": "base64 of a picture's file"}
                },
            }
        },
        "application/x-www-form-urlencoded": {
            "schema": {
                "type": "object",
                "required": ["img", "shape"],
                "properties": {
                    "img": {
                        "type": "string",
                        "description": "base64 of h * w bytes of grey, row by row",
                    },
                    "shape": {
                        "type": "array",
                        "items": {"type": "integer", "minimum": 1},
                        "minItems": 2,
                        "maxItems": 2,
                        "description": "h and w, two fields of that name",
                    },
                },
            }
        },
    },
}
"""Of the two requests' bodies, for /docs."""


async def uploaded(request: Request, max_files: int) -> list[tuple[str, bytes]]:
    """Names and bytes of the pictures of a multipart request."""
    try:
        async with _form(request, max_files=max_files, max_fields=max_files) as form:
            files = [value for value in form.getlist("files") if isinstance(value, UploadFile)]
            request.scope["pictures"] = len(files)
            found = [(_printable(file.filename or ""), await file.read()) for file in files]
    except HTTPException as error:
        if "Too many" in str(error.detail):
            raise Refusal(
                413, "too_many_files", f"more than {max_files} pictures in a request"
            ) from None
        raise
    if not found:
        raise Refusal(422, "no_files", "expected multipart/form-data with a part `files` a picture")
    return found


@asynccontextmanager
async def _form(request: Request, **bounds: int) -> AsyncIterator[FormData]:
    """The fields of a form; Refusal for names that its own charset cannot be."""
    try:
        form = await request.form(**bounds)
    except (UnicodeError, LookupError) as error:
        raise Refusal(400, "bad_charset", f"the form is not in its charset ({error})") from None
    try:
        yield form
    finally:
        await form.close()


def _printable(name: str) -> str:
    """Without halves of characters, which UTF-8 cannot hold."""
    return name.encode("utf-8", "replace").decode()


async def encoded(request: Request, options: ServeOptions) -> bytes | np.ndarray:
    """The picture of /crnn, in either form."""
    request.scope["pictures"] = 1
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        async with _form(request, max_part_size=options.max_bytes) as form:
            return raw_grey(form.get("img"), form.getlist("shape"))
    try:
        body = await request.json()
    except (ValueError, RecursionError):
        raise Refusal(400, "bad_json", 'expected JSON: {"img": base64 of the file}') from None
    text = body.get("img") if isinstance(body, dict) else None
    if not isinstance(text, str):
        raise Refusal(422, "no_img", 'expected {"img": base64 of the file}')
    return from_base64(text.rpartition("base64,")[2])  # also of a data: URL


def raw_grey(img: object, shape: list) -> np.ndarray:
    """(h, w) uint8."""
    if not isinstance(img, str):
        raise Refusal(422, "no_img", "expected the field img, base64 of raw grey bytes")
    try:
        height, width = (int(str(side)) for side in shape)
    except ValueError:
        raise Refusal(
            422, "bad_shape", "expected two fields `shape`, the height and the width"
        ) from None
    data = from_base64(img)
    if height < 1 or width < 1 or len(data) != height * width:
        raise Refusal(
            422, "bad_shape",
            f"shape is {height} x {width}, and img has {len(data):,} bytes, one a pixel",
        )  # fmt: skip
    return np.frombuffer(data, np.uint8).reshape(height, width)


def from_base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(422, "bad_base64", f"img is not base64 ({error})") from None
