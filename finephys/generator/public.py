"""Models of diffusers and transformers from fetched folders, with every weight from a file."""

from pathlib import Path
from typing import Any

import torch

from finephys.errors import WeightsError


def filled(model: Any, folder: Path, dtype: torch.dtype, command: str) -> Any:  # noqa: ANN401
    """A model from its folder; nothing of it stays random, and nothing of the files unused.

    Args:
        model: a class of diffusers or transformers.
        folder: its config and safetensors.
        dtype: of the weights.
        command: what brings the folder anew.

    Raises:
        WeightsError: the files cannot be read, or hold other tensors than the model has.
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
