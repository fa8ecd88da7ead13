"""The folder that tells where a reader fails: figures, errors, plots, and one page with them all.

The page holds everything that it shows, and asks for nothing from outside.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

from rapidfuzz.distance import Levenshtein

from utils.errors import UserError
from utils.files import atomic_write, check_output_file, write_text
from utils.metrics import Score, wilson_interval
from utils.picture import Source
from utils.show.cases import Case, as_json, escaped, side
from utils.show.evaluation import WORST, Evaluation
from utils.show.html import data_uri, gallery, page_html, picture_html, strip_html
from utils.show.plots import any_characters
from utils.show.report_plots import PLOTS

MOST_SHOWN = 60
"""Cases in the gallery: the wrong ones of the highest confidence."""

FILES = ("metrics.json", "errors.tsv", *(f"{name}.png" for name in PLOTS), "report.html")


def write_report(evaluation: Evaluation, pictures: Sequence[Source], folder: str | Path) -> Path:
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


def _page(evaluation: Evaluation, pictures: Sequence[Source], plots: dict[str, bytes]) -> str:
    places = {id(case): path for case, path in zip(evaluation.cases, pictures, strict=True)}
    worst = evaluation.worst()
    cards = gallery(
        case_html(case, evaluation.label(case), places[id(case)]) for case in worst[:MOST_SHOWN]
    )
    images = "".join(
        f'<figure><img alt="{name.replace("_", " ")}" src="{data_uri("png", png)}"></figure>'
        for name, png in plots.items()
    )
    return page_html(
        f"How {evaluation.model} reads {evaluation.data}",
        _figures(evaluation)
        + f'<h2>Plots</h2><div class="plots">{images}</div>'
        + "<h2>Most confused</h2>"
        + _confused(evaluation.score)
        + _confused_still(evaluation)
        + "<h2>Characters that are least often right</h2>"
        + _hardest(evaluation)
        + f"<h2>{evaluation.worst_title} ({len(cards)} of {len(worst):,})</h2>"
        + (f'<div class="cases">{"".join(cards)}</div>' if cards else "<p>Nothing was wrong.</p>"),
    )


def _figures(evaluation: Evaluation) -> str:
    score = evaluation.score
    low, high = wilson_interval(score.exact, score.n)
    least, most = score.cer_interval
    summary = score.summary()
    rows = [
        ("pictures", f"{score.n:,}"),
        ("exact", f"{score.sequence_accuracy:.2%} (95 %: {low:.2%} to {high:.2%})"),
        ("ignoring case", f"{score.sequence_accuracy_ignoring_case:.2%}"),
        ("characters", f"{score.character_accuracy:.2%} (95 %: {1 - most:.2%} to {1 - least:.2%})"),
        *(
            (
                f"{level}: precision, recall, F1",
                ", ".join(f"{summary[level][name]:.2%}" for name in ("precision", "recall", "f1")),
            )
            for level in ("sequence", "characters")
        ),
        ("1 − normalised edit distance", f"{1 - score.normalized_edit_distance:.4f}"),
        ("expected calibration error", f"{evaluation.reliability.error:.4f}"),
    ]
    if evaluation.alike.groups:
        name = f"exact, with {', '.join(evaluation.alike.groups)} as one each"
        rows.insert(3, (name, f"{evaluation.folded_score.sequence_accuracy:.2%}"))
    rejected = sum(case.rejected for case in evaluation.cases)
    if rejected:
        rows.append(("rejected", f"{rejected:,}"))
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{value}</td></tr>" for name, value in rows)
    return f"<table>{cells}</table>"


def _confused_still(evaluation: Evaluation) -> str:
    if not evaluation.alike.groups:
        return ""
    title = f"Still confused, with {', '.join(evaluation.alike.groups)} as one each"
    return f"<h2>{escape(title)}</h2>{_confused(evaluation.folded_score)}"


def _hardest(evaluation: Evaluation) -> str:
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="n">{share:.2%}</td><td class="n">{n:,}</td></tr>'
        for name, share, n in evaluation.hardest()
    )
    return f"<table><tr><th>character</th><th>right</th><th>in labels</th></tr>{rows}</table>"


def _confused(score: Score) -> str:
    rows = "".join(
        f'<tr><td>{escape(side(wanted))}</td><td>{escape(side(got))}</td><td class="n">{n:,}</td>'
        "</tr>"
        for (wanted, got), n in score.confusions.most_common(WORST)
    )
    return f"<table><tr><th>label</th><th>text</th><th>times</th></tr>{rows}</table>"


def case_html(case: Case, label: str, picture: Source) -> str:
    """One card of a gallery: the picture, label over text, and the confidence."""
    return (
        f'<div class="case">{picture_html(picture, case.file)}'
        f"{strip_html([('text', label, case.guess)])}"
        f"<small>confidence {case.confidence:.4f}{' · rejected' if case.rejected else ''}"
        f"{' · ' + escape(case.error) if case.error else ''}<br>{escape(case.file)}</small></div>"
    )
