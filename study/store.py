"""The study's SQLite file: opened once, written by one writer, every write one transaction."""

import contextlib
import errno
import fcntl
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from study.clock import Clock
from study.errors import StudyError

logger = logging.getLogger(__name__)

APPLICATION_ID = 0x46505354
"""Written into the file's header ("FPST"), so that another program's database is recognised."""

VERSION = 1
"""Number of migrations (`schema`) that a file of this program has gone through."""

BUSY_MILLISECONDS = 5000
"""How long a write waits for another process (a command line act) before it gives up."""

LOG_SECONDS = 1.0
"""Between two moves of the write-ahead log into the database while a server runs."""

LOG_PAGES = 8000
"""Length of the log at which the writer itself moves what is left of it, 32 MB."""

Row = dict[str, Any]


class StorageError(StudyError):
    """The file or its disk refused a read or a write; what was stored before is safe."""


class Store:
    """One writer and one reader of a study's database.

    Design choice: write-ahead log with synchronous=FULL, so that a committed answer survives a
    power cut; transactions begin IMMEDIATE under one lock, so that none fails half-way with
    "database is locked". The reader sees the last commit and never waits for the writer.
    """

    def __init__(self, path: Path, *, serving: bool = False, clock: Clock | None = None) -> None:
        """Open the file, make or migrate its tables, and check that it is whole.

        Args:
            path: the SQLite file; its folder exists.
            serving: hold the file for one server; a second server is refused.
            clock: source of times; by default one that starts no earlier than any time stored.

        Raises:
            StorageError: the file is served by another process, damaged, of another program,
                read-only, or on a full disk.
        """
        self.path = path
        self._write_lock = threading.RLock()
        self._read_lock = threading.Lock()
        self._move_lock = threading.Lock()
        self._served = hold(path) if serving else None
        try:
            with _sentences(path):
                self._writer = _connect(path)
                _check(self._writer, path)
                _prepare(self._writer)
                self._reader = _connect(path)
                self._reader.execute("pragma query_only = on")
                self._mover = _connect(path)
            self.clock = clock or Clock(at_least=latest_time(self._reader))
        except BaseException:
            release(self._served)
            raise
        self._closing = threading.Event()
        self._moving = threading.Thread(target=self._move_log, name="log", daemon=True)
        if serving:
            # Design choice: the log is moved aside from the writer, so that no answer waits for it.
            self._writer.execute(f"pragma wal_autocheckpoint = {LOG_PAGES}")
            self._moving.start()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One write: everything inside is stored together, or nothing is.

        Inside another transaction of the same thread it is a part of that one.

        Raises:
            StorageError: the disk is full, read-only or failing; nothing was stored.
        """
        with self._write_lock, _sentences(self.path):
            connection = self._writer
            if connection.in_transaction:  # ours: the lock is held by this thread
                yield connection
                return
            connection.execute("begin immediate")
            try:
                yield connection
                connection.execute("commit")
            except BaseException:
                # An error such as a full disk may have ended the transaction already.
                if connection.in_transaction:
                    connection.execute("rollback")
                raise

    @contextlib.contextmanager
    def view(self) -> Iterator[sqlite3.Connection]:
        """Read one consistent state of the study; writing is impossible."""
        with self._read_lock, _sentences(self.path):
            connection = self._reader
            connection.execute("begin")
            try:
                yield self._reader
            finally:
                connection.execute("rollback")

    def shrink_log(self) -> None:
        """Move the write-ahead log into the database file and empty it, so nothing lingers."""
        # Alone in this process: a reader or the mover at work would keep some of the log in use.
        with self._write_lock, self._read_lock, self._move_lock, _sentences(self.path):
            busy, _, _ = self._writer.execute("pragma wal_checkpoint(truncate)").fetchone()
        if busy:
            # Deleted rows may be read from the log until it is moved the next time.
            logger.warning("the log of %s is in use and was not emptied", self.path.name)

    def close(self) -> None:
        """Close all connections and let another server take the file."""
        self._closing.set()
        if self._moving.is_alive():
            self._moving.join()
        with self._write_lock, self._read_lock:
            self._mover.close()
            self._reader.close()
            self._writer.close()
            release(self._served)
            self._served = None

    def _move_log(self) -> None:
        while not self._closing.wait(LOG_SECONDS):
            try:
                with self._move_lock:
                    self._mover.execute("pragma wal_checkpoint(passive)")
            except sqlite3.DatabaseError as error:
                # The answers are safe in the log; a write that fails is reported by the writer.
                logger.warning("the log was not moved: %s", error)

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def rows(database: sqlite3.Connection, sql: str, *values: object) -> list[Row]:
    """All rows of one query, as dictionaries."""
    cursor = database.execute(sql, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def one(database: sqlite3.Connection, sql: str, *values: object) -> Row | None:
    """The first row of one query, or None."""
    found = rows(database, sql, *values)
    return found[0] if found else None


def value(database: sqlite3.Connection, sql: str, *values: object) -> Any:  # noqa: ANN401
    """The first column of the first row of a query that always has one."""
    return database.execute(sql, values).fetchone()[0]


def run(database: sqlite3.Connection, sql: str, *values: object) -> int:
    """Execute one statement inside a transaction and return how many rows it touched."""
    return int(database.execute(sql, values).rowcount)


def latest_time(database: sqlite3.Connection) -> float:
    """When something was last stored, seconds since 1970; 0 for an untouched study."""
    return float(
        value(
            database,
            "select max(coalesce((select max(last_seen) from sessions), 0),"
            " coalesce((select max(received_at) from answers), 0),"
            " coalesce((select max(withdrawn_at) from receipts), 0),"
            " coalesce((select max(at) from audit), 0))",
        )
    )


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_MILLISECONDS / 1000, isolation_level=None, check_same_thread=False
    )
    connection.execute("pragma foreign_keys = on")
    connection.execute("pragma synchronous = full")
    connection.execute("pragma secure_delete = on")
    return connection


def _check(database: sqlite3.Connection, path: Path) -> None:
    program = value(database, "pragma application_id")
    tables = value(database, "select count(*) from sqlite_master")
    if tables and program != APPLICATION_ID:
        raise StorageError(
            f"{path.name} is a database of another program (application id {program:#x}); a "
            f"study's file has {APPLICATION_ID:#x}. Name a study made with: python -m study new"
        )
    if value(database, "pragma user_version") > VERSION:
        raise StorageError(
            f"{path.name} was written by a newer version of this program; use that version."
        )
    report = value(database, "pragma quick_check(1)")
    if report != "ok":
        raise StorageError(_damaged(path, str(report)))


def _prepare(database: sqlite3.Connection) -> None:
    database.execute("pragma journal_mode = wal")
    if value(database, "pragma user_version") < VERSION:
        # Imported only when there is something to migrate: it takes longer than all the rest.
        from sqlite_utils import Database

        from study.schema import migrations

        database.execute(f"pragma application_id = {APPLICATION_ID}")
        migrations.apply(Database(database))
        database.execute(f"pragma user_version = {VERSION}")


def hold(path: Path) -> int:
    """Hold a database for one server, by a lock on a file beside it that dies with the process.

    Returns:
        Handle for `release`.

    Raises:
        StorageError: another process serves it.
    """
    lock = path.with_name(path.name + ".serving")
    with _sentences(path):
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(handle, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(handle)
        raise StorageError(
            f"{path.name} is already served by process {owner}, and one file has one server; "
            "stop that one first, or use its page."
        ) from None
    os.truncate(handle, 0)
    os.write(handle, f"{os.getpid()}\n".encode("ascii"))
    return handle


def release(handle: int | None) -> None:
    """Let another server hold the database."""
    if handle is not None:
        os.close(handle)


@contextlib.contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and the disk into one sentence a person can act on."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise  # a mistake of this program, not of the disk
    except (sqlite3.DatabaseError, OSError) as error:
        logger.exception("storage failed")
        raise StorageError(_sentence(path, error)) from error


def _sentence(path: Path, error: Exception) -> str:
    kind = getattr(error, "sqlite_errorname", None) or errno.errorcode.get(
        getattr(error, "errno", None) or 0, ""
    )
    if kind.startswith(("SQLITE_FULL", "SQLITE_IOERR", "ENOSPC", "EDQUOT", "EFBIG", "EIO")):
        return (
            f"The disk that holds {path.name} is full or failing ({error}); nothing of this write "
            "was stored and everything before it is safe. Free some space: the server goes on by "
            "itself."
        )
    if kind.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "EROFS", "EACCES")):
        return (
            f"{path.name} cannot be written ({error}); put the study on a disk that this user can "
            "write to and start again."
        )
    if kind.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return _damaged(path, str(error))
    if kind.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return (
            f"Another process kept {path.name} for more than {BUSY_MILLISECONDS / 1000:.0f} s; "
            "nothing of this write was stored. Wait for it to end and try again."
        )
    return f"{path.name} could not be read or written: {error}. Nothing of this write was stored."


def _damaged(path: Path, report: str) -> str:
    return (
        f"{path.name} is damaged ({report.splitlines()[0][:120]}); leave it as it is and restore a "
        "snapshot: python -m study restore"
    )
