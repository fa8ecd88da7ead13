"""Fonts of a few characters, made on the spot: each is a pattern of squares of its own."""

from __future__ import annotations

from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.t2CharStringPen import T2CharStringPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTCollection

EM, CELL = 1000, 180


def draw_squares(pen, bits: int) -> None:
    """Up to 4 x 4 squares, those of the bits that are set."""
    for place in range(16):
        if bits >> place & 1:
            x, y = 140 + place % 4 * CELL, -100 + place // 4 * CELL
            pen.moveTo((x, y))
            for point in ((x, y + CELL), (x + CELL, y + CELL), (x + CELL, y)):
                pen.lineTo(point)
            pen.closePath()


def font(
    characters: str, blank: str = "", turned: bool = False, is_cff: bool = False
) -> FontBuilder:
    """With a pattern for each character, and one without ink for each of `blank`. A `turned` one
    has all patterns the other way round; outlines are TrueType's or, of `is_cff`, PostScript's."""
    names = {ch: f"u{ord(ch):04X}" for ch in characters + blank}
    bits = {".notdef": 0xF99F}
    for ch, name in names.items():
        own = ord(ch) * 40503 & 0xFFFF | 0x0801
        own = int(f"{own:016b}"[::-1], 2) if turned else own
        bits[name] = 0 if ch in blank else own
    build = FontBuilder(EM, isTTF=not is_cff)
    build.setupGlyphOrder(list(bits))
    build.setupCharacterMap({ord(ch): name for ch, name in names.items()})
    glyphs = {}
    for name, own in bits.items():
        pen = T2CharStringPen(EM, None) if is_cff else TTGlyphPen(None)
        draw_squares(pen, own)
        glyphs[name] = pen.getCharString() if is_cff else pen.glyph()
    if is_cff:
        build.setupCFF("Squares", {}, glyphs, {})
    else:
        build.setupGlyf(glyphs)
    build.setupHorizontalMetrics(dict.fromkeys(bits, (EM, 0)))
    build.setupHorizontalHeader(ascent=880, descent=-120)
    build.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    build.setupOS2()
    build.setupPost()
    return build


def font_file(path: Path, characters: str, blank: str = "", turned: bool = False) -> str:
    font(characters, blank, turned).save(path)
    return str(path)


def collection_file(path: Path, *coverages: str) -> str:
    """Faces that share the outlines of all characters, each of which says that it has some; those
    of an .otc are PostScript's."""
    whole = "".join(dict.fromkeys("".join(coverages)))
    collection = TTCollection()
    for characters in coverages:
        face = font(whole, is_cff=path.suffix == ".otc").font
        for table in face["cmap"].tables:
            table.cmap = {ord(ch): name for ch, name in [(c, f"u{ord(c):04X}") for c in characters]}
        collection.fonts.append(face)
    collection.save(str(path), shareTables=True)
    return str(path)
