"""Checkpoints: safetensors with the model's configuration in the metadata, loaded strictly.

A missing or extra tensor, or one of another shape, is an error, never a random layer.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finephys.errors import WeightsError, WeightsMissingError
from finephys.files import whole_file

if TYPE_CHECKING:
    import torch
    from torch import nn

ROOT_VARIABLE = "FINEPHYS_CHECKPOINTS"
"""Environment variable that moves the folder of all checkpoints."""


def checkpoints_root() -> Path:
    """Return the folder that holds one folder per tier."""
    configured = os.environ.get(ROOT_VARIABLE)
    return Path(configured) if configured else Path(__file__).resolve().parents[2] / "checkpoints"


def checkpoint_path(tier: str, name: str) -> Path:
    """Return the path of one checkpoint of a tier, such as "lifting" of "tiny".

    Raises:
        WeightsMissingError: it is missing; the text names the command that restores it.
    """
    path = checkpoints_root() / tier / f"{name}.safetensors"
    if not path.is_file():
        if tier == "tiny":
            commands = ("git checkout checkpoints/tiny", f"python -m finephys train {name}")
            advice = f"run: {commands[0]}, or {commands[1]}"
        else:
            commands = (
                "python -m finephys train sd15 --capture FOLDER",
                "python -m finephys fetch sd15",
            )
            advice = (
                f"the paper's are not public: train them with {commands[0]} after {commands[1]}, "
                "or choose --tier sd15-controlnet, which needs no training"
            )
        elsewhere = (
            f"they are read from the folder in {ROOT_VARIABLE}"
            if os.environ.get(ROOT_VARIABLE)
            else f"if they are in another folder, set {ROOT_VARIABLE} to it"
        )
        raise WeightsMissingError(
            f"The {tier} weights {_shown(path)} are missing; {advice} ({elsewhere})", *commands
        )
    return path


def _shown(path: Path) -> str:
    """Return a checkpoint's name for people: without this machine's folders."""
    return f"{path.parent.name}/{path.name}"


def save_module(
    module: "nn.Module", path: Path, config: dict[str, Any], *, half: bool = True
) -> None:
    """Write a module's parameters and buffers with its configuration, atomically.

    Args:
        module: what to save.
        path: a .safetensors file; its folder is made.
        config: plain JSON values that rebuild the module.
        half: store floating tensors as float16.
    """
    tensors = {
        name: tensor.half() if half and tensor.is_floating_point() else tensor
        for name, tensor in module.state_dict().items()
    }
    save_tensors(tensors, path, config)


def save_tensors(tensors: dict[str, "torch.Tensor"], path: Path, config: dict[str, Any]) -> None:
    """Write tensors with a configuration, atomically.

    Args:
        tensors: by name.
        path: a .safetensors file; its folder is made.
        config: plain JSON values that rebuild the model of the tensors.

    Raises:
        WeightsError: a tensor holds NaN or infinite values.
        OutputError: the file cannot be written.
    """
    import torch
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor.float()).all():
            raise WeightsError(f"{name} holds NaN or infinite values; {path.name} was not written.")
    with whole_file(path) as partial:
        save_file(tensors, partial, metadata={"config": json.dumps(config, sort_keys=True)})


def read_config(path: Path) -> dict[str, Any]:
    """Read the configuration that a checkpoint was saved with, without its tensors.

    Raises:
        WeightsError: the file is damaged, or holds no configuration in JSON.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{_shown(path)} cannot be read as safetensors ({error}); fetch or train it again."
        ) from error
    try:
        config = json.loads(metadata["config"])
    except (KeyError, ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise WeightsError(
            f"{_shown(path)} has no configuration in JSON; it is damaged or not of this project: "
            "fetch or train it again."
        )
    return config


@contextmanager
def rebuilding(path: Path) -> Iterator[None]:
    """Turn the failure to rebuild a model from a checkpoint's configuration into one sentence.

    Args:
        path: the checkpoint whose configuration is used inside.

    Raises:
        WeightsError: the configuration lacks a field, or has one of another type or value.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        first = (str(error).strip() or "no detail").splitlines()[0]
        raise WeightsError(
            f"{_shown(path)} has a configuration that does not fit this version of the model "
            f"({type(error).__name__}: {first}); fetch or train it again."
        ) from error


def read_tensors(path: Path) -> dict[str, "torch.Tensor"]:
    """Read every tensor of a checkpoint by name; WeightsError if the file is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{_shown(path)} cannot be read as safetensors ({str(error).splitlines()[0]}); fetch "
            "or train it again."
        ) from error
    return tensors


def load_module(module: "nn.Module", path: Path) -> None:
    """Load a checkpoint into a module, strictly and in the module's own dtype.

    Raises:
        WeightsError: the file is damaged, or a tensor is missing, extra or of another shape.
    """
    tensors = read_tensors(path)
    try:
        module.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise WeightsError(
            f"{_shown(path)} does not fit this version of the model "
            f"({str(error).splitlines()[0]}); fetch or train it again."
        ) from error
    module.eval()


def load_matching(module: "nn.Module", path: Path) -> list[str]:
    """Start training from another configuration's checkpoint: load what fits by name and shape.

    Returns:
        Names of the module's tensors that were not loaded.

    Raises:
        WeightsError: the file is damaged, or none of its tensors fits.
    """
    tensors = read_tensors(path)
    own = module.state_dict()
    taken = {
        name: tensor
        for name, tensor in tensors.items()
        if name in own and own[name].shape == tensor.shape
    }
    if not taken:
        raise WeightsError(
            f"{_shown(path)} has no tensor in common with this model; start from another file, or "
            "leave it out to start from random weights."
        )
    module.load_state_dict(taken, strict=False)
    return sorted(own.keys() - taken.keys())
