"""`python -m finephys fetch NAME`: list public weights, ask for agreement, download and lock them.

A download can be resumed at any byte. Only locked weights are used, and `lock.verify` checks them
at every load.
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
"""Design choice: bytes that stay free on the disk."""


class FetchError(FinePhysError):
    """Weights could not be fetched."""


@dataclass(frozen=True)
class Planned:
    """A part and its source.

    Attributes:
        part: the part to fetch.
        listing: its repository at a revision.
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
    """Download every part of a name into a folder.

    Args:
        name: key of `FETCHABLE`.
        folder: gets the parts' folders and lock.json.
        source: the Hub, a mirror or a folder.
        agree: shows a licence and a part's title; returns whether the person agrees.
        say: prints a line for the person.
        update: fetch the newest revision even if another one is locked.

    Returns:
        The locked parts.

    Raises:
        RequestError: there is no such name.
        FetchError: no repository could be listed, the disk is too small, a licence was declined, or
            a downloaded file is not the one that was listed.
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
            f"{_gigabytes(plan.size)}, {_gigabytes(missing[plan.part.name])} to download"
        )
    _check_disk(folder, sum(missing.values()))
    for plan in plans:
        earlier = locked.get(plan.part.name)
        licence = _licence(plan)
        agreed = earlier.agreed if earlier and earlier.licence == licence.name else None
        if agreed is None:
            if not agree(licence, plan.part.title):
                raise FetchError(
                    f"The licence of {plan.part.title} was declined, so it was not fetched; run "
                    "the same command again to agree."
                )
            agreed = time.time()
        files = {kept: _download(plan, file, kept, folder, source, None if update else earlier)
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
    """Choose the first repository that can be listed; a locked one is kept, at its revision."""
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
            say(f"note: {'; '.join(failures)}; using {repository} instead.")
        return Planned(part, listing, files)
    raise FetchError(
        f"{part.title} cannot be found ({'; '.join(failures)}); check the connection, name a "
        "mirror in HF_ENDPOINT, or give a folder laid out like the Hub with --from."
    )


def _licence(plan: Planned) -> Licence:
    """Return the part's licence, under the name that its card gives now."""
    own = plan.part.licence
    current = plan.listing.licence
    if current and current != own.name:
        logger.warning("the card of %s now names licence %s", plan.listing.repository, current)
        return Licence(current, f"The card names {current!r}. {own.text}", plan.listing.repository)
    return own


def _missing(plan: Planned, folder: Path) -> int:
    """Return how many bytes are still to be downloaded."""
    total = 0
    for file, kept in plan.files.items():
        path = folder / plan.part.name / kept
        have = path if path.is_file() else _partial(path, plan.listing)
        total += max(plan.listing.files[file].size - _size(have), 0)
    return total


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _partial(path: Path, listing: Listing) -> Path:
    """Return the path of a partial download; revisions have different ones, never to be mixed."""
    return path.with_name(f"{path.name}.{listing.revision[:12]}.partial")


def _check_disk(folder: Path, needed: int) -> None:
    existing = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(existing).free
    if needed and needed + SPARE > free:
        raise FetchError(
            f"The disk of {folder} has {_gigabytes(free)} free and {_gigabytes(needed + SPARE)} "
            "are needed; free some space or choose another --dir. Nothing was fetched."
        )


def _download(
    plan: Planned, file: str, kept: str, folder: Path, source: Source, earlier: LockedPart | None
) -> LockedFile:
    """Download one file unless it is already there, and verify it."""
    listed = plan.listing.files[file]
    wanted = earlier.files.get(kept) if earlier else None
    if wanted and listed.sha256 and listed.sha256 != wanted.sha256:
        raise WeightsError(
            f"{plan.listing.repository}/{file} is no longer the file that was locked at revision "
            f"{plan.listing.revision[:12]}, so it was not downloaded. If you trust the new one, "
            "fetch with --update."
        )
    path = folder / plan.part.name / kept
    expected = wanted.sha256 if wanted else listed.sha256
    if path.is_file() and path.stat().st_size == listed.size:
        found = sha256(path)
        if expected == found:
            return LockedFile(listed.size, found)
    partial = _partial(path, plan.listing)
    partial.parent.mkdir(parents=True, exist_ok=True)
    source.download(plan.listing, file, partial)
    size, found = partial.stat().st_size, sha256(partial)
    if size != listed.size or (expected is not None and found != expected):
        partial.unlink()
        raise FetchError(
            f"{plan.listing.repository}/{file} has {size} bytes with SHA-256 {found[:12]}, but "
            f"{listed.size} bytes with {(expected or 'any')[:12]} were listed; it was deleted. Try "
            "again, or another mirror."
        )
    partial.replace(path)
    return LockedFile(size, found)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
