"""Modules offloaded to the CPU, each moved to the GPU when it runs.

accelerate's hooks with a policy of our own: its `CpuOffload` and diffusers'
`enable_model_cpu_offload` unload one fixed predecessor, but here a ControlNet and a U-Net alternate
at every denoising step, and the first preview runs the autoencoder between them.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module
from torch import nn

RUNS_BESIDE = {"controlnet": "unet"}
"""Modules that run while another one stays on the GPU. Design choice: a ControlNet runs before
every pass of the U-Net, on a few frames at a time, so the peak is the U-Net's own; moving the U-Net
away and back twice a step would lower no peak."""


def place_modules(modules: Mapping[str, nn.Module], offload: Collection[str], device: str) -> None:
    """Move modules to a device; offloaded ones stay on the CPU until they run.

    When any of the modules runs, all offloaded ones but itself leave the device, except for
    `RUNS_BESIDE`. Whoever runs the modules calls `offload_modules` at the end.

    Args:
        modules: every module of a network by name; they run one at a time.
        offload: names of the modules to offload.
        device: such as "cpu" or "cuda".
    """
    for module in modules.values():
        remove_hook_from_module(module)  # of an earlier placement
    hooks = {name: OffloadHook(module, device, name in offload) for name, module in modules.items()}
    for name, module in modules.items():
        module.to("cpu" if name in offload else device)
        if offload:  # also on modules that are not offloaded: others make room for them
            stays = (name, RUNS_BESIDE.get(name))
            hooks[name].others = [hook for other, hook in hooks.items() if other not in stays]
            add_hook_to_module(module, hooks[name])


def offload_modules(modules: Iterable[nn.Module]) -> None:
    """Move offloaded modules back to the CPU; the others stay where they are."""
    for module in modules:
        hook = getattr(module, "_hf_hook", None)
        if isinstance(hook, OffloadHook):
            hook.unload()


class OffloadHook(ModelHook):  # type: ignore[misc]
    """Moves a module to a device before it runs, after other modules were moved back.

    Design choice: inference changes no weight, so the tensors on the CPU are kept while the module
    is on the device, and moving it back copies nothing.

    Args:
        module: the module.
        device: where it runs.
        offloaded: whether it is on the CPU while it does not run.

    Attributes:
        execution_device: where it runs, under the name that pipelines of diffusers read.
        others: hooks of the modules that are moved back before this one runs.
    """

    def __init__(self, module: nn.Module, device: str, offloaded: bool) -> None:
        self.execution_device = torch.device(device)
        self.others: list[OffloadHook] = []
        self._module = module
        self._offloaded = offloaded
        self._kept: list[tuple[dict[str, Any], str, torch.Tensor, torch.Tensor]] = []

    def pre_forward(
        self,
        module: nn.Module,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Load the module; see accelerate's `ModelHook`."""
        for other in self.others:
            other.unload()
        if self._offloaded and not self._kept:
            self._load()
        return args, kwargs

    def detach_hook(self, module: nn.Module) -> nn.Module:
        """Move the module back before the hook is removed; see accelerate's `ModelHook`."""
        self.unload()
        return module

    @torch.inference_mode(False)  # or weights would become inference tensors
    def _load(self) -> None:
        self._kept = [
            (tensors, name, tensor, tensor.data)
            for part in self._module.modules()
            for tensors in (part._parameters, part._buffers)
            for name, tensor in tensors.items()
            if tensor is not None
        ]
        self._module.to(self.execution_device)

    @torch.inference_mode(False)
    def unload(self) -> None:
        """Put the tensors that stayed on the CPU back into the module."""
        for tensors, name, tensor, data in self._kept:
            tensor.data = data
            tensors[name] = tensor
        self._kept = []
