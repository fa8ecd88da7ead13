"""The folder that tells where a reader fails: figures, errors, plots, and one page with them all.

The page holds everything that it shows, and asks for nothing from outside.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from PIL import Image
from rapidfuzz.distance import Levenshtein

from utils.errors import UserError
from utils.files import atomic_write, check_output_file, write_text
from utils.metrics import Score, wilson_interval
from utils.picture import PictureError, open_picture
from utils.show.cases import Case, escaped
from utils.show.evaluation import WORST, Evaluation, as_json, side
from utils.show.plots import any_characters
from utils.show.report_plots import PLOTS

MOST_SHOWN = 60
"""Cases in the gallery: the wrong ones of the highest confidence."""

MOST_BYTES = 3_500_000
"""Of the gallery, after which it ends earlier: pictures of noise are large."""

LARGEST_SIDE = 320
"""Pixels of a picture in the gallery."""

FILES = ("metrics.json", "errors.tsv", *(f"{name}.png" for name in PLOTS), "report.html")

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --line: #ccc; --bad: #b00020;
  --soft: #f3f3f3; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --paper: #16181c; --line: #444;
  --bad: #ff7a85; --soft: #22252b; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 68rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left;
  border-bottom: 1px solid var(--line); } td.n { text-align: right; }
figure { margin: 0; } img { max-width: 100%; height: auto; }
.plots { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); }
.plots img { background: #fff; }
.cases { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(18rem, 100%), 1fr)); }
.case { background: var(--soft); border-radius: .4rem; padding: .7rem; min-width: 0; }
.case img { display: block; margin: 0 auto .3rem; background: #fff; }
.strip { overflow-x: auto; } .strip td, .strip th { border: 0; padding: 0 .15rem; font: 1rem
  ui-monospace, monospace; text-align: center; } .strip th { font: .8rem system-ui, sans-serif;
  padding-right: .5rem; }
.wrong { color: var(--bad); font-weight: bold; } small { opacity: .8; }
"""


def write_report(evaluation: Evaluation, pictures: Sequence[Path], folder: str | Path) -> Path:
    """Write FILES into the folder; returns the page. `pictures` are those of the cases."""
    folder = Path(folder)
    write_text(folder / "metrics.json", as_json(evaluation.metrics()))
    write_text(folder / "errors.tsv", errors_tsv(evaluation))
    plots = {name: _plot(name, evaluation) for name in PLOTS}
    for name, png in plots.items():
        with atomic_write(folder / f"{name}.png") as file:
            file.write(png)
    page = folder / "report.html"
    write_text(page, _page(evaluation, pictures, plots))
    return page


def check_report_folder(folder: str | Path) -> None:
    """UserError where no report could be written."""
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise UserError(f"{folder}: it is a file; expected a folder, or none yet")
    for name in FILES:
        check_output_file(path / name)


def errors_tsv(evaluation: Evaluation) -> str:
    """Every wrong case, the most confident first, with a header."""
    rows = ["file\tlabel\ttext\tconfidence\tedits\terror\n"]
    for case in evaluation.worst():
        label = evaluation.label(case)
        edits = Levenshtein.distance(label, case.guess)
        fields = (case.file, label, case.guess)
        rows.append(
            "\t".join(map(escaped, fields))
            + f"\t{case.confidence:.6f}\t{edits}\t{escaped(case.error or '')}\n"
        )
    return "".join(rows)


def _plot(name: str, evaluation: Evaluation) -> bytes:
    buffer = io.BytesIO()
    with any_characters():
        PLOTS[name](evaluation).savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _page(evaluation: Evaluation, pictures: Sequence[Path], plots: dict[str, bytes]) -> str:
    places = {id(case): path for case, path in zip(evaluation.cases, pictures, strict=True)}
    worst = evaluation.worst()
    cards = gallery(
        case_html(case, evaluation.label(case), places[id(case)]) for case in worst[:MOST_SHOWN]
    )
    images = "".join(
        f'<figure><img alt="{name.replace("_", " ")}" src="{_data("png", png)}"></figure>'
        for name, png in plots.items()
    )
    return page_html(
        f"How {evaluation.model} reads {evaluation.data}",
        _figures(evaluation)
        + f'<h2>Plots</h2><div class="plots">{images}</div>'
        + "<h2>Most confused</h2>"
        + _confused(evaluation.score)
        + _confused_still(evaluation)
        + f"<h2>{evaluation.worst_title} ({len(cards)} of {len(worst):,})</h2>"
        + (f'<div class="cases">{"".join(cards)}</div>' if cards else "<p>Nothing was wrong.</p>"),
    )


