"""Tables that name clips: CSV or JSON rows, and the JSON lines of `python -m finephys batch`.

CSV and JSON rows have the columns method, item, file, and if wanted label, caption, label_zh,
caption_zh, reference (several separated by ";"). A line of a batch describes one video: file,
method, class, seed, prompt, reference, sha256 and more; its item is CLASS_SEED.
"""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

from study.errors import StimuliError

COLUMNS = ("method", "item", "file")
BATCH = "manifest*.jsonl"
"""Tables that a batch leaves beside its videos: one, or one of each process while it runs."""

Row = dict[str, str]
"""Columns of one clip; a batch's has prompt and sha256 too."""

Placed = tuple[str, Row]
"""A row, and where it stands, for errors."""


def read(manifest: Path) -> list[Placed]:
    """Rows of one table, by its suffix.

    Raises:
        StimuliError: it is missing, no table, or lacks a column; of a batch, all broken lines.
    """
    if not manifest.is_file():
        raise StimuliError([f"{manifest} does not exist; give a CSV or JSON of the clips."])
    if manifest.suffix.lower() == ".jsonl":
        return list(_of_batch([manifest]).values())
    try:
        content = manifest.read_text("utf-8-sig")
        if manifest.suffix.lower() == ".json":
            data = json.loads(content)
        else:
            data = list(csv.DictReader(io.StringIO(content, newline="")))
    except (ValueError, RecursionError, csv.Error) as error:  # also a number of 5000 digits
        raise StimuliError([f"{manifest.name} is not a CSV or JSON file: {error}."]) from error
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise StimuliError([f"{manifest.name} must be a list of rows with names and values."])
    if not data:
        raise StimuliError([f"{manifest.name} has no rows; it needs one for each clip."])
    if not set(COLUMNS) <= set(data[0]):
        raise StimuliError(
            [
                f"{manifest.name} has columns {', '.join(map(str, data[0]))}; it needs "
                f"{', '.join(COLUMNS)}."
            ]
        )
    return [
        (
            f"{manifest.name} row {number}",
            {str(name): str(value).strip() for name, value in row.items() if value is not None},
        )
        for number, row in enumerate(data, 2 if manifest.suffix.lower() != ".json" else 1)
    ]


def of_batch(folder: Path) -> dict[str, Placed]:
    """What a batch says of its videos in the folder it wrote: file -> row; empty without a batch.

    Raises:
        StimuliError: lines that are not rows of a batch; all are listed.
    """
    return _of_batch(sorted(folder.glob(BATCH)))


def _of_batch(manifests: list[Path]) -> dict[str, Placed]:
    found: dict[str, tuple[float, Placed]] = {}
    problems = []
    for path in manifests:
        lines = path.read_text("utf-8").splitlines()
        for number, text in enumerate(lines, 1):
            place = f"{path.name} line {number}"
            try:
                line = json.loads(text)
                row, made = _row(line), float(line["made"])
            except (KeyError, TypeError, ValueError, RecursionError):
                if number < len(lines):  # a crash cuts off the last line; its video does not count
                    problems.append(
                        f"{place} is not a row that `python -m finephys batch` writes; run the "
                        "batch again or take the line out."
                    )
                continue
            # A video that was made again has a line more; the latest counts.
            if row["file"] not in found or found[row["file"]][0] <= made:
                found[row["file"]] = (made, (place, row))
    if problems:
        raise StimuliError(problems)
    return {file: placed for file, (_, placed) in found.items()}


def _row(line: dict[str, Any]) -> Row:
    return {
        "method": str(line["method"]),
        "item": f"{_number(line['class'])}_{_number(line['seed'])}",
        "file": str(line["file"]).replace("\\", "/"),
        "reference": str(line.get("reference") or ""),
        "prompt": str(line["prompt"]),
        "sha256": str(line["sha256"]),
    }


def _number(value: object) -> int:
    """A class or seed as the batch writes it; int() alone would take 8.5, True and "\u0968" too."""
    if isinstance(value, bool) or not re.fullmatch("[0-9]{1,18}", str(value)):
        raise ValueError(f"{value!r} is not a whole number")
    return int(str(value))
