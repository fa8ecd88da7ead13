"""Readings of many pictures, written part by part, so that a run that was killed goes on.

Beside the file that is to come, FILE.parts/ holds run.json, which says what the run is, and a file
for each part that is done. Ranks take the parts in turn, and the last step joins them in order.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.errors import UserError
from utils.files import atomic_write, remove_leftovers, write_text
from utils.ranks import Ranks
from utils.show.cases import PREDICTION_FORMATS, Case, remark

HEADED = (".csv",)
"""Formats whose first line says what stands in the columns."""


@dataclass
class Count:
    """What a run tells at its end."""

    pictures: int = 0
    bad: list[str] = field(default_factory=list)
    remarks: Counter[str] = field(default_factory=Counter)

    def add(self, part: dict[str, Any]) -> None:
        self.pictures += part["pictures"]
        self.bad += part["bad"]
        self.remarks.update(part["remarks"])


class Parts:
    """The parts of one run over `names`, `size` names each. `facts` are what its results hang on
    besides: models, flags. UserError where there are parts of another run, or of this one without
    --resume."""

    def __init__(
        self, output: Path, names: Sequence[str], size: int, facts: dict[str, Any], resume: bool,
        ranks: Ranks,
    ):  # fmt: skip
        self.output, self.size, self.ranks = output, size, ranks
        self.folder = output.with_name(f"{output.name}.parts")
        self.count = -(-len(names) // size)
        digest = hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()
        own = {"pictures": len(names), "names": digest, "part_size": size, **facts}
        with ranks.one_answer():
            if len(set(ranks.everyones(digest))) > 1:
                raise UserError("the ranks see different pictures: --image_dir must be one folder")
        missing: list[int] = []
        with ranks.one_answer():
            if ranks.is_main:
                missing = self._begin(own, resume)
        self.left = ranks.everyones(missing)[0][ranks.rank :: ranks.world_size]
        """The parts that this rank has still to read: those that are missing, in turn."""

    def _begin(self, own: dict[str, Any], resume: bool) -> list[int]:
        """Which parts are missing."""
        file = self.folder / "run.json"
        if not file.is_file():
            shutil.rmtree(self.folder, ignore_errors=True)  # parts of no run
            write_text(file, json.dumps(own, indent=1))
            return list(range(self.count))
        before = self._read(file)
        missing = [part for part in range(self.count) if not self._path(part).is_file()]
        done = f"{self.count - len(missing):,} of {self.count:,} parts"
        if not resume:
            raise UserError(
                f"{self.folder}: a run that stopped has left {done} there; add --resume to go on, "
                "or delete the folder to begin anew"
            )
        changed = [name for name in own if own[name] != before.get(name)]
        if changed:
            raise UserError(
                f"--resume: {', '.join(changed)} changed since the run that {self.folder} is of; "
                "restore that, or delete the folder to begin anew"
            )
        remove_leftovers(self.folder)
        print(f"--resume: {done} were there")
        return missing

    def _read(self, file: Path) -> dict[str, Any]:
        try:
            content = json.loads(file.read_text("utf-8"))
            if isinstance(content, dict):
                return content
        except (ValueError, RecursionError):
            pass
        is_part = file.name != "run.json"
        fix = "it, and go on with --resume" if is_part else f"{self.folder}, to begin anew"
        raise UserError(f"{file}: damaged; delete {fix}")

    def of(self, part: int, total: int) -> slice:
        """Which of `total` names it has."""
        return slice(part * self.size, min((part + 1) * self.size, total))

    def write(self, part: int, cases: list[Case]) -> None:
        content = {
            "pictures": len(cases),
            "bad": [f"{case.file}: {case.error}" for case in cases if case.error],
            "remarks": Counter(filter(None, map(remark, cases))),
            "text": PREDICTION_FORMATS[self.output.suffix.lower()](cases),
        }
        write_text(self._path(part), json.dumps(content, ensure_ascii=False))

    def give_up(self) -> None:
        """Leaves nothing behind where no part is done; other ranks may be at theirs."""
        parts = (self._path(part) for part in range(self.count))
        if not self.ranks.are_many and not any(path.is_file() for path in parts):
            shutil.rmtree(self.folder, ignore_errors=True)

    def join(self) -> Count:
        """All parts as one file, in order, which then takes their place."""
        found = Count()
        with atomic_write(self.output) as file:
            for part in range(self.count):
                content = self._read(self._path(part))
                text = content["text"]
                if part and self.output.suffix.lower() in HEADED:
                    text = text[text.index("\n") + 1 :]
                file.write(text.encode("utf-8"))
                found.add(content)
        done = self.folder.with_name(f".{self.folder.name}.{os.getpid()}.tmp")
        os.replace(self.folder, done)  # at once: a kill leaves no half of it
        shutil.rmtree(done, ignore_errors=True)
        return found

    def _path(self, part: int) -> Path:
        return self.folder / f"{part:06d}.json"
