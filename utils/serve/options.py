"""The flags of serve.py: what they mean, and what does not go together."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from utils.checkpoint import SHIPPED_MODEL
from utils.device import DEVICES
from utils.options import option
from utils.picture import DIRECTIONS


@dataclass(frozen=True)
class ServeOptions:
    model: tuple[str, ...] = option(
        (),
        "checkpoints or .onnx files to read with, each FILE or NAME=FILE; the first reads where a "
        f"request names none (default: {SHIPPED_MODEL.name}, which comes with the project)",
    )
    horizontal: str | None = option(
        None, "with --vertical: the model for pictures that are wider than high"
    )
    vertical: str | None = option(
        None, "with --horizontal: the model for pictures that are higher than wide"
    )
    host: str = option("127.0.0.1", "address to listen on; 0.0.0.0 for all of the machine's")
    port: int = option(5000, "port to listen on", least=1, most=65535)
    workers: int = option(1, "processes, each with models of its own", least=1)
    device: str = option("auto", "where the networks run", DEVICES)
    provider: str | None = option(
        None, "execution provider of ONNX Runtime for .onnx models (default: by --device)"
    )
    num_threads: int | None = option(
        None, "CPU threads of a process's networks (default: the cores, at most 8)", least=1
    )
    max_batch: int = option(64, "pictures of several requests that are read together", least=1)
    max_wait_ms: float = option(
        5.0, "how long a picture waits for others that are on their way", least=0
    )
    queue_size: int = option(
        1024, "pictures of a process that are not read yet; further ones are refused", least=1
    )
    max_files: int = option(64, "pictures of a request", least=1)
    max_bytes: int = option(8_000_000, "bytes of a request", least=1)
    max_held_bytes: int = option(
        256_000_000, "bytes of all requests that are not answered", least=1
    )
    max_pixels: int = option(16_000_000, "pixels of a picture", least=1)
    time_limit: float = option(
        30.0,
        "seconds for the head of a request to arrive, for its body, and to be answered",
        above=0,
    )
    api_key: str | None = option(
        None, "what a request must have as X-API-Key (default: the variable CRNN_API_KEY, or none)"
    )
    log: str = option("json", "a line for each request, on stdout", ("json", "none"))
    config: str | None = option(None, "recipe (TOML) that presets these flags")

    @property
    def longest_answer(self) -> int:
        """Seconds from the head of a request until it is answered, at most."""
        return round(2 * self.time_limit) + 5

    def problems(self) -> list[str]:
        found = []
        if (self.horizontal is None) != (self.vertical is None):
            found.append("--horizontal and --vertical go together: give both, or --model")
        names = [name for name, _ in self.models()]
        found += [
            f"--model: {name} is given twice; name one of them otherwise, NAME=FILE"
            for name in sorted({name for name in names if names.count(name) > 1})
        ]
        found += [
            f"--model {path}: no such file; give a checkpoint or an .onnx file"
            for _, path in self.models()
            if not path.is_file()
        ]
        if self.max_held_bytes < self.max_bytes:
            found.append(
                f"--max_held_bytes {self.max_held_bytes}: less than --max_bytes {self.max_bytes}, "
                "so that a full request could never be taken; raise the one or lower the other"
            )
        if self.queue_size < self.max_files:
            found.append(
                f"--queue_size {self.queue_size}: less than --max_files {self.max_files}, so that "
                "a full request could never be taken; raise the one or lower the other"
            )
        return found

    def models(self) -> list[tuple[str, Path]]:
        """Names and files, in order; the first is the one that reads by default."""
        found = [
            (kind, Path(path))
            for kind, path in zip(DIRECTIONS, (self.horizontal, self.vertical), strict=True)
            if path is not None
        ]
        for word in self.model:
            name, equals, path = word.partition("=")
            found.append((name, Path(path)) if equals else (Path(word).stem, Path(word)))
        return found or [(SHIPPED_MODEL.stem, SHIPPED_MODEL)]

    def to_json(self) -> str:
        """For a worker process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ServeOptions:
        values = json.loads(text)
        return cls(**{**values, "model": tuple(values["model"])})
