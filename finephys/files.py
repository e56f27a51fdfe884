"""Writing files atomically: a reader sees the old file or the whole new one, never a part."""

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from finephys.errors import FinePhysError

_LONGEST_SUFFIX = 32
"""Characters of a suffix kept in the temporary name, which must fit the file system's 255 bytes."""

_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


class OutputError(FinePhysError):
    """A result could not be written."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it on success and is removed otherwise.

    The temporary name is unique to the call, so threads and processes may write one path at once;
    the last to finish wins. File and folder are synced to the disk. A new file gets the mode the
    umask allows, a replaced one keeps its mode, and a symbolic link stays one: its target is
    replaced.

    Args:
        path: the file to write; missing parent folders are created.

    Yields:
        The path to write to, with the suffix of `path`. The block must create it.

    Raises:
        OutputError: the folder cannot be written, the disk is full, or `path` is not a file.
    """
    target = Path(os.path.realpath(path))
    suffix = target.suffix if len(target.suffix) <= _LONGEST_SUFFIX else ""
    partial = target.with_name(f".{secrets.token_hex(8)}.partial{suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = _mode(target)
        yield partial
        if mode is not None:
            partial.chmod(mode)
        _sync(partial)
        partial.replace(target)
        _sync(target.parent)
    except OSError as error:
        raise OutputError(f"{path} was not written: {advice(error)} and try again.") from error
    finally:
        with suppress(OSError):  # the error that ended the block says more than this one
            partial.unlink()


def advice(error: OSError) -> str:
    """Return the cause of a failed write and what to do about it, as part of a sentence."""
    known = _ADVICE.get(error.errno or 0)
    return known or f"{error.strerror or error}; choose a folder that can be written"


def _mode(target: Path) -> int | None:
    """Return the permission bits of the file to be replaced, None when there is none."""
    try:
        found = target.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):  # renaming would remove a device or a pipe
        raise OSError(errno.EINVAL, "it is not a regular file")
    return stat.S_IMODE(found.st_mode)


def _sync(path: Path) -> None:
    """Write what the system has buffered of a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync a folder; their renames are synchronous.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
