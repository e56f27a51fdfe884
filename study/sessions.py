"""A rater's way through the study: entering, consent, questions, playback check, the end."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Literal

from study import identities
from study.design import Page, least_filled
from study.errors import StudyError
from study.identities import Keyring
from study.store import Row, Store, one, rows, run

Source = Literal["invite", "open", "prolific"]

ACTIVE_SECONDS = 45 * 60.0
"""A session that was silent for this long is abandoned: its place in the design is free again."""


MOST_SKIPPED = 5
"""Design choice: one page in so many may be passed without scores, as a video may fail."""


class RefusedError(StudyError):
    """A rater's request that is not accepted; nothing of it was stored.

    Attributes:
        code: short name of the reason, by which the page chooses its wording.
        status: HTTP status that says the same.
    """

    def __init__(self, code: str, sentence: str, status: int = 409) -> None:
        super().__init__(sentence)
        self.code = code
        self.status = status


@dataclass(frozen=True)
class Places:
    """The design as the store needs it.

    Attributes:
        sequences: how many different sequences there are.
        pages: (sequence, seed of the rater) -> the rater's pages in order.
        files: page -> slot ("left", "right", "video1", "image1", ...) -> name in media/.
    """

    sequences: int
    pages: Callable[[int, int], Sequence[Page]]
    files: Callable[[Page], Mapping[str, str]]


@dataclass(frozen=True)
class Entry:
    """How a person enters: the kind of link, and the names that identify the person.

    Attributes:
        source: which kind of link.
        names: kind of identity -> name; empty for the open link.
    """

    source: Source
    names: Mapping[str, str]


@dataclass(frozen=True)
class Skipped:
    """How many pages a rater passed without all scores, because a video did not play.

    Attributes:
        pages: pages passed this way, training pages not counted.
        most: the largest number with which the session counts as answered.
    """

    pages: int
    most: int

    @property
    def enough(self) -> bool:
        """Whether the session counts as answered when it ends."""
        return self.pages <= self.most


@dataclass(frozen=True)
class Consent:
    """What a rater agreed to.

    Attributes:
        text_hash: SHA-256 of the words, in hex.
        language: code of the language they were read in.
    """

    text_hash: str
    language: str


def enter(
    store: Store,
    keys: Keyring,
    places: Places,
    entry: Entry,
    consent: Consent,
    most_raters: int = 0,
) -> str:
    """The session of a person who agreed: the one they have, or a new one.

    Nothing about a person is stored before they agree, so entering and agreeing are one act. A
    repeat with the same names finds the same session.

    The place is chosen (`design.least_filled`) and taken in one transaction; a session not done and
    not heard of for `ACTIVE_SECONDS` does not count.

    Args:
        store: the study's store.
        keys: the study's key.
        places: the design.
        entry: how the person entered.
        consent: what they agreed to.
        most_raters: limit on raters (`Recruiting.most_raters`); 0 for none.

    Returns:
        The session's id.

    Raises:
        RefusedError: the invitation is unknown, or the study has all its raters.
    """
    with store.transaction() as database:
        now = store.clock.now()
        hashes = {kind: keys.hash(kind, name) for kind, name in entry.names.items()}
        for kind, digest in hashes.items():
            known = identities.holder(database, kind, digest)
            if known is not None and known["session"] is not None:
                run(
                    database,
                    "update sessions set last_seen = ? where id = ?",
                    *(now, known["session"]),
                )
                return str(known["session"])
            if kind == "invite" and known is None:
                raise RefusedError(
                    "unknown_invite",
                    "This invitation is not known; check that the whole link was copied.",
                    403,
                )
        completed, active = _taken(database, places.sequences, now)
        if most_raters and sum(completed) + sum(active) >= most_raters:
            raise RefusedError(
                "full", "This study has all the raters it needs. Thank you for your interest.", 403
            )
        session = secrets.token_hex(8)
        sequence = least_filled(completed, active)
        seed = secrets.randbits(32)
        run(
            database,
            "insert into sessions (id, sequence, seed, source, language, consent_hash, entered_at,"
            " last_seen) values (?, ?, ?, ?, ?, ?, ?, ?)",
            *(session, sequence, seed, entry.source, consent.language, consent.text_hash),
            *(now, now),
        )
        for kind, digest in hashes.items():
            identities.bind(database, kind, digest, session, now)
        _lay_out(database, session, places, places.pages(sequence, seed))
        return session


def session_row(database: Connection, session: str) -> Row:
    """The session's row.

    Raises:
        RefusedError: it was withdrawn.
    """
    found = one(database, "select * from sessions where id = ?", session)
    if found is None:
        raise RefusedError("withdrawn", "This session was withdrawn and its answers deleted.", 410)
    return found


def stage(row: Row, asks: bool) -> str:
    """Where a rater stands: "questions", "playback", "items" or "done".

    Args:
        row: of the table sessions.
        asks: whether the study has questions about the rater.
    """
    if row["done_at"] is not None:
        return "done"
    if asks and row["questions_at"] is None:
        return "questions"
    return "items" if row["playback"] is not None else "playback"


def answer_questions(store: Store, session: str, answers: Mapping[str, str]) -> None:
    """Store the rater's answers about themselves, once. A repeat changes nothing."""
    with store.transaction() as database:
        row = session_row(database, session)
        if row["questions_at"] is not None:
            return
        for question, answer in answers.items():
            run(database, "insert into demographics values (?, ?, ?)", session, question, answer)
        run(
            database,
            "update sessions set questions_at = ?, last_seen = ? where id = ?",
            *(store.clock.now(), store.clock.now(), session),
        )


