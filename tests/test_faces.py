"""All faces of some fonts: what each has, and that what they share is drawn once."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from tests.small_fonts import collection_file, font_file
from utils.errors import UserError
from utils.synth import faces as module
from utils.synth.faces import Faces, glyph_problems, outlines_at, size_of, without_glyph
from utils.synth.fonts import Face, all_faces


def test_a_collection_has_several_faces(tmp_path):
    path = collection_file(tmp_path / "two.ttc", "甲乙丙", "乙丁")
    one = font_file(tmp_path / "one.ttf", "甲")
    assert all_faces([path, one]) == [(path, 0), (path, 1), (one, 0)]
    faces = Faces([path, one], "甲乙丙丁戊 ", 32)
    assert faces.names == [(path, 0), (path, 1), (one, 0)]
    assert faces.covered == ["甲乙丙 ", "乙丁 ", "甲 "]
    assert faces.covers(0, "甲 乙")
    assert not faces.covers(1, "甲乙")


def test_shared_outlines_are_drawn_once(tmp_path, monkeypatch):
    """Those of CFF tables; TrueType's are hinted by face, and each face draws its own."""
    drawn = []
    draw = Face.draw_glyph
    monkeypatch.setattr(Face, "draw_glyph", lambda face, ch: drawn.append(ch) or draw(face, ch))
    for kind, times in (("otc", 1), ("ttc", 2)):
        path = collection_file(tmp_path / f"two.{kind}", "甲乙丙", "乙丙丁")
        faces = Faces([path], "甲乙丙丁", 32)
        first, second = faces.glyphs(0, "乙丙"), faces.glyphs(1, "乙丙")
        assert drawn == ["乙", "丙"] * times
        assert all((a is b) == (times == 1) for a, b in zip(first, second, strict=True))
        np.testing.assert_array_equal(second[0].ink, Face(path, 32, 1).glyph("乙").ink)
        drawn.clear()
    assert outlines_at(path, 0) == (-1,)
    assert outlines_at(path, 1) == (-2,)


def test_the_oldest_glyphs_make_room(tmp_path, monkeypatch):
    path = font_file(tmp_path / "one.ttf", "甲乙丙")
    sizes = {ch: size_of(Face(path, 32).glyph(ch)) for ch in "甲乙丙"}
    monkeypatch.setattr(module, "MOST_BYTES", sizes["乙"] + sizes["丙"])
    faces = Faces([path], "甲乙丙", 32)
    before = faces.glyphs(0, "甲乙丙")
    after = faces.glyphs(0, "乙丙甲")
    assert before[1] is after[0]
    assert before[2] is after[1]
    assert before[0] is not after[2]
    np.testing.assert_array_equal(before[0].ink, after[2].ink)


def test_files_count_by_what_they_have_and_faces_share_it(tmp_path):
    small = font_file(tmp_path / "small.ttf", "甲")
    large = collection_file(tmp_path / "large.ttc", "甲乙丙丁", "甲乙丙丁")
    faces = Faces([small, large], "甲乙丙丁", 32)
    rng = random.Random(0)
    counts = Counter(faces.any(rng) for _ in range(5000))
    assert counts[0] == pytest.approx(1000, abs=120)
    assert counts[1] == pytest.approx(2000, abs=160)
    assert sum(counts.values()) == counts[0] + counts[1] + counts[2]


def test_what_a_face_says_and_has_no_ink_for_is_not_drawn(tmp_path):
    path = font_file(tmp_path / "blank.ttf", "甲乙", blank="丙")
    faces = Faces([path], "甲乙丙 ", 32)
    assert faces.covers(0, "甲丙")
    assert [faces.has(0, ch) for ch in "甲乙丙 "] == [True, True, False, True]
    assert faces.glyphs(0, "甲 乙")[1] is None
    assert without_glyph("甲丙 丁", [(path, 0)]) == ["丙", "丁"]
    other = font_file(tmp_path / "own.ttf", "\ue000")
    assert without_glyph("\ue000", [(other, 0)]) == []
    assert without_glyph("\ue000甲", [(other, 0), (path, 0)]) == ["\ue000"]
    [problem] = glyph_problems("甲丙丁", [(path, 0)], "do without")
    assert "none of 1 has '丙丁' (2 of 3 characters); add one that has, or do without" in problem


def test_fonts_that_cover_nothing_are_told(tmp_path):
    path = font_file(tmp_path / "one.ttf", "甲")
    with pytest.raises(UserError, match=r"--fonts: none of 1 has any of 2 characters, such as '乙"):
        Faces([path], "乙丙", 32)
