"""A full GPU: the error that says so must not keep alive what filled the memory."""

import weakref
from collections.abc import Callable, Iterator

import pytest
import torch

from finephys.generator.memory import GpuMemoryError, memory_guard

_taken: list["weakref.ref[torch.Tensor]"] = []


def _fill() -> None:
    large = torch.zeros(1000)
    _taken.append(weakref.ref(large))
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def _at_once() -> None:
    with memory_guard():
        _fill()


@torch.inference_mode()
def _steps() -> Iterator[int]:
    held = torch.zeros(1000)
    _taken.append(weakref.ref(held))
    yield 1
    _fill()


def _guarded() -> Iterator[int]:
    with memory_guard():
        yield from _steps()


@pytest.mark.parametrize("run", [_at_once, lambda: list(_guarded())], ids=["call", "steps"])
def test_what_filled_the_memory_is_free_while_the_error_is_read(run: Callable[[], object]) -> None:
    """Catches frames of the failed call that the error, or the `with` statement, still holds."""
    _taken.clear()
    with pytest.raises(GpuMemoryError, match=r"2\.00 GiB.*FINEPHYS_GPU_GB") as failed:
        run()
    assert failed.value is not None
    assert _taken
    assert all(taken() is None for taken in _taken)
