"""What goes over the wire: the query of a request, its answer, and an error, all in JSON."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from utils.recognizer import Recognizer
from utils.serve.service import Answer, Service, Wish
from utils.text.asked import Decoding
from utils.text.charset import Charset
from utils.text.constraints import PATTERN_HELP, Constraints

LONGEST = 256
"""Characters of an option."""

SHOWN = 5
"""Characters of a time step whose probabilities are told."""


class ReadQuery(BaseModel):
    """How the pictures are to be read; the same words as inference.py's flags."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(None, max_length=LONGEST, description="name of a model, see /models")
    length: str | None = Field(
        None, max_length=LONGEST, description="only texts of N characters, or of A-B"
    )
    allow: str | None = Field(
        None, max_length=LONGEST, description="only these characters, or a preset such as digits"
    )
    pattern: str | None = Field(None, max_length=LONGEST, description=PATTERN_HELP)
    decoder: Literal["greedy", "beam"] = "greedy"
    beam_width: int = Field(10, ge=1, le=50)
    n_best: int = Field(1, ge=1, le=50, description="texts to tell; needs the beam")
    ignore_case: bool = Field(False, description="both cases of a letter are one")
    reject_below: float = Field(0.0, ge=0, le=1, description="no answer with less confidence")
    characters: bool = Field(False, description="each character's place and confidence")
    probabilities: bool = Field(False, description="the likeliest characters of each time step")

    def wish(self) -> Wish:
        decoding = Decoding(
            self.decoder, self.beam_width, self.n_best,
            Constraints(self.allow, self.length, self.pattern), ignore_case=self.ignore_case,
        )  # fmt: skip
        return Wish(self.model, decoding, self.reject_below, self.characters, self.probabilities)


class CharacterOut(BaseModel):
    text: str
    confidence: float
    left: float = Field(description="where it starts, as a share of the picture")
    right: float


class TextOut(BaseModel):
    text: str
    confidence: float


class StepOut(BaseModel):
    """One time step: its likeliest classes, an empty text being the blank."""

    likeliest: list[TextOut]


class ReadOut(BaseModel):
    """What was read of one picture."""

    file: str
    text: str
    confidence: float = Field(description="the probability of the text, all alignments together")
    rejected: bool = Field(description="read with less confidence than reject_below")
    fits: bool = Field(description="false where no allowed text goes with the picture")
    error: str | None = Field(description="why the picture cannot be read")
    model: str
    width: int
    height: int
    characters: list[CharacterOut] | None = None
    alternatives: list[TextOut] | None = None
    steps: list[StepOut] | None = None


class PredictOut(BaseModel):
    results: list[ReadOut]
    milliseconds: float


class CrnnOut(BaseModel):
    text: str
    confidence: float


class ModelOut(BaseModel):
    name: str
    charset: str
    num_characters: int
    height: int
    width: int
    keep_ratio: bool
    channels: int
    direction: str

    @classmethod
    def of(cls, name: str, reader: Recognizer) -> ModelOut:
        spec = reader.image
        return cls(
            name=name, charset=reader.charset.name, num_characters=len(reader.charset),
            height=spec.height, width=spec.width, keep_ratio=spec.keep_ratio,
            channels=spec.channels, direction=spec.direction,
        )  # fmt: skip


class Problem(BaseModel):
    """Every error has this shape."""

    code: str
    message: str
    detail: Any = None


def all_out(
    service: Service, uploads: list[tuple[str, bytes]], answers: list[Answer], query: ReadQuery
) -> list[ReadOut]:
    """What is told of each picture."""
    return [
        _out(name, answer, query, service.models[answer.model].recognizer.charset)
        for (name, _), answer in zip(uploads, answers, strict=True)
    ]


def _out(file: str, answer: Answer, query: ReadQuery, charset: Charset) -> ReadOut:
    found = answer.prediction
    out = ReadOut(
        file=file, text=found.text, confidence=found.confidence, rejected=found.rejected,
        fits=found.fits, error=found.error, model=answer.model, width=answer.size[0],
        height=answer.size[1],
    )  # fmt: skip
    if query.characters:
        out.characters = [
            CharacterOut(text=c.text, confidence=c.confidence, left=c.left, right=c.right)
            for c in found.characters
        ]
    if query.n_best > 1:
        out.alternatives = [TextOut(text=t, confidence=share) for t, share in found.alternatives]
    if query.probabilities and answer.log_probs is not None:
        out.steps = [_step(row, charset) for row in answer.log_probs]
    return out


def _step(log_probs: np.ndarray, charset: Charset) -> StepOut:
    count = min(SHOWN, len(log_probs))
    some = np.argpartition(-log_probs, count - 1)[:count]
    best = some[np.argsort(-log_probs[some])]
    return StepOut(
        likeliest=[
            TextOut(text=charset.decode([int(i)]) if i else "", confidence=float(np.exp(value)))
            for i, value in zip(best, log_probs[best], strict=True)
        ]
    )
