"""Check the files of a command before any work: nothing is lost, and no work is done in vain.

1. No output is an input, or another output, of the same command.
2. A file that exists is replaced only if FinePhys wrote it as the same kind of result, or if the
   command says `--overwrite`.
3. Every input can be read and every output can be written.
"""

import os
import stat
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from finephys.errors import RequestError
from finephys.files import OutputError, advice
from finephys.marks import Kind, kind_of

_PROBE = bytes(4096)
"""What is written to a nameless file to see that a folder takes any bytes at all."""


@dataclass(frozen=True)
class Input:
    """A file or folder that a command reads.

    Attributes:
        option: how the command line names it, for messages.
        path: where it is.
    """

    option: str
    path: Path


@dataclass(frozen=True)
class Output:
    """A file that a command writes.

    Attributes:
        option: how the command line names it, for messages.
        path: where it goes.
        kind: what it holds; an existing file of this kind may be replaced.
        known: an existing file is the command's own, by a record that it keeps.
    """

    option: str
    path: Path
    kind: Kind
    known: bool = False


def check_files(
    inputs: Iterable[Input], outputs: Iterable[Output], *, overwrite: bool = False
) -> None:
    """Raise unless a command may read its inputs and write its outputs. Creates nothing.

    Args:
        inputs: all files and folders it reads.
        outputs: all files it writes, with those that no option names.
        overwrite: replace existing files whoever wrote them, except inputs.

    Raises:
        RequestError: an input cannot be read, or an output is an input, another output, or a file
            that is not replaced.
        OutputError: an output cannot be written.
    """
    taken: dict[object, str] = {}
    for source in inputs:
        _check_readable(source)
        for key in _identities(source.path):
            taken[key] = f"{source.option} {source.path}, which is read"
    folders: set[Path] = set()
    for output in outputs:
        place = f"{output.option} {output.path}"
        for key in _identities(output.path):
            if key in taken:
                raise RequestError(
                    f"{place} is the same file as {taken[key]}; choose another name for one."
                )
        # Not by inode: a file is replaced, not written into, so hard-linked outputs are safe.
        taken[_name(output.path)] = f"{place}, which is written too"
        _check_replaceable(output, overwrite)
        folder = _existing_folder(output.option, output.path.parent)
        if folder not in folders:
            _check_writable(place, folder)
            folders.add(folder)


def check_folder(option: str, folder: Path) -> None:
    """Raise OutputError unless a folder can be written, or created."""
    _check_writable(f"{option} {folder}", _existing_folder(option, folder))


def check_outside(source: Input, option: str, folder: Path) -> None:
    """Raise RequestError if a folder to read is, or lies in, one that is written."""
    if Path(_name(source.path)).is_relative_to(_name(folder)):
        raise RequestError(
            f"{source.option} {source.path} lies in {option} {folder}, where files that are read "
            "could be overwritten; choose another folder for one."
        )


def _name(path: Path) -> str:
    """Return a path as the least distinguishing file system knows it.

    Design choice: names that differ only in case or in Unicode composition count as one everywhere,
    because they are one file on a Mac, on Windows and on many USB sticks.
    """
    return unicodedata.normalize("NFC", os.path.realpath(path)).casefold()


def _identities(path: Path) -> Iterator[object]:
    """Yield what two paths of one file have in common: its name, and its inode if it exists."""
    yield _name(path)
    try:
        found = path.stat()
    except OSError:
        return
    yield found.st_dev, found.st_ino  # hard links have different names


def _check_readable(source: Input) -> None:
    try:
        found = source.path.stat()
        if stat.S_ISREG(found.st_mode):
            source.path.open("rb").close()
    except FileNotFoundError as error:
        raise RequestError(
            f"{source.option} {source.path} does not exist; check the path."
        ) from error
    except OSError as error:
        raise RequestError(
            f"{source.option} {source.path} cannot be read ({error.strerror or error}); give a "
            "file that can."
        ) from error


def _check_replaceable(output: Output, overwrite: bool) -> None:
    """Raise if something at the output's path must stay."""
    path = output.path
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return  # nothing is there; its folder is checked apart
    except OSError as error:
        raise OutputError(f"{output.option} {path} cannot be written: {advice(error)}.") from error
    if not stat.S_ISREG(found.st_mode):
        what = "a directory" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise OutputError(f"{output.option} {path} is {what}; give the name of a file.")
    if not os.access(path, os.W_OK):
        raise OutputError(f"{output.option} {path} is write-protected; choose another name.")
    empty = found.st_size == 0  # such as mktemp makes; nothing is lost
    if not (overwrite or empty or output.known or _is_kind(path, output.kind)):
        raise RequestError(
            f"{output.option} {path} already exists and was not written by this command; choose "
            "another name, or add --overwrite to replace it."
        )


def _is_kind(path: Path, kind: Kind) -> bool:
    try:
        return kind_of(path) == kind
    except OSError:  # what cannot be read cannot be known to be ours
        return False


def _existing_folder(option: str, folder: Path) -> Path:
    """Return the nearest folder that exists on the way to a folder."""
    absolute = Path(os.path.realpath(folder))
    for place in (absolute, *absolute.parents):
        try:
            mode = place.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise OutputError(f"{option} {folder} cannot be written: {advice(error)}.") from error
        if not stat.S_ISDIR(mode):
            raise OutputError(
                f"{option} {folder} cannot be a folder, since {place} is not a directory; choose "
                "another."
            )
        return place
    raise OutputError(f"{option} {folder} is on no file system; choose another folder.")


def _check_writable(place: str, folder: Path) -> None:
    """Raise OutputError unless a file can be made in a folder; it never has a name there."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(_PROBE)
            file.flush()
    except OSError as error:
        raise OutputError(f"{place} cannot be written: {advice(error)}.") from error
