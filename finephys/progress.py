"""Progress, timing and cancellation of one run of the pipeline."""

import threading
import time
from collections.abc import Generator
from typing import TypeVar

from finephys.errors import StoppedError
from finephys.types import Stage, StageValue, Update

Returned = TypeVar("Returned")


def returned(values: Generator[object, None, Returned]) -> Returned:
    """Run a generator to its end and give its return value."""
    while True:
        try:
            next(values)
        except StopIteration as end:
            value: Returned = end.value
            return value


class Progress:
    """Times the stages of one run, makes its updates and ends it when it is stopped.

    Args:
        stop: set it to end the run at its next update.
    """

    def __init__(self, stop: threading.Event | None) -> None:
        self.began = time.monotonic()
        self.seconds: dict[str, float] = {}
        self.part = (0, 1)
        self._stop = stop or threading.Event()
        self._last = self.began

    def stopped(self) -> bool:
        """Return whether the run is to stop."""
        return self._stop.is_set()

    def check(self) -> None:
        """Raise StoppedError if the run is to stop."""
        if self.stopped():
            raise StoppedError("Stopped. Press Generate to start again.")

    def begin_video(self, index: int, count: int, spent: dict[str, float]) -> None:
        """Begin video `index` of `count`; `spent` is the seconds of each stage they share."""
        self.part = (index, count)
        self.seconds = dict(spent)
        self._last = time.monotonic()

    def share(self, done: float) -> float:
        """Return the share of the run that is done with `done` of this video; poses are 0.4."""
        index, count = self.part
        return 0.4 + 0.6 * (index + done) / count

    def update(
        self,
        stage: Stage,
        value: StageValue,
        fraction: float,
        notes: tuple[str, ...] = (),
        method: str = "",
        step: tuple[int, int] | None = None,
    ) -> Update:
        """Return the update of a finished stage, timed since the last one; see `Update`."""
        self.check()
        now = time.monotonic()
        self.seconds[stage.value] = self.seconds.get(stage.value, 0.0) + now - self._last
        self._last = now
        return Update(stage, value, fraction, now - self.began, notes, method, step)
