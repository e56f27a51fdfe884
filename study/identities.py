"""Who a session belongs to, kept apart: only keyed hashes are stored, the key is elsewhere."""

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from sqlite3 import Connection

from study import audit
from study.errors import StudyError
from study.store import Row, Store, one, run

KEY_BYTES = 32
KEY_VARIABLE = "STUDY_IDENTITY_KEY"


class Keyring:
    """The key of one study: hashes identities and signs the tokens raters hold.

    Design choice: HMAC-SHA256 with a key that lives beside the database, not in it, and in no
    snapshot. The database alone does not tell who took part;
    deleting the key makes every identity unreadable for good.
    """

    def __init__(self, key: bytes) -> None:
        """Take a key of 32 bytes."""
        if len(key) != KEY_BYTES:
            raise StudyError(
                f"The identity key has {len(key)} bytes; 32 are accepted. Put the study's key back "
                "from where it is kept."
            )
        self._key = key

    def hash(self, kind: str, name: str) -> str:
        """Keyed hash of an identity, 64 hexadecimal digits."""
        return hmac.new(self._key, f"{kind}\0{name}".encode(), hashlib.sha256).hexdigest()

    def token(self, session: str) -> str:
        """The secret that proves to the server that a browser belongs to a session."""
        return f"{session}.{self.hash('session', session)[:43]}"

    def session(self, token: str) -> str | None:
        """The session a token was made for, or None for a forged one."""
        session = token.partition(".")[0]
        return session if hmac.compare_digest(self.token(session), token) else None

    def receipt(self, session: str) -> str:
        """The number of a rater's withdrawal, 16 hexadecimal digits.

        Design choice: it follows from the session's id, which is gone after the withdrawal, so that
        a repeated request gets the same number although the number identifies nobody.
        """
        return self.hash("receipt", session)[:16]

    def completion(self, session: str) -> str:
        """A code a rater can show as proof of taking part; it leads to no answers."""
        digest = hmac.new(self._key, f"done\0{session}".encode(), hashlib.sha256).digest()
        text = base64.b32encode(digest).decode()[:8]
        return f"{text[:4]}-{text[4:]}"


def keyring(path: Path) -> Keyring:
    """The study's key: from the environment variable STUDY_IDENTITY_KEY, else from its file.

    Args:
        path: file of 64 hexadecimal digits; made, readable by its owner only, when absent.

    Raises:
        StudyError: the key cannot be read, or is not 64 hexadecimal digits.
    """
    text = os.environ.get(KEY_VARIABLE)
    source = f"the environment variable {KEY_VARIABLE}"
    if text is None:
        source = path.name
        try:
            text = _key_of(path)
        except OSError as error:
            raise StudyError(
                f"{path} could not be made or read ({error.strerror}); put the study on a disk "
                "that this user can write to."
            ) from error
    try:
        return Keyring(bytes.fromhex(text.strip()))
    except ValueError:
        raise StudyError(
            f"The key in {source} is not 64 hexadecimal digits; put the study's key back from "
            "where it is kept."
        ) from None


def _key_of(path: Path) -> str:
    with contextlib.suppress(FileExistsError):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(handle)
    return path.read_text()


def invite(store: Store, keys: Keyring, count: int, actor: str) -> list[str]:
    """Make invitations for one person each; the codes are shown now and never again.

    Args:
        store: the study's store.
        keys: the study's key.
        count: how many, 1 to 1000.
        actor: who invites.

    Returns:
        One code each, for the end of a link: `?invite=CODE`.

    Raises:
        StudyError: the count is out of range.
    """
    if not 1 <= count <= 1000:
        raise StudyError(f"{count} invitations were requested; 1 to 1000 are accepted at once.")
    codes = [secrets.token_urlsafe(12) for _ in range(count)]
    with store.transaction() as database:
        now = store.clock.now()
        for code in codes:
            run(
                database,
                "insert into identities values ('invite', ?, null, ?)",
                *(keys.hash("invite", code), now),
            )
        audit.record(database, now, actor, "invite", count=count)
    return codes


def holder(database: Connection, kind: str, digest: str) -> Row | None:
    """The identity row of a keyed hash (kind, hash, session, created_at), or None."""
    return one(database, "select * from identities where kind = ? and hash = ?", kind, digest)


def bind(database: Connection, kind: str, digest: str, session: str, now: float) -> None:
    """Bind an identity to a session, inside the transaction that creates it."""
    run(
        database,
        "insert into identities values (?, ?, ?, ?)"
        " on conflict (kind, hash) do update set session = excluded.session",
        *(kind, digest, session, now),
    )
