"""A rater's acts on a page: open it, watch it, score it, pass it; each is one transaction."""

from collections.abc import Callable
from dataclasses import dataclass
from sqlite3 import Connection

from study.sessions import RefusedError, session_row
from study.store import Row, Store, one, rows, run, value

BACK = 2
"""How many pages before the first incomplete one stay open. The page in view may already be
complete, so the page before it is two before the first incomplete one."""


@dataclass(frozen=True)
class Rules:
    """What counts as an answer in this study.

    Attributes:
        sides: sides that are scored: left and right, or left alone.
        dimensions: ids of the dimensions that are scored.
        scores: accepted scores.
        watch_seconds: how long a page is shown before it can be scored, seconds.
    """

    sides: tuple[str, ...]
    dimensions: tuple[str, ...]
    scores: tuple[int, ...]
    watch_seconds: float

    @property
    def cells(self) -> int:
        """Number of answers that make a page complete."""
        return len(self.sides) * len(self.dimensions)


@dataclass(frozen=True)
class Answer:
    """One score as the rater's browser sends it.

    Attributes:
        position: index of the page, from 0.
        side: side of the clip that is scored.
        dimension: id of the dimension.
        score: one of the accepted scores.
        seconds: how long the page had been in view when the score was given.
        key: made by the browser for this click; a second post with it changes nothing.
    """

    position: int
    side: str
    dimension: str
    score: int
    seconds: float
    key: str


def current_position(database: Connection, session: str) -> int:
    """Index of the first incomplete page, from 0; the number of pages when all are complete."""
    return int(
        value(
            database,
            "select coalesce(min(position) filter (where completed_at is null), count(*))"
            " from assignments where session = ?",
            session,
        )
    )


def open_page(store: Store, session: str, position: int) -> float:
    """Record when the videos of a page were first shown.

    Returns:
        Seconds since then.

    Raises:
        RefusedError: the page is not open to the rater.
    """
    with store.transaction() as database:
        page = _page(database, session, position)
        now = store.clock.now()
        run(database, "update sessions set last_seen = ? where id = ?", now, session)
        if page["shown_at"] is None:
            run(database, "update assignments set shown_at = ? where id = ?", now, page["id"])
            return 0.0
        return float(now - page["shown_at"])


def confirm_watched(
    store: Store, rules: Rules, session: str, position: int, was_requested: Callable[[str], bool]
) -> None:
    """Accept that the videos of a page were watched to the end, if the server's clock agrees.

    Args:
        store: the study's store.
        rules: how long a page must be shown.
        session: id of the session.
        position: index of the page, from 0.
        was_requested: token of a video's address -> whether the rater's browser requested it.

    Raises:
        RefusedError: a video was never requested, or the page was not shown for long enough.
    """
    with store.transaction() as database:
        page = _page(database, session, position)
        if page["seen_at"] is not None:
            return
        now = store.clock.now()
        videos = rows(
            database,
            "select token from media where assignment = ? and slot in ('left', 'right')",
            page["id"],
        )
        missing = sum(not was_requested(video["token"]) for video in videos)
        if missing:
            raise RefusedError("not_seen", f"{missing} videos of this page were not loaded yet.")
        if page["shown_at"] is None or now - page["shown_at"] < rules.watch_seconds:
            raise RefusedError(
                "too_soon",
                f"The videos last {rules.watch_seconds:.1f} s; scores open after that.",
                425,
            )
        run(database, "update assignments set seen_at = ? where id = ?", now, page["id"])
        run(database, "update sessions set last_seen = ? where id = ?", now, session)


def save(store: Store, rules: Rules, session: str, answer: Answer) -> Row:
    """Store one score; it is on the disk when this returns.

    Returns:
        revision: 1 for the first score of this cell, one more for each change;
        complete: whether the page has every score.

    Raises:
        RefusedError: the answer breaks the rules, its page is not open to this rater or was not
            watched yet, or its key was used for another answer.
    """
    _check(rules, answer)
    with store.transaction() as database:
        known = one(
            database,
            "select answers.*, session, position, completed_at from answers"
            " join assignments on assignments.id = assignment where client_key = ?",
            answer.key,
        )
        if known is not None:
            return _repeated(known, session, answer)
        page = _page(database, session, answer.position)
        if page["seen_at"] is None:
            raise RefusedError("not_seen", "Scores open when the videos were watched to the end.")
        now = store.clock.now()
        cell = (page["id"], answer.side, answer.dimension)
        revision = value(
            database,
            "select coalesce(max(revision), 0) + 1 from answers"
            " where assignment = ? and side = ? and dimension = ?",
            *cell,
        )
        run(
            database,
            "insert into answers (assignment, side, dimension, revision, score, seconds,"
            " received_at, client_key) values (?, ?, ?, ?, ?, ?, ?, ?)",
            *(*cell, revision, answer.score),
            *(min(answer.seconds, now - page["shown_at"]), now, answer.key),
        )
        run(database, "update sessions set last_seen = ? where id = ?", now, session)
        complete = page["completed_at"] is not None and page["cannot_play"] is None
        if not complete and _filled(database, page["id"]) == rules.cells:
            complete = True
            run(
                database,
                "update assignments set completed_at = coalesce(completed_at, ?),"
                " cannot_play = null where id = ?",
                *(now, page["id"]),
            )
        return {"revision": revision, "complete": complete}


