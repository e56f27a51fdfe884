"""Words that no rater's browser may see, and a search for them in whatever it received."""

import base64
import re
import zlib
from collections.abc import Iterable
from pathlib import PurePath
from urllib.parse import unquote_to_bytes

from study.blinding import BlindingMap

_NAME = re.compile(r"[^\W\d_]{4}")  # words without four letters in a row occur in any number
_GAP = "[-_. ]"
_GAPS = re.compile(f"{_GAP}+")
_PARTS = re.compile(rf"{_GAP}+|(?<=[a-z])(?=[A-Z0-9])|(?<=[0-9])(?=[A-Za-z])")
_READABLE = re.compile(rb"[\x20-\x7e]{6,}")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def secret_words(blinding: BlindingMap) -> frozenset[str]:
    """Names of methods, files, folders, items and seeds that no rater's browser may see."""
    words = {*blinding.methods, *blinding.items.values(), blinding.salt}
    for origin in blinding.clips.values():
        words |= {origin.file, PurePath(origin.file).stem, *PurePath(origin.file).parent.parts}
    return frozenset(word for word in words if len(word) > 1 and word not in ("..", "/"))


def leaks(seen: bytes, words: Iterable[str]) -> tuple[str, ...]:
    """Words that can be found in something a browser received.

    Looked at are the bytes and what they hold unpacked (gzip, deflate), in UTF-16, percent-encoding
    and base64; large and small letters, and - _ . or spaces between parts, make no difference.
    Words without four letters in a row (seeds, numbers) count where they stand alone in a text. In
    binary data only names are looked for, in runs of at least 6 readable characters.

    Args:
        seen: a page, script, header, cookie, file name, picture or video.
        words: of `secret_words`.
    """
    readings = [_plainly(each) for each in _readings(seen)]
    found = []
    for word in sorted(set(words)):
        short = not _NAME.search(word)
        parts = (_GAPS if short else _PARTS).split(word)
        pattern = (_GAP if short else f"{_GAP}?").join(re.escape(each.lower()) for each in parts)
        if short:
            pattern = rf"(?<![a-z0-9]){pattern}(?![a-z0-9])"
        if any(re.search(pattern, reading) for reading, whole in readings if whole or not short):
            found.append(word)
    return tuple(found)


def _readings(seen: bytes) -> list[bytes]:
    """The bytes and everything that they may hold in another form."""
    found = [seen]
    for wrapped in (16 + zlib.MAX_WBITS, zlib.MAX_WBITS):
        try:
            found.append(zlib.decompressobj(wrapped).decompress(seen))
        except zlib.error:
            continue
    for each in list(found):
        found.append(unquote_to_bytes(each))
        found.append(each.replace(b"\x00", b""))
        for run in re.findall(rb"[A-Za-z0-9+/_-]{8,}={0,2}", each):
            usual = run.translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
            usual = usual[: len(usual) - (len(usual) % 4 == 1)]
            found.append(base64.b64decode(usual + b"=" * (-len(usual) % 4)))
    return found


def _plainly(content: bytes) -> tuple[str, bool]:
    """What can be read in it, in small letters, and whether it is text as a whole."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = "\x00"
    if _CONTROL.search(text):
        return b"\n".join(_READABLE.findall(content)).decode("ascii").lower(), False
    return text.lower(), True
