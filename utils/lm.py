"""Make a character language model from a text file, for `inference.py --lm`.

  python -m utils.lm corpus.txt --charset alnum62 --output_path output/lm.json

Each line of the corpus is one text, as the pictures may show it. A line is cut where it has
characters outside the charset: of prose, the words are left.
"""

from __future__ import annotations

import itertools
import math
import sys
from dataclasses import dataclass
from pathlib import Path

from utils.errors import UserError, run_script
from utils.files import check_output_file
from utils.options import option, parse
from utils.text.charset import (
    PRESETS,
    Charset,
    charset_of_texts,
    preset_charset,
    read_charset_file,
)
from utils.text.ngram import MOST_ORDER, NgramCounts, NgramModel


@dataclass(frozen=True)
class Options:
    corpus: str | None = option(None, "UTF-8 text file, one text a line", positional=True)
    charset: str | None = option(
        None, "what the texts are made of (default: what occurs)", tuple(PRESETS)
    )
    charset_file: str | None = option(None, "the same, from a file with one character a line")
    order: int = option(
        4, "characters that count together: the last one and those before", least=1, most=MOST_ORDER
    )
    output_path: str = option("output/lm.json", "file to write")
    config: str | None = option(None, "TOML recipe that presets flags")

    def problems(self) -> list[str]:
        found = []
        if self.corpus is None:
            found.append("no corpus is given; expected the path of a text file, one text a line")
        if self.charset and self.charset_file:
            found.append("--charset and --charset_file fight: give one of them")
        try:
            check_output_file(self.output_path)
        except UserError as error:
            found.append(f"--output_path {error}")
        return found


def read_corpus(path: Path) -> list[str]:
    """The lines that are not empty."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: it is a folder; expected a text file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error}); convert it first") from None
    texts = [line for line in lines if line]
    if not texts:
        raise UserError(f"{path}: it is empty; expected one text a line")
    return texts


def parts_of(text: str, charset: Charset) -> list[str]:
    """The longest parts that are of the charset alone."""
    groups = itertools.groupby(text, key=lambda ch: ch in charset.known)
    return ["".join(part) for known, part in groups if known]


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    corpus = Path(options.corpus or "")
    texts = read_corpus(corpus)
    if options.charset_file:
        charset = read_charset_file(options.charset_file)
    else:
        charset = preset_charset(options.charset) if options.charset else charset_of_texts(texts)
    kept = [part for text in texts for part in parts_of(text, charset)]
    if not kept:
        raise UserError(
            f"{corpus}: not one of its characters is in charset {charset.name}; choose another "
            "--charset"
        )
    counts = NgramCounts.of(kept, charset.characters, options.order)
    counts.save(options.output_path)
    model = NgramModel(counts, charset)
    nats = sum(map(model.log_prob, kept)) / (sum(map(len, kept)) + len(kept))
    print(
        f"{len(kept):,} texts of charset {charset.name} ({len(charset)}) in {len(texts):,} lines, "
        f"cut at {sum(map(len, texts)) - sum(map(len, kept)):,} characters outside it; perplexity "
        f"{math.exp(-nats):.1f} a character on the same texts\n"
        f"language model of order {options.order}: {options.output_path}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
