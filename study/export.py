"""The answers of an unblinded study as the tables that the analyses read."""

from typing import Any

from study import audit
from study.answers import final_answers
from study.blinding import BlindingMap, read_map
from study.definition import Definition, Expectation
from study.folder import Folder, read_definition
from study.people import people
from study.store import Row, Store

ATTENTION = "attention check"
"""Stands for the method in rows of gold pages."""

CHOICES = {1: "left", 2: "tie", 3: "right"}


def ratings(folder: Folder, *, unfinished: bool = False) -> list[dict[str, Any]]:
    """One row for each score of a study of pairs or single clips.

    Args:
        folder: of an unblinded study.
        unfinished: also of raters who have not come to the end.

    Returns:
        Rows with the columns of `study.analysis.table.RATING_COLUMNS`. On gold pages only the
        scores that something was expected of are kept; `gold` is the middle of what was expected.

    Raises:
        StudyError: the study is not unblinded, or holds choices.
    """
    definition, blinding = read_definition(folder), read_map(folder)
    expected = _expected(definition)
    table = []
    for row in _answers(folder, unfinished):
        gold = expected.get((row["extra"], row["side"], row["dimension"])) if row["gold"] else None
        if row["gold"] and gold is None:
            continue
        clip = row["clip"].removesuffix(".mp4")
        table.append(
            {
                "rater": row["rater"],
                "item": row["item"],
                "clip": clip,
                "method": ATTENTION if gold else blinding.clips[clip].method,
                "dimension": row["dimension"],
                "score": row["score"],
                "side": "single" if definition.kind == "single" else row["side"],
                "position": row["position"],
                "seconds": row["seconds"],
                "repeat": row["repeat"],
                "gold": (gold.low + gold.high) / 2 if gold else None,
            }
        )
    return table


def choices(folder: Folder, *, unfinished: bool = False) -> list[dict[str, Any]]:
    """One row for each choice of a study of preferences, without gold and repeated pages.

    Args:
        folder: of an unblinded study.
        unfinished: also of raters who have not come to the end.

    Returns:
        Rows with the columns of `study.analysis.table.CHOICE_COLUMNS`.

    Raises:
        StudyError: the study is not unblinded.
    """
    blinding = read_map(folder)
    return [
        {
            "rater": row["rater"],
            "item": row["item"],
            "left": _method(blinding, row["clip"]),
            "right": _method(blinding, row["other_clip"]),
            "dimension": row["dimension"],
            "choice": CHOICES[row["score"]],
            "position": row["position"],
        }
        for row in _answers(folder, unfinished)
        if not row["gold"] and not row["repeat"]
    ]


def raters(folder: Folder, *, unfinished: bool = False) -> list[Row]:
    """Raters' answers about themselves (see `people`), in any phase.

    Args:
        folder: of the study.
        unfinished: also raters who have not come to the end.
    """
    definition = read_definition(folder)
    with Store(folder.database) as store, store.view() as database:
        found = people(definition, database)
    return [row for row in found if unfinished or row["state"] != "unfinished"]


def cannot_hide(folder: Folder) -> str:
    """What raters could see of the methods although all clips were encoded alike, in paragraphs.

    Raises:
        StudyError: the study is not unblinded.
    """
    encoding, blinding = read_definition(folder).encoding, read_map(folder)
    paragraphs = [
        f"Every clip was shown with {encoding.width} x {encoding.height} pixels and with the frame "
        "rate and number of frames of all clips of its item, under a random name, in files that "
        "are equal to the byte outside their coded pictures. The picture itself stays: its "
        "sharpness, noise and framing, and the number of bits they take."
    ]
    for method in blinding.methods:
        files = [origin for origin in blinding.clips.values() if origin.method == method]
        rates = sorted(
            {
                round(origin.fps, 2)
                for origin in files
                if abs(origin.fps - origin.shown_fps) > 0.02 * origin.shown_fps
            }
        )
        sizes = sorted({(origin.width, origin.height) for origin in files})
        odd = []
        if rates:
            listed = ", ".join(f"{rate:g}" for rate in rates)
            odd.append(
                f"had {listed} frames per second where others had another rate, so that its "
                "movement may judder"
            )
        if any(size != (encoding.width, encoding.height) for size in sizes):
            listed = ", ".join(f"{width} x {height}" for width, height in sizes)
            odd.append(f"was made with {listed} pixels, so that it may look softer or have bars")
        if odd:
            paragraphs.append(f"{method} {' and '.join(odd)}.")
    return "\n\n".join(paragraphs)


def is_simulated(folder: Folder) -> bool:
    """Whether scripted raters have filled the study; a report must say so."""
    with Store(folder.database) as store:
        return any(act["act"] == "simulate" for act in audit.acts(store))


def _answers(folder: Folder, unfinished: bool) -> list[Row]:
    with Store(folder.database) as store, store.view() as database:
        return [row for row in final_answers(database) if unfinished or row["finished"]]


def _method(blinding: BlindingMap, file: str) -> str:
    return blinding.clips[file.removesuffix(".mp4")].method


def _expected(definition: Definition) -> dict[tuple[str, str, str], Expectation]:
    return {
        (gold.id, want.side, want.dimension): want
        for gold in definition.gold
        for want in gold.expect
    }
