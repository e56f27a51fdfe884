"""A blocking call that shows values on its way, as an iterator."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event, Semaphore
from typing import TypeVar

from finephys.errors import StoppedError

Value = TypeVar("Value")


def stream_call(call: Callable[[Callable[[Value], None]], Value]) -> Iterator[Value]:
    """Run a call in a thread of its own, yielding what it shows and at last what it returns.

    The thread waits while a value is looked at, so that one value is held at a time and nothing
    goes on before the next is asked for. Who stops asking ends the call at the next value it shows.

    Args:
        call: is given a function that shows a value.

    Raises:
        BaseException: whatever the call raised, after the values it showed before.
    """
    shown: SimpleQueue[tuple[Value] | None] = SimpleQueue()
    go_on = Semaphore(0)
    left = Event()

    def show(value: Value) -> None:
        shown.put((value,))
        go_on.acquire()
        if left.is_set():
            raise StoppedError("Nobody asks for more.")

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
