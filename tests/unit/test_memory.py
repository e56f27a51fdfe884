"""A full GPU: the error that says so must not keep alive what filled the memory."""

import weakref
from collections.abc import Callable, Iterator

import pytest
import torch

from finephys.generator.memory import GpuMemoryError, has_bfloat16, memory_for, memory_guard
from finephys.generator.streaming import stream_call

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


def _shown(show: Callable[[int], None]) -> int:
    held = torch.zeros(1000)
    _taken.append(weakref.ref(held))
    show(1)
    _fill()
    return 2


def _in_a_thread() -> Iterator[int]:
    with memory_guard():
        yield from stream_call(_shown)


@pytest.mark.parametrize(
    "run",
    [_at_once, lambda: list(_guarded()), lambda: list(_in_a_thread())],
    ids=["call", "steps", "thread"],
)
def test_what_filled_the_memory_is_free_while_the_error_is_read(run: Callable[[], object]) -> None:
    """Catches frames of the failed call that the error, or the `with` statement, still holds."""
    _taken.clear()
    with pytest.raises(GpuMemoryError, match=r"2\.00 GiB.*FINEPHYS_GPU_GB") as failed:
        run()
    assert failed.value is not None
    assert _taken
    assert all(taken() is None for taken in _taken)


def test_larger_weights_wait_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches weights of 12 GB that are all put on a GPU of 16, planned as Stable Diffusion's 4."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setenv("FINEPHYS_GPU_GB", "16")
    assert memory_for("cuda").offload == memory_for("cuda", 2.0).offload == ()
    assert memory_for("cuda", 12.0).offload
    monkeypatch.setenv("FINEPHYS_GPU_GB", "24")
    assert memory_for("cuda", 12.0).offload == ()


def test_each_device_multiplies_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a CPU without bfloat16 that multiplies in it because there is a GPU beside it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert has_bfloat16("cuda:1")
    assert not has_bfloat16("cpu")
