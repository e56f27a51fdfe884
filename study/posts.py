"""Checks of what a rater's browser posts: the size of the body, then each field."""

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
    """Read a JSON object with exactly the named fields, each of its type.

    Args:
        request: a POST request.
        kinds: name -> type; float accepts integers too, and a bool is never a number.

    Raises:
        RefusedError: the body has another content type, is too long or is no JSON object, or a
            field is missing, unknown or of another type.
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
        raise RefusedError("invalid", "The body is not JSON in UTF-8.", 422) from error
    if not isinstance(data, dict) or set(data) != set(kinds):
        raise RefusedError("invalid", f"Send exactly these fields: {', '.join(kinds)}.", 422)
    return {name: _of_kind(name, data[name], kind) for name, kind in kinds.items()}


def bounded(name: str, value: int, low: int, high: int) -> int:
    """Check an integer: low <= value <= high."""
    if not low <= value <= high:
        raise RefusedError("invalid", f"{name} is {value}; give {low} to {high}.", 422)
    return value


def seconds(value: float) -> float:
    """Check a duration, seconds: from 0 to one day."""
    if not (math.isfinite(value) and 0 <= value <= 86_400):
        raise RefusedError("invalid", f"seconds is {value}; give 0 to 86400.", 422)
    return value


def client_key(value: str) -> str:
    """Check the key that a browser made for one act, such as a click."""
    if not _KEY.fullmatch(value):
        raise RefusedError("invalid", "key must be 16 to 64 letters, digits, - or _.", 422)
    return value


def link_name(name: str, value: object) -> str:
    """Check an identifier from a link."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise RefusedError("invalid", f"{name} of this link is damaged or missing.", 422)
    return value


def plain_text(name: str, value: object, longest: int) -> str:
    """Check a text that a rater typed: no control characters but tabs and line breaks.

    It is stored as typed, and everywhere shown as text, never as markup.

    Args:
        name: of the field, for the message.
        value: the text.
        longest: number of characters it may have.
    """
    if not isinstance(value, str) or len(value) > longest:
        raise RefusedError("invalid", f"{name} must be text of at most {longest} characters.", 422)
    if any(unicodedata.category(mark) == "Cc" and mark not in "\r\n\t" for mark in value):
        raise RefusedError("invalid", f"{name} contains control characters.", 422)
    return value.strip()


def _of_kind(name: str, value: object, kind: type) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 1e15 else math.inf
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise RefusedError("invalid", f"{name} must be of type {kind.__name__}.", 422)
    if isinstance(value, str) and any(0xD800 <= ord(mark) <= 0xDFFF for mark in value):
        raise RefusedError("invalid", f"{name} is not valid Unicode.", 422)  # lone surrogates
    return value
