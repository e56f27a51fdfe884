"""Videos and pictures for raters: by address alone, in parts when asked, the same headers for all.

What a browser sees of one clip differs from another in its pixels only: no name, no time, no tag,
one type, and one size, since all clips are padded alike (`stimuli`).
"""

import re
from pathlib import Path

from starlette.responses import Response

TYPES = {".mp4": "video/mp4", ".jpg": "image/jpeg"}

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def media_response(path: Path, wanted: str | None) -> Response:
    """A file, or the part of it that a Range header asks for (RFC 9110, section 14).

    Safari plays a video only from a server that answers ranges.

    Args:
        path: the file.
        wanted: value of the Range header; several ranges at once are answered with the whole.
    """
    content = path.read_bytes()
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=3600",
        "Content-Type": TYPES[path.suffix],
    }
    size = len(content)
    asked = _RANGE.fullmatch(wanted.strip()) if wanted else None
    if asked is None or asked.group(0) == "bytes=-":
        return Response(content, 200, headers)
    first, last = asked.groups()
    if first:
        begin, end = int(first), min(int(last), size - 1) if last else size - 1
    else:
        begin, end = max(size - int(last), 0), size - 1
    if begin > end:
        return Response(b"", 416, {**headers, "Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {begin}-{end}/{size}"
    return Response(content[begin : end + 1], 206, headers)
