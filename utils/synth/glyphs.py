"""Every glyph of a recipe, drawn once: what the fast renderer samples its letters from."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

MARGIN = 1
"""Pixels around a glyph's ink that repeat its edge, as Pillow's rotate has it."""


class GlyphAtlas:
    """Glyphs of all fonts and characters; glyph `font * num_characters + character`.

    `font` counts pairs of a file and a size, as the package chooses between them.
    """

    def __init__(self, fonts: list[ImageFont.FreeTypeFont], characters: str, device: torch.device):
        draw = ImageDraw.Draw(Image.new("L", (1, 1)))

        def box(character: str, font: ImageFont.FreeTypeFont) -> tuple[int, int]:
            _, _, right, bottom = draw.multiline_textbbox((1, 1), character, font=font)
            return int(right), int(bottom)

        glyphs = [(font, character) for font in fonts for character in characters]
        inks = [_ink(font, character) for font, character in glyphs]
        height, width = (max(ink.shape[axis] for ink in inks) + 2 * MARGIN for axis in (0, 1))
        sheet = np.zeros((len(inks), height, width), np.uint8)
        for cell, ink in zip(sheet, inks, strict=True):
            framed = np.pad(ink, MARGIN, mode="edge")
            cell[: framed.shape[0], : framed.shape[1]] = framed
        self.num_fonts, self.num_characters = len(fonts), len(characters)
        self.sheet = torch.from_numpy(sheet).to(device)
        """(G, Hc, Wc), uint8: coverage 0..255, the ink MARGIN pixels from the upper left."""
        sizes = [box(character, font) for font, character in glyphs]
        self.boxes = torch.tensor(sizes, dtype=torch.float32, device=device)
        """(G, 2): width and height of the patch that the package pastes, in pixels."""
        self.inks = torch.tensor([ink.shape[::-1] for ink in inks], device=device).float()
        """(G, 2): width and height of the ink alone."""
        self.space_widths = torch.tensor([box(" ", font)[0] for font in fonts], device=device)
        """(fonts,): what a space takes."""


def _ink(font: ImageFont.FreeTypeFont, character: str) -> np.ndarray:
    """Coverage 0..255 of one character, cut to its ink; one empty pixel for one that has none."""
    left, top, right, bottom = font.getbbox(character)
    picture = Image.new("L", (int(right - left) + 8, int(bottom - top) + 8))
    ImageDraw.Draw(picture).text((4 - left, 4 - top), character, font=font, fill=255)
    ink = picture.getbbox()
    cut = picture.crop(ink) if ink else Image.new("L", (1, 1))
    return np.asarray(cut)
