"""The lock beside fetched weights: what was fetched, and proof at every later load.

`lock.json` holds, by part: repository, revision, licence and when it was agreed to, and for each
file its size and SHA-256 as they were when it was fetched.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from finephys.errors import WeightsError, WeightsMissingError
from finephys.files import sha256, whole_file
from finephys.weights.catalogue import FETCHABLE
from finephys.weights.checkpoints import checkpoints_root

LOCK = "lock.json"
FOLDER_VARIABLE = "FINEPHYS_WEIGHTS"
"""Environment variable with the folder that `fetch --dir` was given."""


@dataclass(frozen=True)
class LockedFile:
    """One file: bytes and SHA-256 in hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True)
class LockedPart:
    """One part as it was fetched.

    Attributes:
        repository: where it came from.
        revision: commit of that repository, or "folder" for an offline mirror without one.
        licence: name of the licence that was agreed to.
        agreed: when, seconds since 1970.
        files: by path under the part's folder.
    """

    repository: str
    revision: str
    licence: str
    agreed: float
    files: dict[str, LockedFile]


SHARED = {"animatediff": "sd15", "t2v-zero": "sd15"}
"""Systems whose parts lie with those of another, so that Stable Diffusion is fetched once."""


def weights_folder(name: str) -> Path:
    """Where fetched weights lie: FINEPHYS_WEIGHTS, or under HF_HOME, or beside the checkpoints."""
    name = SHARED.get(name, name)
    if given := os.environ.get(FOLDER_VARIABLE):
        return Path(given)
    home = os.environ.get("HF_HOME")
    return Path(home) / "finephys" / name if home else checkpoints_root() / name / "public"


def read_lock(folder: Path) -> dict[str, LockedPart]:
    """Every locked part of a folder; empty when nothing was fetched into it.

    Raises:
        WeightsError: the lock is damaged.
    """
    path = folder / LOCK
    if not path.is_file():
        return {}
    try:
        saved: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return {
            name: LockedPart(
                **{
                    **part,
                    "files": {file: LockedFile(**each) for file, each in part["files"].items()},
                }
            )
            for name, part in saved.items()
        }
    except (json.JSONDecodeError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(
            f"{LOCK} beside the weights is damaged ({error}); remove it and fetch again."
        ) from error


def fetched_lock(name: str, weights: str, command: str) -> Path:
    """The lock of weights that `name` needs, a key of `FETCHABLE`.

    Raises:
        WeightsMissingError: they were not fetched, or not wholly.
    """
    folder = weights_folder(weights)
    missing = {part.name for part in FETCHABLE[weights]} - read_lock(folder).keys()
    if missing:
        raise WeightsMissingError(
            f"The weights of {name} are missing, or were not wholly fetched "
            f"({', '.join(sorted(missing))}); run: {command} (fetched elsewhere with "
            f"--dir? set {FOLDER_VARIABLE} to that folder)",
            command,
        )
    return folder / LOCK


def write_lock(folder: Path, parts: dict[str, LockedPart]) -> None:
    """Write the lock, whole or not at all."""
    plain = {name: asdict(part) for name, part in sorted(parts.items())}
    with whole_file(folder / LOCK) as partial:
        partial.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def verify(folder: Path, names: tuple[str, ...], command: str) -> dict[str, LockedPart]:
    """Compare weights with their lock, every byte.

    Args:
        folder: of all parts.
        names: parts that are needed.
        command: what brings them.

    Raises:
        WeightsMissingError: a part was never fetched, not wholly, or a file of it is gone.
        WeightsError: a file is not the one that was fetched.
    """
    locked = read_lock(folder)
    for name in names:
        if name not in locked:
            raise WeightsMissingError(
                f"The weights of {name} are missing, or were not wholly fetched; run: {command} "
                f"(fetched elsewhere with --dir? set {FOLDER_VARIABLE} to that folder)",
                command,
            )
        for file, wanted in locked[name].files.items():
            path = folder / name / file
            if not path.is_file():
                raise WeightsMissingError(f"{name}/{file} is gone; run: {command}", command)
            size = path.stat().st_size
            if size != wanted.size or sha256(path) != wanted.sha256:
                raise WeightsError(
                    f"{name}/{file} is not what was fetched from {locked[name].repository} at "
                    f"revision {locked[name].revision[:12]} ({size} bytes, {wanted.size} locked, "
                    f"or another SHA-256); remove that file and run: {command}",
                    command,
                )
    return {name: locked[name] for name in names}
