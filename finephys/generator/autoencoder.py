"""Frames to latents and back, behind one interface for both tiers."""

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import Any

import torch
from diffusers import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from torch import nn
from torch.nn import functional

from finephys.config import GeneratorConfig


class Autoencoder(nn.Module, ABC):
    """What both have in common: latents of no fixed range, and glances at them."""

    _colors: torch.Tensor | None = None

    @abstractmethod
    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames (N, 3, H, W) in [-1, 1] to latents (N, C, h, w)."""

    @abstractmethod
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents to frames."""

    def glance(self, latents: torch.Tensor, patch: int) -> torch.Tensor:
        """Latents to coarse frames at almost no cost, for previews.

        Design choice: an affine map from a cell's channels to its colour, fitted once to what this
        autoencoder makes of a chart of colours; soft between the cells.
        """
        if self._colors is None:
            steps = torch.linspace(-1, 1, 4)
            chart = torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij")).reshape(3, 8, 8)
            cells = chart.repeat_interleave(4, 1).repeat_interleave(4, 2)
            large = cells.repeat_interleave(patch, 1).repeat_interleave(patch, 2)
            seen = self.encode(large[None].to(latents.device))[0].float().flatten(1).T
            inputs = torch.cat([seen, torch.ones_like(seen[:, :1])], 1).cpu()
            self._colors = torch.linalg.lstsq(inputs, cells.flatten(1).T).solution
        weight = self._colors.to(latents.device)
        coarse = torch.einsum("nchw,cd->ndhw", latents.float(), weight[:-1])
        coarse = coarse + weight[-1][:, None, None]
        return functional.interpolate(coarse, scale_factor=patch, mode="bilinear")


class SmallAutoencoder(Autoencoder):
    """Convolutions from frames to a few numbers for each cell and back, for the tiny tier.

    Design choice: where pixels themselves are denoised (pixel-unshuffle), a U-Net as narrow as the
    tiny one has 64 features for the 192 numbers of a cell of 8 x 8 pixels, and every outline is
    soft. Here it makes 16 numbers a cell, and edges are the decoder's, once a clip.

    Args:
        channels: width per scale, that of 4 x 4 pixels first; each further one halves the scale.
        latent_channels: numbers of a cell.
    """

    _PATCH = 4

    def __init__(self, channels: tuple[int, ...], latent_channels: int) -> None:
        super().__init__()
        cells = 3 * self._PATCH**2
        fine, coarse = channels[0], channels[-1]
        down: list[nn.Module] = [nn.Conv2d(cells, fine, 3, padding=1), _Residual(fine)]
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
            nn.Conv2d(latent_channels, coarse, 3, padding=1), *up, *_end(fine, cells)
        )
        self.unit = nn.BatchNorm2d(latent_channels, affine=False)

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames (N, 3, H, W) in [-1, 1] to latents (N, C, h, w), each channel of variance 1."""
        cells = functional.pixel_unshuffle(frames, self._PATCH)
        latents: torch.Tensor = self.unit(self.enter(cells).float())
        return latents

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents to frames."""
        frames: torch.Tensor = functional.pixel_shuffle(self.leave(latents), self._PATCH)
        return frames


class _Residual(ResnetBlock2D):  # type: ignore[misc]
    """A residual block that no time step conditions."""

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

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames (N, 3, H, W) in [-1, 1] to mean latents (N, 4, H/8, W/8)."""
        frames = frames.to(self.vae.dtype)
        means = [self.vae.encode(frame[None]).latent_dist.mean for frame in frames]
        return torch.cat(means) * self.SCALE

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents to frames, one frame at a time so that memory stays that of one frame."""
        latents = latents.to(self.vae.dtype)
        frames = [self.vae.decode(latent[None] / self.SCALE).sample for latent in latents]
        return torch.cat(frames)


def make_autoencoder(config: GeneratorConfig) -> Autoencoder:
    """The autoencoder a configuration names."""
    if config.autoencoder == "small":
        return SmallAutoencoder(config.autoencoder_channels, config.latent_channels)
    if config.autoencoder == "kl":
        return LatentAutoencoder()
    raise ValueError(f"autoencoder {config.autoencoder!r} is unknown; use 'small' or 'kl'.")
