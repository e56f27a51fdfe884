"""The painter: a figure where limbs are, and nothing where there are none."""

from dataclasses import replace

import pytest
import torch

from finephys.config import TINY_GENERATOR
from finephys.generator.autoencoder import PixelAutoencoder
from finephys.generator.network import VideoNetwork
from finephys.generator.painter import Figure, Painter
from finephys.generator.text import TextFeatures
from finephys.skeleton import LIMBS

CONFIG = replace(TINY_GENERATOR, size=16, painter_channels=(8, 16), text_width=12)


def test_the_figure_covers_pixel_by_pixel_what_is_behind_it() -> None:
    """Catches frames of two clips, channels or pixels in another order than the latents'."""
    random = torch.Generator().manual_seed(0)
    pixels = PixelAutoencoder(4)
    pictures = torch.rand((6, 3, 16, 16), generator=random)
    colors = torch.rand((6, 3, 16, 16), generator=random)
    body = torch.rand((6, 1, 16, 16), generator=random) < 0.4
    light = torch.rand((6, 3, 16, 16), generator=random)

    def clips(frames: torch.Tensor) -> torch.Tensor:
        cells = pixels.encode(frames)
        return cells.reshape(2, 3, *cells.shape[1:]).transpose(1, 2)

    figure = Figure(colors, torch.where(body, 50.0, -50.0))
    made = figure.over(clips(pictures), clips(light), 4)
    frames = pixels.decode(made.transpose(1, 2).flatten(0, 1))
    torch.testing.assert_close(frames, torch.where(body, colors + light, pictures))


def test_no_limb_no_figure_and_other_frames_of_the_batch_keep_theirs() -> None:
    torch.manual_seed(0)
    painter = Painter(CONFIG)
    limbs = torch.rand(3, len(LIMBS), 16, 16)
    limbs[1] = 0
    share = painter(limbs, torch.randn(3, 12)).cover.sigmoid()
    assert not share[1].any()
    assert share[0].min() > 0
    assert share[2].min() > 0


def test_words_change_the_figure() -> None:
    torch.manual_seed(0)
    painter = Painter(CONFIG)
    limbs = torch.rand(1, len(LIMBS), 16, 16).expand(2, -1, -1, -1)
    colors = painter(limbs, torch.randn(2, 12)).colors
    assert (colors[0] - colors[1]).abs().mean() > 1e-3


def test_what_cannot_be_painted_is_refused() -> None:
    with pytest.raises(ValueError, match="heatmap_detail to patch, 4"):
        Painter(replace(CONFIG, heatmap_detail=2))
    with pytest.raises(ValueError, match="'sample'"):
        Painter(replace(CONFIG, prediction="epsilon"))


def test_the_video_network_learns_the_painter_only_where_asked() -> None:
    """Catches going backwards through the painter for every frame, or never."""
    network = VideoNetwork(replace(CONFIG, text_heads=2), 1023)
    text = TextFeatures(torch.zeros(1, 4, 12), torch.zeros(1, 12))
    levels = [torch.rand(1, 2, len(LIMBS), side, side) for side in CONFIG.heatmap_levels]
    learning = network.encode_skeleton(levels, text).figure
    given = network.encode_skeleton(levels, text, painter_learns=False).figure
    assert learning is not None
    assert given is not None
    assert learning.colors.requires_grad
    assert not given.colors.requires_grad
