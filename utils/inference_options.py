"""The flags of inference.py: what they mean, and what does not go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from utils.dataset import SPLITS
from utils.errors import UserError
from utils.files import check_output_file, file_digest
from utils.options import Parsed, option
from utils.picture import DIRECTIONS
from utils.reading_options import ReadingOptions, note
from utils.show.cases import PREDICTION_FORMATS
from utils.show.evaluation import EVALUATION_FORMATS
from utils.show.report import check_report_folder
from utils.text.alike import Alike

MODES = ("single", "batch", "evaluate")
ENDINGS = {
    "single": (".png",),
    "batch": tuple(PREDICTION_FORMATS),
    "evaluate": tuple(EVALUATION_FORMATS),
}
OF_EVALUATE = ("data_root", "split", "max_bad_rows", "alike", "report", "compare")
USED_BY = dict.fromkeys(OF_EVALUATE, ("evaluate",)) | {
    "image_path": ("single",),
    "image_dir": ("batch",),
    "batch_size": ("batch", "evaluate"),
    "characters": ("single", "batch"),
    "resume": ("batch",),
    "part_size": ("batch",),
}


@dataclass(frozen=True)
class InferenceOptions(ReadingOptions):
    mode: str = option("single", "one picture, a folder, or a labelled set", MODES)
    horizontal: str | None = option(
        None, "with --vertical, in place of --model_path: checkpoint for lines across"
    )
    vertical: str | None = option(None, "with --horizontal: checkpoint for lines down")
    direction: str = option(
        "auto",
        "which of these two reads: auto goes by each picture's shape",
        ("auto", *DIRECTIONS),
    )
    image_path: str | None = option(None, "single: the picture")
    visualize: bool = option(False, "single: save a picture of how it was read")
    image_dir: str | None = option(None, "batch: the folder of pictures")
    recursive: bool = option(False, "batch: look into sub-folders too")
    characters: bool = option(False, "single, batch (.jsonl): each one's place and confidence")
    data_root: str = option("./data", "evaluate: the data set")
    split: str = option("test", "evaluate: which part of it", SPLITS)
    resume: bool = option(
        False, "batch: go on where a run that stopped has left off; each part is read once"
    )
    part_size: int = option(
        2000, "batch: pictures of a part, which is written as soon as it is read", above=0
    )
    output_path: str | None = option(
        None,
        "file to write (default: output/NAME_reading.png in single, output/predictions.tsv in "
        "batch, none in evaluate)",
    )
    alike: str | None = option(
        None, "evaluate: score also with the characters of each group as one, such as 0oO,1lI,cC"
    )
    report: str | None = option(
        None, "evaluate: folder for metrics.json, errors.tsv, plots and a page with all of it"
    )
    compare: tuple[str, ...] = option(
        (), "evaluate: two checkpoints to set side by side, in place of --model_path"
    )
    max_bad_rows: int = option(
        0, "evaluate: so many bad rows or pictures are let pass, named", least=0
    )
    config: str | None = option(None, "recipe (TOML) that presets these flags")

    def problems(self) -> list[str]:
        found = super().problems()
        if self.mode == "single" and not self.image_path:
            other = "; for a folder add --mode batch" if self.image_dir else ""
            found.append(f"--mode single needs --image_path F, the picture to read{other}")
        if self.mode == "batch" and not self.image_dir:
            other = "; for one picture leave out --mode batch" if self.image_path else ""
            found.append(f"--mode batch needs --image_dir D, the folder of pictures{other}")
        if self.visualize and self.mode != "single":
            found.append(f"--visualize goes with --mode single, not {self.mode}; leave it out")
        if self.recursive and self.mode != "batch":
            found.append(f"--recursive goes with --mode batch, not {self.mode}; leave it out")
        if self.output_path:
            found += self._output_problems(Path(self.output_path))
        pair = (self.horizontal, self.vertical)
        if None in pair and pair != (None, None):
            found.append("--horizontal and --vertical go together: give both, or --model_path")
        if pair != (None, None) and (self.model_path or self.compare):
            found.append("--horizontal and --vertical fight --model_path and --compare: leave out")
        if self.compare and (len(self.compare) != 2 or self.model_path or self.output_path):
            found.append(
                f"--compare {' '.join(self.compare)}: expected two checkpoints, and neither "
                "--model_path nor --output_path; --report DIR holds the comparison"
            )
        for name, check in (("alike", Alike.of), ("report", check_report_folder)):
            try:
                if getattr(self, name) is not None:
                    check(getattr(self, name))
            except UserError as error:
                found.append(f"--{name} {error}")
        return found

    @property
    def models(self) -> list[Path]:
        """One, those to compare, or the two of which a picture's shape chooses."""
        if self.compare:
            return [Path(path) for path in self.compare]
        if self.horizontal and self.vertical:
            pair = {"horizontal": Path(self.horizontal), "vertical": Path(self.vertical)}
            return [*pair.values()] if self.direction == "auto" else [pair[self.direction]]
        return [self.find_model()]

    def facts(self, models: Sequence[Path]) -> dict[str, Any]:
        """What the readings of a folder by these models hang on besides its pictures."""
        free = {"model_path", "device", "provider", "num_threads", "batch_size"}
        found = {each.name: getattr(self, each.name) for each in fields(ReadingOptions)
                 if each.name not in free}  # fmt: skip
        found |= {"characters": self.characters, "format": Path(self.output_path or ".tsv").suffix}
        found["models"] = [file_digest(path) for path in models]
        for name in ("lexicon", "lm"):
            if found[name]:
                found[name] = file_digest(Path(found[name]))
        return found

    def _output_problems(self, path: Path) -> list[str]:
        try:
            check_output_file(path)
        except UserError as error:
            return [f"--output_path {error}"]
        if path.suffix.lower() not in ENDINGS[self.mode]:
            expected = ", ".join(ENDINGS[self.mode])
            return [f"--output_path {path}: --mode {self.mode} writes {expected}; change its end"]
        return []


def warn_of_idle_flags(parsed: Parsed[InferenceOptions]) -> None:
    options = parsed.options
    options.warn_of_idle_flags(parsed.given)
    for name, modes in USED_BY.items():
        if name in parsed.given and options.mode not in modes:
            note(f"warning: --{name} has no effect in --mode {options.mode}")
    listing = {"batch": ".jsonl", "evaluate": ".json"}.get(options.mode)
    listed = listing is None or str(options.output_path).lower().endswith(listing)
    for name in ("characters", "n_best"):
        works = options.mode in USED_BY.get(name, MODES)
        if name in parsed.given and works and not listed:
            note(f"warning: --{name} has no effect without --output_path FILE{listing}")
    if "direction" in parsed.given and not options.horizontal:
        note("warning: --direction has no effect without --horizontal and --vertical")
    if options.mode == "single" and options.output_path and not options.visualize:
        note("warning: --output_path has no effect in --mode single without --visualize")
