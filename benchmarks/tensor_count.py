"""Memory and arithmetic of a network's real size, counted without running it.

Under torch's fake tensors every operation gives its shapes and no numbers, so that Stable Diffusion
1.5 is counted in seconds on any machine. Not counted: the workspaces of kernels, the allocator's
gaps, and the device's own context.
"""

import weakref
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


class BytesAlive(TorchDispatchMode):
    """Counts the bytes of all storages made inside it that are still held.

    Attributes:
        now: bytes.
        peak: most bytes since it began, or since `peak` was set.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.peak = 0
        self._held: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Run an operation and count what it made."""
        del types
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._held:
            return  # a view, or written in place
        self._held.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self._held.discard(key)
        self.now -= size


def shapes_only() -> AbstractContextManager[Any]:
    """Inside, tensors have a shape and a type but no numbers."""
    return FakeTensorMode(allow_non_fake_inputs=True)


def operations(action: Callable[[], object]) -> int:
    """Floating-point operations of matrix products, convolutions and attention in an action."""
    counter = FlopCounterMode(display=False)
    with counter:
        action()
    return int(counter.get_total_flops())
