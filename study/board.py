"""The live board of an open study: its progress, never any score."""

import json
from sqlite3 import Connection
from typing import Any

from study import people, sessions
from study.clock import Clock
from study.definition import Definition
from study.sessions import ACTIVE_SECONDS, Skipped
from study.store import rows, value

STALL_SECONDS = 300.0
"""A rater in the middle of the study who is silent for so long is shown as stalled."""


STATES = ("active", "stalled", "abandoned", "incomplete", "done")
"""Of raters; an incomplete one came to the end with too many pages skipped (`sessions`)."""


def board(definition: Definition, clock: Clock, database: Connection) -> dict[str, Any]:
    """Return the progress of a study.

    It reads no method (the database knows none) and gives no score, neither per clip nor over all.

    Returns:
        invited, entered, active, stalled, abandoned, incomplete, done, withdrawn (numbers of
        raters);
        answers (number of current scores), minutes_per_page (median, None before the first),
        sequences: for each, done and active; attention: passed, failed (answered gold pages);
        missing: pages that could not be played, cells without a score; raters: one row each with
        id, source, stage of progress, pages, position, minutes_per_page, silent_seconds, passed
        and failed attention checks; people: their answers about themselves (`people`).
    """
    now = clock.now()
    passed, failed = _attention(definition, database)
    skipped = sessions.skipped(database)
    raters = [
        _rater(row, skipped[row["id"]], now, passed, failed)
        for row in rows(
            database,
            "select sessions.id, sequence, source, entered_at, last_seen, done_at,"
            " count(assignments.id) as pages, count(completed_at) as position from sessions"
            " left join assignments on session = sessions.id"
            " group by sessions.id order by entered_at",
        )
    ]
    times = _page_minutes(database)
    for rater in raters:
        rater["minutes_per_page"] = _median(times.get(rater["id"], []))
    states = [rater["state"] for rater in raters]
    sequences: dict[int, dict[str, int]] = {}
    for rater in raters:
        counts = sequences.setdefault(rater["sequence"], {"done": 0, "active": 0})
        if rater["state"] in ("active", "stalled"):
            counts["active"] += 1
        elif rater["state"] == "done":
            counts["done"] += 1
    return {
        "invited": value(database, "select count(*) from identities where kind = 'invite'"),
        "entered": len(raters),
        **{state: states.count(state) for state in STATES},
        "withdrawn": value(database, "select count(*) from receipts"),
        "answers": value(
            database,
            "select count(*) from (select distinct assignment, side, dimension from answers)",
        ),
        "minutes_per_page": _median([minutes for each in times.values() for minutes in each]),
        "attention": {"passed": sum(passed.values()), "failed": sum(failed.values())},
        "missing": _missing(definition, database),
        "sequences": sequences,
        "raters": raters,
        "people": people.people(definition, database),
    }


def _rater(
    row: dict[str, Any],
    skipped: Skipped,
    now: float,
    passed: dict[str, int],
    failed: dict[str, int],
) -> dict[str, Any]:
    silent = now - row["last_seen"]
    if row["done_at"] is not None:
        state = "done" if skipped.enough else "incomplete"
    elif silent > ACTIVE_SECONDS:
        state = "abandoned"
    else:
        state = "stalled" if silent > STALL_SECONDS else "active"
    return {
        "id": row["id"],
        "source": row["source"],
        "sequence": row["sequence"],
        "state": state,
        "position": row["position"],
        "pages": row["pages"],
        "skipped": skipped.pages,
        "silent_seconds": round(silent),
        "passed": passed.get(row["id"], 0),
        "failed": failed.get(row["id"], 0),
    }


def _attention(
    definition: Definition, database: Connection
) -> tuple[dict[str, int], dict[str, int]]:
    """Attention checks passed and failed by each rater: every expected range met, or not."""
    passed: dict[str, int] = {}
    failed: dict[str, int] = {}
    for extra in definition.gold:
        given: dict[str, dict[tuple[str, str], int]] = {}
        for row in rows(
            database,
            "select session, side, dimension, score, max(revision) from answers"
            " join assignments on assignments.id = assignment"
            " where kind = 'gold' and extra = ? and completed_at is not null"
            " group by assignment, side, dimension",
            extra.id,
        ):
            given.setdefault(row["session"], {})[row["side"], row["dimension"]] = row["score"]
        for session, scores in given.items():
            met = all(
                want.low <= scores.get((want.side, want.dimension), 0) <= want.high
                for want in extra.expect
            )
            count = passed if met else failed
            count[session] = count.get(session, 0) + 1
    return passed, failed


def _missing(definition: Definition, database: Connection) -> dict[str, Any]:
    """Pages passed as unplayable, by reason; clip x dimension cells given out, scored by none."""
    reasons = rows(
        database,
        "select cannot_play as reason, count(*) as pages from assignments"
        " where cannot_play is not null group by cannot_play order by pages desc",
    )
    cells = value(
        database,
        "select count(*) from (select distinct file, dimension.value from media"
        " join assignments on assignments.id = assignment"
        " join json_each(?) as dimension"
        " where kind = 'rating' and slot in (select value from json_each(?))"
        " except select file, dimension from answers"
        " join assignments on assignments.id = answers.assignment"
        " join media on media.assignment = assignments.id and slot = side"
        " where kind = 'rating')",
        json.dumps([dimension.id for dimension in definition.dimensions]),
        json.dumps(["left", "right"] if definition.kind == "pairs" else ["left"]),
    )
    return {"unplayable": reasons, "cells": cells}


def _page_minutes(database: Connection) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in rows(
        database,
        "select session, max(seconds) / 60 as minutes from answers"
        " join assignments on assignments.id = assignment"
        " where kind != 'training' and completed_at is not null group by assignment",
    ):
        found.setdefault(row["session"], []).append(row["minutes"])
    return found


def _median(numbers: list[float]) -> float | None:
    if not numbers:
        return None
    ordered = sorted(numbers)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return round(ordered[middle], 3)
    return round((ordered[middle - 1] + ordered[middle]) / 2, 3)