def gallery(cards: Iterable[str]) -> list[str]:
    """As many of the cards as MOST_BYTES allow, and one at least."""
    found: list[str] = []
    size = 0
    for card in cards:
        size += len(card)
        if found and size > MOST_BYTES:
            break
        found.append(card)
    return found


def page_html(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>\n"
    )


def _figures(evaluation: Evaluation) -> str:
    score = evaluation.score
    low, high = wilson_interval(score.exact, score.n)
    rows = [
        ("pictures", f"{score.n:,}"),
        ("exact", f"{score.sequence_accuracy:.2%} (95 %: {low:.2%} to {high:.2%})"),
        ("ignoring case", f"{score.sequence_accuracy_ignoring_case:.2%}"),
        ("characters", f"{score.character_accuracy:.2%}"),
        ("1 − normalised edit distance", f"{1 - score.normalized_edit_distance:.4f}"),
        ("expected calibration error", f"{evaluation.reliability.error:.4f}"),
    ]
    if evaluation.alike.groups:
        name = f"exact, with {', '.join(evaluation.alike.groups)} as one each"
        rows.insert(3, (name, f"{evaluation.folded_score.sequence_accuracy:.2%}"))
    rejected = sum(case.rejected for case in evaluation.cases)
    if rejected:
        sequence = score.summary()["sequence"]
        rows.append(("rejected", f"{rejected:,}; of the answers {sequence['precision']:.2%} right"))
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{value}</td></tr>" for name, value in rows)
    return f"<table>{cells}</table>"


def _confused_still(evaluation: Evaluation) -> str:
    if not evaluation.alike.groups:
        return ""
    title = f"Still confused, with {', '.join(evaluation.alike.groups)} as one each"
    return f"<h2>{escape(title)}</h2>{_confused(evaluation.folded_score)}"


def _confused(score: Score) -> str:
    rows = "".join(
        f'<tr><td>{escape(side(wanted))}</td><td>{escape(side(got))}</td><td class="n">{n:,}</td>'
        "</tr>"
        for (wanted, got), n in score.confusions.most_common(WORST)
    )
    return f"<table><tr><th>label</th><th>text</th><th>times</th></tr>{rows}</table>"


def case_html(case: Case, label: str, picture: Path) -> str:
    """One card of a gallery: the picture, label over text, and the confidence."""
    return (
        f'<div class="case">{picture_html(picture, case.file)}'
        f"{strip_html([('text', label, case.guess)])}"
        f"<small>confidence {case.confidence:.4f}{' · rejected' if case.rejected else ''}"
        f"{' · ' + escape(case.error) if case.error else ''}<br>{escape(case.file)}</small></div>"
    )


def picture_html(path: Path, name: str) -> str:
    """The picture as part of the page, made smaller where it is large; nothing where it cannot be
    read."""
    try:
        picture = open_picture(path, channels=3)
    except PictureError:
        return ""
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=85)
    width, height = picture.size
    return (
        f'<img alt="{escape(name)}" width="{width}" height="{height}" '
        f'src="{_data("jpeg", buffer.getvalue())}">'
    )


def strip_html(readings: Sequence[tuple[str, str, str]]) -> str:
    """Of each (name, label, text) the characters under each other; what differs is marked, gaps are
    dots."""
    rows = []
    for name, label, text in readings:
        above, below = aligned(label, text)
        for title, row, other in (("label", above, below), (name, below, above)):
            cells = "".join(
                f'<td class="{"wrong" if a != b else ""}">{escape(a or "·")}</td>'
                for a, b in zip(row, other, strict=True)
            )
            rows.append(f"<tr><th>{escape(title)}</th>{cells}</tr>")
    return f'<div class="strip"><table>{"".join(rows)}</table></div>'


def aligned(label: str, text: str) -> tuple[list[str], list[str]]:
    """Both, character by character, along a shortest alignment; "" for a gap."""
    above: list[str] = []
    below: list[str] = []
    for op in Levenshtein.opcodes(label, text):
        left, right = label[op.src_start : op.src_end], text[op.dest_start : op.dest_end]
        size = max(len(left), len(right))
        above += [*left, *[""] * (size - len(left))]
        below += [*right, *[""] * (size - len(right))]
    return above, below


def _data(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
