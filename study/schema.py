"""Tables of a study's SQLite file, as migrations that run once each, in order."""

from sqlite_utils import Database, Migrations

migrations = Migrations("study")

FIRST_TABLES = (
    # One row per rater. The id is random; it is the rater's name in every export.
    """create table sessions (
        id text primary key,
        sequence integer not null,
        seed integer not null,
        source text not null check (source in ('invite', 'open', 'prolific')),
        language text not null,
        entered_at real not null,
        last_seen real not null,
        consent_hash text not null,
        questions_at real,
        playback text,
        done_at real
    ) strict""",
    "create index sessions_by_sequence on sessions (sequence)",
    # Who a session belongs to, as keyed hashes; the key is not in this file.
    """create table identities (
        kind text not null,
        hash text not null,
        session text references sessions (id) on delete cascade,
        created_at real not null,
        primary key (kind, hash)
    ) strict""",
    "create index identities_by_session on identities (session)",
    """create table demographics (
        session text not null references sessions (id) on delete cascade,
        question text not null,
        answer text not null,
        primary key (session, question)
    ) strict""",
    # One page shown to one rater. What was on which side is stored here, with every answer.
    """create table assignments (
        id integer primary key,
        session text not null references sessions (id) on delete cascade,
        position integer not null,
        kind text not null check (kind in ('training', 'rating', 'gold')),
        item text not null,
        extra text not null,
        repeated integer not null check (repeated in (0, 1)),
        shown_at real,
        seen_at real,
        completed_at real,
        cannot_play text,
        unique (session, position)
    ) strict""",
    # Each address a rater's browser may ask for: random, of one session, one page, one slot.
    """create table media (
        token text primary key,
        assignment integer not null references assignments (id) on delete cascade,
        slot text not null,
        file text not null,
        unique (assignment, slot)
    ) strict""",
    # Every answer as it was given. The highest revision counts; earlier ones are kept.
    """create table answers (
        id integer primary key,
        assignment integer not null references assignments (id) on delete cascade,
        side text not null,
        dimension text not null,
        revision integer not null check (revision >= 1),
        score integer not null,
        seconds real not null check (seconds >= 0),
        received_at real not null,
        client_key text not null unique,
        unique (assignment, side, dimension, revision)
    ) strict""",
    # Proof that a withdrawal happened, with nothing that leads back to the rater.
    """create table receipts (
        number text primary key,
        withdrawn_at real not null,
        answers integer not null
    ) strict""",
    # The administrator's acts and withdrawals. Each row contains the hash of the row before it.
    """create table audit (
        id integer primary key,
        at real not null,
        actor text not null,
        act text not null,
        detail text not null check (json_valid(detail)),
        hash text not null
    ) strict""",
    """create trigger audit_is_never_changed before update on audit
        begin select raise(abort, 'the audit log is append-only'); end""",
    """create trigger audit_is_never_shortened before delete on audit
        begin select raise(abort, 'the audit log is append-only'); end""",
    """create trigger answers_are_never_changed before update on answers
        begin select raise(abort, 'answers are revised by new rows'); end""",
)


@migrations()  # type: ignore[untyped-decorator]  # sqlite-utils leaves it untyped
def first_tables(database: Database) -> None:
    """Make every table of a new study."""
    for statement in FIRST_TABLES:
        database.execute(statement)
