"""What each decoder and constraint buys in accuracy, and what it costs in time.

  python -m benchmarks.decoding

Pictures are drawn by the `captcha` package from a seed: texts of 62 characters, and made-up words
of small letters, for which a language model is made from other such words. The network reads them
once; then each way to decode goes from its logits to Python strings, on one core, in turn. If
fast-ctc-decode is installed (pip install fast-ctc-decode), it takes part.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.pictures import draw_folder, draw_texts, recipe_of
from benchmarks.report import Report, in_turn, ratio
from utils.checkpoint import SHIPPED_MODEL
from utils.device import set_threads
from utils.errors import run_script
from utils.metrics import score_texts
from utils.options import option, parse
from utils.recognizer import Recognizer
from utils.text.asked import Decoding
from utils.text.beam import prefix_beam_search
from utils.text.charset import Charset, preset_charset
from utils.text.constraints import Constraints
from utils.text.ngram import NgramCounts
from utils.text.reading import Decoder

Decode = Callable[[np.ndarray], list[str]]
"""From logits (N, T, C) to texts."""


@dataclass(frozen=True)
class Options:
    model_path: str = option(str(SHIPPED_MODEL), "checkpoint to read with")
    n: int = option(10_000, "pictures of 62 characters; a fifth as many of words", least=100)
    timed: int = option(1024, "pictures that are timed", least=16)
    rounds: int = option(5, "rounds, each of which times every way", above=0)
    seed: int = option(1, "of the pictures", least=0)
    output: str | None = option(None, "Markdown file to write the tables to")
    config: str | None = option(None, "TOML recipe that presets flags")


@dataclass(frozen=True)
class Set:
    """Pictures' labels and what the network made of them."""

    labels: list[str]
    logits: np.ndarray


def log_softmax(logits: np.ndarray) -> np.ndarray:
    import torch

    return torch.from_numpy(logits).log_softmax(dim=2).numpy()


def way(charset: Charset, **asked) -> Decode:
    """Our decoder with these fields of Decoding, or of its Constraints."""
    bound = {name: asked.pop(name) for name in ("allow", "length", "pattern", "lexicon")
             if name in asked}  # fmt: skip
    decoder = Decoder(charset, replace(Decoding(**asked), constraints=Constraints(**bound)))

    def decode(logits: np.ndarray) -> list[str]:
        lengths = np.full(len(logits), logits.shape[1])
        found = decoder.texts(decoder.merged(log_softmax(logits)), lengths)
        return [decoder.charset.decode(texts[0]) if texts else "" for texts in found]

    return decode


def unpruned(charset: Charset) -> Decode:
    def decode(logits: np.ndarray) -> list[str]:
        lengths = np.full(len(logits), logits.shape[1])
        found = prefix_beam_search(log_softmax(logits), lengths, prune=None)
        return [charset.decode(texts[0].ids) for texts in found]

    return decode


def known_lengths(charset: Charset, labels: list[str], **asked) -> Decode:
    """Each picture with --length of its own label."""
    ways = {n: way(charset, length=str(n), **asked) for n in {len(label) for label in labels}}

    def decode(logits: np.ndarray) -> list[str]:
        texts = [""] * len(logits)
        for n, each in ways.items():
            rows = [row for row in range(len(logits)) if len(labels[row]) == n]
            for row, text in zip(rows, each(logits[rows]), strict=True):
                texts[row] = text
        return texts

    return decode


def peers(charset: Charset) -> Iterator[tuple[str, Decode]]:
    """fast-ctc-decode, where it is installed; picture by picture, as it takes them."""
    if find_spec("fast_ctc_decode") is None:
        return
    import fast_ctc_decode

    alphabet = ["", *charset.characters]

    def shares(logits: np.ndarray) -> np.ndarray:
        return np.exp(log_softmax(logits))

    def best_path(logits: np.ndarray) -> list[str]:
        return [fast_ctc_decode.viterbi_search(each, alphabet)[0] for each in shares(logits)]

    def beam(logits: np.ndarray, cut: float) -> list[str]:
        return [fast_ctc_decode.beam_search(each, alphabet, 10, cut)[0] for each in shares(logits)]

    yield "fast-ctc-decode, best path", best_path
    yield "fast-ctc-decode, beam 10, cut 1e-4", partial(beam, cut=1e-4)
    yield "fast-ctc-decode, beam 10", partial(beam, cut=0.0)


