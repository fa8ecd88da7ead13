"""How a user asks for texts to be read."""

from __future__ import annotations

from dataclasses import dataclass, field

from utils.text.constraints import Constraints

DECODERS = ("greedy", "beam")


@dataclass(frozen=True)
class Decoding:
    """How to read; the default is the best path, with any text allowed."""

    decoder: str = "greedy"
    beam_width: int = 10
    n_best: int = 1
    """Texts of each picture; more than one only from the beam."""
    constraints: Constraints = field(default_factory=Constraints)
    lm: str | None = None
    """A file of utils.text.ngram."""
    lm_weight: float = 0.5
    ignore_case: bool = False
    """Both cases of a letter are one class, with the probabilities of both."""

    def problems(self) -> list[str]:
        """Sentences on what is wrong, or does not go together."""
        return self.constraints.problems() + self.own_problems()

    def own_problems(self) -> list[str]:
        """The same, but for the constraints, which say theirs when they are compiled."""
        found = []
        if self.decoder not in DECODERS:
            found.append(f"decoder {self.decoder!r}: expected one of {', '.join(DECODERS)}")
        if self.lm and self.decoder != "beam":
            found.append("--lm needs --decoder beam: the best path cannot be weighed by a model")
        if self.n_best > 1 and self.decoder != "beam":
            found.append(f"--n_best {self.n_best} needs --decoder beam: greedy has one text")
        if self.n_best > self.beam_width:
            found.append(
                f"--n_best {self.n_best}: more than --beam_width {self.beam_width}; raise that too"
            )
        return found
