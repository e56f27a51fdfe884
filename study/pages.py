"""What a rater sees, as plain values: the texts of the study and one page of it.

Nothing here reveals the design: not whether a page is an attention check or a repeat.
"""

import dataclasses
from sqlite3 import Connection
from typing import Any

from study import answers
from study.answers import Rules
from study.definition import Definition, Dimension, worded
from study.sessions import RefusedError, session_row, stage
from study.store import one, rows


def study_texts(definition: Definition, language: str) -> dict[str, Any]:
    """The texts and settings that are the same for all raters, in one language."""

    def text_in(text: dict[str, str]) -> str:
        return worded(text, language)

    return {
        "language": language,
        "languages": list(definition.languages),
        "title": text_in(definition.title),
        "kind": definition.kind,
        "instructions": text_in(definition.instructions),
        "consent": text_in(definition.consent),
        "thanks": text_in(definition.thanks),
        "tie": definition.tie_allowed,
        "size": [definition.encoding.width, definition.encoding.height],
        "dimensions": [_dimension(each, language) for each in definition.dimensions],
        "questions": [
            {
                "id": question.id,
                "title": text_in(question.title),
                "kind": question.kind,
                "required": question.required,
                "longest": question.longest,
                "options": [
                    {"id": option.id, "title": text_in(option.title)} for option in question.options
                ],
            }
            for question in definition.demographics
        ],
    }


def page(
    database: Connection,
    definition: Definition,
    rules: Rules,
    session: str,
    position: int,
    language: str,
) -> dict[str, Any]:
    """One page of a rater, with the scores given so far.

    Returns:
        position, pages; training (bool), note and hints for practice; label, text; left, right,
        videos and images, as addresses relative to the study; given scores; watch (seconds);
        seen and skipped (bool); next: addresses of the next page's videos, to be fetched ahead.

    Raises:
        RefusedError: the page is not open to this rater.
    """
    row = session_row(database, session)
    if stage(row, asks=bool(definition.demographics)) != "items":
        raise RefusedError("not_this_page", "There is no page to show at this stage.")
    found = one(
        database,
        "select * from assignments where session = ? and position = ?",
        *(session, position),
    )
    if found is None or position > answers.current_position(database, session):
        raise RefusedError("not_this_page", f"Page {position + 1} is not open now.")
    media = _media(database, found["id"])
    following = rows(
        database,
        "select token from media join assignments on assignments.id = assignment"
        " where session = ? and position = ? and slot in ('left', 'right') order by slot",
        *(session, position + 1),
    )
    total = rows(database, "select count(*) as n from assignments where session = ?", session)
    item = next((each for each in definition.items if each.id == found["item"]), None)
    practice = {extra.id: extra for extra in definition.training}.get(found["extra"])
    return {
        "position": position,
        "pages": total[0]["n"],
        "training": found["kind"] == "training",
        "note": worded(practice.note, language) if practice else "",
        "hints": [dataclasses.asdict(hint) for hint in practice.expect] if practice else [],
        "label": worded(item.label, language) if item else "",
        "text": worded(item.text, language) if item else "",
        "left": media["left"],
        "right": media.get("right", ""),
        "videos": [media[slot] for slot in sorted(media) if slot.startswith("video")],
        "images": [media[slot] for slot in sorted(media) if slot.startswith("image")],
        "given": answers.current_scores(database, found["id"]),
        "watch": rules.watch_seconds,
        "seen": found["seen_at"] is not None,
        "skipped": found["cannot_play"] is not None,
        "next": [f"media/{each['token']}" for each in following],
    }


def _media(database: Connection, assignment: int) -> dict[str, str]:
    return {
        row["slot"]: f"media/{row['token']}"
        for row in rows(database, "select slot, token from media where assignment = ?", assignment)
    }


def _dimension(dimension: Dimension, language: str) -> dict[str, Any]:
    return {
        "id": dimension.id,
        "title": worded(dimension.title, language),
        "question": worded(dimension.question, language),
        "low": worded(dimension.low, language),
        "high": worded(dimension.high, language),
        "labels": [worded(label, language) for label in dimension.labels],
    }
