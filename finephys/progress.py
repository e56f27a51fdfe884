"""One run of the pipeline: how far it is, how long each stage took, whether it is to stop."""

import threading
import time

from finephys.errors import StoppedError
from finephys.types import Stage, StageValue, Update


class Progress:
    """Clock, stop button and update maker of one run.

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
        """Whether Stop was pressed."""
        return self._stop.is_set()

    def check(self) -> None:
        """Raise StoppedError after Stop."""
        if self.stopped():
            raise StoppedError("Stopped. Press Generate to start again.")

    def begin_video(self, index: int, count: int, spent: dict[str, float]) -> None:
        """Video `index` of `count` begins, after `spent` seconds for the stages they share."""
        self.part = (index, count)
        self.seconds = dict(spent)
        self._last = time.monotonic()

    def share(self, done: float) -> float:
        """How much of the run is done when `done` of the present video is; poses take 0.4."""
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
        """A value that is ready; its stage took the time since the last one. See `Update`."""
        self.check()
        now = time.monotonic()
        self.seconds[stage.value] = self.seconds.get(stage.value, 0.0) + now - self._last
        self._last = now
        return Update(stage, value, fraction, now - self.began, notes, method, step)
