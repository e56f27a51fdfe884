"""What a rater's browser may post: read with a limit, checked field by field, else refused."""

import json
import math
import re
import unicodedata
from typing import Any

from starlette.requests import Request

from study.sessions import RefusedError

MOST_BYTES = 16_384

_KEY = re.compile(r"[A-Za-z0-9_-]{16,64}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


async def body(request: Request, **kinds: type) -> dict[str, Any]:
    """The fields of a JSON object, exactly those named, each of its kind.

    Args:
        request: a post.
        kinds: name -> type; float takes whole numbers too, bool is never a number.

    Raises:
        RefusedError: another content type, too long, no object, a field missing, unknown or of
            another kind.
    """
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise RefusedError("invalid", "Send application/json.", 415)
    raw = bytearray()
    async for part in request.stream():
        raw += part
        if len(raw) > MOST_BYTES:
            raise RefusedError("invalid", f"At most {MOST_BYTES} bytes are accepted.", 413)
    try:
        data = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise RefusedError("invalid", "This is not JSON in UTF-8.", 422) from error
    if not isinstance(data, dict) or set(data) != set(kinds):
        raise RefusedError("invalid", f"Send exactly these fields: {', '.join(kinds)}.", 422)
    return {name: _of_kind(name, data[name], kind) for name, kind in kinds.items()}


def whole(name: str, value: int, low: int, high: int) -> int:
    """A whole number within limits."""
    if not low <= value <= high:
        raise RefusedError("invalid", f"{name} is {value}; give {low} to {high}.", 422)
    return value


def seconds(value: float) -> float:
    """A duration of at most a day."""
    if not (math.isfinite(value) and 0 <= value <= 86_400):
        raise RefusedError("invalid", "seconds is outside 0 to 86400.", 422)
    return value


def client_key(value: str) -> str:
    """The name a page gave to one click."""
    if not _KEY.fullmatch(value):
        raise RefusedError("invalid", "key must be 16 to 64 letters, digits, - or _.", 422)
    return value


def link_name(name: str, value: object) -> str:
    """An identifier that came with a link."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise RefusedError("invalid", f"{name} of this link is damaged or missing.", 422)
    return value


def plain_text(name: str, value: object, longest: int) -> str:
    """What somebody typed: kept as it is, shown as text only, without control characters."""
    if not isinstance(value, str) or len(value) > longest:
        raise RefusedError("invalid", f"{name} may have {longest} characters.", 422)
    if any(unicodedata.category(mark) == "Cc" and mark not in "\r\n\t" for mark in value):
        raise RefusedError("invalid", f"{name} holds characters that are no text.", 422)
    return value.strip()


def _of_kind(name: str, value: object, kind: type) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 1e15 else math.inf
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise RefusedError("invalid", f"{name} is of the wrong kind.", 422)
    if isinstance(value, str) and any(0xD800 <= ord(mark) <= 0xDFFF for mark in value):
        raise RefusedError("invalid", f"{name} is not text.", 422)  # lone surrogates
    return value