def words(count: int, rng: random.Random) -> list[str]:
    """Made-up words of 4 to 8 small letters: syllables of one or two consonants and a vowel."""
    starts = ["b", "c", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "br", "st", "tr"]
    found = []
    while len(found) < count:
        syllables = rng.randint(2, 4)
        word = "".join(rng.choice(starts) + rng.choice("aeiou") for _ in range(syllables))
        if 4 <= len(word) <= 8:
            found.append(word)
    return found


def read_set(reader: Recognizer, drawn: list[tuple[Path, str]]) -> Set:
    outputs = reader.batches([path for path, _ in drawn], 128)
    logits = np.concatenate([output.log_probs for output in outputs])
    return Set([label for _, label in drawn], logits)


def captcha_ways(charset: Charset, labels: list[str], folder: Path) -> dict[str, Decode]:
    lexicon, rng = folder / "texts.txt", random.Random("lexicon")
    others = ["".join(rng.choices(charset.characters, k=len(label))) for label in labels]
    lexicon.write_text("\n".join([*labels, *others]), encoding="utf-8")
    many = f"--lexicon of {2 * len(labels):,}"
    return {
        "greedy": way(charset),
        "beam 10": way(charset, decoder="beam"),
        "beam 10, all classes tried": unpruned(charset),
        "beam 50": way(charset, decoder="beam", beam_width=50),
        "greedy, --length 4-8": way(charset, length="4-8"),
        "greedy, each one's own --length": known_lengths(charset, labels),
        "beam 10, each one's own --length": known_lengths(charset, labels, decoder="beam"),
        f"greedy, {many}": way(charset, lexicon=str(lexicon)),
        f"beam 10, {many}": way(charset, decoder="beam", lexicon=str(lexicon)),
        "greedy, --ignore_case": way(charset, ignore_case=True),
        "beam 10, --ignore_case": way(charset, decoder="beam", ignore_case=True),
        **dict(peers(charset)),
    }


def word_ways(charset: Charset, folder: Path) -> dict[str, Decode]:
    model = folder / "lm.json"
    corpus = words(20_000, random.Random("corpus"))
    NgramCounts.of(corpus, charset.characters, 4).save(model)
    lm = {"decoder": "beam", "lm": str(model)}
    return {
        "greedy": way(charset),
        "greedy, --allow lower": way(charset, allow="lower"),
        "beam 10, --lm": way(charset, **lm),
        "beam 10, --lm, --lm_weight 1": way(charset, **lm, lm_weight=1.0),
        "beam 10, --lm, --allow lower": way(charset, **lm, allow="lower"),
    }


def table(report: Report, ways: dict[str, Decode], read: Set, options: Options) -> None:
    timed = read.logits[: options.timed]
    rates = in_turn({name: partial(rate, each, timed) for name, each in ways.items()},
                    options.rounds)  # fmt: skip
    rows = []
    for name, decode in ways.items():
        score = score_texts(zip(read.labels, decode(read.logits), strict=True))
        rows.append([
            name, f"{score.sequence_accuracy:.2%}", f"{score.sequence_accuracy_ignoring_case:.2%}",
            f"{score.character_accuracy:.2%}", f"{statistics.median(rates[name]):,.0f}",
            ratio(rates[name], rates["greedy"]),
        ])  # fmt: skip
    report.table(
        ["decoder", "exact", "ignoring case", "characters", "pictures/s (median)", "times greedy"],
        rows,
    )


def rate(decode: Decode, logits: np.ndarray) -> float:
    """Pictures a second."""
    import time

    started = time.perf_counter()
    decode(logits)
    return len(logits) / (time.perf_counter() - started)


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    set_threads(1)
    packages = ["captcha", "numpy"]
    packages += ["fast-ctc-decode"] if find_spec("fast_ctc_decode") else []
    report = Report("decoding", argv, options.output, packages)
    reader = Recognizer.load(options.model_path, "cpu")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        recipe = recipe_of("alnum62", 4, 8)
        captchas = read_set(reader, draw_folder(root / "a", recipe, options.n, options.seed))
        texts = words(options.n // 5, random.Random(options.seed))
        others_read = read_set(reader, draw_texts(root / "b", recipe, texts, options.seed))
        for title, read, ways in (
            ("62 characters", captchas, captcha_ways(reader.charset, captchas.labels, root)),
            ("made-up words", others_read, word_ways(preset_charset("alnum62"), root)),
        ):
            report.print(
                f"\n{title}, 4 to 8 a text, seed {options.seed}; n = {len(read.labels):,}; times "
                f"of {min(options.timed, len(read.labels)):,} pictures, {options.rounds} rounds"
            )
            table(report, ways, read, options)
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
