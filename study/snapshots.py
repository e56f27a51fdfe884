"""Snapshots of a study while it is served: taken by a timer, pruned, pushed if asked."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from study import backup
from study.backup import Snapshot
from study.store import Store, value

logger = logging.getLogger(__name__)

KEEP = 12
"""Snapshots kept in a study's folder while it is served; older ones are deleted."""


class Snapshots:
    """Takes a snapshot every few minutes while a study is served, if anything was stored since.

    The window of possible loss, should the disk be lost as a whole, is the time between two
    snapshots plus the time one takes; a crash or a power cut alone loses nothing.
    """

    def __init__(
        self,
        store: Store,
        to: Path,
        seconds: float,
        push: Callable[[], None] | None = None,
        place: str = "",
    ) -> None:
        """Start the timer.

        Args:
            store: of the study.
            to: folder for snapshots.
            seconds: between two; 0 for none.
            push: carries the snapshots to another place after each, see `hub`.
            place: that place's name.
        """
        self._store = store
        self._to = to
        self._seconds = seconds
        self._push = push
        self._place = place
        self._stop = threading.Event()
        self._taken = -1  # state of the database of which the last snapshot was taken
        self._unsent = False
        self.trouble = ""
        self._thread = threading.Thread(target=self._go_on, name="snapshots", daemon=True)
        if seconds > 0:
            self._thread.start()

    def state(self) -> dict[str, object]:
        """State for the board: interval in seconds, time of the last one, destination, trouble."""
        taken = backup.listed(self._to)
        return {
            "every_seconds": self._seconds,
            "last": taken[-1].taken_at if taken else "",
            "place": self._place,
            "trouble": self.trouble,
        }

    def stop(self) -> None:
        """Stop after the snapshot in progress, if any."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _go_on(self) -> None:
        while not self._stop.wait(self._seconds):
            try:
                self.take_if_changed()
                self.trouble = ""
            except Exception as error:
                # The study continues; the board shows the error, and the next round tries again.
                self.trouble = str(error)
                logger.exception("no snapshot")

    def take_if_changed(self) -> Snapshot | None:
        """Take a snapshot if anything was stored since the last one, and send what is not sent.

        A push that fails is tried again in the next round. Until it succeeds no more snapshots are
        taken or kept than otherwise.

        Returns:
            The snapshot that was taken; None when nothing was stored since the last one.

        Raises:
            StudyError: no snapshot could be taken, or it could not be pushed.
        """
        with self._store.view() as database:
            state = int(value(database, "pragma data_version"))
        snapshot = None
        if state != self._taken:
            snapshot = backup.take(self._store.path, self._to)
            self._taken, self._unsent = state, True
            backup.prune(self._to, KEEP)
        if self._push is not None and self._unsent:
            self._push()
            self._unsent = False
        return snapshot
