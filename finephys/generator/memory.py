"""GPU memory: which modules of a large generator are offloaded, and what to do when it is full."""

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from traceback import clear_frames
from typing import TypeVar

import torch
from torch import nn

from finephys.errors import FinePhysError, RequestError
from finephys.generator.offload import offload_modules, place_modules

logger = logging.getLogger(__name__)

VARIABLE = "FINEPHYS_GPU_GB"
"""Environment variable: gigabytes of GPU memory to plan with, instead of the free memory."""

ROOMY, LEAN = 11.0, 7.0
"""Gigabytes from which everything stays on the GPU, and from which the U-Net and ControlNet do.
Design choice: half-precision weights take 4 GB, 16 frames of 512 x 512 about as much again."""

USUAL = 4.0
"""Gigabytes of weights that ROOMY and LEAN assume; larger weights need the difference on top."""

Network = TypeVar("Network", bound=nn.Module)


class GpuMemoryError(FinePhysError):
    """The GPU ran out of memory."""


@dataclass(frozen=True)
class Memory:
    """Placement of a generator's weights.

    Attributes:
        dtype: of the weights.
        offload: names of the submodules that are offloaded to the CPU.
        frames_at_once: frames that a ControlNet reads together.
    """

    dtype: torch.dtype
    offload: tuple[str, ...] = ()
    frames_at_once: int = 16

    def place(self, network: Network, device: str) -> Network:
        """Move a network's submodules to a device; see `offload.place_modules`."""
        place_modules(dict(network.named_children()), self.offload, device)
        return network


def half_precision(device: str) -> torch.dtype:
    """Return the dtype of weights on a device: float32 on a CPU, bfloat16 where the GPU has it."""
    if not device.startswith("cuda"):
        return torch.float32
    return torch.bfloat16 if has_bfloat16(device) else torch.float16


def memory_for(device: str, weights: float = USUAL) -> Memory:
    """Choose the placement for a device, by its free memory or FINEPHYS_GPU_GB.

    Args:
        device: such as "cpu" or "cuda".
        weights: size of all weights in gigabytes.

    Raises:
        RequestError: FINEPHYS_GPU_GB is not a positive number.
    """
    if not device.startswith("cuda"):
        return Memory(torch.float32, frames_at_once=4)
    dtype = half_precision(device)
    free = planned_gigabytes()
    if free is None:
        free = torch.cuda.mem_get_info(torch.device(device))[0] / 1e9
    memory = memory_within(free - max(weights - USUAL, 0.0), dtype)
    logger.info("%.1f GB of GPU memory: %s", free, memory)
    return memory


def planned_gigabytes() -> float | None:
    """Read FINEPHYS_GPU_GB; None when it is not set."""
    given = os.environ.get(VARIABLE)
    if not given:
        return None
    try:
        value = float(given)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e4:
        raise RequestError(f"{VARIABLE} is {given!r}; set it to a number of gigabytes, such as 8.")
    return value


def has_bfloat16(device: str) -> bool:
    """Whether a GPU, or a CPU with AMX, computes in bfloat16: four times faster convolutions."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_capability(device) >= (8, 0)  # older GPUs emulate it
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


def memory_within(gigabytes: float, dtype: torch.dtype) -> Memory:
    """Choose the fastest placement that fits."""
    if gigabytes >= ROOMY:
        return Memory(dtype)
    offload = ("text_encoder", "autoencoder")
    if gigabytes >= LEAN:
        return Memory(dtype, offload, frames_at_once=4)
    return Memory(dtype, (*offload, "controlnet", "unet"), frames_at_once=2)


@contextmanager
def memory_guard(modules: Iterable[nn.Module] = ()) -> Iterator[None]:
    """Turn running out of GPU memory into one sentence, and free the memory that was taken.

    Args:
        modules: run inside; the offloaded ones are moved back to the CPU, however it ends.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        message = str(error).splitlines()[0]
        clear_frames(error.__traceback__)  # their variables are the tensors that filled the memory
        raise GpuMemoryError(
            f"The GPU ran out of memory ({message}); close other programs on it, or set "
            f"{VARIABLE} lower (such as {LEAN - 2:g}) so that more of the model is offloaded to "
            "the CPU, and start again."
        ) from None
    finally:
        offload_modules(modules)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
