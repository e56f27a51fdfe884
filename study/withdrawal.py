"""A rater's withdrawal: one way for all, whether the rater or the administrator asks for it."""

import shutil
from dataclasses import dataclass, replace

from study import audit, backup
from study.errors import StudyError
from study.folder import Folder
from study.identities import Keyring
from study.outcome import RESULTS
from study.store import StorageError, Store, one, run, value


class NobodyError(StudyError):
    """There is no such rater, in the study or in its copies, and there was none who withdrew."""


@dataclass(frozen=True)
class Receipt:
    """Proof of a withdrawal.

    Attributes:
        number: proof for the rater; it identifies nobody.
        answers: how many answers were deleted, all revisions counted.
        failed: names of copies that could not be cleaned and may still hold the rater.
        results: whether results that held the rater were deleted from the study's folder.
    """

    number: str
    answers: int
    failed: tuple[str, ...] = ()
    results: bool = False

    def __str__(self) -> str:
        """The receipt as a sentence for the administrator."""
        text = f"Receipt {self.number}: {self.answers} answers were deleted."
        if self.results:
            text += " The report held the rater and was deleted; write it again."
        if self.failed:
            text += (
                f" {', '.join(self.failed)} could not be cleaned and may still hold the rater: "
                "repair or delete them, then withdraw again."
            )
        return text


def withdraw(folder: Folder, store: Store, keys: Keyring, session: str, actor: str) -> Receipt:
    """Delete a rater's identity and every row of theirs, from the copies in the folder too.

    The copies come first: whatever stops the act, the rater is still in the database and the act
    can be repeated. No snapshot is taken meanwhile. A copy that cannot be cleaned is passed over
    and named. The place in the design is free again. Deleted content is overwritten in the file
    (secure_delete) and the write-ahead log is emptied. The act is recorded in the audit log.

    Results in the study's folder are deleted too, for they can be written again. A running server
    sends the cleaned snapshots to the repository with the next one (`hub`); copies in other places
    (`backup --to DIR`, exports) are the administrator's to delete.

    Args:
        folder: of the study.
        store: of the same study.
        keys: its key.
        session: the rater.
        actor: who asked for it, for the audit log.

    Returns:
        The receipt; the same one when the rater has withdrawn before.

    Raises:
        NobodyError: there is and was no such rater.
        StorageError: the disk refused; the act can be repeated.
    """
    number = keys.receipt(session)
    try:
        with backup.alone(folder.snapshots):
            cleaned = backup.forget(folder, session)
            receipt = _delete(store, number, session, cleaned, actor)
            results = folder.root / RESULTS
            if results.is_dir():
                shutil.rmtree(results)
                receipt = replace(receipt, results=True)
    except OSError as error:
        raise StorageError(
            f"The withdrawal is not complete ({error}); free some space, then withdraw again."
        ) from error
    store.shrink_log()
    return receipt


def _delete(
    store: Store, number: str, session: str, cleaned: backup.Cleaned, actor: str
) -> Receipt:
    with store.transaction() as database:
        now = store.clock.now()
        answers = value(
            database,
            "select count(*) from answers join assignments on assignments.id = assignment"
            " where session = ?",
            session,
        )
        known = one(database, "select answers from receipts where number = ?", number)
        found = run(database, "delete from sessions where id = ?", session) > 0
        if not (found or cleaned.copies or known):
            raise NobodyError(
                f"there is no rater {session!r} to withdraw; the ids are on the board."
            )
        if known is None:
            run(database, "insert into receipts values (?, ?, ?)", number, now, answers)
        if found or cleaned.copies:
            audit.record(
                database,
                now,
                actor,
                "withdraw",
                receipt=number,
                answers=answers,
                copies=cleaned.copies,
                not_cleaned=", ".join(cleaned.failed),
            )
        return Receipt(number, known["answers"] if known else answers, cleaned.failed)
