"""Files written whole or not at all."""

import errno
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from finephys.errors import FinePhysError


class OutputError(FinePhysError):
    """A result could not be written."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it becomes `path`, otherwise it is removed.

    Raises:
        OutputError: when the folder cannot be written or the disk is full.
    """
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        reason = (
            "the disk is full; free some space"
            if error.errno == errno.ENOSPC
            else f"{error.strerror or error}; choose a folder that can be written"
        )
        raise OutputError(f"{path} was not written: {reason} and try again.") from error
    finally:
        with suppress(NotADirectoryError):
            partial.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
