"""Raters, their answers about themselves and how they came: one row each, no method, no score."""

from sqlite3 import Connection

from study import sessions
from study.definition import Definition
from study.store import Row, rows

COLUMNS = ("rater", "source", "language", "playback", "state", "skipped")
"""`playback` is ok, cannot (went on without seeing the check) or empty; `state` is answered,
incomplete (came to the end with too many pages skipped) or unfinished."""


def columns(definition: Definition) -> dict[str, str]:
    """Return the columns of questions: question id -> name in the table, which is the id.

    An id that is one of `COLUMNS` too gets "answer_" before it.
    """
    ids = [question.id for question in definition.demographics]
    return {each: f"answer_{each}" if each in COLUMNS else each for each in ids}


def people(definition: Definition, database: Connection) -> list[Row]:
    """Return every rater in the order of their coming.

    Returns:
        Rows with `COLUMNS` and one column for each question about the rater: an option's id, or
        what was typed; empty when nothing was answered.
    """
    passed = sessions.skipped(database)
    names = columns(definition)
    answers: dict[str, dict[str, str]] = {}
    for row in rows(database, "select session, question, answer from demographics"):
        answers.setdefault(row["session"], {})[row["question"]] = row["answer"]
    found = []
    for row in rows(
        database,
        "select id, source, language, playback, done_at from sessions order by entered_at, id",
    ):
        ended = "answered" if passed[row["id"]].enough else "incomplete"
        given = answers.get(row["id"], {})
        found.append(
            {
                "rater": row["id"],
                "source": row["source"],
                "language": row["language"],
                "playback": row["playback"] or "",
                "state": "unfinished" if row["done_at"] is None else ended,
                "skipped": passed[row["id"]].pages,
                **{name: given.get(question, "") for question, name in names.items()},
            }
        )
    return found
