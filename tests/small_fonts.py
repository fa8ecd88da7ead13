"""Fonts of a few characters, made on the spot: each is a pattern of squares of its own."""

from __future__ import annotations

from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTCollection

EM, CELL = 1000, 180


def squares(bits: int):
    """A glyph of up to 4 x 4 squares, those of the bits that are set."""
    pen = TTGlyphPen(None)
    for place in range(16):
        if bits >> place & 1:
            x, y = 140 + place % 4 * CELL, -100 + place // 4 * CELL
            pen.moveTo((x, y))
            for point in ((x, y + CELL), (x + CELL, y + CELL), (x + CELL, y)):
                pen.lineTo(point)
            pen.closePath()
    return pen.glyph()


def font(characters: str, blank: str = "", turned: bool = False) -> FontBuilder:
    """With a pattern for each character, and one without ink for each of `blank`. A `turned` one
    has all patterns the other way round, under numbers of their own."""
    names = {ch: f"u{ord(ch):04X}" for ch in characters + blank}
    order = [".notdef", *names.values()]
    build = FontBuilder(EM, isTTF=True)
    build.setupGlyphOrder(order)
    build.setupCharacterMap({ord(ch): name for ch, name in names.items()})
    glyphs = {".notdef": squares(0xF99F)}
    for ch, name in names.items():
        bits = ord(ch) * 40503 & 0xFFFF | 0x0801
        bits = int(f"{bits:016b}"[::-1], 2) if turned else bits
        glyphs[name] = squares(0 if ch in blank else bits)
    build.setupGlyf(glyphs)
    build.setupHorizontalMetrics(dict.fromkeys(order, (EM, 0)))
    build.setupHorizontalHeader(ascent=880, descent=-120)
    build.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    build.setupOS2()
    build.setupPost()
    return build


def font_file(path: Path, characters: str, blank: str = "", turned: bool = False) -> str:
    font(characters, blank, turned).save(path)
    return str(path)


def collection_file(path: Path, *coverages: str) -> str:
    """Faces that share the outlines of all characters, each of which says that it has some."""
    whole = "".join(dict.fromkeys("".join(coverages)))
    collection = TTCollection()
    for characters in coverages:
        face = font(whole).font
        for table in face["cmap"].tables:
            table.cmap = {ord(ch): name for ch, name in [(c, f"u{ord(c):04X}") for c in characters]}
        collection.fonts.append(face)
    collection.save(str(path), shareTables=True)
    return str(path)
