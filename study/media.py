"""Videos and pictures for raters: by address alone, in ranges, with the same headers for all.

What a browser sees of one clip differs from another in its pixels only: no name, no time, no tag,
one type, and one size, since all clips are padded alike (`stimuli`).
"""

import re
from pathlib import Path
from typing import BinaryIO

from starlette.responses import Response

TYPES = {".mp4": "video/mp4", ".jpg": "image/jpeg"}

_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")
_FAR = 10**15
"""Stands for any place in a file that needs more digits than this."""


def media_response(path: Path, wanted: str | None) -> Response:
    """A file, or the range of it that is requested (RFC 9110, section 14); reads no more than that.

    Safari plays a video only from a server that answers ranges. Starlette's FileResponse answers
    them too, but sends ETag and Last-Modified, which tell one clip from another.

    Args:
        path: the file.
        wanted: value of the Range header; several ranges at once, another unit and what is not a
            range are answered with the whole file, as the RFC allows.
    """
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=3600",
        "Content-Type": TYPES[path.suffix],
    }
    with path.open("rb") as file:
        size = file.seek(0, 2)
        ends = _ends(wanted, size)
        if ends is None:
            return Response(_read(file, 0, size), 200, headers)
        begin, end = ends
        if begin >= end:
            return Response(b"", 416, {**headers, "Content-Range": f"bytes */{size}"})
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
        return Response(_read(file, begin, end), 206, headers)


def _ends(wanted: str | None, size: int) -> tuple[int, int] | None:
    """First byte of a requested range and the one after its last; None for the whole file."""
    found = _RANGE.fullmatch(wanted.strip()) if wanted else None
    if found is None or found.group(0) == "bytes=-":
        return None
    first, last = found.groups()
    if not first:
        return max(size - _number(last), 0), size
    begin, end = _number(first), _number(last) + 1 if last else size
    if begin >= end:  # the last byte before the first: no range, to be ignored
        return None if begin < size else (size, size)
    return begin, min(end, size)


def _number(digits: str) -> int:
    """A whole number of any length; int() refuses more than 4300 digits."""
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= len(str(_FAR)) else _FAR


def _read(file: BinaryIO, begin: int, end: int) -> bytes:
    file.seek(begin)
    return file.read(end - begin)
