"""All of a generator that has weights: text and skeleton encoder, painter, video U-Net, VAE."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import torch
from diffusers import UNetMotionModel
from torch import nn

from finephys.config import GeneratorConfig
from finephys.generator.autoencoder import Autoencoder, make_autoencoder
from finephys.generator.painter import Figure, Painter
from finephys.generator.skeleton_encoder import Guidance, SkeletonEncoder
from finephys.generator.text import TextFeatures, encode_text, make_text_model
from finephys.skeleton import FRAMES


def make_unet(config: GeneratorConfig) -> UNetMotionModel:
    """The video U-Net of diffusers at the size of a configuration.

    The motion modules (supplement A.1: one transformer block with two temporal self-attentions at
    every scale) start with a zero output, so the untrained model is a 2D U-Net frame by frame.
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
    silence_motion(unet)
    return unet


def silence_motion(unet: nn.Module) -> None:
    """Zero what the motion modules of a video U-Net add, so that it is a 2D U-Net frame by frame.

    Source: supplement A.1, "to stabilize training, the module parameters are zero-initialized".
    Design choice: of each module the last projection alone; a module of zeros could not learn.
    """
    for block in _motion_blocks(unet):
        for module in block.motion_modules:
            nn.init.zeros_(module.proj_out.weight)
            nn.init.zeros_(module.proj_out.bias)


def _motion_blocks(unet: nn.Module) -> list[Any]:
    return [*unet.down_blocks, unet.mid_block, *unet.up_blocks]  # type: ignore[misc]


class _Skip(nn.Module):
    """Stands where a motion module would, and changes nothing."""

    def forward(self, hidden: torch.Tensor, *_args: object, **_named: object) -> torch.Tensor:
        return hidden


@contextmanager
def without_motion(unet: nn.Module) -> Iterator[None]:
    """Leave the motion modules of a video U-Net out, and put them back."""
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
    """Parts of a generator that were made elsewhere.

    Attributes:
        autoencoder: frames to latents and back.
        text_encoder: CLIP's.
        unet: video U-Net.
    """

    autoencoder: Autoencoder
    text_encoder: nn.Module
    unet: UNetMotionModel


class VideoNetwork(nn.Module):
    """The generator's weights, named as they lie in its checkpoint.

    Args:
        config: sizes.
        end_token: id of the tokenizer's end token.
        base: all but the skeleton encoder; None: made anew, at random.
    """

    def __init__(self, config: GeneratorConfig, end_token: int, base: Base | None = None) -> None:
        super().__init__()
        self.config = config
        # The order of the parts is that of an optimiser's saved state.
        self.autoencoder = base.autoencoder if base else make_autoencoder(config)
        self.text_encoder = base.text_encoder if base else make_text_model(config, end_token)
        self.skeleton_encoder = SkeletonEncoder(config)
        self.unet = base.unet if base else make_unet(config)
        self.painter = Painter(config) if config.painter_channels else None
        self.autoencoder.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "VideoNetwork":
        """Training of the generator leaves the autoencoder as it is."""
        super().train(mode)
        self.autoencoder.eval()
        return self

    def encode_text(self, ids: torch.Tensor, mask: torch.Tensor) -> TextFeatures:
        """Features of tokenised prompts, (B, T) ids and mask."""
        return encode_text(self.text_encoder, ids, mask)

    def encode_skeleton(self, heatmaps: list[torch.Tensor], text: TextFeatures) -> Guidance:
        """Features of heatmaps, one (B, F, L, h, w) per scale, finest first, and of B prompts."""
        levels, whole = self._by_frame(heatmaps, text)
        guidance: Guidance = self.skeleton_encoder(levels, whole)
        return guidance

    def paint(
        self, heatmaps: list[torch.Tensor], text: TextFeatures, style: torch.Tensor
    ) -> Figure | None:
        """The figures of B clips, (B F, ...); None without a painter or without anybody to paint.

        Args:
            heatmaps: as for `encode_skeleton`.
            text: features of B prompts.
            style: (B, K), see `painter`.
        """
        if self.painter is None or not heatmaps[0].any():
            return None
        levels, whole = self._by_frame(heatmaps[:1], text)
        each = style.to(whole.dtype).repeat_interleave(heatmaps[0].shape[1], 0)
        figure: Figure = self.painter(levels[0], whole, each)
        return figure

    def _by_frame(
        self, heatmaps: list[torch.Tensor], text: TextFeatures
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Heatmaps (B F, L, h, w) and each frame's whole text (B F, W)."""
        dtype = self.skeleton_encoder.middle.weight.dtype
        levels = [level.flatten(0, 1).to(dtype) for level in heatmaps]
        return levels, text.whole.to(dtype).repeat_interleave(heatmaps[0].shape[1], 0)

    def forward(
        self,
        noisy: torch.Tensor,
        time: torch.Tensor,
        text: TextFeatures,
        guidance: Guidance | None,
    ) -> torch.Tensor:
        """The U-Net's output, which `sampling.predict_clean` turns into the clean latent.

        Args:
            noisy: (B, C, F, h, w) latents.
            time: (B,) time steps, 0 to 999.
            text: features of B prompts.
            guidance: features of B clips' skeletons; None: the plain model without a skeleton.

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
            added["timestep_cond"] = text.whole
        predicted: torch.Tensor = self.unet(
            noisy, time, encoder_hidden_states=tokens.repeat_interleave(frames, 0), **added
        ).sample
        return predicted.to(given)

    def multiply_in_bfloat16(self) -> None:
        """Let a CPU with AMX multiply in bfloat16: a clip takes 0.6 of the time."""
        narrow = torch.autocast("cpu", torch.bfloat16)
        for part, name in (
            (self, "encode_text"),
            (self, "encode_skeleton"),
            (self, "paint"),
            (self, "forward"),
            (self.autoencoder, "decode"),
        ):
            setattr(part, name, narrow(getattr(part, name)))

    def without_motion(self) -> AbstractContextManager[None]:
        """Leave the motion modules out: every frame is then generated alone."""
        return without_motion(self.unet)
