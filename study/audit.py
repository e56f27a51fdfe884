"""The append-only log of the administrator's acts and of withdrawals."""

import hashlib
import json
from collections.abc import Mapping
from sqlite3 import Connection

from study.store import Row, Store, one, rows, run

FIRST = "0" * 64


def record(database: Connection, at: float, actor: str, act: str, **detail: object) -> str:
    """Add one act, inside the transaction that performs it, so that neither exists alone.

    Args:
        database: the open transaction.
        at: server time, seconds since 1970.
        actor: who acted: the administrator's name, or "the rater"; no identity of a rater.
        act: what was done, for example "open" or "invite".
        detail: of the act; no identity of a rater.

    Returns:
        The hash of the log up to this act, 64 hexadecimal digits.
    """
    last = one(database, "select hash from audit order by id desc limit 1")
    text = json.dumps(detail, sort_keys=True, ensure_ascii=False)
    digest = _digest(FIRST if last is None else last["hash"], at, actor, act, text)
    run(
        database,
        "insert into audit (at, actor, act, detail, hash) values (?, ?, ?, ?, ?)",
        *(at, actor, act, text, digest),
    )
    return digest


def acts(store: Store) -> list[Row]:
    """Every act in order: id, at (seconds since 1970), actor, act, detail (a dictionary), hash."""
    with store.view() as database:
        found = rows(database, "select * from audit order by id")
    return [{**row, "detail": json.loads(row["detail"])} for row in found]


def first_broken(store: Store) -> int | None:
    """Id of the first act whose hash does not follow from the ones before it, or None.

    Someone who removes the triggers and changes a row breaks the chain from there on.
    """
    with store.view() as database:
        found = rows(database, "select * from audit order by id")
    before = FIRST
    for place, row in enumerate(found, start=1):
        expected = _digest(before, row["at"], row["actor"], row["act"], row["detail"])
        if row["hash"] != expected or row["id"] != place:
            return int(row["id"])
        before = row["hash"]
    return None


def _digest(before: str, at: float, actor: str, act: str, detail: str) -> str:
    parts: Mapping[str, object] = {
        "before": before,
        "at": repr(at),
        "actor": actor,
        "act": act,
        "detail": detail,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
