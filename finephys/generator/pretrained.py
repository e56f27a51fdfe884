"""Models of diffusers and transformers from fetched folders, loaded strictly."""

from pathlib import Path
from typing import Any

import torch
from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel

from finephys.errors import WeightsError


def load_pretrained_strict(
    model: Any,  # noqa: ANN401 -- a class of either library
    folder: Path,
    dtype: torch.dtype,
    command: str,
) -> Any:  # noqa: ANN401
    """Load a model from its folder; no weight stays random and no tensor of the files is unused.

    Args:
        model: a class of diffusers or transformers.
        folder: its config and safetensors.
        dtype: of the weights.
        command: fetches the folder again.

    Raises:
        WeightsError: the files cannot be read, or their tensors are not those of the model.
    """
    named = {"torch_dtype": dtype} if hasattr(model, "load_config") else {"dtype": dtype}
    place = f"{folder.parent.name}/{folder.name}"
    try:
        loaded, report = model.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True, **named
        )
    except (OSError, ValueError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise WeightsError(
            f"{place} cannot be loaded ({first}); run: {command}", command
        ) from error
    wrong = [
        f"{problem.removesuffix('_keys')}: {len(report[problem])}, such as {found[0]}"
        for problem in ("missing_keys", "mismatched_keys", "unexpected_keys")
        if (found := [key for key in map(str, report[problem]) if "position_ids" not in key])
    ]
    if wrong:
        raise WeightsError(
            f"{place} does not fit its model ({'; '.join(wrong)}); run: {command}", command
        )
    return loaded


def join_motion_modules(
    unet: UNet2DConditionModel, motion: MotionAdapter, command: str
) -> UNetMotionModel:
    """Build a video U-Net from a 2D U-Net and motion modules, in the 2D U-Net's dtype.

    Args:
        unet: of Stable Diffusion.
        motion: AnimateDiff's motion modules, or new ones.
        command: fetches both again.

    Raises:
        WeightsError: the motion modules do not fit the U-Net.
    """
    try:
        return UNetMotionModel.from_unet2d(unet, motion)
    except (ValueError, RuntimeError) as error:
        raise WeightsError(
            f"the motion adapter does not fit the U-Net ({error}); run: {command}",
            command,
        ) from error
