"""Which previews of a video are sent while it is denoised: those that cost almost nothing."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHARE = 0.1
"""Share of the denoising time that previews may take."""

FIRST_COST = 0.03
"""Seconds that the first preview is assumed to cost."""


class PreviewBudget:
    """Allows a preview while all of them together stay within SHARE of the denoising time.

    Denoising waits while a preview is encoded and passed to Gradio; that time is measured.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._cost = FIRST_COST
        self.begin()

    def begin(self) -> None:
        """Start counting for the next video; the measured cost of a preview is kept."""
        self._began = self._clock()
        self.spent = 0.0

    def allows(self) -> bool:
        """Whether another preview fits the budget now."""
        denoising = self._clock() - self._began - self.spent
        return self.spent + self._cost <= SHARE * denoising

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Count the time of this block as a preview's."""
        before = self._clock()
        yield
        self._cost = self._clock() - before
        self.spent += self._cost
