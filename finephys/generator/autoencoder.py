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

    def limit(self, latents: torch.Tensor) -> torch.Tensor:
        """Keep predicted clean latents in the range that frames have."""
        return latents.clamp(-1, 1)


class LatentAutoencoder(nn.Module):
    """Stable Diffusion 1.5's variational autoencoder, its latents scaled to unit variance."""

    SCALE = 0.18215

    def __init__(self, channels: tuple[int, ...] = (128, 256, 512, 512)) -> None:
        super().__init__()
        sizes: dict[str, Any] = {
            "down_block_types": ("DownEncoderBlock2D",) * len(channels),
            "up_block_types": ("UpDecoderBlock2D",) * len(channels),
        }
        self.vae = AutoencoderKL(
            block_out_channels=channels, layers_per_block=2, latent_channels=4, **sizes
        )

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames (N, 3, H, W) in [-1, 1] to mean latents (N, 4, H/8, W/8)."""
        means = [self.vae.encode(frame[None]).latent_dist.mean for frame in frames]
        return torch.cat(means) * self.SCALE

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents to frames, one frame at a time so that memory stays that of one frame."""
        frames = [self.vae.decode(latent[None] / self.SCALE).sample for latent in latents]
        return torch.cat(frames)

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
