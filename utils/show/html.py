"""Parts of a self-contained page: the page itself, pictures in it, and texts under each other."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

from PIL import Image
from rapidfuzz.distance import Levenshtein

from utils.picture import PictureError, Source, open_picture

MOST_BYTES = 3_500_000
"""Of the gallery, after which it ends earlier: pictures of noise are large."""

LARGEST_SIDE = 320
"""Pixels of a picture in the gallery."""

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --line: #ccc; --bad: #b00020;
  --soft: #f3f3f3; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --paper: #16181c; --line: #444;
  --bad: #ff7a85; --soft: #22252b; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 68rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left;
  border-bottom: 1px solid var(--line); } td.n { text-align: right; }
figure { margin: 0; } img { max-width: 100%; height: auto; }
.plots { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); }
.plots img { background: #fff; }
.cases { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(18rem, 100%), 1fr)); }
.case { background: var(--soft); border-radius: .4rem; padding: .7rem; min-width: 0; }
.case img { display: block; margin: 0 auto .3rem; background: #fff; }
.strip { overflow-x: auto; } .strip td, .strip th { border: 0; padding: 0 .15rem; font: 1rem
  ui-monospace, monospace; text-align: center; } .strip th { font: .8rem system-ui, sans-serif;
  padding-right: .5rem; }
.wrong { color: var(--bad); font-weight: bold; } small { opacity: .8; }
"""


def gallery(cards: Iterable[str]) -> list[str]:
    """As many of the cards as MOST_BYTES allow, and one at least."""
    found: list[str] = []
    size = 0
    for card in cards:
        size += len(card)
        if found and size > MOST_BYTES:
            break
        found.append(card)
    return found


def page_html(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>\n"
    )


def picture_html(source: Source, name: str) -> str:
    """The picture as part of the page, made smaller where it is large; nothing where it cannot be
    read."""
    try:
        picture = open_picture(source, channels=3)
    except PictureError:
        return ""
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=85)
    width, height = picture.size
    return (
        f'<img alt="{escape(name)}" width="{width}" height="{height}" '
        f'src="{data_uri("jpeg", buffer.getvalue())}">'
    )


def strip_html(readings: Sequence[tuple[str, str, str]]) -> str:
    """Of each (name, label, text) the characters under each other; what differs is marked, gaps are
    dots."""
    rows = []
    for name, label, text in readings:
        above, below = aligned(label, text)
        for title, row, other in (("label", above, below), (name, below, above)):
            cells = "".join(
                f'<td class="{"wrong" if a != b else ""}">{escape(a or "·")}</td>'
                for a, b in zip(row, other, strict=True)
            )
            rows.append(f"<tr><th>{escape(title)}</th>{cells}</tr>")
    return f'<div class="strip"><table>{"".join(rows)}</table></div>'


def aligned(label: str, text: str) -> tuple[list[str], list[str]]:
    """Both, character by character, along a shortest alignment; "" for a gap."""
    above: list[str] = []
    below: list[str] = []
    for op in Levenshtein.opcodes(label, text):
        left, right = label[op.src_start : op.src_end], text[op.dest_start : op.dest_end]
        size = max(len(left), len(right))
        above += [*left, *[""] * (size - len(left))]
        below += [*right, *[""] * (size - len(right))]
    return above, below


def data_uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
