"""`python -m finephys fetch NAME`: public weights, shown, agreed to, brought, locked.

Resumable at any byte; nothing is used before it is locked, and `fetch_lock.verify` proves every
later load against the lock.
"""

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from finephys.errors import FinePhysError, RequestError, WeightsError
from finephys.files import sha256
from finephys.weights.catalogue import FETCHABLE, Licence, Part, wanted_files
from finephys.weights.lock import LockedFile, LockedPart, read_lock, write_lock
from finephys.weights.sources import Listing, Source, SourceError

logger = logging.getLogger(__name__)

SPARE = 256 * 1024**2
"""Bytes that must stay free on the disk. Design choice."""


class FetchError(FinePhysError):
    """Weights could not be fetched."""


@dataclass(frozen=True)
class Planned:
    """A part and where it will come from.

    Attributes:
        part: what.
        listing: the repository at its revision.
        files: name in the repository -> name under the part's folder.
    """

    part: Part
    listing: Listing
    files: dict[str, str]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.listing.files[name].size for name in self.files)


def fetch(
    name: str,
    folder: Path,
    source: Source,
    agree: Callable[[Licence, str], bool],
    say: Callable[[str], None],
    update: bool = False,
) -> dict[str, LockedPart]:
    """Bring every part of a name into a folder.

    Args:
        name: key of `FETCHABLE`.
        folder: where the parts' folders and lock.json lie.
        source: the Hub, a mirror or a folder.
        agree: shows a licence with a part's title and says whether the person agrees.
        say: takes a line for the person.
        update: take the newest revision also where another one is locked.

    Returns:
        The locked parts.

    Raises:
        RequestError: there is nothing of that name.
        FetchError: no repository could be listed, the disk is too small, a licence was declined, or
            a file that arrived is not the one that was announced.
        WeightsError: a locked file has changed at its source.
    """
    if name not in FETCHABLE:
        raise RequestError(f"{name!r} cannot be fetched; choose {', '.join(FETCHABLE)}.")
    locked = read_lock(folder)
    plans = [_plan(part, source, None if update else locked.get(part.name), say)
             for part in FETCHABLE[name]]  # fmt: skip
    missing = {plan.part.name: _missing(plan, folder) for plan in plans}
    for plan in plans:
        say(
            f"{plan.part.title}: {plan.listing.repository}, revision {plan.listing.revision}, "
            f"{_gigabytes(plan.size)}, {_gigabytes(missing[plan.part.name])} to bring"
        )
    _check_disk(folder, sum(missing.values()))
    for plan in plans:
        earlier = locked.get(plan.part.name)
        licence = _licence(plan)
        agreed = earlier.agreed if earlier and earlier.licence == licence.name else None
        if agreed is None:
            if not agree(licence, plan.part.title):
                raise FetchError(
                    f"The licence of {plan.part.title} was not agreed to; nothing of it was "
                    "fetched."
                )
            agreed = time.time()
        files = {kept: _bring(plan, file, kept, folder, source, None if update else earlier)
                 for file, kept in plan.files.items()}  # fmt: skip
        locked[plan.part.name] = LockedPart(
            plan.listing.repository, plan.listing.revision, licence.name, agreed, files
        )
        write_lock(folder, locked)
        say(f"{plan.part.title}: complete, every file locked by its SHA-256")
    return locked


def _plan(
    part: Part, source: Source, earlier: LockedPart | None, say: Callable[[str], None]
) -> Planned:
    """Choose the first repository that can be listed; a locked one stays, at its revision."""
    candidates = (earlier.repository,) if earlier else part.repositories
    revision = earlier.revision if earlier and earlier.revision != "folder" else None
    failures = []
    for repository in candidates:
        try:
            listing = source.listing(repository, revision)
            files = wanted_files(part, set(listing.files))
        except LookupError as error:
            failures.append(f"{repository}: it has no {error}")
            continue
        except SourceError as error:
            failures.append(str(error))
            continue
        if failures:
            say(f"note: {'; '.join(failures)}; taking {repository} instead.")
        return Planned(part, listing, files)
    raise FetchError(
        f"{part.title} cannot be found ({'; '.join(failures)}); check the connection, name a "
        "mirror in HF_ENDPOINT, or give a folder laid out like the Hub with --from."
    )


def _licence(plan: Planned) -> Licence:
    """The part's licence, under the name that its card has today."""
    own = plan.part.licence
    said = plan.listing.licence
    if said and said != own.name:
        logger.warning("the card of %s now says licence %s", plan.listing.repository, said)
        return Licence(said, f"The card says {said!r}. {own.text}", plan.listing.repository)
    return own


def _missing(plan: Planned, folder: Path) -> int:
    """Bytes that are still to be written."""
    total = 0
    for file, kept in plan.files.items():
        path = folder / plan.part.name / kept
        have = path if path.is_file() else _partial(path, plan.listing)
        total += max(plan.listing.files[file].size - _size(have), 0)
    return total


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _partial(path: Path, listing: Listing) -> Path:
    """Where a file grows; another revision grows elsewhere, so that two are never joined."""
    return path.with_name(f"{path.name}.{listing.revision[:12]}.partial")


def _check_disk(folder: Path, needed: int) -> None:
    existing = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(existing).free
    if needed and needed + SPARE > free:
        raise FetchError(
            f"The disk of {folder} has {_gigabytes(free)} free and {_gigabytes(needed + SPARE)} "
            "are needed; free some space or choose another --dir. Nothing was fetched."
        )


def _bring(
    plan: Planned, file: str, kept: str, folder: Path, source: Source, earlier: LockedPart | None
) -> LockedFile:
    """Bring one file, or find it there already, and prove it."""
    announced = plan.listing.files[file]
    wanted = earlier.files.get(kept) if earlier else None
    if wanted and announced.sha256 and announced.sha256 != wanted.sha256:
        raise WeightsError(
            f"{plan.listing.repository}/{file} is no longer the file that was locked at revision "
            f"{plan.listing.revision[:12]}; it was not taken. If you trust the new one, fetch with "
            "--update."
        )
    path = folder / plan.part.name / kept
    expected = wanted.sha256 if wanted else announced.sha256
    if path.is_file() and path.stat().st_size == announced.size:
        found = sha256(path)
        if expected == found:
            return LockedFile(announced.size, found)
    partial = _partial(path, plan.listing)
    partial.parent.mkdir(parents=True, exist_ok=True)
    source.bring(plan.listing, file, partial)
    size, found = partial.stat().st_size, sha256(partial)
    if size != announced.size or (expected is not None and found != expected):
        partial.unlink()
        raise FetchError(
            f"{plan.listing.repository}/{file} arrived as {size} bytes with SHA-256 {found[:12]}, "
            f"but {announced.size} bytes with {(expected or 'any')[:12]} were announced; it was "
            "thrown away. Try again, or another mirror."
        )
    partial.replace(path)
    return LockedFile(size, found)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
