"""How well a reader still reads what the one that it started from could read."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import torch

from utils.checkpoint import Checkpoint
from utils.dataset import DataSet, relabelled
from utils.metrics import Score
from utils.recognizer import Recognizer
from utils.text.charset import Charset


class OldSet:
    """The validation split of --old_root, with labels as the reader of --init_from writes them.

    What that one's charset drops is no part of the labels. What another reader's charset lacks is:
    its characters cannot be read, and count as errors.
    """

    def __init__(self, data: DataSet, charset: Charset, before: dict[str, Any] | None = None):
        self.root = data.root
        self.charset, self.before = charset, before or {}
        self._rows = relabelled(data.split("val"), charset.fold)

    @classmethod
    def of_run(
        cls,
        data: DataSet | None,
        start: Checkpoint | None,
        resumed: Checkpoint | None,
        device: torch.device,
    ) -> OldSet | None:
        """Where there is --old_root; of a run that goes on, as it was before."""
        if data is not None and resumed is not None and resumed.training is not None:
            return cls.from_json(data, resumed.training["old"])
        return None if data is None or start is None else cls.of_start(data, start, device)

    @classmethod
    def of_start(cls, data: DataSet, start: Checkpoint, device: torch.device) -> OldSet:
        """Scored by --init_from, which need not be there any more when the run ends."""
        old = cls(data, start.header.charset)
        old.before = old.score(start, device)
        return old

    @classmethod
    def from_json(cls, data: DataSet, values: dict[str, Any]) -> OldSet:
        """Of a run that goes on."""
        return cls(data, Charset(**values["charset"]), values["before"])

    def to_json(self) -> dict[str, Any]:
        return {"charset": asdict(self.charset), "before": self.before}

    def score(self, checkpoint: Checkpoint, device: torch.device) -> dict[str, Any]:
        """Figures by name, with n. No generator's state is changed."""
        score = Score()
        with torch.random.fork_rng():
            reader = Recognizer.of(checkpoint, device.type)
            found = reader.read([row.picture for row in self._rows])
        written = replace(reader.charset, drops=False)
        for row, prediction in zip(self._rows, found, strict=True):
            score.add(written.fold(row.label), prediction.text)
        return score.summary()
