"""Snapshots of a study's database: taken while it runs, checked when restored, pushed if asked."""

import contextlib
import fcntl
import json
import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
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

KEEP = 12
"""Snapshots kept in a study's folder while it is served; older ones are deleted."""

ASIDE = ".before-"
"""In the name of a database that was put aside by a restore."""

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
    appears under its name only when it is whole.

    Args:
        database: the study's SQLite file.
        to: folder for snapshots; made when absent.

    Raises:
        StudyError: there is no such file.
        StorageError: the disk is full, or the copy is not whole.
    """
    if not database.is_file():
        raise StudyError(f"{database} does not exist; there is nothing to copy yet.")
    now = datetime.now(UTC)
    name = f"{now:%Y%m%dT%H%M%S%f}.sqlite"
    try:
        to.mkdir(parents=True, exist_ok=True, mode=0o700)
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
    source = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)
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
    handle = os.open(snapshots / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def listed(snapshots: Path) -> list[Snapshot]:
    """The snapshots of a folder, oldest first."""
    return [
        Snapshot(**json.loads(path.read_text("utf-8")))
        for path in sorted(snapshots.glob("*.sqlite.json"))
        if path.with_suffix("").is_file()
    ]


def check(snapshot: Path) -> Snapshot:
    """What a snapshot holds, if it is exactly what was taken.

    Args:
        snapshot: the SQLite file, with its JSON beside it.

    Raises:
        StudyError: a file is missing, damaged, or not what the JSON says.
    """
    note = snapshot.with_name(snapshot.name + ".json")
    if not snapshot.is_file() or not note.is_file():
        raise StudyError(
            f"{snapshot} and {note.name} must both be there; give the .sqlite file of a snapshot."
        )
    said = Snapshot(**json.loads(note.read_text("utf-8")))
    if _described(snapshot, said.file, said.taken_at) != said:
        raise StudyError(
            f"{snapshot.name} is not the snapshot that was taken on {said.taken_at}: its hash or "
            "its row counts differ. Nothing was changed; use another one."
        )
    return said


def restore(snapshot: Path, database: Path, actor: str = "runner") -> Snapshot:
    """Put a snapshot in the place of a study's database, after checking it whole.

    The database that was there is kept beside it under a new name.

    Args:
        snapshot: the SQLite file of a snapshot, with its JSON beside it.
        database: the study's SQLite file; nobody serves it.
        actor: who restores, for the audit log.

    Returns:
        What the snapshot holds.

    Raises:
        StudyError: the snapshot is not what its JSON says, or not whole; nothing was changed.
        StorageError: the study is being served.
    """
    said = check(snapshot)
    held = hold(database)
    try:
        partial = database.with_name(f".{database.name}.part")
        shutil.copyfile(snapshot, partial)
        sync(partial)
        if database.exists():
            kept = f"{database.name}{ASIDE}{datetime.now(UTC):%Y%m%dT%H%M%S}"
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
                taken_at=said.taken_at,
                sha256=said.sha256,
            )
    finally:
        release(held)
    return said


def check_same_study(snapshot: Path, folder: Folder) -> None:
    """Refuse a snapshot of another study, perhaps of the same name: its clips are others.

    Args:
        snapshot: the SQLite file.
        folder: of the study whose database it is to become.

    Raises:
        StudyError: the study in the snapshot was opened with other clips.
    """
    connection = sqlite3.connect(f"file:{snapshot}?mode=ro&immutable=1", uri=True)
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
        connection = sqlite3.connect(f"file:{database}?mode=rw", uri=True)
        try:
            return latest_time(connection)
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        raise StudyError(
            f"{database} cannot be read ({error}); move it away, then start again."
        ) from error


def forget(folder: Folder, session: str) -> int:
    """Delete a withdrawn rater's rows from every copy in a study's folder too.

    These are its snapshots and the databases that `restore` put aside.

    Returns:
        How many copies held the rater.
    """
    aside = [
        path
        for path in folder.root.glob(f"{folder.database.name}{ASIDE}*")
        if not path.name.endswith(("-wal", "-shm"))
    ]
    touched = sum(_forget(path, session) for path in aside)
    if not folder.snapshots.is_dir():
        return touched
    with alone(folder.snapshots):
        for snapshot in listed(folder.snapshots):
            path = folder.snapshots / snapshot.file
            if _forget(path, session):
                touched += 1
                _write_note(path, _described(path, snapshot.file, snapshot.taken_at))
    return touched


def _forget(path: Path, session: str) -> bool:
    """Whether a copy held a rater, who is gone from it now."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("pragma secure_delete = on")
        connection.execute("pragma foreign_keys = on")
        held = run(connection, "delete from sessions where id = ?", session)
        connection.execute("pragma wal_checkpoint(truncate)")
    finally:
        connection.close()
    sync(path)
    return held > 0


class Snapshots:
    """Takes a snapshot every few minutes while a study is served, if anything was stored since.

    The window of possible loss, should the disk be lost as a whole, is the time between two
    snapshots plus the time one takes; a crash or a power cut alone loses nothing.
    """

    def __init__(
        self,
        store: Store,
        to: Path,
        seconds: float,
        push: Callable[[], None] | None = None,
        place: str = "",
    ) -> None:
        """Begin.

        Args:
            store: of the study.
            to: folder for snapshots.
            seconds: between two; 0 for none.
            push: carries the snapshots to another place after each, see `hub`.
            place: that place's name.
        """
        self._store = store
        self._to = to
        self._seconds = seconds
        self._push = push
        self._place = place
        self._stop = threading.Event()
        self._last = -1
        self.trouble = ""
        self._thread = threading.Thread(target=self._go_on, name="snapshots", daemon=True)
        if seconds > 0:
            self._thread.start()

    def state(self) -> dict[str, object]:
        """For the board: seconds between two, the last one's time, where they go, what is wrong."""
        taken = listed(self._to)
        return {
            "every_seconds": self._seconds,
            "last": taken[-1].taken_at if taken else "",
            "place": self._place,
            "trouble": self.trouble,
        }

    def stop(self) -> None:
        """End after the snapshot that is being taken, if any."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _go_on(self) -> None:
        while not self._stop.wait(self._seconds):
            try:
                self.take_if_changed()
                self.trouble = ""
            except Exception as error:
                # Raters go on; the board shows it, and the next round tries again.
                self.trouble = str(error)
                logger.exception("no snapshot")

    def take_if_changed(self) -> Snapshot | None:
        """Take a snapshot unless nothing was stored since the last one; keep the newest."""
        with self._store.view() as database:
            state = int(value(database, "pragma data_version"))
        if state == self._last:
            return None
        snapshot = take(self._store.path, self._to)
        if self._push is not None:
            self._push()
        self._last = state
        for old in listed(self._to)[:-KEEP]:
            (self._to / old.file).unlink()
            (self._to / f"{old.file}.json").unlink()
        return snapshot


def _described(path: Path, name: str, taken_at: str) -> Snapshot:
    connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    try:
        database = connection
        if value(database, "pragma application_id") != APPLICATION_ID:
            raise StudyError(f"{path.name} is no database of a study; give a snapshot's file.")
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
    text = json.dumps(asdict(snapshot), indent=1) + "\n"
    write_atomically(path.with_name(f"{path.name}.json"), text, 0o600)
