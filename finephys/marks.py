"""Marks in the files that FinePhys writes, by which a command knows what it may replace.

An mp4 ends in a `free` box and an npz in a zip comment that name the kind of file. Players and
numpy skip both, and a program that edits or converts the file drops them, so an edited file is
no longer taken for one that can be made again.
"""

import json
import struct
import zipfile
from enum import StrEnum
from pathlib import Path
from typing import Any

_PREFIX = b"written by finephys: "
_LONGEST_JSON = 10_000_000
"""Bytes read of a request, or of the header of a checkpoint."""

REQUEST_KEYS = {"request", "seconds", "config", "notes"}
"""Keys of the JSON file that `outputs.write_request` writes beside a video."""


class Kind(StrEnum):
    """What a file that FinePhys wrote holds."""

    VIDEO = "video"
    STAGES_VIDEO = "video of the pose stages"
    POSE_VIDEO = "pose video"
    POSES = "poses"
    LIFTED = "lifted poses"
    REQUEST = "request"
    CHECKPOINT = "checkpoint"


def mark(path: Path, kind: Kind) -> None:
    """Append the mark of a kind to a finished mp4 or npz file."""
    text = _PREFIX + kind.encode()
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"
    if zipped:
        with zipfile.ZipFile(path, "a") as archive:
            archive.comment = text
    else:
        with path.open("ab") as file:
            file.write(struct.pack(">I4s", 8 + len(text), b"free") + text)


def kind_of(path: Path) -> str | None:
    """Return the kind of a file that FinePhys wrote; None for any other file.

    Requests and checkpoints carry no mark; they are known by their keys and their configuration.
    """
    with path.open("rb") as file:
        start = file.read(1)
        size = file.seek(0, 2)
        file.seek(max(size - 100, 0))
        _, found, kind = file.read().rpartition(_PREFIX)
    if found:
        return kind.decode("utf-8", "replace")
    if start == b"{" and size <= _LONGEST_JSON and _keys(path) == REQUEST_KEYS:
        return Kind.REQUEST
    return Kind.CHECKPOINT if _has_config(path) else None


def _keys(path: Path) -> set[str] | None:
    try:
        record: Any = json.loads(path.read_text("utf-8"))
    except ValueError:  # neither UTF-8 nor JSON
        return None
    return set(record) if isinstance(record, dict) else None


def _has_config(path: Path) -> bool:
    """Return whether a file is a safetensors checkpoint with a configuration in its header."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length <= _LONGEST_JSON else b""
    try:
        return "config" in json.loads(header)["__metadata__"]
    except (ValueError, KeyError, TypeError):
        return False
