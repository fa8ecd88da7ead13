"""Flags of generate_data.py that have no effect beside the others."""

from __future__ import annotations

from utils.options import Parsed
from utils.synth.options import GenerateOptions

OF_WORDS = (
    "words", "number_share", "random_share", "letter_colors", "lines", "loose", "white", "display",
)  # fmt: skip
OF_LINES = ("corpus", "direction", "tight", "missing_glyphs")
IDLE = {
    "captcha": (*OF_WORDS, *OF_LINES, "augment"),
    "word": (*OF_LINES, "width", "renderer"),
    "line": (*OF_WORDS, "renderer"),
}
"""Flags that a kind does not know."""


def idle_flags(parsed: Parsed[GenerateOptions]) -> list[str]:
    """A sentence for each given flag that has no effect."""
    options = parsed.options
    found = {name: f"on --kind {options.kind}" for name in IDLE[options.kind]}
    if options.kind == "line" and options.missing_glyphs == "drop" and not options.without_glyph:
        found["missing_glyphs"] = "where the fonts have every character"
    if not any(ch.isdecimal() for ch in options.recipe.characters):
        found.setdefault("number_share", "on a charset without digits")
    if options.number_share + options.random_share == 1:
        found.setdefault("words", "where --number_share and --random_share leave nothing")
    return [f"--{name} has no effect {why}" for name, why in found.items() if name in parsed.given]
