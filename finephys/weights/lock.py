"""The lock file beside fetched weights, and their verification at every load.

`lock.json` holds, by part: repository, revision, licence and when it was agreed to, and the size
and SHA-256 of each file when it was fetched.
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
        repository: where it was fetched from.
        revision: commit of that repository, or "folder" for an offline mirror without one.
        licence: name of the licence that was agreed to.
        agreed: when, in seconds since 1970.
        files: by path under the part's folder.
    """

    repository: str
    revision: str
    licence: str
    agreed: float
    files: dict[str, LockedFile]


SHARED = {"animatediff": "sd15", "t2v-zero": "sd15"}
"""Systems that share another's folder, so that Stable Diffusion is fetched once."""


def weights_folder(name: str) -> Path:
    """Return the folder of fetched weights: FINEPHYS_WEIGHTS, or in HF_HOME, or the checkpoints."""
    name = SHARED.get(name, name)
    if given := os.environ.get(FOLDER_VARIABLE):
        return Path(given)
    home = os.environ.get("HF_HOME")
    return Path(home) / "finephys" / name if home else checkpoints_root() / name / "public"


def read_lock(folder: Path) -> dict[str, LockedPart]:
    """Read every locked part of a folder; empty when nothing was fetched into it.

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
    """Return the lock of fetched weights, checking that every file is there.

    Args:
        name: of the generator that needs them.
        weights: key of `FETCHABLE`.
        command: fetches them.

    Raises:
        WeightsMissingError: they are not, or incompletely, downloaded.
        WeightsError: the lock is damaged.
    """
    folder = weights_folder(weights)
    locked = read_lock(folder)
    missing = []
    for part in FETCHABLE[weights]:
        files = (
            [f"{part.name}/{file}" for file in locked[part.name].files]
            if part.name in locked
            else []
        )
        gone = [file for file in files if not (folder / file).is_file()]
        missing += [part.name] if len(gone) == len(files) else gone
    if missing:
        raise _missing(f"The weights of {name}", f" ({', '.join(sorted(missing))})", command)
    return folder / LOCK


def _missing(weights: str, parts: str, command: str) -> WeightsMissingError:
    return WeightsMissingError(
        f"{weights} are missing or incompletely downloaded{parts}; run: {command} (if they were "
        f"fetched elsewhere with --dir, set {FOLDER_VARIABLE} to that folder)",
        command,
    )


def write_lock(folder: Path, parts: dict[str, LockedPart]) -> None:
    """Write the lock atomically."""
    plain = {name: asdict(part) for name, part in sorted(parts.items())}
    with whole_file(folder / LOCK) as partial:
        partial.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def verify(folder: Path, names: tuple[str, ...], command: str) -> dict[str, LockedPart]:
    """Compare every byte of fetched weights with their lock.

    Args:
        folder: holds all parts.
        names: parts to verify.
        command: fetches them.

    Returns:
        The locked parts by name.

    Raises:
        WeightsMissingError: a part is not, or incompletely, downloaded, or a file is missing.
        WeightsError: a file is not the one that was fetched.
    """
    locked = read_lock(folder)
    for name in names:
        if name not in locked:
            raise _missing(f"The weights of {name}", "", command)
        for file, wanted in locked[name].files.items():
            path = folder / name / file
            if not path.is_file():
                raise WeightsMissingError(f"{name}/{file} is missing; run: {command}", command)
            size = path.stat().st_size
            if size != wanted.size or sha256(path) != wanted.sha256:
                raise WeightsError(
                    f"{name}/{file} is not what was fetched from {locked[name].repository} at "
                    f"revision {locked[name].revision[:12]} ({size} bytes, {wanted.size} locked, "
                    f"or another SHA-256); remove that file and run: {command}",
                    command,
                )
    return {name: locked[name] for name in names}
