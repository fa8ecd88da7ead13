"""The reader: `Recognizer.load(path).read(images)`, the one way from pictures to texts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from utils.checkpoint import Checkpoint, Header, load_checkpoint
from utils.device import own_cores, pick_device
from utils.file_kinds import file_kind
from utils.networks import Network, OnnxNetwork, TorchNetwork
from utils.picture import ImageSpec, PictureError, Source, prepare, stack
from utils.text.charset import Charset
from utils.text.decoding import LogProbs
from utils.text.reading import Character, Decoder, Reading

MAX_VALUES = 2**27
"""Log-probabilities of a batch: half a GB, of which a network holds a few."""


@dataclass(frozen=True)
class Prediction:
    """What was read: `confidence` is the CTC probability of the text given the picture.

    A picture that cannot be read has an `error`, an empty text and confidence 0. One that is read
    with too little confidence is `rejected`: its text is empty, and `guess` is what it would be.
    Where no allowed text goes with the picture, `fits` is false, and the text empty.
    """

    text: str
    confidence: float
    error: str | None = None
    rejected: bool = False
    guess: str = ""
    fits: bool = True
    alternatives: tuple[tuple[str, float], ...] = ()
    """The best texts and their probabilities, where the decoder was asked for more than one."""
    characters: tuple[Character, ...] = ()
    """Each character's place and confidence, where they were asked for."""


@dataclass(frozen=True)
class BatchOutput:
    """Log-probabilities and lengths (N,) of the pictures `indices` of the input; the others of
    that batch stand in `errors`. `steps` are log_probs, or Steps if these were all that was asked
    for."""

    indices: list[int]
    steps: LogProbs
    lengths: np.ndarray
    errors: dict[int, str]

    @property
    def log_probs(self) -> np.ndarray:
        """(N, T, C)"""
        assert isinstance(self.steps, np.ndarray)
        return self.steps


class Recognizer:
    """A network with its picture preparation and charset."""

    def __init__(self, network: Network, image: ImageSpec, charset: Charset):
        self.network, self.image, self.charset = network, image, charset
        self.header: Header | None = None

    @classmethod
    def load(
        cls,
        path: str | Path,
        device: str = "auto",
        num_threads: int | None = None,
        provider: str | None = None,
    ) -> Recognizer:
        """From a .pth, .safetensors or .onnx; UserError says what is wrong with the file.

        `num_threads` and `provider` (the execution provider of ONNX Runtime) are for .onnx files;
        torch has its threads for the whole process.
        """
        if file_kind(path) != "onnx":
            return cls.of(load_checkpoint(path), device)
        network = OnnxNetwork(path, device, num_threads, provider)
        return cls._from_header(network, network.header)

    @classmethod
    def of(cls, checkpoint: Checkpoint, device: str = "auto") -> Recognizer:
        """The reader that a checkpoint holds."""
        place = pick_device(device)
        header = checkpoint.header
        model = checkpoint.build().to(place)
        return cls._from_header(TorchNetwork(model, place, None, header.temperature), header)

    @classmethod
    def _from_header(cls, network: Network, header: Header) -> Recognizer:
        recognizer = cls(network, header.image, header.charset)
        recognizer.header = header
        return recognizer

    @cached_property
    def max_steps(self) -> int:
        """Time steps of the widest picture, which bound the length of a text."""
        return self.network.num_steps(self.image)

    def read(
        self,
        images: Sequence[Source],
        batch_size: int = 64,
        decoder: Decoder | None = None,
        reject_below: float = 0.0,
        characters: bool = False,
    ) -> list[Prediction]:
        """Paths, bytes, Pillow images or arrays (H, W) or (H, W, 3) of uint8 -> predictions.

        `decoder` is one over this reader's charset (default: the best path). A text with less
        confidence than `reject_below` is rejected. `characters` places and weighs each one.
        """
        return list(self.stream(images, batch_size, decoder, reject_below, characters))

    def stream(
        self,
        images: Sequence[Source],
        batch_size: int = 64,
        decoder: Decoder | None = None,
        reject_below: float = 0.0,
        characters: bool = False,
    ) -> Iterator[Prediction]:
        """As `read`, one by one in the order of the images while the batches go on."""
        decoder = decoder or Decoder(self.charset)
        whole = decoder.needs_whole or characters
        for output in self.batches(images, batch_size, whole):
            found = {index: Prediction("", 0.0, reason) for index, reason in output.errors.items()}
            if output.indices:
                readings = decoder.read(output.steps, output.lengths, characters)
                for index, reading in zip(output.indices, readings, strict=True):
                    found[index] = predicted(reading, reject_below)
            yield from (found[index] for index in sorted(found))

    def fitting(self, batch_size: int, whole: bool = True) -> int:
        """As many pictures as that, or as MAX_VALUES log_probs are of, where these are held."""
        if not (whole or self.network.holds_whole):
            return batch_size
        each = self.image.width * self.charset.num_classes  # no network gives more steps
        if batch_size * each > MAX_VALUES:
            each = self.max_steps * self.charset.num_classes
        return max(1, min(batch_size, MAX_VALUES // each))

    def batches(
        self, images: Sequence[Source], batch_size: int = 64, whole: bool = True
    ) -> Iterator[BatchOutput]:
        """Log-probabilities batch by batch; pictures are prepared on threads, two batches ahead.

        Of a large charset a batch has fewer pictures: MAX_VALUES log-probabilities at most. Who
        can do with Steps says so by `whole`.
        """
        batch_size = self.fitting(batch_size, whole)
        with ThreadPoolExecutor(min(own_cores(), 8)) as pool:
            ahead: deque[tuple[int, list[Future]]] = deque()
            starts = iter(range(0, len(images), batch_size))
            while True:
                while len(ahead) < 3 and (start := next(starts, None)) is not None:
                    chunk = images[start : start + batch_size]
                    ahead.append((start, [pool.submit(prepare, im, self.image) for im in chunk]))
                if not ahead:
                    return
                start, futures = ahead.popleft()
                yield self._run(start, futures, whole)

    def _run(self, start: int, futures: list[Future], whole: bool) -> BatchOutput:
        pictures: dict[int, np.ndarray] = {}
        errors: dict[int, str] = {}
        for index, future in enumerate(futures, start=start):
            try:
                pictures[index] = future.result()
            except PictureError as error:
                errors[index] = str(error)
        if not pictures:
            return BatchOutput([], np.empty((0, 0, 0)), np.empty(0), errors)
        steps, lengths = self.steps(list(pictures.values()), whole)
        return BatchOutput(list(pictures), steps, lengths, errors)

    def log_probs(self, pictures: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Prepared pictures -> log_probs (N, T, C) in fp32 and lengths (N,), on the CPU."""
        return self.network.log_probs(*stack(pictures))

    def steps(self, pictures: list[np.ndarray], whole: bool = False) -> tuple[LogProbs, np.ndarray]:
        """The same, or Steps in their place, where these are enough."""
        return self.log_probs(pictures) if whole else self.network.steps(*stack(pictures))


def predicted(reading: Reading, reject_below: float) -> Prediction:
    rejected = reading.confidence < reject_below
    return Prediction(
        text="" if rejected else reading.text,
        confidence=reading.confidence,
        rejected=rejected,
        guess=reading.text,
        fits=reading.fits,
        alternatives=reading.alternatives,
        characters=reading.characters,
    )
