"""The painter: limbs, words and a style to the figure, in front of what is denoised.

Design choice: a cell of the tiny tier's latents is 8 x 8 pixels, and a forearm is 3 pixels wide. A
U-Net narrow enough for a CPU, on cells of as large a share of 64 x 64 pixels, drew soft figures at
every time step, whose silhouettes overlapped the truth by 0.50 even with hardly any noise left to
remove. A small network over whole pixels found the silhouette there from limbs and words to 0.84
within minutes of training, and finds it to 0.83 at 128 x 128. So the painter
makes the figure, once a clip, and the U-Net what is behind it; without a skeleton the U-Net draws
both.

What neither limbs nor words say (skin, hair, sleeves, girth, light) is the figure's style, a few
numbers for a whole clip. In training a reader takes them from true frames, held near the standard
normal distribution (a variational autoencoder, Kingma and Welling 2014); a new clip draws them by
its seed.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from diffusers.models.resnet import ResnetBlock2D
from torch import nn
from torch.nn import functional

from finephys.config import GeneratorConfig
from finephys.skeleton import LIMBS

_WORDS = 128
_GROUPS = 8
_READER = (32, 48, 64, 96)


class Figure(NamedTuple):
    """The gymnast on N frames, without what is behind her.

    Attributes:
        colors: (N, 3, S, S), frames' range [-1, 1].
        cover: (N, 1, S, S), share of each pixel that she covers, as a logit.
    """

    colors: torch.Tensor
    cover: torch.Tensor

    def over(self, behind: torch.Tensor) -> torch.Tensor:
        """Put the figure in front of frames (N, 3, S, S)."""
        share = self.cover.float().sigmoid()
        return torch.lerp(behind, self.colors.to(behind.dtype), share.to(behind.dtype))


class Style(NamedTuple):
    """Where styles of N figures are likely to be, a normal distribution.

    Attributes:
        mean: (N, K).
        spread: (N, K), logarithm of the variance.
    """

    mean: torch.Tensor
    spread: torch.Tensor

    def nats(self) -> torch.Tensor:
        """What they say beyond the standard normal distribution, (N,): its divergence."""
        square = self.mean**2 + self.spread.exp() - self.spread - 1
        return 0.5 * square.sum(-1)


class Painter(nn.Module):
    """A U of residual blocks from limb heatmaps to the figure; words and style scale its features.

    Raises:
        ValueError: the finest heatmaps are not as large as the frames.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        if config.heatmap_levels[0] != config.size:
            raise ValueError(
                f"the painter reads heatmaps of {config.size} cells a side; the finest level has "
                f"{config.heatmap_levels[0]}: set heatmap_detail to patch, {config.patch}."
            )
        widths = config.painter_channels
        self.words = nn.Sequential(
            nn.Linear(config.text_width + config.style, _WORDS),
            nn.SiLU(),
            nn.Linear(_WORDS, _WORDS),
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
        """Paint the figure; where a frame has no limb at all nothing is painted.

        Args:
            limbs: (N, L, S, S) heatmaps in [0, 1].
            text: (N, W), the sum of the text features of each frame's prompt.
            style: (N, K), of variance 1.
        """
        said = self.words(torch.cat((text, style), -1))
        # In the order of memory that narrow convolutions are a third faster in on a CPU.
        hidden = self.enter(limbs.contiguous(memory_format=torch.channels_last))
        kept: list[torch.Tensor] = []
        for index, block in enumerate(self.down):
            hidden = block(functional.avg_pool2d(hidden, 2) if index else hidden, said)
            kept.append(hidden)
        for block, fine in zip(self.up, kept[-2::-1], strict=True):
            wide = functional.interpolate(hidden, scale_factor=2.0, mode="nearest")
            hidden = block(torch.cat((wide, fine), 1), said)
        painted = self.leave(functional.silu(self.norm(hidden)))
        nobody = limbs.amax((1, 2, 3), keepdim=True) <= 0
        return Figure(painted[:, :3], painted[:, 3:].masked_fill(nobody, -1e4))


class StyleReader(nn.Module):
    """The style of true figures; only training asks for it.

    Args:
        style: numbers of a style.
    """

    def __init__(self, style: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((4, *_READER)):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.SiLU()]
        self.layers = nn.Sequential(*layers)
        self.out = nn.Linear(_READER[-1], 2 * style)

    def forward(self, frames: torch.Tensor, figure: torch.Tensor) -> Style:
        """Read N frames (N, 3, S, S) in [-1, 1] where `figure` (N, 1, S, S) is 1."""
        features = self.layers(torch.cat((frames * figure, figure), 1))
        inside = functional.adaptive_avg_pool2d(figure, features.shape[-2:])
        share = inside / inside.sum((2, 3), keepdim=True).clamp_min(1e-3)
        mean, spread = self.out((features * share).sum((2, 3))).float().chunk(2, -1)
        return Style(mean, spread.clamp(-8, 2))


def _block(inputs: int, outputs: int) -> nn.Module:
    block: nn.Module = ResnetBlock2D(
        in_channels=inputs,
        out_channels=outputs,
        temb_channels=_WORDS,
        groups=_GROUPS,
        time_embedding_norm="scale_shift",
    )
    return block
