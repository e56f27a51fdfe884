"""Writes a study's results: one page that works offline, one JSON file, one CSV for each table."""

import json
import math
from html import escape
from pathlib import Path

import pandas as pd

from study.analysis.headline import headline
from study.analysis.info import StudyInfo
from study.analysis.page import document
from study.analysis.results import StudyResults, analyse
from study.analysis.sections import sections
from study.analysis.table import write_table
from study.files import write_atomically


def report(
    ratings: pd.DataFrame, choices: pd.DataFrame, study_info: StudyInfo, out_folder: Path
) -> Path:
    """Writes report.html, results.json and tables/*.csv of an unblinded study.

    Args:
        ratings: A row for each score, as in `table.RATING_COLUMNS`; may have no rows.
        choices: A row for each pairwise choice, as in `table.CHOICE_COLUMNS`; may have no rows.
        study_info: Names and settings.
        out_folder: Where to write; made when missing, its files of the same names are replaced.

    Returns:
        The path of the page.

    Raises:
        ValueError: If a table is not as it must be.
        OSError: If the folder cannot be written.
    """
    results = analyse(ratings, choices, study_info)
    tables = out_folder / "tables"
    tables.mkdir(parents=True, exist_ok=True)
    for name, frame in results.tables.items():
        if len(frame):
            write_table(frame, tables / f"{name}.csv")
    write_atomically(out_folder / "results.json", results_json(results, study_info))
    page = out_folder / "report.html"
    write_atomically(page, page_html(results, study_info))
    return page


def page_html(results: StudyResults, info: StudyInfo) -> str:
    """Returns the report's page as one HTML document without scripts or links outside itself."""
    written = sections(results, info)
    counts = results.counts
    invented = (
        '<p class="warn">The raters of this study are invented: a script with known answers filled '
        "it in to test the software. Nothing here says anything about the methods.</p>"
        if info.invented
        else ""
    )
    repeated, attention = counts["repeated_scores"], counts["attention_scores"]
    cells = f"{counts['cells']} of {counts['cells_possible']} (rater × clip × dimension)"
    facts = [
        ("Raters", f"{counts['raters']}, {counts['raters_kept']} after screening"),
        ("Methods, items, clips", f"{counts['methods']}, {counts['items']}, {counts['clips']}"),
        ("Scores", f"{counts['scores']} in {counts['dimensions']} dimensions"),
        ("Cells filled", cells),
        ("Also shown", f"{repeated} repeated and {attention} attention scores"),
    ]
    if counts["choices"]:
        facts.append(("Choices", str(counts["choices"])))
    facts += info.facts
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    links = "".join(f'<a href="#{anchor}">{escape(head)}</a> ' for anchor, head, _ in written)
    body = "".join(
        f'<section id="{anchor}"><h2>{escape(head)}</h2>{html}</section>'
        for anchor, head, html in written
    )
    return document(
        f"{info.title}: results",
        f"<header><h1>{escape(info.title)}</h1><p class='soft'>Results of a blinded rating study"
        f"</p>{invented}<p class='answer'>{escape(headline(results, info))}</p>"
        f"<dl class='facts'>{listed}</dl><nav aria-label='Contents'>{links}</nav></header>{body}"
        "<section><h2>Methods</h2><p>ITU-T P.910 Annex E, ITU-T P.913, ITU-R BT.500; scipy, "
        "statsmodels, pingouin and krippendorff. Bootstrap over raters and items: Owen 2007, "
        f"{info.resamples} resamples, seed {info.seed}. The numbers are in results.json, the "
        "tables in tables/*.csv beside this page.</p></section>",
    )


def results_json(results: StudyResults, info: StudyInfo) -> str:
    """Returns all results as JSON; a number that could not be computed is null."""
    content = {
        "title": info.title,
        "ours": info.ours,
        "invented_raters": info.invented,
        "facts": dict(info.facts),
        "resamples": info.resamples,
        "seed": info.seed,
        "counts": results.counts,
        "not_computed": list(results.missing),
        "tables": {
            name: [
                {column: _plain(value) for column, value in row.items()}
                for row in frame.to_dict(orient="records")
            ]
            for name, frame in results.tables.items()
        },
    }
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _plain(value: object) -> object:
    """Returns a value as JSON knows it; NaN becomes None."""
    if value is None or isinstance(value, str | bool | int):
        return value
    item = value.item() if hasattr(value, "item") else value
    if isinstance(item, float) and not math.isfinite(item):
        return None
    return item
