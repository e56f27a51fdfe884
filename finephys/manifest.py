"""The manifest of a folder of videos: a JSON line a video, so that each says how it was made.

A line has file, method, class, seed, prompt, reference, sha256, commit, config (versions, weights
and the request), settings (what all videos of a folder have in common), notes, seconds, made.
"""

import json
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
    """Rows of every manifest of a folder by file name; the latest line of a file counts.

    Raises:
        BatchError: a line in the middle is not JSON. A last line cut off by a crash is passed over.
    """
    rows: dict[str, Row] = {}
    for path in sorted(out.glob("manifest*.jsonl")):
        lines = path.read_text("utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                earlier = rows.get(row["file"])
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                if number == len(lines):
                    continue
                raise BatchError(
                    f"{path.name} line {number} is no row of a manifest; remove that line, and its "
                    "video is made again."
                ) from error
            if earlier is None or earlier["made"] <= row["made"]:
                rows[row["file"]] = row
    return rows


def append(out: Path, process: int, row: Row) -> None:
    """Add a line to this process's own manifest; each has its own so that none waits."""
    with (out / f"manifest-{process}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


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
    """The commit this code is of, with "+" when files differ from it, or the version's number."""
    folder = Path(__file__).resolve().parent
    try:
        said = [
            subprocess.run(  # noqa: S603
                ["git", "-C", str(folder), *words],  # noqa: S607
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", "."))
        ]
    except (OSError, subprocess.CalledProcessError):
        return f"version {__version__}"
    return said[0] + ("+" if said[1] else "")
