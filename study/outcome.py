"""Results of an unblinded study: checked tables, and the report with its files."""

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from study import people
from study.errors import StudyError
from study.files import write_atomically
from study.folder import Folder, read_definition, read_milestones

if TYPE_CHECKING:
    import pandas as pd

RESULTS = "results"
"""Folder of a study into which the administrator's page writes its results."""

RESULT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
}


def result_files(root: Path) -> dict[str, Path]:
    """Return every file of a study's results: name below `RESULTS` -> path."""
    folder = root / RESULTS
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in RESULT_TYPES
    }


def tables(folder: Folder, *, unfinished: bool = False) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """The answers as checked tables of ratings and of choices, one of them without rows.

    Args:
        folder: of an unblinded study.
        unfinished: also of raters who have not come to the end.

    Raises:
        StudyError: the study is not unblinded, or there is no answer that counts.
    """
    import pandas as pd

    from study import export
    from study.analysis import table

    choices = read_definition(folder).kind == "choice"
    rows = (export.choices if choices else export.ratings)(folder, unfinished=unfinished)
    if not rows:
        raise StudyError(
            f"no rater of {folder.root.name} has given a score; there is nothing to export."
            if unfinished
            else f"no rater of {folder.root.name} has come to the end with a score; export raters "
            "half-way with --unfinished."
        )
    if choices:
        return table.empty_ratings(), table.check_choices(pd.DataFrame(rows))
    return table.check_ratings(pd.DataFrame(rows)), table.empty_choices()


def write_tables(folder: Folder, out: Path, *, unfinished: bool = False) -> dict[str, int]:
    """Write ratings or choices, and the raters, as CSV and JSON.

    Returns:
        Name of each table written (without suffix) -> its number of rows.

    Raises:
        StudyError: as `tables`.
    """
    from study.analysis.table import write_table

    both = tables(folder, unfinished=unfinished)
    out.mkdir(parents=True, exist_ok=True)
    written = {}
    for name, table in zip(("ratings", "choices"), both, strict=True):
        if not len(table):
            continue
        for suffix in (".csv", ".json"):
            write_table(table, out / f"{name}{suffix}")
        written[name] = len(table)
    written["raters"] = write_raters(folder, out / "raters.csv", unfinished=unfinished)
    return written


def write_raters(folder: Folder, path: Path, *, unfinished: bool = False) -> int:
    """Write raters' answers about themselves as CSV, and as JSON beside it, in any phase.

    Returns:
        Number of raters.

    Raises:
        StudyError: the file cannot be written.
    """
    from study import export

    rows = export.raters(folder, unfinished=unfinished)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, raters_csv(folder, unfinished=unfinished))
        text = json.dumps(rows, ensure_ascii=False, indent=1) + "\n"
        write_atomically(path.with_suffix(".json"), text)
    except OSError as error:
        raise StudyError(f"{path} cannot be written ({error}); give another place.") from error
    return len(rows)


def raters_csv(folder: Folder, *, unfinished: bool = False) -> str:
    """Return raters' answers about themselves as CSV.

    An apostrophe stands before a text that a spreadsheet would take for a formula.
    """
    from study import export

    definition = read_definition(folder)
    names = [*people.COLUMNS, *people.columns(definition).values()]
    sheet = io.StringIO()
    writer = csv.writer(sheet, lineterminator="\n")
    writer.writerow(names)
    for row in export.raters(folder, unfinished=unfinished):
        writer.writerow([_harmless(row[name]) for name in names])
    return sheet.getvalue()


def _harmless(cell: object) -> object:
    text = cell if isinstance(cell, str) else ""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def write_report(folder: Folder, ours: str, out: Path) -> Path:
    """Write the results on one page, as JSON and as a CSV for each table.

    Args:
        folder: of an unblinded study.
        ours: the method that is compared with every other one, or empty for none.
        out: folder for the files; made when missing.

    Returns:
        The path of the page.

    Raises:
        StudyError: as `tables`, or no method is called so.
    """
    from study import export
    from study.analysis.info import Asked, StudyInfo
    from study.analysis.report import report
    from study.blinding import read_map

    definition, methods = read_definition(folder), read_map(folder).methods
    if ours and ours not in methods:
        raise StudyError(f"no method is called {ours!r}; choose one of {', '.join(methods)}.")
    milestones = asdict(read_milestones(folder))
    language, names = definition.languages[0], people.columns(definition)
    info = StudyInfo(
        title=definition.title[language],
        ours=ours,
        cannot_hide=export.cannot_hide(folder),
        dimensions={each.id: each.title[language] for each in definition.dimensions},
        facts=tuple((name.replace("_", " "), text) for name, text in milestones.items() if text),
        invented=export.is_simulated(folder),
        people=tuple(export.raters(folder)),
        questions={
            names[each.id]: Asked(
                each.title[language],
                {option.id: option.title[language] for option in each.options},
            )
            for each in definition.demographics
        },
    )
    return report(*tables(folder), info, out)
