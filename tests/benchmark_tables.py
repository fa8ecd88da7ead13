"""Running a benchmark and reading the Markdown that it prints."""

from __future__ import annotations

import re


def tables(text: str) -> list[dict[str, list[str]]]:
    """Each Markdown table: first cell -> the other cells, the header among them."""
    found = []
    for block in text.split("\n\n"):
        lines = [line.strip("|").split("|") for line in block.splitlines() if line.startswith("|")]
        cells = [[cell.strip() for cell in line] for line in lines]
        if cells:
            assert {len(row) for row in cells} == {len(cells[0])}
            found.append({row[0]: row[1:] for row in cells})
    return found


def run(main, name: str, capsys, *flags: str) -> list[dict[str, list[str]]]:
    assert main(list(flags)) == 0
    text = capsys.readouterr().out
    first, _, rest = text.partition("\n")
    assert re.search(r"\d+ cores.*; Python 3\.\d+.*, torch \d.*; \d{4}-\d\d-\d\d$", first)
    assert rest.startswith(f"\n```text\npython -m benchmarks.{name} ")
    assert re.search(r"\bn = \d", rest)
    return tables(text)
