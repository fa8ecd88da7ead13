"""Steps of three characters, and the one reading that a decoder makes of them."""

from __future__ import annotations

import numpy as np
from every_path import logs

from utils.text.asked import Decoding
from utils.text.charset import Charset
from utils.text.reading import Decoder, Reading

AB = Charset("aAb")


def read(rows: np.ndarray, charset: Charset = AB, decoding: Decoding | None = None) -> Reading:
    """rows (T, C) of probabilities; with the characters."""
    decoder = Decoder(charset, decoding)
    [reading] = decoder.read(logs(rows)[None], np.array([len(rows)]), characters=True)
    return reading


ROWS = np.array([[0.1, 0.5, 0.3, 0.1], [0.2, 0.3, 0.4, 0.1], [0.1, 0.1, 0.2, 0.6]])