def check_playback(store: Store, session: str, outcome: str) -> None:
    """Store how the playback check went: "ok", or "cannot" when the rater went on regardless."""
    with store.transaction() as database:
        row = session_row(database, session)
        if row["playback"] is None:
            run(
                database,
                "update sessions set playback = ?, last_seen = ? where id = ?",
                *(outcome, store.clock.now(), session),
            )


def finish(store: Store, session: str) -> int:
    """End a session after counting its rows: every page has every answer, or was skipped.

    `skipped` tells whether it counts as answered.

    Returns:
        Number of pages counted. A repeat changes nothing.

    Raises:
        RefusedError: pages are missing.
    """
    with store.transaction() as database:
        row = session_row(database, session)
        pages = rows(
            database,
            "select position, completed_at from assignments where session = ? order by position",
            session,
        )
        missing = [page["position"] + 1 for page in pages if page["completed_at"] is None]
        if missing or not pages:
            listed = ", ".join(str(number) for number in missing[:5])
            raise RefusedError(
                "incomplete", f"{len(missing)} of {len(pages)} pages are not answered: {listed}."
            )
        if row["done_at"] is None:
            now = store.clock.now()
            run(
                database,
                "update sessions set done_at = ?, last_seen = ? where id = ?",
                *(now, now, session),
            )
        return len(pages)


def skipped(database: Connection, session: str = "") -> dict[str, Skipped]:
    """How many pages each rater passed without all scores; session -> count.

    Training pages do not count. Attention pages do, or the count would tell raters which they are.

    Args:
        database: of the study.
        session: of one rater; empty for all.
    """
    return {
        row["id"]: Skipped(row["skipped"], most_skipped(row["pages"]))
        for row in rows(
            database,
            "select sessions.id, count(assignments.id) as pages, count(cannot_play) as skipped"
            " from sessions left join assignments on session = sessions.id and kind != 'training'"
            " where ? in ('', sessions.id) group by sessions.id",
            session,
        )
    }


def most_skipped(pages: int) -> int:
    """How many of a rater's pages may be passed without scores; never all of them."""
    return min(max(1, pages // MOST_SKIPPED), max(pages - 1, 0))


def _taken(database: Connection, sequences: int, now: float) -> tuple[list[int], list[int]]:
    """Raters who answered each sequence, and raters who are at it.

    A rater who passed too many pages without scores takes no place, nor does one who left.
    """
    completed, active = [0] * sequences, [0] * sequences
    passed = skipped(database)
    for row in rows(database, "select id, sequence, done_at, last_seen from sessions"):
        if row["done_at"] is not None:
            completed[row["sequence"]] += passed[row["id"]].enough
        else:
            active[row["sequence"]] += row["last_seen"] > now - ACTIVE_SECONDS
    return completed, active


def _lay_out(database: Connection, session: str, places: Places, pages: Sequence[Page]) -> None:
    """Give the rater their pages, every file behind an address of its own."""
    for position, page in enumerate(pages):
        assignment = database.execute(
            "insert into assignments (session, position, kind, item, extra, repeated)"
            " values (?, ?, ?, ?, ?, ?)",
            (session, position, page.kind, page.item, page.extra, int(page.repeat)),
        ).lastrowid
        for slot, file in places.files(page).items():
            run(
                database,
                "insert into media (token, assignment, slot, file) values (?, ?, ?, ?)",
                *(secrets.token_urlsafe(18), assignment, slot, file),
            )
