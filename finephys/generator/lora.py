"""The weights that the paper trains on top of Stable Diffusion 1.5, and their checkpoint.

LoRA on spatial and temporal attention, the motion modules, and the skeletal heatmap encoder
(supplement A.1). The base stays as published: it is fetched, locked and never saved again.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, MotionAdapter, UNet2DConditionModel, UNetMotionModel
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import CLIPTextModel, CLIPTokenizer

from finephys.config import GeneratorConfig
from finephys.errors import WeightsError
from finephys.generator.autoencoder import LatentAutoencoder
from finephys.generator.network import Base, VideoNetwork, zero_init_motion
from finephys.generator.pretrained import join_motion_modules, load_pretrained_strict
from finephys.generator.text import load_tokenizer
from finephys.skeleton import FRAMES
from finephys.weights.checkpoints import read_config, read_tensors, save_tensors
from finephys.weights.lock import verify, weights_folder

COMMAND = "python -m finephys fetch sd15"
PART = "stable-diffusion"
"""Name of the public base among the fetched parts."""

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
"""Layers of every attention, spatial and temporal, that LoRA adapts."""

_ADAPTER = "default"


@dataclass(frozen=True)
class Lora:
    """Low-rank adaptation (supplement A.1).

    Attributes:
        rank: of the added product of two matrices.
        alpha: the product is scaled by alpha / rank. Design choice: a scale of 1; the paper names
            none.
        dropout: of its input, in training.
    """

    rank: int = 64
    alpha: int = 64
    dropout: float = 0.1


PAPER_LORA = Lora()


def add_lora(unet: UNetMotionModel, lora: Lora = PAPER_LORA) -> None:
    """Add LoRA to every attention of a video U-Net; untrained, it does not change the output.

    Args:
        unet: the U-Net, changed in place.
        lora: rank, scale and dropout.
    """
    from peft import LoraConfig

    unet.add_adapter(
        LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=list(ATTENTION),
        ),
        _ADAPTER,
    )


def _lora_layers(unet: nn.Module) -> list[Any]:
    from peft.tuners.lora import LoraLayer

    return [part for part in unet.modules() if isinstance(part, LoraLayer)]


def trained_parameters(network: VideoNetwork) -> dict[str, nn.Parameter]:
    """Return everything that is trained and saved, by its name in the checkpoint.

    Motion modules have the names of a published motion adapter, LoRA those of diffusers' LoRA files
    (`....to_q.lora_A.weight`), each prefixed with the name of its part.
    """
    parts: list[nn.Module] = [network.skeleton_encoder]
    parts += [part for part in network.unet.modules() if isinstance(part, AnimateDiffTransformer3D)]
    for layer in _lora_layers(network.unet):
        parts += [layer.lora_A, layer.lora_B]
    chosen = {id(parameter) for part in parts for parameter in part.parameters()}
    return {
        name.replace(".base_layer.", ".").replace(f".{_ADAPTER}.", "."): parameter
        for name, parameter in network.named_parameters()
        if id(parameter) in chosen
    }


def freeze_base(network: VideoNetwork) -> None:
    """Turn off gradients of all but the trained parameters."""
    network.requires_grad_(False)
    for parameter in trained_parameters(network).values():
        parameter.requires_grad_(True)


def recompute_activations(unet: nn.Module) -> None:
    """Turn on gradient checkpointing for residual layers, spatial and temporal transformers.

    Each of them keeps only its input and runs again in the backward pass. diffusers'
    `enable_gradient_checkpointing` checkpoints the temporal transformers of the middle block alone,
    and of the spatial ones only their inner blocks.
    """
    for part in unet.modules():
        if isinstance(part, (ResnetBlock2D, Transformer2DModel, AnimateDiffTransformer3D)):
            part.forward = _recomputed(part.forward)


def _recomputed(forward: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(forward)
    def run(*given: Any, **named: Any) -> Any:  # noqa: ANN401
        if torch.is_grad_enabled():
            return checkpoint(forward, *given, use_reentrant=False, **named)
        return forward(*given, **named)

    return run


# -- checkpoints -----------------------------------------------------------------------------------


def load_base(
    config: GeneratorConfig, dtype: torch.dtype, folder: Path | None = None, adapter: bool = False
) -> tuple[VideoNetwork, CLIPTokenizer, str]:
    """Load the public Stable Diffusion as a video network with untrained additions.

    Args:
        config: size and schedule.
        dtype: of the weights.
        folder: holds the fetched parts; None: where `fetch` puts them.
        adapter: use AnimateDiff's motion modules; otherwise they are new, with a zero output.

    Returns:
        The network, its tokenizer, and the SHA-256 of the U-Net's file.

    Raises:
        WeightsMissingError: the base is not, or incompletely, downloaded; the text names the
            command.
        WeightsError: a file changed, or does not fit.
    """
    folder = folder or weights_folder("sd15")
    names = (PART, "motion-adapter") if adapter else (PART,)
    locked = verify(folder, names, COMMAND)[PART]

    def load(model: Any, place: Path) -> Any:  # noqa: ANN401
        return load_pretrained_strict(model, place, dtype, COMMAND)

    plain = load(UNet2DConditionModel, folder / PART / "unet")
    if adapter:
        motion = load(MotionAdapter, folder / "motion-adapter")
    else:
        motion = new_motion_modules(plain)
    unet = join_motion_modules(plain, motion, COMMAND)
    if not adapter:
        zero_init_motion(unet)
    add_lora(unet)
    tokenizer = load_tokenizer(folder / PART / "tokenizer", COMMAND)
    base = Base(
        LatentAutoencoder(vae=load(AutoencoderKL, folder / PART / "vae")),
        load(CLIPTextModel, folder / PART / "text_encoder"),
        unet,
    )
    network = VideoNetwork(config, tokenizer.eos_token_id, base)
    network.skeleton_encoder.to(dtype)
    file = "unet/diffusion_pytorch_model.safetensors"
    return network.eval(), tokenizer, locked.files[file].sha256


def new_motion_modules(plain: UNet2DConditionModel) -> MotionAdapter:
    """Build the motion modules of supplement A.1 for a U-Net.

    Eight heads, one transformer block with two temporal self-attentions, at every scale. Design
    choice: also in the middle block, as in diffusers and AnimateDiff v1.5-2.
    """
    heads = plain.config.attention_head_dim  # diffusers' name for the number of heads
    return MotionAdapter(
        block_out_channels=tuple(plain.config.block_out_channels),
        motion_layers_per_block=plain.config.layers_per_block,
        motion_norm_num_groups=plain.config.norm_num_groups,
        motion_num_attention_heads=heads,
        motion_max_seq_length=2 * FRAMES,
        use_motion_mid_block=True,
    )


def save_trained(
    network: VideoNetwork, path: Path, config: dict[str, Any], base: str, lora: Lora = PAPER_LORA
) -> None:
    """Write all trained weights to one checkpoint.

    Design choice: in float32, so that loading restores exactly what was trained.

    Args:
        network: with LoRA.
        path: a .safetensors file.
        config: the network's, as plain values.
        base: SHA-256 of the U-Net's file that it was trained on.
        lora: the argument of `add_lora`.
    """
    tensors = {name: value.float() for name, value in trained_parameters(network).items()}
    save_tensors(tensors, path, {"network": config, "lora": asdict(lora), "base": base})


def load_trained(network: VideoNetwork, path: Path, config: dict[str, Any], base: str) -> None:
    """Load all trained weights from one checkpoint, strictly.

    Args:
        network: from `load_base`.
        path: written by `save_trained`.
        config: the network's, as plain values.
        base: SHA-256 of the file that the network's U-Net was loaded from.

    Raises:
        WeightsError: the file is damaged, was made for another configuration or trained on another
            revision of the base, or a tensor is missing, extra or of another shape.
    """
    place = f"{path.parent.name}/{path.name}"
    saved = read_config(path)
    expected = {"network": config, "lora": asdict(PAPER_LORA), "base": base}
    if saved.get("base") != base and saved.keys() == expected.keys():
        raise WeightsError(
            f"{place} was trained on another revision of Stable Diffusion (its U-Net has SHA-256 "
            f"{str(saved['base'])[:12]}, the fetched one {base[:12]}); fetch that revision, or "
            "train again."
        )
    if saved != expected:
        own, other = (_flat(each) for each in (saved, expected))
        names = sorted(name for name in own | other if own.get(name) != other.get(name))
        raise WeightsError(
            f"{place} was made for another configuration ({', '.join(names)} differ); train it "
            "again."
        )
    tensors = read_tensors(path)
    parameters = trained_parameters(network)
    wrong = sorted(
        name
        for name in tensors.keys() | parameters.keys()
        if name not in tensors
        or name not in parameters
        or tensors[name].shape != parameters[name].shape
    )
    if wrong:
        raise WeightsError(
            f"{place} does not fit this version of the model ({len(wrong)} tensors are missing, "
            f"extra or of another shape, such as {wrong[0]}); train it again."
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])
    network.eval()


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    parts = [
        (name, part if isinstance(part, dict) else {"": part}) for name, part in config.items()
    ]
    return {
        f"{name}.{key}".rstrip("."): value for name, part in parts for key, value in part.items()
    }
