"""The flags of every script that reads: with which model, where, and how."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from utils.by_shape import Reader
from utils.checkpoint import SHIPPED_MODEL
from utils.device import DEVICES, set_threads
from utils.errors import UserError
from utils.file_kinds import file_kind
from utils.options import option
from utils.picture import DIRECTIONS, Source
from utils.ranks import Ranks
from utils.recognizer import Prediction, Recognizer
from utils.text.asked import DECODERS, Decoding
from utils.text.constraints import PATTERN_HELP, Constraints, split_pattern
from utils.text.presets import SMALL
from utils.text.reading import Decoder

IDLE_WITHOUT = {"beam_width": "decoder beam", "lm_weight": "lm"}
DEFAULT_MODELS = ("checkpoints/best.safetensors", "checkpoints/best.pth")


@dataclass(frozen=True)
class ReadingOptions:
    """Part of a script's options: its own class inherits these fields."""

    model_path: str | None = option(
        None,
        f"checkpoint to read with (default: the newer of {' and '.join(DEFAULT_MODELS)}; where "
        f"there is neither, {SHIPPED_MODEL.name}, which comes with the project)",
    )
    batch_size: int = option(64, "pictures a step", least=1)
    device: str = option("auto", "where the network runs", DEVICES)
    provider: str | None = option(
        None,
        "execution provider of ONNX Runtime for an .onnx model, such as TensorrtExecutionProvider",
    )
    num_threads: int | None = option(None, "CPU threads (default: the cores, at most 8)", least=1)
    decoder: str = option("greedy", "best path, or prefix beam search", DECODERS)
    beam_width: int = option(10, "beam: texts that are kept at each time step", least=1)
    n_best: int = option(1, "beam: texts to show for each picture", least=1)
    allow: str | None = option(
        None, f"only these characters: the characters, or one of {', '.join(SMALL)}"
    )
    length: str | None = option(None, "only texts of N characters, or of A-B")
    pattern: str | None = option(None, f"only texts like LLL-DDDD; {PATTERN_HELP}")
    lexicon: str | None = option(None, "only texts that stand in this file, one a line")
    ignore_case: bool = option(False, "read both cases of a letter as one")
    lm: str | None = option(None, "beam: language model that python -m utils.lm made")
    lm_weight: float = option(0.5, "beam: its share in the choice of a text", least=0)
    reject_below: float = option(
        0.0, "give no answer where the confidence is less than this", least=0, most=1
    )

    @property
    def decoding(self) -> Decoding:
        constraints = Constraints(self.allow, self.length, self.pattern, self.lexicon)
        return Decoding(
            self.decoder, self.beam_width, self.n_best, constraints, self.lm, self.lm_weight,
            self.ignore_case,
        )  # fmt: skip

    def problems(self) -> list[str]:
        """What does not go together; a script's own class adds to it."""
        return self.decoding.problems()

    def warn_of_idle_flags(self, given: frozenset[str]) -> None:
        """A sentence for each flag that changes nothing beside the others."""
        needs = {"beam_width": self.decoder == "beam", "lm_weight": self.lm is not None}
        for name, works in needs.items():
            if name in given and not works:
                note(f"warning: --{name} has no effect without --{IDLE_WITHOUT[name]}")

    def find_model(self) -> Path:
        """--model_path, or the newer one of what training and conversion write, or the one that
        comes with the project."""
        if self.model_path:
            return Path(self.model_path)
        there = [Path(name) for name in DEFAULT_MODELS if Path(name).is_file()]
        if there:
            newest = max(there, key=lambda path: path.stat().st_mtime)
            note(f"model: {newest}" + (" (the newer of two)" if len(there) > 1 else ""))
            return newest
        if not SHIPPED_MODEL.is_file():
            raise UserError(
                f"no --model_path is given, and neither {' nor '.join(DEFAULT_MODELS)} is there, "
                f"nor {SHIPPED_MODEL}, which comes with the project; give one, or make one with "
                "python train.py"
            )
        note(f"model: {SHIPPED_MODEL} (comes with the project)")
        return SHIPPED_MODEL

    def load_recognizer(self, model_path: Path) -> Recognizer:
        return load_reader(model_path, self.device, self.num_threads, self.provider)

    def stream(
        self,
        reader: Reader,
        pictures: Sequence[Source],
        bar: tqdm,
        characters: bool = False,
    ) -> Iterator[Prediction]:
        """Predictions in order, each told to the bar."""
        for prediction in reader.stream(pictures, self.batch_size, self.reject_below, characters):
            bar.update()
            yield prediction

    def load_reader(self, *model_paths: Path) -> Reader:
        """One checkpoint, or that for lines across and that for lines down. UserError where they
        are not, and where the flags do not go with a model's charset or width."""
        readers = [self.load_recognizer(path) for path in model_paths]
        if len(readers) > 1:
            for path, reader, direction in zip(model_paths, readers, DIRECTIONS, strict=True):
                if reader.image.direction != direction:
                    raise UserError(
                        f"--{direction} {path}: it was trained on {reader.image.direction} lines; "
                        "change the two, or give another"
                    )
        return Reader(*((reader, decoder_for(reader, self.decoding)) for reader in readers))


def decoder_for(recognizer: Recognizer, decoding: Decoding) -> Decoder:
    """UserError where that does not go with the model's charset or width."""
    if problems := decoding.problems():
        raise UserError("; ".join(problems))
    pattern, steps = decoding.constraints.pattern, recognizer.max_steps
    if pattern and len(split_pattern(pattern)) > steps:  # told before it is compiled
        raise UserError(f"--pattern {pattern}: longer than {steps} characters; give a shorter one")
    decoder = Decoder(recognizer.charset, decoding, steps)
    if decoder.frames_needed > steps:
        raise UserError(
            f"the shortest allowed text takes {decoder.frames_needed} time steps, and the "
            f"widest picture of this model has {steps}; allow shorter ones"
        )
    return decoder


def load_reader(
    path: Path, device: str, num_threads: int | None, provider: str | None = None
) -> Recognizer:
    """A checkpoint, or an .onnx file, which needs no torch."""
    if file_kind(path) != "onnx":
        set_threads(num_threads)
        if provider:
            note("warning: --provider has no effect without an .onnx model")
    return Recognizer.load(path, device, num_threads, provider)


def note(sentence: str) -> None:
    """Beside the results, which alone stand on stdout; a progress bar stays whole. Of several ranks
    one tells."""
    if Ranks.of_environment().is_main:
        tqdm.write(sentence, file=sys.stderr)
