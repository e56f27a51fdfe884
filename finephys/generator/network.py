"""The networks of the tiers: text encoder, skeleton encoder, painter, video U-Net, autoencoder."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import torch
from diffusers import UNetMotionModel
from torch import nn

from finephys.config import GeneratorConfig
from finephys.generator.autoencoder import Autoencoder, make_autoencoder
from finephys.generator.painter import Figure, Painter
from finephys.generator.skeleton_encoder import SkeletonEncoder, SkeletonFeatures
from finephys.generator.text import TextFeatures, encode_text, make_text_model
from finephys.skeleton import FRAMES


def make_unet(config: GeneratorConfig) -> UNetMotionModel:
    """Build diffusers' video U-Net at the size of a configuration.

    Its motion modules have one transformer block with two temporal self-attentions at every scale
    (supplement A.1: "at resolutions [1, 2, 4, 8]"). Design choice: the middle block has one too, as
    in diffusers and AnimateDiff v1.5-2; the supplement names none there. They start with a zero
    output, so the untrained model is a 2D U-Net on each frame.
    """
    down = ["CrossAttnDownBlockMotion" if seen else "DownBlockMotion" for seen in config.attention]
    up = ["CrossAttnUpBlockMotion" if seen else "UpBlockMotion" for seen in config.attention[::-1]]
    unet = UNetMotionModel(
        sample_size=config.size // config.patch,
        in_channels=config.latent_channels + config.guidance_channels,
        out_channels=config.latent_channels,
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        block_out_channels=config.channels,
        layers_per_block=config.layers,
        norm_num_groups=config.groups,
        cross_attention_dim=config.text_width,
        num_attention_heads=config.heads,
        motion_num_attention_heads=config.heads,
        motion_max_seq_length=2 * FRAMES,
        time_cond_proj_dim=config.text_width if config.pooled_text else None,
    )
    zero_init_motion(unet)
    return unet


def zero_init_motion(unet: nn.Module) -> None:
    """Zero the output of a video U-Net's motion modules, so that it is a 2D U-Net on each frame.

    Source: supplement A.1, "to stabilize training, the module parameters are zero-initialized".
    Design choice: only each module's last projection; a module of zeros could not learn.
    """
    for block in _motion_blocks(unet):
        for module in block.motion_modules:
            nn.init.zeros_(module.proj_out.weight)
            nn.init.zeros_(module.proj_out.bias)


def _motion_blocks(unet: nn.Module) -> list[Any]:
    return [*unet.down_blocks, unet.mid_block, *unet.up_blocks]  # type: ignore[misc]


class _Skip(nn.Module):
    """Replaces a motion module and changes nothing."""

    def forward(self, hidden: torch.Tensor, *_args: object, **_named: object) -> torch.Tensor:
        return hidden


@contextmanager
def without_motion(unet: nn.Module) -> Iterator[None]:
    """Remove the motion modules of a video U-Net, and put them back at the end."""
    blocks = [block for block in _motion_blocks(unet) if hasattr(block, "motion_modules")]
    kept = [block.motion_modules for block in blocks]
    try:
        for block in blocks:
            block.motion_modules = nn.ModuleList(_Skip() for _ in block.motion_modules)
        yield
    finally:
        for block, modules in zip(blocks, kept, strict=True):
            block.motion_modules = modules


class Base(NamedTuple):
    """Pretrained parts of a network.

    Attributes:
        autoencoder: frames to latents and back.
        text_encoder: CLIP's.
        unet: video U-Net.
    """

    autoencoder: Autoencoder
    text_encoder: nn.Module
    unet: UNetMotionModel


class LatentNetwork(nn.Module, ABC):
    """A network that `latent_diffusion.LatentDiffusion` runs.

    Attributes:
        config: sizes and noise schedule.
        autoencoder: frames to latents and back.
        text_encoder: CLIP's.
        unet: video U-Net.
    """

    config: GeneratorConfig
    autoencoder: Autoencoder
    text_encoder: nn.Module
    unet: UNetMotionModel

    def encode_text(self, ids: torch.Tensor, mask: torch.Tensor) -> TextFeatures:
        """Encode tokenized prompts, (B, T) ids and mask."""
        return encode_text(self.text_encoder, ids, mask)

    @abstractmethod
    def forward(
        self,
        noisy: torch.Tensor,
        time: torch.Tensor,
        text: TextFeatures,
        guidance: Any,  # noqa: ANN401 -- each network has its own
    ) -> torch.Tensor:
        """Predict what `config.prediction` names for latents (B, C, F, h, w) at times (B,)."""

    def without_motion(self) -> AbstractContextManager[None]:
        """Remove the motion modules: every frame is then generated alone."""
        return without_motion(self.unet)


class VideoNetwork(LatentNetwork):
    """The weights of a tier, under their names in its checkpoint.

    Args:
        config: sizes.
        end_token: id of the tokenizer's end token.
        base: pretrained parts; None: all weights are random.
    """

    def __init__(self, config: GeneratorConfig, end_token: int, base: Base | None = None) -> None:
        super().__init__()
        self.config = config
        # A saved optimizer state relies on this order of the parts.
        self.autoencoder = base.autoencoder if base else make_autoencoder(config)
        self.text_encoder = base.text_encoder if base else make_text_model(config, end_token)
        self.skeleton_encoder = SkeletonEncoder(config)
        self.unet = base.unet if base else make_unet(config)
        self.painter = Painter(config) if config.painter_channels else None
        self.autoencoder.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "VideoNetwork":
        """Set training mode for all but the autoencoder, which is not trained with the rest."""
        super().train(mode)
        self.autoencoder.eval()
        return self

    def encode_skeleton(self, heatmaps: list[torch.Tensor], text: TextFeatures) -> SkeletonFeatures:
        """Encode the skeletons of B clips.

        Args:
            heatmaps: one (B, F, L, h, w) per scale, finest first.
            text: features of B prompts.
        """
        levels, pooled = self._by_frame(heatmaps, text)
        guidance: SkeletonFeatures = self.skeleton_encoder(levels, pooled)
        return guidance

    def paint(
        self, heatmaps: list[torch.Tensor], text: TextFeatures, style: torch.Tensor
    ) -> Figure | None:
        """Paint the figures of B clips, (B F, ...); None without a painter.

        Args:
            heatmaps: as for `encode_skeleton`.
            text: features of B prompts.
            style: (B, K), see `painter`.
        """
        if self.painter is None:
            return None
        levels, pooled = self._by_frame(heatmaps[:1], text)
        each = style.to(pooled.dtype).repeat_interleave(heatmaps[0].shape[1], 0)
        figure: Figure = self.painter(levels[0], pooled, each)
        return figure

    def _by_frame(
        self, heatmaps: list[torch.Tensor], text: TextFeatures
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return heatmaps (B F, L, h, w) and the pooled text of each frame (B F, W)."""
        dtype = self.skeleton_encoder.middle.weight.dtype
        levels = [level.flatten(0, 1).to(dtype) for level in heatmaps]
        return levels, text.pooled.to(dtype).repeat_interleave(heatmaps[0].shape[1], 0)

    def forward(
        self,
        noisy: torch.Tensor,
        time: torch.Tensor,
        text: TextFeatures,
        guidance: SkeletonFeatures | None,
    ) -> torch.Tensor:
        """Predict what `config.prediction` names; see `sampling.predict_clean`.

        Args:
            noisy: (B, C, F, h, w) latents.
            time: (B,) time steps, 0 to 999.
            text: features of B prompts.
            guidance: features of B skeletons; None: the U-Net without the skeleton encoder.

        Returns:
            (B, C, F, h, w).
        """
        batch, _, frames, height, width = noisy.shape
        given, dtype = noisy.dtype, self.unet.dtype
        noisy, tokens = noisy.to(dtype), text.tokens.to(dtype)
        added: dict[str, Any] = {}
        if self.config.guidance_channels:
            shape = (batch, frames, self.config.guidance_channels, height, width)
            beside = noisy.new_zeros(shape)
            if guidance is not None and guidance.beside is not None:
                beside = guidance.beside.reshape(shape)
            noisy = torch.cat((noisy, beside.transpose(1, 2)), 1)
        if guidance is not None:
            added["down_block_additional_residuals"] = guidance.skips
            added["mid_block_additional_residual"] = guidance.middle
        if self.config.pooled_text:
            added["timestep_cond"] = text.pooled
        predicted: torch.Tensor = self.unet(
            noisy, time, encoder_hidden_states=tokens.repeat_interleave(frames, 0), **added
        ).sample
        return predicted.to(given)

    def multiply_in_bfloat16(self) -> None:
        """Compute in bfloat16 on a CPU with AMX: a clip takes 0.6 of the time."""
        narrow = torch.autocast("cpu", torch.bfloat16)
        for part, name in (
            (self, "encode_text"),
            (self, "encode_skeleton"),
            (self, "paint"),
            (self, "forward"),
            (self.autoencoder, "decode"),
        ):
            setattr(part, name, narrow(getattr(part, name)))
