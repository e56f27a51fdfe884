"""The manifest of a folder of videos: one JSON line per video that records how it was made.

A line has file, method, class, seed, prompt, reference, sha256, commit, config (versions, weights
and the request), settings (what all videos of a folder have in common), notes, seconds, made.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from finephys import __version__
from finephys.errors import FinePhysError
from finephys.files import whole_file

MANIFEST = "manifest.jsonl"

Row = dict[str, Any]
"""One line of a manifest."""


class BatchError(FinePhysError):
    """Some videos of a grid could not be made, or do not belong together."""


def read_manifest(out: Path) -> dict[str, Row]:
    """Read the rows of every manifest of a folder, by file name; the latest row of a file counts.

    Raises:
        BatchError: a line is not a row. A last line without its end, cut off by a crash, is
            ignored.
    """
    rows: dict[str, Row] = {}
    for path in sorted(out.glob("manifest*.jsonl")):
        for number, line in enumerate(_lines(path), 1):
            row = _row(line)
            if row is None:
                raise BatchError(
                    f"{path} line {number} is not a row of a manifest; remove that line, and its "
                    "video is made again."
                )
            earlier = rows.get(row["file"])
            if earlier is None or earlier["made"] <= row["made"]:
                rows[row["file"]] = row
    return rows


def _lines(path: Path) -> list[bytes]:
    """Return the whole lines of a manifest, with the last one only if it is a row."""
    lines = path.read_bytes().split(b"\n")
    last = lines.pop()
    return [*lines, last] if _row(last) is not None else lines


def _row(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except ValueError:  # not UTF-8, or not JSON
        return None
    if not isinstance(row, dict) or not {"file", "made"} <= row.keys():
        return None
    settings = row.get("settings")
    if isinstance(settings, dict) and "tier" in settings:  # its name in earlier versions
        settings.setdefault("generator", settings.pop("tier"))
    return row


def append(out: Path, process: int, row: Row) -> None:
    """Add a row to a process's own manifest; each process has one, so that none waits.

    What a crash left of an unfinished line is cut off first: the row would become part of it.
    """
    with (out / f"manifest-{process}.jsonl").open("a+b") as file:
        file.seek(0)
        written = file.read()
        unfinished = written.rpartition(b"\n")[2]
        if _row(unfinished) is not None:
            file.write(b"\n")
        else:
            file.truncate(len(written) - len(unfinished))
        file.write(json.dumps(row).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def merge(out: Path) -> None:
    """Join the manifests of all processes into one; safe when several do so at once."""
    rows = read_manifest(out)
    while rows:
        with whole_file(out / MANIFEST) as partial:
            partial.write_text(
                "".join(json.dumps(rows[file]) + "\n" for file in sorted(rows)), encoding="utf-8"
            )
        if (latest := read_manifest(out)) == rows:
            return
        rows = latest


def commit() -> str:
    """Return the commit of this code, with "+" if files differ from it, or else the version."""
    folder = Path(__file__).resolve().parent
    try:
        head, changes = (
            subprocess.run(  # noqa: S603
                ["git", "-C", str(folder), *words],  # noqa: S607
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", "."))
        )
    except (OSError, subprocess.CalledProcessError):
        return f"version {__version__}"
    return head + ("+" if changes else "")
