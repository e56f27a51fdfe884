"""A clock that never goes backwards, whatever the machine's clock does."""

import threading
import time
from collections.abc import Callable


class Clock:
    """Seconds since 1970 that never decrease.

    Design choice: the wall clock is read once, at the start, and never below the latest time
    already stored; from there the monotonic clock counts. A wall clock that is set back, while the
    server runs or between two runs, therefore makes no answer older than the one before it.
    """

    def __init__(
        self,
        at_least: float = 0.0,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start at the wall clock's time or `at_least`, whichever is later.

        Args:
            at_least: latest time already stored, seconds since 1970.
            wall: source of the wall time, seconds since 1970.
            monotonic: source of seconds that only increase.
        """
        self._start = max(at_least, wall())
        self._monotonic = monotonic
        self._zero = monotonic()
        self._latest = self._start
        self._lock = threading.Lock()

    def now(self) -> float:
        """Seconds since 1970, never less than the value returned before."""
        with self._lock:
            self._latest = max(self._latest, self._start + self._monotonic() - self._zero)
            return self._latest
