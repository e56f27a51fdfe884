"""Weights on disk: safetensors with their configuration beside the tensors, loaded strictly.

A checkpoint holds what training made and nothing else; a missing, extra or misshapen tensor is an
error, never a random layer.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finephys.errors import WeightsError, WeightsMissingError

if TYPE_CHECKING:
    import torch
    from torch import nn

ROOT_VARIABLE = "FINEPHYS_CHECKPOINTS"
"""Environment variable that moves the folder of all checkpoints."""


def checkpoints_root() -> Path:
    """Folder that holds one folder a tier."""
    configured = os.environ.get(ROOT_VARIABLE)
    return Path(configured) if configured else Path(__file__).resolve().parents[2] / "checkpoints"


def checkpoint_path(tier: str, name: str) -> Path:
    """Path of one checkpoint of a tier, such as "lifting" of "tiny".

    Raises:
        WeightsMissingError: when it is not there; the text names the command that makes it.
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
        if os.environ.get(ROOT_VARIABLE):
            advice = f"{ROOT_VARIABLE} names another folder: correct or unset it, or {advice}"
        raise WeightsMissingError(
            f"The {tier} weights {_shown(path)} are missing; {advice}", *commands
        )
    return path


def _shown(path: Path) -> str:
    """A checkpoint's name for people: without the machine's own folders."""
    return f"{path.parent.name}/{path.name}"


def save_module(
    module: "nn.Module", path: Path, config: dict[str, Any], *, half: bool = True
) -> None:
    """Write a module's parameters and buffers with its configuration, whole or not at all.

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
    """Write tensors with a configuration, whole or not at all.

    Args:
        tensors: by name.
        path: a .safetensors file; its folder is made.
        config: plain JSON values that rebuild what the tensors belong to.

    Raises:
        WeightsError: a tensor holds NaN or infinite values.
    """
    import torch
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor.float()).all():
            raise WeightsError(f"{name} holds NaN or infinite values; {path.name} was not written.")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"config": json.dumps(config, sort_keys=True)})
    partial.replace(path)


def read_config(path: Path) -> dict[str, Any]:
    """Configuration that a checkpoint was saved with."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{_shown(path)} cannot be read as safetensors ({error}); fetch or train it again."
        ) from error
    if "config" not in metadata:
        raise WeightsError(
            f"{_shown(path)} holds no configuration; it was not written by this project."
        )
    config: dict[str, Any] = json.loads(metadata["config"])
    return config


def read_tensors(path: Path) -> dict[str, "torch.Tensor"]:
    """Every tensor of a checkpoint by name; WeightsError when the file is damaged."""
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
    """Fill a module from a checkpoint, strictly and in the module's own dtype.

    Raises:
        WeightsError: when the file is damaged or a tensor is missing, extra or of another shape.
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
    """Begin a training with another configuration's checkpoint: take what fits by name and shape.

    Returns:
        Names of the module's tensors that the checkpoint did not fill.

    Raises:
        WeightsError: when the file is damaged or fits nowhere.
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
            "from nothing by leaving it out."
        )
    module.load_state_dict(taken, strict=False)
    return sorted(own.keys() - taken.keys())
