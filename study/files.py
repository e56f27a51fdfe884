"""Files on disk: written atomically, and known by their hash."""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Open a file that replaces another atomically when the block ends without an error.

    A reader sees the old content or the new one, never a part.

    Args:
        path: the file; its folder exists.
        mode: permissions of the file.
    """
    partial = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync(path.parent)


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a text file as UTF-8 (see `replacing`)."""
    with replacing(path, mode) as file:
        file.write(text.encode("utf-8"))


def sync(path: Path) -> None:
    """Force a file or a directory to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest(path: Path) -> str:
    """Return a file's SHA-256 in hex, as sha256sum prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
