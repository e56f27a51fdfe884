"""A blocking call with a callback, as an iterator."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event, Semaphore
from typing import TypeVar

from finephys.errors import StoppedError

Value = TypeVar("Value")


def stream_call(call: Callable[[Callable[[Value], None]], Value]) -> Iterator[Value]:
    """Run a call in its own thread, yielding the values of its callback and last its result.

    The thread waits until the next value is requested, so that one value is held at a time. When
    the iterator is closed, the callback raises StoppedError in the thread.

    Args:
        call: takes the callback.

    Raises:
        BaseException: whatever the call raised, after its earlier values.
    """
    shown: SimpleQueue[tuple[Value] | None] = SimpleQueue()
    go_on = Semaphore(0)
    left = Event()

    def show(value: Value) -> None:
        shown.put((value,))
        go_on.acquire()
        if left.is_set():
            raise StoppedError("The iterator was closed.")

    with ThreadPoolExecutor(1, "stream-call") as threads:
        running = threads.submit(call, show)
        running.add_done_callback(lambda _: shown.put(None))
        try:
            while (held := shown.get()) is not None:
                yield held[0]
                go_on.release()
        finally:
            left.set()
            go_on.release()
    yield running.result()
