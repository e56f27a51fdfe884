"""Copies of a study's database: taken while it runs, checked, restored, cleaned of a rater."""

import contextlib
import fcntl
import glob
import json
import logging
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from study import audit
from study.errors import StudyError
from study.files import digest, sync, write_atomically
from study.folder import Folder, read_milestones
from study.store import (
    APPLICATION_ID,
    StorageError,
    Store,
    hold,
    latest_time,
    one,
    release,
    run,
    value,
)

logger = logging.getLogger(__name__)

ASIDE = ".before-"
"""In the name of a database that was put aside by a restore."""

_NAME = re.compile(r"[0-9]{8}T[0-9]{12}\.sqlite")
"""Names of snapshots, in the order of their taking."""

COUNTED = ("sessions", "assignments", "answers", "audit", "receipts")


@dataclass(frozen=True)
class Snapshot:
    """What a snapshot holds, written beside it as JSON and compared when it is restored.

    Attributes:
        file: name of the SQLite file.
        taken_at: ISO time in UTC.
        sha256: of the file, in hex.
        rows: table -> number of rows.
    """

    file: str
    taken_at: str
    sha256: str
    rows: dict[str, int]


def take(database: Path, to: Path) -> Snapshot:
    """Copy a database that may be in use, by SQLite's backup API; never its write-ahead log.

    The copy is checked before it counts: integrity, then a hash and row counts beside it. It
    gets its name only when it is complete.

    Args:
        database: the study's SQLite file.
        to: folder for snapshots; made when absent.

    Raises:
        StudyError: there is no such file.
        StorageError: the disk is full, or the copy is damaged.
    """
    if not database.is_file():
        raise StudyError(f"{database} does not exist; there is nothing to copy yet.")
    now = datetime.now(UTC)
    name = f"{now:%Y%m%dT%H%M%S%f}.sqlite"
    try:
        with alone(to):
            return _take(database, to, name, now)
    except (sqlite3.DatabaseError, OSError) as error:
        with contextlib.suppress(OSError):
            (to / f".{name}.part").unlink()
        raise StorageError(
            f"No snapshot was taken of {database.name} ({error}); the answers themselves are safe. "
            "Free some space or give another folder."
        ) from error


def _take(database: Path, to: Path, name: str, now: datetime) -> Snapshot:
    partial = to / f".{name}.part"
    source = sqlite3.connect(_uri(database, "mode=ro"), uri=True, timeout=5)
    copy = sqlite3.connect(partial)
    try:
        source.backup(copy)
        copy.execute("pragma journal_mode = delete")  # one file, no log beside it
    finally:
        copy.close()
        source.close()
    snapshot = _described(partial, name, now.isoformat(timespec="seconds"))
    sync(partial)
    _write_note(to / name, snapshot)
    partial.replace(to / name)
    sync(to)
    return snapshot


