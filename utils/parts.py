"""Readings of many pictures, written part by part, so that a run that was killed goes on.

Beside the file that is to come, FILE.parts/ holds run.json, which says what the run is, a file for
each part that is done, and a lock. Ranks take the parts in turn, and the last step joins them in
order.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from utils.errors import UserError
from utils.files import atomic_write, remove_leftovers, write_text
from utils.lock import locked
from utils.ranks import Ranks
from utils.show.cases import PREDICTION_FORMATS, Case, remark

RUN, LOCK = "run.json", ".lock"
TAKEN = "--output_path {}: another run is writing it; wait for its end, or give another file"

SHARED_WITHIN = 10
"""Seconds until every machine sees a file that one of them has written."""

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
    --resume, or where another process is at them.

    A context manager, which leaves nothing behind where no part was done.
    """

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
            ranks.agree({name: own[name] for name in own if name != "image_dir"})  # as each sees it
        self._lock = ExitStack()
        start, missing = uuid4().hex, list[int]()
        with ranks.one_answer():
            if ranks.is_main:
                missing = self._begin(own | {"start": start}, resume)
        start, missing = ranks.everyones((start, missing))[0]
        try:
            with ranks.one_answer():
                if not self._begun_here(start):
                    raise UserError(
                        f"--output_path {output}: not where rank 0 writes; its folder must be one "
                        "that all machines share"
                    )
        except UserError:  # at rank 0
            self._leave()
            raise
        self.left = missing[ranks.rank :: ranks.world_size]
        """The parts that this rank has still to read: those that are missing, in turn."""

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, kind: type | None, *error: Any) -> None:
        if kind and not self.ranks.are_many:  # of many, others may be at their parts
            self._leave()
        self._lock.close()

    def _leave(self) -> None:
        """Nothing, where no part is done."""
        if len(self._missing()) == self.count:
            self._remove()
        self._lock.close()

    def _begin(self, own: dict[str, Any], resume: bool) -> list[int]:
        """Which parts are missing."""
        with ExitStack() as stack:
            stack.enter_context(locked(self.folder / LOCK, TAKEN.format(self.output), patience=1))
            missing = self._taken_up(own, resume)
            self._lock = stack.pop_all()
            return missing

    def _missing(self) -> list[int]:
        return [part for part in range(self.count) if not self._path(part).is_file()]

    def _taken_up(self, own: dict[str, Any], resume: bool) -> list[int]:
        file = self.folder / RUN
        if not file.is_file():
            self._clear()  # parts of no run
            write_text(file, json.dumps(own, indent=1))
            return list(range(self.count))
        before = self._read(file)
        missing = self._missing()
        done = f"{self.count - len(missing):,} of {self.count:,} parts"
        if not resume:
            raise UserError(
                f"{self.folder}: a run that stopped has left {done} there; add --resume to go on, "
                "or delete the folder to begin anew"
            )
        changed = [name for name in own if own[name] != before.get(name) and name != "start"]
        if changed:
            raise UserError(
                f"--resume: {', '.join(changed)} changed since the run that {self.folder} is of; "
                "restore that, or delete the folder to begin anew"
            )
        remove_leftovers(self.folder)
        write_text(file, json.dumps(own, indent=1))
        print(f"--resume: {done} were there")
        return missing

    def _begun_here(self, start: str) -> bool:
        """Whether this rank sees what rank 0 has begun; a network's storage may take a while."""
        file, deadline = self.folder / RUN, time.monotonic() + SHARED_WITHIN
        while not (file.is_file() and self._read(file).get("start") == start):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def _clear(self) -> None:
        remove_leftovers(self.folder)
        for part in self.folder.glob("[0-9]*.json"):
            part.unlink()

    def _remove(self) -> None:
        """run.json first: what is left by a kill in between is of no run."""
        (self.folder / RUN).unlink(missing_ok=True)
        self._clear()
        lock = self.folder / LOCK
        with suppress(OSError):  # Windows deletes none that is held
            lock.unlink()
        self._lock.close()
        with suppress(OSError):  # a file that is not ours stays, and the folder with it
            if os.name == "nt":
                lock.unlink()
            self.folder.rmdir()

    def _read(self, file: Path) -> dict[str, Any]:
        try:
            content = json.loads(file.read_text("utf-8"))
            if isinstance(content, dict):
                return content
        except (ValueError, RecursionError):
            pass
        is_part = file.name != RUN
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
        self._remove()
        return found

    def _path(self, part: int) -> Path:
        return self.folder / f"{part:06d}.json"
