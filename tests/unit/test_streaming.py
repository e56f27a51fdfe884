"""A blocking call as an iterator: in step, its errors passed on, ended when nobody asks."""

import threading
from collections.abc import Callable, Iterator

import pytest

from finephys.generator.streaming import stream_call


class Counting:
    """A call that shows 1 to 3 and returns 4, or fails on its way.

    Attributes:
        reached: the last number it came to.
    """

    def __init__(self, fail_at: int = 0) -> None:
        self.reached = 0
        self._fail_at = fail_at

    def __call__(self, show: Callable[[int], None]) -> int:
        for number in (1, 2, 3):
            self.reached = number
            if number == self._fail_at:
                raise LookupError(f"no {number}")
            show(number)
        return 4


def streaming_threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("stream-call")]


def test_values_come_in_step_and_the_result_last() -> None:
    """Catches a call that runs ahead of who looks, filling the memory with what it shows."""
    call = Counting()
    reached = [(value, call.reached) for value in stream_call(call)]
    assert reached == [(1, 1), (2, 2), (3, 3), (4, 3)]
    assert streaming_threads() == []


def test_an_error_of_the_call_is_the_readers() -> None:
    """Catches an error that ends the thread alone, so that the reader waits or sees an end."""
    values = stream_call(Counting(fail_at=2))
    assert next(values) == 1
    with pytest.raises(LookupError, match="no 2"):
        next(values)
    assert streaming_threads() == []


@pytest.mark.parametrize("way", ["close", "throw"])
def test_who_leaves_ends_the_call(way: str) -> None:
    call = Counting()
    values = stream_call(call)
    assert isinstance(values, Iterator)
    assert next(values) == 1
    if way == "close":
        values.close()  # type: ignore[attr-defined]
    else:
        with pytest.raises(KeyboardInterrupt):
            values.throw(KeyboardInterrupt())  # type: ignore[attr-defined]
    assert call.reached == 1
    assert streaming_threads() == []


def test_an_interrupt_while_the_call_works_comes_through() -> None:
    """Catches a clean-up that fails where nothing is shown, and hides what happened."""

    def work(show: Callable[[int], None]) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(stream_call(work))
    assert streaming_threads() == []
