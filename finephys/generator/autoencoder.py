"""Frames to latents and back, behind one interface for both tiers."""

from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import nn
from torch.nn import functional

from finephys.config import GeneratorConfig


class PixelAutoencoder(nn.Module):
    """Pixel-unshuffle: each patch of pixels becomes the channels of one cell, exactly.

    Design choice: the tiny tier has no VAE; a small one was at 21 dB where this is lossless.
    """

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.patch = patch

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames (N, 3, H, W) in [-1, 1] to latents (N, 3 patch^2, H/patch, W/patch)."""
        return functional.pixel_unshuffle(frames, self.patch)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """The inverse of `encode`."""
        return functional.pixel_shuffle(latents, self.patch)

    def glance(self, latents: torch.Tensor, patch: int) -> torch.Tensor:
        """For previews: `decode`, which costs nothing here."""
        return self.decode(latents)

    def limit(self, latents: torch.Tensor) -> torch.Tensor:
        """Keep predicted clean latents in the range that frames have."""
        return latents.clamp(-1, 1)


class LatentAutoencoder(nn.Module):
    """Stable Diffusion 1.5's variational autoencoder, its latents scaled to unit variance."""

    SCALE = 0.18215
    _colors: torch.Tensor | None = None

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

    def glance(self, latents: torch.Tensor, patch: int) -> torch.Tensor:
        """Latents to coarse frames at almost no cost, for previews.

        Design choice: an affine map from a cell's four channels to its colour, fitted once to what
        this VAE makes of a chart of colours.
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
        return functional.interpolate(coarse, scale_factor=patch)

    def limit(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents have no fixed range: unchanged."""
        return latents


def make_autoencoder(config: GeneratorConfig) -> PixelAutoencoder | LatentAutoencoder:
    """The autoencoder a configuration names."""
    if config.autoencoder == "pixels":
        return PixelAutoencoder(config.patch)
    if config.autoencoder == "kl":
        return LatentAutoencoder()
    raise ValueError(f"autoencoder {config.autoencoder!r} is unknown; use 'pixels' or 'kl'.")