@contextlib.contextmanager
def alone(snapshots: Path) -> Iterator[None]:
    """Hold a folder of snapshots, so that none is taken while one is changed, also by others."""
    snapshots.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(snapshots / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def files(snapshots: Path) -> list[Path]:
    """The SQLite files of a folder's snapshots, oldest first, whatever is in them."""
    return sorted(path for path in snapshots.glob("[!.]*.sqlite") if path.is_file())


def listed(snapshots: Path) -> list[Snapshot]:
    """The snapshots of a folder, oldest first; those without a readable note are left out."""
    found = []
    for path in files(snapshots):
        with contextlib.suppress(StudyError):
            found.append(read_note(path))
    return found


def read_note(snapshot: Path) -> Snapshot:
    """Read what was noted beside a snapshot when it was taken.

    Raises:
        StudyError: the note is missing or damaged.
    """
    note = _note(snapshot)
    try:
        return Snapshot(**json.loads(note.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise StudyError(
            f"{note.name}, the note beside {snapshot}, is missing or damaged ({error}); use "
            "another snapshot."
        ) from error


def prune(snapshots: Path, keep: int) -> None:
    """Delete all but the newest snapshots of a folder, and what broken-off ones left behind.

    Files that somebody put there under another name stay.

    Args:
        snapshots: the folder.
        keep: how many stay.
    """
    with alone(snapshots):
        taken = [path for path in files(snapshots) if _NAME.fullmatch(path.name)]
        for path in taken[:-keep]:
            path.unlink()
            _note(path).unlink(missing_ok=True)
        sweep(snapshots)


def clear_leftovers(folder: Folder) -> None:
    """Delete copies that a killed server left behind; the caller holds the study for serving."""
    for place in (*folder.root.glob(".fetched-*"), *folder.snapshots.glob(".sent-*")):
        shutil.rmtree(place)
    folder.database.with_name(f".{folder.database.name}.part").unlink(missing_ok=True)
    with alone(folder.snapshots):
        sweep(folder.snapshots)


def sweep(snapshots: Path) -> None:
    """Delete what a snapshot that was broken off left behind; the caller holds the folder."""
    for path in snapshots.glob(".*.part*"):
        path.unlink()
    for note in snapshots.glob("*.sqlite.json"):
        if not note.with_suffix("").exists():
            note.unlink()


def check(snapshot: Path) -> Snapshot:
    """What a snapshot holds, if it is exactly what was taken.

    Args:
        snapshot: the SQLite file, with its JSON beside it.

    Raises:
        StudyError: a file is missing, damaged, or not what the JSON says.
    """
    if not snapshot.is_file() or not _note(snapshot).is_file():
        raise StudyError(
            f"{snapshot} and {_note(snapshot).name} must both be there; give the .sqlite file of a "
            "snapshot."
        )
    noted = read_note(snapshot)
    if _described(snapshot, noted.file, noted.taken_at) != noted:
        raise StudyError(
            f"{snapshot.name} is not the snapshot that was taken on {noted.taken_at}: its hash or "
            "its row counts differ. Nothing was changed; use another one."
        )
    return noted


def restore(snapshot: Path, database: Path, actor: str = "administrator") -> Snapshot:
    """Replace a study's database by a snapshot, after checking it.

    The database that was there is kept beside it under a new name.

    Args:
        snapshot: the SQLite file of a snapshot, with its JSON beside it.
        database: the study's SQLite file; it is not being served.
        actor: who restores, for the audit log.

    Returns:
        What the snapshot holds.

    Raises:
        StudyError: the snapshot is damaged or not what its JSON says; nothing was changed.
        StorageError: the study is being served.
    """
    noted = check(snapshot)
    held = hold(database)
    try:
        partial = database.with_name(f".{database.name}.part")
        shutil.copyfile(snapshot, partial)
        sync(partial)
        if database.exists():
            kept = f"{database.name}{ASIDE}{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
            for ending in ("", "-wal"):
                old = database.with_name(database.name + ending)
                if old.exists():
                    old.rename(database.with_name(kept + ending))
        database.with_name(database.name + "-shm").unlink(missing_ok=True)
        partial.replace(database)
        sync(database.parent)
        with Store(database) as store, store.transaction() as opened:
            audit.record(
                opened,
                store.clock.now(),
                actor,
                "restore",
                taken_at=noted.taken_at,
                sha256=noted.sha256,
            )
    finally:
        release(held)
    return noted


def check_same_study(snapshot: Path, folder: Folder) -> None:
    """Refuse a snapshot of another study, perhaps of the same name: its clips are others.

    Args:
        snapshot: the SQLite file.
        folder: of the study whose database it is to become.

    Raises:
        StudyError: the study in the snapshot was opened with other clips.
    """
    connection = sqlite3.connect(_uri(snapshot, "mode=ro&immutable=1"), uri=True)
    try:
        opened = one(
            connection, "select detail from audit where act = 'open' order by id desc limit 1"
        )
    finally:
        connection.close()
    fixed = read_milestones(folder).clips_sha256
    if opened is not None and json.loads(opened["detail"])["clips_sha256"] != fixed:
        raise StudyError(
            f"{snapshot.name} is of another study: its clips are not those of {folder.root.name} "
            f"(clips.json has SHA-256 {fixed or 'none yet'}). Nothing was changed; use a snapshot "
            "of this one, or give this study another name."
        )


def latest(database: Path) -> float:
    """When something was last stored in a study's file or snapshot, seconds since 1970.

    Raises:
        StudyError: it is damaged, or no study's.
    """
    try:
        connection = sqlite3.connect(_uri(database, "mode=rw"), uri=True)
        try:
            return latest_time(connection)
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        raise StudyError(
            f"{database} cannot be read ({error}); move it away, then start again."
        ) from error


@dataclass(frozen=True)
class Cleaned:
    """Result of deleting a rater from the copies of a study.

    Attributes:
        copies: how many copies held the rater and hold them no longer.
        failed: names of files that could not be cleaned and may still hold the rater.
    """

    copies: int
    failed: tuple[str, ...]


def forget(folder: Folder, session: str) -> Cleaned:
    """Delete a withdrawn rater from every copy in a study's folder; the caller holds the folder.

    The copies are the snapshots and the databases that `restore` put aside. A copy that is damaged
    or cannot be written does not keep the others from being cleaned. It can be repeated.

    Args:
        folder: of the study; its folder of snapshots is held (`alone`).
        session: the rater.
    """
    sweep(folder.snapshots)
    aside = [
        path
        for path in sorted(folder.root.glob(f"{glob.escape(folder.database.name)}{ASIDE}*"))
        if not path.name.endswith(("-wal", "-shm"))
    ]
    copies, failed = 0, []
    for path in (*aside, *files(folder.snapshots)):
        try:
            copies += _forget(path, session)
        except (sqlite3.DatabaseError, OSError) as error:
            logger.warning("%s may still hold a rater who withdrew: %s", path, error)
            failed.append(path.name)
    return Cleaned(copies, tuple(failed))


def _forget(path: Path, session: str) -> bool:
    """Whether a copy held a rater, who is gone from it now."""
    connection = sqlite3.connect(_uri(path, "mode=rw"), uri=True, isolation_level=None)
    try:
        connection.execute("pragma secure_delete = on")
        connection.execute("pragma foreign_keys = on")
        held = one(connection, "select 1 from sessions where id = ?", session) is not None
        # A snapshot that was not sound before must not get a note that says it is.
        sound = held and _is_sound(path)
        if held:
            run(connection, "delete from sessions where id = ?", session)
        connection.execute("pragma wal_checkpoint(truncate)")
    finally:
        connection.close()
    sync(path)
    if sound:
        noted = read_note(path)
        _write_note(path, _described(path, noted.file, noted.taken_at))
    return held


def _is_sound(snapshot: Path) -> bool:
    try:
        check(snapshot)
    except StudyError:
        return False
    return True


def _described(path: Path, name: str, taken_at: str) -> Snapshot:
    connection = sqlite3.connect(_uri(path, "mode=ro&immutable=1"), uri=True)
    try:
        database = connection
        if value(database, "pragma application_id") != APPLICATION_ID:
            raise StudyError(f"{path.name} is not a database of a study; give a snapshot's file.")
        report = value(database, "pragma integrity_check(1)")
        if report != "ok":
            raise StudyError(f"{path.name} is damaged ({report}); restore another snapshot.")
        counts = {t: int(value(database, f"select count(*) from {t}")) for t in COUNTED}  # noqa: S608
    except sqlite3.DatabaseError as error:
        raise StudyError(f"{path.name} is damaged ({error}); restore another snapshot.") from error
    finally:
        connection.close()
    return Snapshot(name, taken_at, digest(path), counts)


def _write_note(path: Path, snapshot: Snapshot) -> None:
    write_atomically(_note(path), json.dumps(asdict(snapshot), indent=1) + "\n", 0o600)


def _note(snapshot: Path) -> Path:
    return snapshot.with_name(f"{snapshot.name}.json")


def _uri(path: Path, query: str) -> str:
    """A path for SQLite; a ? or # in it would otherwise end its name."""
    return f"{path.absolute().as_uri()}?{query}"
