"""The painter: limb heatmaps, text and a style become the figure in front of the denoised frames.

Design choice: a latent pixel of the tiny tier covers 8 x 8 pixels, and a forearm is 3 pixels wide.
A U-Net narrow enough for a CPU, tried at 64 x 64 pixels with the same proportions, drew soft
figures at every time step: the IoU of their silhouettes was 0.50 even with hardly any noise left. A
small network at full resolution reached an IoU of 0.84 there within minutes of training, and
reaches 0.83 at 128 x 128. So the painter draws the figure, once a clip, and the U-Net the
background; without a skeleton the U-Net draws both.

The style is whatever skeleton and text do not determine (skin, hair, sleeves, girth, light): a
vector for the whole clip. In training an encoder reads it from true frames, regularized towards the
standard normal distribution (a variational autoencoder, Kingma and Welling 2014); in generation it
is drawn by the seed.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from diffusers.models.resnet import ResnetBlock2D
from torch import nn
from torch.nn import functional

from finephys.config import GeneratorConfig
from finephys.skeleton import LIMBS

_CONDITION = 128
_GROUPS = 8
_READER = (32, 48, 64, 96)


class Figure(NamedTuple):
    """The gymnast on N frames, without the background.

    Attributes:
        colors: (N, 3, S, S) in [-1, 1].
        alpha_logit: (N, 1, S, S), opacity of the figure before the sigmoid.
    """

    colors: torch.Tensor
    alpha_logit: torch.Tensor

    def over(self, behind: torch.Tensor) -> torch.Tensor:
        """Composite the figure over frames (N, 3, S, S)."""
        alpha = self.alpha_logit.float().sigmoid()
        return torch.lerp(behind, self.colors.to(behind.dtype), alpha.to(behind.dtype))


class Style(NamedTuple):
    """Normal distribution of the styles of N figures.

    Attributes:
        mean: (N, K).
        log_variance: (N, K).
    """

    mean: torch.Tensor
    log_variance: torch.Tensor

    def kl_divergence(self) -> torch.Tensor:
        """Return the divergence from the standard normal distribution, (N,) nats."""
        terms = self.mean**2 + self.log_variance.exp() - self.log_variance - 1
        return 0.5 * terms.sum(-1)


class Painter(nn.Module):
    """A small U-Net from limb heatmaps to the figure, modulated by text and style.

    Raises:
        ValueError: the finest heatmaps are not as large as the frames.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        if config.heatmap_levels[0] != config.size:
            raise ValueError(
                f"the finest heatmaps have {config.heatmap_levels[0]} pixels a side; the painter "
                f"reads {config.size}: set heatmap_detail to patch, {config.patch}."
            )
        widths = config.painter_channels
        self.words = nn.Sequential(
            nn.Linear(config.text_width + config.style, _CONDITION),
            nn.SiLU(),
            nn.Linear(_CONDITION, _CONDITION),
        )
        self.enter = nn.Conv2d(len(LIMBS), widths[0], 3, padding=1)
        self.down = nn.ModuleList(
            _block(inputs, outputs) for inputs, outputs in pairwise((widths[0], *widths))
        )
        self.up = nn.ModuleList(
            _block(fine + coarse, fine) for coarse, fine in pairwise(widths[::-1])
        )
        self.norm = nn.GroupNorm(_GROUPS, widths[0])
        self.leave = nn.Conv2d(widths[0], 4, 3, padding=1)
        self.reader = StyleReader(config.style)

    def forward(self, limbs: torch.Tensor, text: torch.Tensor, style: torch.Tensor) -> Figure:
        """Paint the figure; a frame whose heatmaps are all zero stays empty.

        Args:
            limbs: (N, L, S, S) heatmaps in [0, 1].
            text: (N, W), the pooled text features of each frame's prompt.
            style: (N, K), of variance 1.
        """
        condition = self.words(torch.cat((text, style), -1))
        # Narrow convolutions on a CPU are a third faster in this memory format.
        hidden = self.enter(limbs.contiguous(memory_format=torch.channels_last))
        kept: list[torch.Tensor] = []
        for index, block in enumerate(self.down):
            hidden = block(functional.avg_pool2d(hidden, 2) if index else hidden, condition)
            kept.append(hidden)
        for block, fine in zip(self.up, kept[-2::-1], strict=True):
            wide = functional.interpolate(hidden, scale_factor=2.0, mode="nearest")
            hidden = block(torch.cat((wide, fine), 1), condition)
        painted = self.leave(functional.silu(self.norm(hidden)))
        empty = limbs.amax((1, 2, 3), keepdim=True) <= 0
        return Figure(painted[:, :3], painted[:, 3:].masked_fill(empty, -1e4))


class StyleReader(nn.Module):
    """Encodes the style of true figures, in training only.

    Args:
        style: dimensions of a style.
    """

    def __init__(self, style: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((4, *_READER)):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.SiLU()]
        self.layers = nn.Sequential(*layers)
        self.out = nn.Linear(_READER[-1], 2 * style)

    def forward(self, frames: torch.Tensor, figure: torch.Tensor) -> Style:
        """Encode frames (N, 3, S, S) in [-1, 1] where the mask `figure` (N, 1, S, S) is 1."""
        features = self.layers(torch.cat((frames * figure, figure), 1))
        inside = functional.adaptive_avg_pool2d(figure, features.shape[-2:])
        weight = inside / inside.sum((2, 3), keepdim=True).clamp_min(1e-3)
        mean, log_variance = self.out((features * weight).sum((2, 3))).float().chunk(2, -1)
        return Style(mean, log_variance.clamp(-8, 2))


def _block(inputs: int, outputs: int) -> nn.Module:
    block: nn.Module = ResnetBlock2D(
        in_channels=inputs,
        out_channels=outputs,
        temb_channels=_CONDITION,
        groups=_GROUPS,
        time_embedding_norm="scale_shift",
    )
    return block
