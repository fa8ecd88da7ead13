"""Every target on a few hundred mutations of its seeds; tests/fuzz/run.py is the longer command."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from guard import run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from targets import TARGETS

CASES = int(os.environ.get("FUZZ_CASES", "150"))

edits = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "repeat", "number"]),
        st.floats(0, 1, exclude_max=True),
        st.binary(min_size=1, max_size=8),
    ),
    max_size=4,
)


def mutated(seed: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    data = bytearray(seed)
    for kind, place, some in changes:
        at = int(place * len(data))
        if kind == "flip":
            data[at : at + len(some)] = some
        elif kind == "cut":
            del data[at:]
        elif kind == "insert":
            data[at:at] = some
        elif kind == "repeat":
            data[at:at] = data[at // 2 : at] * (1 + some[0] % 20)
        else:  # another number where there is one
            digits = [i for i in range(at, len(data)) if 48 <= data[i] < 58][:1]
            for i in digits:
                data[i : i + 1] = str(int.from_bytes(some, "big")).encode()
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=CASES, deadline=None, derandomize=True, database=None,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(place=st.integers(0, 10**6), changes=edits)
def test_what_is_read_is_used_or_told(
    name: str, place: int, changes: list[tuple[str, float, bytes]]
) -> None:
    target = TARGETS[name]
    seeds = target.seeds()
    with tempfile.TemporaryDirectory() as folder:
        run(target, mutated(seeds[place % len(seeds)], changes), Path(folder))


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_read(name: str, tmp_path: Path) -> None:
    """They are sound, but for rows that are to be refused: mutations begin inside the readers."""
    target = TARGETS[name]
    for number, seed in enumerate(target.seeds()):
        folder = tmp_path / str(number)
        folder.mkdir()
        target.read(seed, folder)


def test_a_target_that_looks_elsewhere_is_found(tmp_path: Path) -> None:
    from targets import Target

    for way in (lambda _, folder: (folder.parent / "other").write_text("x"),
                lambda _, folder: Path("/etc/hostname").read_text()):  # fmt: skip
        (tmp_path / "own").mkdir(exist_ok=True)
        with pytest.raises(AssertionError, match="it opened"):
            run(Target(way, lambda: [b""]), b"", tmp_path / "own")
