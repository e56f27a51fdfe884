"""Clips uploaded by the administrator: every name, size and count is checked."""

import re
import secrets
import shutil
import stat
import time
import zipfile
import zlib
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath

from study.errors import StudyError
from study.files import replacing

LARGEST_CLIP = 100_000_000
LARGEST_UPLOAD = 2_000_000_000
MOST_FILES = 5000
DEEPEST = 4
"""Limits of one upload: bytes of a file, bytes of all, files, and folders in folders."""

KEPT_SECONDS = 86_400.0
"""Age in seconds at which uploads that became no study are deleted."""

TABLES = (".yaml", ".csv", ".json", ".jsonl")
"""Endings of files beside the clips: captions and manifests."""

FOLDER = ".uploads"
CHUNK = 1 << 20

_ID = re.compile(r"[0-9a-f]{32}")
_PART = re.compile(r"[^\x00-\x1f\x7f/\\:*?\"<>|]{1,120}")


class UploadError(StudyError):
    """A file that is not accepted; files uploaded before it are kept."""


def accepted() -> tuple[str, ...]:
    """Endings of files that a study may be made from, in small letters."""
    from study.sources import VIDEOS  # imports a decoder, which raters never need

    return (*VIDEOS, *TABLES)


def folder(studies: Path, upload: str) -> Path:
    """The folder of an upload; created when absent, readable by its owner alone.

    Args:
        studies: folder of all studies.
        upload: 32 hexadecimal digits chosen by the page.

    Raises:
        UploadError: it is not that.
    """
    if not _ID.fullmatch(upload):
        raise UploadError("The upload has no proper number; reload the page and choose again.")
    made = studies / FOLDER / upload
    made.mkdir(parents=True, exist_ok=True, mode=0o700)
    return made


def sweep(studies: Path) -> None:
    """Delete old uploads."""
    for old in (studies / FOLDER).glob("*"):
        if time.time() - old.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(old) if old.is_dir() else old.unlink()


def inside(root: Path, name: str) -> Path:
    """The path of an uploaded file, always below a folder.

    Args:
        root: of the upload.
        name: METHOD/ITEM.mp4 or the like, as the browser or a zip names it.

    Raises:
        UploadError: the name leads elsewhere, is malformed, too deep, or of another type.
    """
    parts = name.split("/")
    odd = [part for part in parts if not _PART.fullmatch(part) or part.startswith(".")]
    if odd or not 1 <= len(parts) <= DEEPEST:
        raise UploadError(
            f"{name[:200]!r} cannot be taken; name files METHOD/ITEM.mp4, without dots or signs at "
            "the beginning of a name."
        )
    if PurePosixPath(name).suffix.lower() not in accepted():
        raise UploadError(f"{name[:200]!r} is of no use to a study; give {', '.join(accepted())}.")
    return root.joinpath(*parts)


async def store(root: Path, name: str, content: AsyncIterator[bytes]) -> int:
    """Store one file while it is received.

    Returns:
        Its bytes.

    Raises:
        UploadError: the name or a limit; nothing of the file is kept.
    """
    path = inside(root, name)
    files, held = _held(root)
    _need_room(name, files, 0)
    return await _write(path, content, min(LARGEST_CLIP, LARGEST_UPLOAD - held), name)


async def store_zip(root: Path, content: AsyncIterator[bytes]) -> int:
    """Receive a zip and unpack it atomically.

    Returns:
        The number of files.

    Raises:
        UploadError: not a zip, or it holds what `inside` refuses, links, or too much.
    """
    import asyncio

    archive = root.with_name(f"{root.name}.{secrets.token_hex(4)}.zip")
    try:
        await _write(archive, content, LARGEST_UPLOAD, "The zip")
        return await asyncio.to_thread(unpack, archive, root)
    finally:
        archive.unlink(missing_ok=True)


def unpack(archive: Path, root: Path) -> int:
    """Take the files of a zip.

    The sizes in a zip's directory are not trusted: bytes are counted while unpacking.

    Returns:
        How many.

    Raises:
        UploadError: as `store_zip`; nothing of it is kept.
    """
    partial = root.with_name(f"{root.name}.{secrets.token_hex(4)}.part")
    partial.mkdir(mode=0o700)
    try:
        with zipfile.ZipFile(archive) as packed:
            wanted = [info for info in packed.infolist() if not _is_litter(info)]
            files, held = _held(root)
            _need_room("the zip", files, len(wanted) - 1)
            names = _without_top([info.filename.replace("\\", "/") for info in wanted])
            room = LARGEST_UPLOAD - held
            for info, name in zip(wanted, names, strict=True):
                room -= _unpack_one(packed, info, inside(partial, name), min(LARGEST_CLIP, room))
        for name in names:
            target = inside(root, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            inside(partial, name).replace(target)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise UploadError(f"The zip cannot be read ({error}); pack it again.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return len(wanted)


def _unpack_one(packed: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, most: int) -> int:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise UploadError(
            f"{info.filename[:200]!r} in the zip is not a regular file; pack only files."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with packed.open(info) as source, path.open("wb") as sink:
        while chunk := source.read(CHUNK):
            count += len(chunk)
            if count > most:
                raise UploadError(_too_large(info.filename, most))
            sink.write(chunk)
    return count


async def _write(path: Path, content: AsyncIterator[bytes], most: int, name: str) -> int:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    count = 0
    try:
        with replacing(path, 0o600) as sink:
            async for chunk in content:
                count += len(chunk)
                if count > most:
                    raise UploadError(_too_large(name, most))
                sink.write(chunk)
    except OSError as error:
        raise UploadError(f"{name[:200]!r} was not stored ({error.strerror}).") from error
    return count


def _held(root: Path) -> tuple[int, int]:
    """Files and bytes that an upload has already."""
    sizes = [path.stat().st_size for path in root.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


def _need_room(name: str, files: int, more: int) -> None:
    if files + more >= MOST_FILES:
        raise UploadError(f"{name[:200]!r} is one too many: {MOST_FILES} files are accepted.")


def _too_large(name: str, most: int) -> str:
    return (
        f"{name[:200]!r} is larger than the {most:,} bytes that are left for it; a clip may have "
        f"{LARGEST_CLIP:,} and an upload {LARGEST_UPLOAD:,}. For more, put the clips on the server."
    )


def _is_litter(info: zipfile.ZipInfo) -> bool:
    """Whether an entry is a directory or junk that an operating system added."""
    from study.sources import is_junk  # imports a decoder, which raters never need

    name = info.filename.replace("\\", "/")
    return name.endswith("/") or any(is_junk(part) for part in name.split("/"))


def _without_top(names: list[str]) -> list[str]:
    """Names without the one folder that holds everything, if METHOD/ITEM.mp4 begins below it."""
    tops = {name.partition("/")[0] for name in names}
    flat = any(name.count("/") < 2 for name in names if not name.lower().endswith(TABLES))
    if len(tops) != 1 or flat or any("/" not in name for name in names):
        return names
    return [name.partition("/")[2] for name in names]