def cannot_play(store: Store, session: str, position: int, reason: str) -> None:
    """Let a rater pass a page whose videos do not play: complete, whatever scores it has.

    The videos need not have been shown before: a video that never loads never is. A repeat changes
    nothing.

    Raises:
        RefusedError: the page is not open to the rater.
    """
    with store.transaction() as database:
        page = _page(database, session, position)
        if page["cannot_play"] is not None:
            return
        now = store.clock.now()
        run(
            database,
            "update assignments set cannot_play = ?, completed_at = ? where id = ?",
            *(reason, now, page["id"]),
        )
        run(database, "update sessions set last_seen = ? where id = ?", now, session)


def current_scores(database: Connection, assignment: int) -> list[Row]:
    """Current scores of a page: side, dimension, score, revision."""
    return rows(
        database,
        "select side, dimension, score, max(revision) as revision from answers"
        " where assignment = ? group by side, dimension",
        assignment,
    )


def final_answers(database: Connection) -> list[Row]:
    """Every answer that counts, one row each, of all raters, finished or not.

    Returns:
        rater, item, clip, dimension, score, side, position (from 0, among all pages), seconds,
        repeat, gold, extra (id of a gold page) and finished. Training pages are left out.
        In a study of kind "choice", clip is the left one and other_clip the right one.
    """
    found = rows(
        database,
        "select session as rater, item, own.file as clip, other.file as other_clip, dimension,"
        " score, side, position, seconds, repeated, kind, extra,"
        " done_at is not null as finished, max(revision) as revision"
        " from answers join assignments on assignments.id = answers.assignment"
        " join sessions on sessions.id = session"
        " left join media as own on own.assignment = assignments.id and own.slot = side"
        " left join media as other on other.assignment = assignments.id"
        " and other.slot = case side when 'left' then 'right' else 'left' end"
        " where kind != 'training' group by assignments.id, side, dimension"
        " order by session, position, side, dimension",
    )
    return [
        {
            **{name: row[name] for name in row if name not in ("repeated", "kind")},
            "repeat": bool(row["repeated"]),
            "gold": row["kind"] == "gold",
            "finished": bool(row["finished"]),
        }
        for row in found
    ]


def _check(rules: Rules, answer: Answer) -> None:
    for name, value_given, accepted in (
        ("side", answer.side, rules.sides),
        ("dimension", answer.dimension, rules.dimensions),
        ("score", answer.score, rules.scores),
    ):
        if value_given not in accepted:
            listed = ", ".join(str(each) for each in accepted)
            raise RefusedError("invalid", f"{name} is {value_given!r}; accepted: {listed}.", 422)


def _page(database: Connection, session: str, position: int) -> Row:
    """A page that is open to the rater: the current one or one of the `BACK` before it.

    Raises:
        RefusedError: it is not open, or there is no such page.
    """
    row = session_row(database, session)
    if row["done_at"] is not None:
        raise RefusedError("done", "This session is finished; its answers can no longer change.")
    if row["playback"] is None:
        raise RefusedError("not_this_page", "Check the playback first.")
    current = current_position(database, session)
    page = one(
        database,
        "select * from assignments where session = ? and position = ?",
        *(session, position),
    )
    if page is None or not current - BACK <= position <= current:
        raise RefusedError("not_this_page", f"Page {position + 1} is not open to answers now.")
    return page


def _filled(database: Connection, assignment: int) -> int:
    return int(
        value(
            database,
            "select count(*) from (select distinct side, dimension from answers"
            " where assignment = ?)",
            assignment,
        )
    )


def _repeated(known: Row, session: str, answer: Answer) -> Row:
    same = (known["session"], known["position"], known["side"], known["dimension"], known["score"])
    if same != (session, answer.position, answer.side, answer.dimension, answer.score):
        raise RefusedError("key_used", "The key of this answer was used for another one.", 422)
    return {"revision": known["revision"], "complete": known["completed_at"] is not None}
