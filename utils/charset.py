"""Show a charset, compare two, or build one from a corpus.

  python -m utils.charset show gbk
  python -m utils.charset compare gb2312 mine.txt
  python -m utils.charset build corpus.txt --min_count 2 --output_path mine.txt

A charset is a preset, or a UTF-8 file with one character a line; a corpus is any UTF-8 text.
"""

from __future__ import annotations

import sys
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from utils.errors import UserError, run_script
from utils.files import check_output_file, write_text
from utils.options import option, parse
from utils.text.charset import Charset, preset_charset, read_charset_file, sample
from utils.text.presets import PRESETS

COMMANDS = {"show": 1, "compare": 2, "build": 1}
"""And how many sources each has."""

FEW = 10
"""Characters of a kind that is not shown by itself."""


@dataclass(frozen=True)
class Options:
    command: str | None = option(None, "what to do", tuple(COMMANDS), positional=True)
    sources: tuple[str, ...] = option(
        (), f"charsets ({', '.join(PRESETS)}, or files); build: a corpus", positional=True
    )
    min_count: int = option(1, "build: times that a character must occur", least=1)
    max_size: int = option(None, "build: the most frequent so many", least=1)
    nfc: bool = option(False, "build: of the text in Unicode's form NFC")
    output_path: str = option("output/charset.txt", "build: the file to write")
    config: str | None = option(None, "TOML recipe that presets flags")

    def problems(self) -> list[str]:
        if self.command is None:
            return [f"no command is given; expected one of {', '.join(COMMANDS)}"]
        found, wanted = [], COMMANDS[self.command]
        if len(self.sources) != wanted:
            found.append(f"{self.command}: {len(self.sources)} sources are given, not {wanted}")
        if self.command == "build":
            if [Path(source) for source in self.sources] == [Path(self.output_path)]:
                found.append(f"--output_path {self.output_path}: it is the corpus; choose another")
            try:
                check_output_file(self.output_path)
            except UserError as error:
                found.append(f"--output_path {error}")
        return found


def charset_named(source: str) -> Charset:
    return preset_charset(source) if source in PRESETS else read_charset_file(source)


def kind_of(character: str) -> str:
    """Where it is at home, in the words of Unicode's names: CJK, LATIN, HIRAGANA, ..."""
    named = {"Co": "private use", "Cn": "not assigned", "Cc": "control"}
    return named.get(unicodedata.category(character)) or unicodedata.name(character).split()[0]


def show(charset: Charset) -> None:
    print(f"{charset.name}: {len(charset):,} characters, {charset.num_classes:,} classes")
    kinds: dict[str, list[str]] = {}
    for character in charset.characters:
        kinds.setdefault(kind_of(character), []).append(character)
    shown = {kind: members for kind, members in kinds.items() if len(members) >= FEW}
    shown = dict(sorted(shown.items(), key=lambda item: -len(item[1])))
    if others := [ch for kind, members in kinds.items() if kind not in shown for ch in members]:
        shown["others"] = others
    for kind, members in shown.items():
        print(f"  {kind:<16}{len(members):>7,}  {sample(members)}")
    unstable = [ch for ch in charset.characters if unicodedata.normalize("NFC", ch) != ch]
    if unstable:
        print(f"{len(unstable):,} are written otherwise in NFC: {sample(unstable)}")


def compare(one: Charset, other: Charset) -> None:
    first, second = set(one.characters), set(other.characters)
    print(f"{one.name} {len(one):,}, {other.name} {len(other):,}; {len(first & second):,} in both")
    for charset, others in ((one, second), (other, first)):
        alone = [character for character in charset.characters if character not in others]
        print(f"only in {charset.name}: {len(alone):,}  {sample(alone)}".rstrip())


def build(options: Options) -> None:
    """Of the characters that a line can show: no spaces but U+0020, no control characters."""
    path = Path(options.sources[0])
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    if options.nfc:
        text = unicodedata.normalize("NFC", text)
    counts = Counter(ch for ch in text if ch == " " or (ch.isprintable() and not ch.isspace()))
    ranked = [ch for ch, count in counts.most_common() if count >= options.min_count]
    kept = sorted(ranked[: options.max_size])
    if not counts:
        raise UserError(f"{path}: it has no character that a line can show")
    if not kept:
        raise UserError(f"{path}: no character occurs {options.min_count} times; lower --min_count")
    write_text(options.output_path, "".join(f"{character}\n" for character in kept))
    share = sum(counts[ch] for ch in kept) / counts.total()
    print(f"{len(kept):,} of {len(counts):,} characters, {share:.2%} of the text: {sample(kept)}")
    print(f"{options.output_path}: --charset_file {options.output_path}")


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    if options.command == "show":
        show(charset_named(options.sources[0]))
    elif options.command == "compare":
        compare(*map(charset_named, options.sources))
    else:
        build(options)
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
