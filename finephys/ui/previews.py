"""Which previews of a video in the making are sent: those that cost next to nothing."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHARE = 0.1
"""Share of the denoising time that previews may take."""

GUESS = 0.03
"""Seconds that the first preview is taken to cost, until one has been measured."""


class PreviewBudget:
    """Lets a preview pass when all of them together then stay within SHARE of the denoising time.

    The denoising waits while a preview is encoded and handed to Gradio; that time is measured.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._cost = GUESS
        self.begin()

    def begin(self) -> None:
        """The denoising of a video begins; what a preview costs is remembered."""
        self._began = self._clock()
        self.spent = 0.0

    def allows(self) -> bool:
        """Whether another preview can be afforded now."""
        denoising = self._clock() - self._began - self.spent
        return self.spent + self._cost <= SHARE * denoising

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Count the time inside as that of a preview."""
        before = self._clock()
        yield
        self._cost = self._clock() - before
        self.spent += self._cost
