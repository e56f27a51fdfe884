"""Where the weights of a large generator lie, by the memory there is, and what to say without."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from traceback import clear_frames
from typing import TypeVar

import torch
from torch import nn

from finephys.errors import FinePhysError, RequestError

logger = logging.getLogger(__name__)

VARIABLE = "FINEPHYS_GPU_GB"
"""Environment variable: gigabytes of GPU memory to plan with, instead of what is free."""

ROOMY, LEAN = 11.0, 7.0
"""Gigabytes from which everything stays on the GPU, and from which the U-Net does. Design choice:
half-precision weights take 4 GB, 16 frames of 512 x 512 about as much again."""

USUAL = 4.0
"""Gigabytes of weights that ROOMY and LEAN are made for; larger ones need so much more."""

Network = TypeVar("Network", bound=nn.Module)


class GpuMemoryError(FinePhysError):
    """The GPU's memory did not suffice."""


@dataclass(frozen=True)
class Memory:
    """How to place a generator.

    Attributes:
        dtype: of the weights.
        offload: parts that wait in main memory until they are needed; names of submodules.
        frames_at_once: frames that a ControlNet reads together.
    """

    dtype: torch.dtype
    offload: tuple[str, ...] = ()
    frames_at_once: int = 16

    def place(self, network: Network, device: str) -> Network:
        """Move a network to a device; parts to offload come and go by themselves."""
        from accelerate import cpu_offload_with_hook

        for name, part in network.named_children():
            if name in self.offload:
                _offload(part, device, cpu_offload_with_hook)
            else:
                part.to(device)
        return network


def _offload(part: nn.Module, device: str, hook_onto: object) -> None:
    # An autoencoder's own methods are called, not its forward: its halves are hooked instead.
    inner = getattr(part, "vae", None)
    parts = [part] if inner is None else [inner.encoder, inner.decoder]
    if inner is not None:
        for small in (inner.quant_conv, inner.post_quant_conv):
            if small is not None:
                small.to(device)
    for each in parts:
        hook_onto(each, execution_device=device)  # type: ignore[operator]


def half_precision(device: str) -> torch.dtype:
    """What weights are in on a device: float32 on a CPU, bfloat16 where the GPU has it."""
    if not device.startswith("cuda"):
        return torch.float32
    return torch.bfloat16 if has_bfloat16(device) else torch.float16


def memory_for(device: str, weights: float = USUAL) -> Memory:
    """The placement for a device, by its free memory or FINEPHYS_GPU_GB.

    Args:
        device: "cpu" or "cuda".
        weights: gigabytes of them.

    Raises:
        RequestError: FINEPHYS_GPU_GB is no positive number.
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
    """What FINEPHYS_GPU_GB says; None when it says nothing."""
    given = os.environ.get(VARIABLE)
    if not given:
        return None
    try:
        value = float(given)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e4:
        raise RequestError(f"{VARIABLE} is {given!r}; give gigabytes, such as 8.")
    return value


def has_bfloat16(device: str) -> bool:
    """Whether a GPU, or a CPU by AMX, multiplies it; convolutions are then four times as fast."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


def memory_within(gigabytes: float, dtype: torch.dtype) -> Memory:
    """The fastest placement that fits."""
    if gigabytes >= ROOMY:
        return Memory(dtype)
    waiting = ("text_encoder", "autoencoder")
    if gigabytes >= LEAN:
        return Memory(dtype, waiting, frames_at_once=4)
    return Memory(dtype, (*waiting, "controlnet", "unet"), frames_at_once=2)


@contextmanager
def memory_guard() -> Iterator[None]:
    """Turn running out of GPU memory into a sentence, and free what was taken."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        message = str(error).splitlines()[0]
        clear_frames(error.__traceback__)  # their variables are the tensors that filled the memory
        raise GpuMemoryError(
            f"The GPU's memory did not suffice ({message}); close other programs on it, or set "
            f"{VARIABLE} lower (such as {LEAN - 2:g}) so that parts wait in main memory, and start "
            "again."
        ) from None
    finally:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
