"""Completion codes: what each rater was shown at the end, for checking what they hand in."""

import csv
import io
import re
from dataclasses import dataclass
from sqlite3 import Connection

from study import sessions
from study.definition import Definition
from study.folder import Folder, read_definition
from study.identities import Keyring, keyring
from study.store import Store, rows


@dataclass(frozen=True)
class Code:
    """A rater who came to the end.

    Attributes:
        rater: id, as on the board.
        source: kind of link that the rater came by.
        code: what the rater was shown; empty for one who skipped too many pages.
        skipped: pages passed without all scores.
    """

    rater: str
    source: str
    code: str
    skipped: int


def code(definition: Definition, keys: Keyring, session: str) -> str:
    """Return a rater's code: the study's own, or without one a code that is the rater's alone."""
    return definition.recruiting.completion_code or keys.completion(session)


def given(definition: Definition, keys: Keyring, database: Connection) -> list[Code]:
    """Return the code of every rater who came to the end, in the order of their ending.

    Withdrawn raters are not among them.
    """
    passed = sessions.skipped(database)
    return [
        Code(
            row["id"],
            row["source"],
            code(definition, keys, row["id"]) if passed[row["id"]].enough else "",
            passed[row["id"]].pages,
        )
        for row in rows(
            database,
            "select id, source from sessions where done_at is not null order by done_at, id",
        )
    ]


def read(folder: Folder) -> list[Code]:
    """Return the codes of a study's folder (see `given`).

    Raises:
        StudyError: the study does not exist or cannot be read.
    """
    definition = read_definition(folder)
    keys = keyring(folder.identity_key)
    with Store(folder.database) as store, store.view() as database:
        return given(definition, keys, database)


def holders(codes: list[Code], wanted: str) -> list[Code]:
    """Return the raters who were shown a code; case, spaces and dashes do not matter."""
    return [each for each in codes if each.code and _plain(each.code) == _plain(wanted)]


def verdict(codes: list[Code], wanted: str) -> str:
    """Return what a code proves, as a sentence."""
    found = holders(codes, wanted)
    if not found:
        return f"{wanted}: not valid; no rater who answered this study was shown it."
    if len(found) > 1:
        return (
            f"{wanted}: valid, but shared: {len(found)} raters were shown it, so it does not tell "
            "who hands it in."
        )
    return f"{wanted}: valid; rater {found[0].rater}, who came by {found[0].source}."


def as_csv(codes: list[Code]) -> str:
    """Return the list of codes as CSV."""
    sheet = io.StringIO()
    writer = csv.writer(sheet, lineterminator="\n")
    writer.writerow(["rater", "source", "code", "skipped"])
    writer.writerows([each.rater, each.source, each.code, each.skipped] for each in codes)
    return sheet.getvalue()


def _plain(text: str) -> str:
    return re.sub(r"[\s-]", "", text).upper()
