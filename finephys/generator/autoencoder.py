"""Frames to latents and back: one interface for the autoencoders of all tiers."""

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import Any

import torch
from diffusers import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import nn
from torch.nn import functional

from finephys.config import GeneratorConfig
from finephys.errors import WeightsError


class Autoencoder(nn.Module, ABC):
    """Encodes frames, decodes latents, and previews latents without decoding them.

    `encode` and `decode` are not `forward`, so they call an offloaded module's hook themselves.
    """

    _preview_weights: torch.Tensor | None = None

    @abstractmethod
    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """Encode frames (N, 3, H, W) in [-1, 1] as latents (N, C, h, w)."""

    @abstractmethod
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Decode latents (N, C, h, w) into frames (N, 3, H, W)."""

    def preview(self, latents: torch.Tensor, patch: int) -> torch.Tensor:
        """Approximate the decoded frames by a linear latent-to-RGB map, at almost no cost.

        Design choice: the map is fitted once, by least squares, to the latents of a color chart.

        Args:
            latents: (N, C, h, w).
            patch: the autoencoder's downsampling factor.

        Returns:
            (N, 3, patch h, patch w), interpolated from one color per latent pixel.
        """
        if self._preview_weights is None:
            self._preview_weights = self._fit_preview(patch, latents.device)
        weights = self._preview_weights.to(latents.device)
        coarse = torch.einsum("nchw,cd->ndhw", latents.float(), weights[:-1])
        coarse = coarse + weights[-1][:, None, None]
        return functional.interpolate(coarse, scale_factor=patch, mode="bilinear")

    def _fit_preview(self, patch: int, device: torch.device) -> torch.Tensor:
        """Fit RGB = latent @ weights[:-1] + weights[-1]; return the weights (C + 1, 3)."""
        steps = torch.linspace(-1, 1, 4)
        chart = torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij")).reshape(3, 8, 8)
        # Every color fills 4 x 4 latent pixels, since an encoder also sees a pixel's neighbors.
        colors = chart.repeat_interleave(4, 1).repeat_interleave(4, 2)
        frame = colors.repeat_interleave(patch, 1).repeat_interleave(patch, 2)
        latents = self.encode(frame[None].to(device))[0].float().flatten(1).T
        inputs = torch.cat([latents, torch.ones_like(latents[:, :1])], 1).cpu()
        if not torch.isfinite(inputs).all():
            raise WeightsError(
                "the autoencoder encodes a color chart as NaN or infinite values; half precision "
                "may be too narrow for it: run on a CPU, or fetch the weights again."
            )
        solution: torch.Tensor = torch.linalg.lstsq(inputs, colors.flatten(1).T).solution
        return solution


class SmallAutoencoder(Autoencoder):
    """Convolutional autoencoder of the tiny tier.

    Design choice: a U-Net as narrow as the tiny one, denoising pixels themselves (pixel-unshuffle),
    has 64 features for the 192 numbers of 8 x 8 pixels, and every outline is soft. Here it denoises
    16 latent channels, and the decoder draws the edges, once a clip.

    Args:
        channels: width per scale, that of 4 x 4 pixels first; each further one halves the scale.
        latent_channels: channels of the latents.
    """

    _PATCH = 4

    def __init__(self, channels: tuple[int, ...], latent_channels: int) -> None:
        super().__init__()
        pixels = 3 * self._PATCH**2
        fine, coarse = channels[0], channels[-1]
        down: list[nn.Module] = [nn.Conv2d(pixels, fine, 3, padding=1), _Residual(fine)]
        up: list[nn.Module] = [_Residual(coarse), _Residual(coarse)]
        for wide, narrow in pairwise(channels[::-1]):
            up += [
                nn.Upsample(scale_factor=2.0, mode="nearest"),
                nn.Conv2d(wide, narrow, 3, padding=1),
                _Residual(narrow),
                _Residual(narrow),
            ]
        for narrow, wide in pairwise(channels):
            down += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), _Residual(wide)]
        self.enter = nn.Sequential(*down, *_end(coarse, latent_channels))
        self.leave = nn.Sequential(
            nn.Conv2d(latent_channels, coarse, 3, padding=1), *up, *_end(fine, pixels)
        )
        self.unit = nn.BatchNorm2d(latent_channels, affine=False)

    @apply_forward_hook  # type: ignore[untyped-decorator]
    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """Encode frames as latents, each channel of variance 1; see `Autoencoder`."""
        patches = functional.pixel_unshuffle(frames, self._PATCH)
        latents: torch.Tensor = self.unit(self.enter(patches).float())
        return latents

    @apply_forward_hook  # type: ignore[untyped-decorator]
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Decode latents into frames; see `Autoencoder`."""
        frames: torch.Tensor = functional.pixel_shuffle(self.leave(latents), self._PATCH)
        return frames


class _Residual(ResnetBlock2D):  # type: ignore[misc]
    """A residual block without time embedding."""

    def __init__(self, width: int) -> None:
        super().__init__(in_channels=width, temb_channels=None, groups=8)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = super().forward(hidden, None)
        return out


def _end(width: int, outputs: int) -> list[nn.Module]:
    return [nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, outputs, 3, padding=1)]


class LatentAutoencoder(Autoencoder):
    """Stable Diffusion 1.5's variational autoencoder, its latents scaled to unit variance."""

    SCALE = 0.18215

    def __init__(
        self, channels: tuple[int, ...] = (128, 256, 512, 512), vae: AutoencoderKL | None = None
    ) -> None:
        super().__init__()
        self.vae: Any
        if vae is not None:
            self.vae = vae
            return
        sizes: dict[str, Any] = {
            "down_block_types": ("DownEncoderBlock2D",) * len(channels),
            "up_block_types": ("UpDecoderBlock2D",) * len(channels),
        }
        self.vae = AutoencoderKL(
            block_out_channels=channels, layers_per_block=2, latent_channels=4, **sizes
        )

    @apply_forward_hook  # type: ignore[untyped-decorator]
    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """Encode frames as the means of their latents (N, 4, H/8, W/8); see `Autoencoder`."""
        frames = frames.to(self.vae.dtype)
        means = [self.vae.encode(frame[None]).latent_dist.mean for frame in frames]
        return torch.cat(means) * self.SCALE

    @apply_forward_hook  # type: ignore[untyped-decorator]
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Decode latents one frame at a time, so that memory stays that of one frame."""
        latents = latents.to(self.vae.dtype)
        frames = [self.vae.decode(latent[None] / self.SCALE).sample for latent in latents]
        return torch.cat(frames)


def make_autoencoder(config: GeneratorConfig) -> Autoencoder:
    """Build the autoencoder of a configuration, with random weights."""
    if config.autoencoder == "small":
        return SmallAutoencoder(config.autoencoder_channels, config.latent_channels)
    if config.autoencoder == "kl":
        return LatentAutoencoder()
    raise ValueError(f"autoencoder {config.autoencoder!r} does not exist; use 'small' or 'kl'.")
