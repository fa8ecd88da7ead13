"""PNG files of kinds that Pillow reads and does not write."""

from __future__ import annotations

import struct
import zlib

import numpy as np

PASSES = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
PASSES += [(1, 0, 2, 1)]
"""Of Adam7: first row, first column, and the steps between them."""


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def packed(samples: np.ndarray, depth: int) -> bytes:
    """Rows (H, W, C) of samples, each behind the byte of no filter."""
    rows = []
    for row in samples.reshape(len(samples), -1):
        if depth == 16:
            rows.append(row.astype(">u2").tobytes())
        else:
            bits = (row[:, None] >> np.arange(depth - 1, -1, -1)) & 1
            rows.append(np.packbits(bits.astype(np.uint8)).tobytes())
    return b"".join(b"\0" + row for row in rows)


def raw_png(
    samples: np.ndarray, color: int, depth: int, interlaced: bool = False, **chunks: bytes
) -> bytes:
    """Samples (H, W, C) below 2 ** depth; color type 0 grey, 2 RGB, 3 palette, 4 and 6 with alpha;
    `chunks` stand before the pixels."""
    height, width = samples.shape[:2]
    parts = [samples]
    if interlaced:
        parts = [samples[y::dy, x::dx] for y, x, dy, dx in PASSES]
    data = b"".join(packed(part, depth) for part in parts if part.size)
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    extra = b"".join(chunk(name.encode(), value) for name, value in chunks.items())
    return b"".join([
        b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", head), extra,
        chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b""),
    ])  # fmt: skip
