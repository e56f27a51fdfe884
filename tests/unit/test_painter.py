"""The painter: a figure where limbs are, and nothing where there are none."""

from dataclasses import replace

import pytest
import torch

from finephys.config import TINY_GENERATOR
from finephys.generator.network import VideoNetwork
from finephys.generator.painter import Figure, Painter, Style
from finephys.generator.text import TextFeatures
from finephys.skeleton import LIMBS

CONFIG = replace(
    TINY_GENERATOR,
    size=32,
    painter_channels=(8, 16),
    autoencoder_channels=(8, 8),
    text_width=12,
    text_heads=2,
    style=5,
)
SIDE = CONFIG.size


def painter() -> Painter:
    torch.manual_seed(0)
    return Painter(CONFIG)


def test_the_figure_covers_pixel_by_pixel_what_is_behind_it() -> None:
    random = torch.Generator().manual_seed(0)
    pictures = torch.rand((6, 3, SIDE, SIDE), generator=random)
    colors = torch.rand((6, 3, SIDE, SIDE), generator=random)
    body = torch.rand((6, 1, SIDE, SIDE), generator=random) < 0.4
    figure = Figure(colors, torch.where(body, 50.0, -50.0))
    torch.testing.assert_close(figure.over(pictures), torch.where(body, colors, pictures))


def test_no_limb_no_figure_and_other_frames_of_the_batch_keep_theirs() -> None:
    limbs = torch.rand(3, len(LIMBS), SIDE, SIDE)
    limbs[1] = 0
    share = painter()(limbs, torch.randn(3, 12), torch.randn(3, 5)).alpha_logit.sigmoid()
    assert not share[1].any()
    assert share[0].min() > 0
    assert share[2].min() > 0


@pytest.mark.parametrize("changed", ["text", "style"])
def test_words_and_style_change_the_figure(changed: str) -> None:
    limbs = torch.rand(1, len(LIMBS), SIDE, SIDE).expand(2, -1, -1, -1)
    text, style = torch.randn(1, 12).expand(2, -1), torch.randn(1, 5).expand(2, -1)
    if changed == "text":
        text = torch.randn(2, 12)
    else:
        style = torch.randn(2, 5)
    colors = painter()(limbs, text, style).colors
    assert (colors[0] - colors[1]).abs().mean() > 1e-3


def test_a_style_is_read_from_the_figure_alone() -> None:
    """Catches a style that tells the place, which would be drawn by the seed and fit nothing."""
    reader = painter().reader
    frames, figure = torch.rand(2, 3, SIDE, SIDE) * 2 - 1, torch.zeros(2, 1, SIDE, SIDE)
    figure[:, :, 8:24, 10:20] = 1
    other = torch.where(figure > 0, frames, torch.rand_like(frames))
    torch.testing.assert_close(reader(other, figure).mean, reader(frames, figure).mean)
    torch.testing.assert_close(  # a figure out of sight has a style too, the same for all
        reader(frames, figure * 0).mean[0], reader(frames, figure * 0).mean[1]
    )
    assert not torch.allclose(reader(-frames, figure).mean, reader(frames, figure).mean)


def test_the_divergence_is_that_from_the_standard_normal() -> None:
    mean, log_variance = torch.tensor([[0.3, -1.0]]), torch.tensor([[-0.5, 0.8]])
    wanted = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (0.5 * log_variance).exp()),
        torch.distributions.Normal(0, 1),
    ).sum(-1)
    torch.testing.assert_close(Style(mean, log_variance).kl_divergence(), wanted)


def test_what_cannot_be_painted_is_refused() -> None:
    with pytest.raises(ValueError, match="heatmap_detail to patch, 8"):
        Painter(replace(CONFIG, heatmap_detail=2))


def test_each_clip_of_a_batch_has_its_own_words_and_style() -> None:
    """Catches clips and frames in another order than the heatmaps', and empty clips painted."""
    torch.manual_seed(1)
    network = VideoNetwork(CONFIG, 1023).eval()
    text = TextFeatures(torch.zeros(2, 4, 12), torch.randn(2, 12))
    style = torch.randn(2, 5)
    levels = [torch.rand(2, 3, len(LIMBS), side, side) for side in CONFIG.heatmap_levels]
    both = network.paint(levels, text, style)
    second = [level[1:] for level in levels]
    alone = network.paint(second, TextFeatures(text.tokens[1:], text.pooled[1:]), style[1:])
    assert both is not None
    assert alone is not None
    torch.testing.assert_close(both.colors[3:], alone.colors, atol=1e-5, rtol=1e-4)
    empty = network.paint([level * 0 for level in levels], text, style)
    assert empty is not None
    assert not empty.alpha_logit.sigmoid().any()
