"""The flags of export.py: what they mean, and what does not go together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from utils.errors import UserError
from utils.export.bundle import check_bundle_folder
from utils.files import check_output_file
from utils.options import Parsed, option

FORMATS = {
    "onnx": ".onnx",
    "onnx-int8": "-int8.onnx",
    "ddddocr": "-ddddocr.onnx",
    "aoti": ".pt2",
}
"""And what their files' names have behind that of the checkpoint."""

OWN_READERS = {"ddddocr": "ddddocr is the reader", "aoti": "the reader is a program in C++"}
"""Of files that a bundle has none for."""


@dataclass(frozen=True)
class ExportOptions:
    path: str | None = option(None, "the checkpoint, .pth or .safetensors", positional=True)
    format: str = option("onnx", "what to make", tuple(FORMATS))
    output_path: str | None = option(
        None, "file to write (default: beside the checkpoint, such as best.onnx, best-int8.onnx)"
    )
    data_root: str | None = option(
        None,
        "labelled pictures: calibrated on those of train (or the first split that there is), "
        "checked and scored on those of test (or the last); default: the project's examples, "
        "and no score",
    )
    bundle: str | None = option(
        None, "also a folder that reads by itself: model, a reader in one file, README"
    )
    num_pictures: int = option(1000, "pictures to score with, at most", least=1)
    num_calibration: int = option(256, "onnx-int8: pictures to calibrate on, at most", least=1)
    config: str | None = option(None, "recipe (TOML) that presets these flags")

    @property
    def output(self) -> Path:
        source = Path(self.path or "")
        name = source.stem + FORMATS[self.format]
        return Path(self.output_path) if self.output_path else source.with_name(name)

    @property
    def charsets(self) -> Path:
        """What goes with the file of ddddocr."""
        return self.output.with_suffix(".json")

    def problems(self) -> list[str]:
        if not self.path:
            return ["nothing to export; give a checkpoint"]
        found = []
        if self.format == "onnx-int8" and not self.data_root:
            found.append("--format onnx-int8 needs --data_root, pictures to calibrate and score on")
        ending = "." + FORMATS[self.format].rpartition(".")[2]
        if self.output.suffix.lower() != ending:
            found.append(f"--output_path {self.output}: expected a name that ends with {ending}")
        if self.bundle and (reader := OWN_READERS.get(self.format)):
            found.append(f"--bundle fights --format {self.format}: {reader}; leave it out")
        checks: list[tuple[str, Callable[[Path], None], Path]] = [
            ("--output_path ", check_output_file, self.output)
        ]
        if self.format == "ddddocr":
            checks.append(("--output_path ", check_output_file, self.charsets))
        if self.bundle:
            checks.append(("--bundle ", check_bundle_folder, Path(self.bundle)))
        for flag, check, path in checks:
            try:
                check(path)
            except UserError as error:
                found.append(f"{flag}{error}")
        return found


def idle_flags(parsed: Parsed[ExportOptions]) -> list[str]:
    """A sentence for each given flag that changes nothing."""
    options, found = parsed.options, []
    if "num_calibration" in parsed.given and options.format != "onnx-int8":
        found.append("--num_calibration has no effect without --format onnx-int8")
    if "num_pictures" in parsed.given and not options.data_root:
        found.append("--num_pictures has no effect without --data_root")
    return found
