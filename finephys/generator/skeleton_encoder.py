"""The skeletal heatmap encoder: limb heatmaps become features at every scale of the video U-Net.

Source: supplement A.1 and A.2. Every output starts at zero, so an untrained encoder does not change
the U-Net's output.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from finephys.config import GeneratorConfig
from finephys.skeleton import LIMBS


class SkeletonFeatures(NamedTuple):
    """The encoder's features for the U-Net; N is batch times frames.

    Attributes:
        beside: (N, G, h, w) concatenated to the noisy latent; None where G is 0.
        skips: one (N, C, h, w) per skip connection, added to it.
        middle: (N, C, h, w) added after the middle block.
    """

    beside: torch.Tensor | None
    skips: tuple[torch.Tensor, ...]
    middle: torch.Tensor


def skip_shapes(config: GeneratorConfig) -> list[tuple[int, int]]:
    """Return scale and channels of each skip connection, in the U-Net's order."""
    shapes = [(0, config.channels[0])]
    for scale, channels in enumerate(config.channels):
        shapes += [(scale, channels)] * config.layers
        if scale + 1 < len(config.channels):
            shapes.append((scale + 1, channels))
    return shapes


def _zero_convolution(inputs: int, outputs: int) -> nn.Conv2d:
    convolution = nn.Conv2d(inputs, outputs, 1)
    nn.init.zeros_(convolution.weight)
    assert convolution.bias is not None  # noqa: S101 -- for the type checker
    nn.init.zeros_(convolution.bias)
    return convolution


def _zero_linear(inputs: int, outputs: int) -> nn.Linear:
    linear = nn.Linear(inputs, outputs)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


class SkeletonEncoder(nn.Module):
    """Encodes heatmaps from the finest to the coarsest scale.

    Design choice: with `pooled_text` the text modulates the features of each scale (FiLM, Perez et
    al. 2018, its scale alone). The U-Net of diffusers only adds text to its features, and without a
    product of "is the trunk" and "is red" the tiny one was slow to learn the leotard's color.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.detail = config.heatmap_detail
        self.skip_scales = [scale for scale, _ in skip_shapes(config)]
        widths = config.skeleton_channels
        inputs = len(LIMBS) * config.heatmap_detail**2
        self.readers = nn.ModuleList(nn.Conv2d(inputs, width, 3, padding=1) for width in widths)
        self.coarser = nn.ModuleList(
            nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in pairwise(widths)
        )
        self.mixers = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for width in widths)
        self.beside = (
            _zero_convolution(widths[0], config.guidance_channels)
            if config.guidance_channels
            else None
        )
        self.skips = nn.ModuleList(
            _zero_convolution(widths[scale], channels) for scale, channels in skip_shapes(config)
        )
        self.middle = _zero_convolution(widths[-1], config.channels[-1])
        # The text modulation (FiLM) layers, under their name in the shipped checkpoint.
        self.painters = (
            nn.ModuleList(_zero_linear(config.text_width, width) for width in widths)
            if config.pooled_text
            else None
        )

    def forward(self, heatmaps: list[torch.Tensor], text: torch.Tensor) -> SkeletonFeatures:
        """Encode heatmaps.

        Args:
            heatmaps: one (N, L, h, w) in [0, 1] per scale, finest first.
            text: (N, W), the pooled text features of each frame's prompt.
        """
        features: list[torch.Tensor] = []
        for scale, level in enumerate(heatmaps):
            read = self.readers[scale](functional.pixel_unshuffle(level, self.detail))
            if features:
                read = read + self.coarser[scale - 1](features[-1])
            hidden = functional.silu(read)
            features.append(functional.silu(hidden + self.mixers[scale](hidden)))
        if self.painters is not None:
            features = [
                feature * (1 + modulation(text)[:, :, None, None])
                for feature, modulation in zip(features, self.painters, strict=True)
            ]
        skips = tuple(
            output(features[scale])
            for output, scale in zip(self.skips, self.skip_scales, strict=True)
        )
        beside = None if self.beside is None else self.beside(features[0])
        return SkeletonFeatures(beside, skips, self.middle(features[-1]))
