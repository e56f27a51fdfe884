"""The painter: limbs and words to the figure, pixel by pixel, before anything is denoised.

Design choice: a cell of the tiny tier is 16 pixels, and its U-Net has 64 channels for the 48
numbers of a cell and for all else that it must know. Its figures were soft at every time step,
their silhouettes overlapped the truth by 0.50 even with hardly any noise left to remove, and of the
colours within the figure it explained a fiftieth at the first step. A small network over whole
pixels finds the silhouette from the limbs alone to 0.80 after two minutes of training. So the
painter gives the figure's place and usual colours, once a clip, and the U-Net what is behind it and
how this clip's light differs.
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


class Figure(NamedTuple):
    """The gymnast on N frames, without what is behind her.

    Attributes:
        colors: (N, 3, S, S), frames' range [-1, 1].
        cover: (N, 1, S, S), share of each pixel that she covers, as a logit.
    """

    colors: torch.Tensor
    cover: torch.Tensor

    def over(self, behind: torch.Tensor, light: torch.Tensor, patch: int) -> torch.Tensor:
        """Put the figure in front of a clip.

        Args:
            behind: (B, 3 patch^2, F, h, w), pixels unshuffled; B F is N.
            light: the same, added to the figure's colours.
            patch: pixels of a cell along one side.
        """
        share = self.cover.sigmoid().expand_as(self.colors)
        batch, _, frames, height, width = behind.shape
        cells = [
            functional.pixel_unshuffle(picture, patch)
            .reshape(batch, frames, -1, height, width)
            .transpose(1, 2)
            for picture in (self.colors, share)
        ]
        return torch.lerp(behind, cells[0] + light, cells[1])


class Painter(nn.Module):
    """A U of residual blocks from limb heatmaps to the figure; the words scale its features."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        if config.heatmap_levels[0] != config.size:
            raise ValueError(
                f"the painter reads heatmaps of {config.size} cells a side; the finest level has "
                f"{config.heatmap_levels[0]}: set heatmap_detail to patch, {config.patch}."
            )
        if config.prediction != "sample":
            raise ValueError(
                f"the painter's figure is put over predicted frames; prediction is "
                f"{config.prediction!r}: set it to 'sample'."
            )
        widths = config.painter_channels
        self.words = nn.Sequential(
            nn.Linear(config.text_width, _WORDS), nn.SiLU(), nn.Linear(_WORDS, _WORDS)
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

    def forward(self, limbs: torch.Tensor, text: torch.Tensor) -> Figure:
        """Paint the figure; where a frame has no limb at all nothing is painted.

        Args:
            limbs: (N, L, S, S) heatmaps in [0, 1].
            text: (N, W), the sum of the text features of each frame's prompt.
        """
        said = self.words(text)
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


def _block(inputs: int, outputs: int) -> nn.Module:
    block: nn.Module = ResnetBlock2D(
        in_channels=inputs,
        out_channels=outputs,
        temb_channels=_WORDS,
        groups=_GROUPS,
        time_embedding_norm="scale_shift",
    )
    return block
