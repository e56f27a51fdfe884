"""The swap test must tell a generator that follows its skeleton from one that does not."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from finephys.training.generator import ClipBatch

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks import generator as benchmark
from benchmarks import silhouette


def clips(count: int = 4) -> ClipBatch:
    """Each figure is a white block of its own, around its joints."""
    rng = np.random.default_rng(0)
    frames = np.full((count, 16, 64, 64, 3), 30, np.uint8)
    figure = np.zeros((count, 16, 64, 64), np.bool_)
    canvas = np.zeros((count, 16, 17, 2), np.float32)
    for index in range(count):
        left = 4 + 15 * index
        figure[index, :, 20:44, left : left + 8] = True
        canvas[index] = rng.uniform((left, 20), (left + 8, 44), (17, 2)) / 64
    frames[figure] = 250
    return ClipBatch(frames, figure, canvas, ["a person"] * count)


class Following:
    """Draws white where its heatmaps are, or where the first clip's were."""

    heatmap_levels = (64,)

    def __init__(self, obeys: bool) -> None:
        self.obeys = obeys
        self.first: list[object] | None = None

    def denoise_batch(self, heatmaps: list, *_: object) -> list:
        self.first = self.first or heatmaps
        drawn = heatmaps if self.obeys else self.first
        masks = np.stack([given.levels[0].max(1) > 0.4 for given in drawn])
        return [np.where(masks[..., None], 250, 30).astype(np.uint8).repeat(3, -1)]


class Bright(nn.Module):
    """Reads what is bright as the figure."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures[:, 0]


def test_swap_tells_following_from_ignoring() -> None:
    held = clips()
    obeying, _ = benchmark.measure(Following(obeys=True), Bright(), held, 1, 1.0)
    ignoring, _ = benchmark.measure(Following(obeys=False), Bright(), held, 1, 1.0)
    assert obeying["reader_iou"] == 1
    assert obeying["iou"] > 0.5
    assert obeying["swap"] > 0.5  # a skeleton and its owner out of step
    assert ignoring["iou"] > 0.5
    assert ignoring["swap"] < -0.5


def test_overlap_is_intersection_over_union() -> None:
    first, second = np.zeros((2, 4, 4), np.bool_), np.zeros((2, 4, 4), np.bool_)
    first[0, :2], second[0, 1:3] = True, True
    assert silhouette.overlap(first, second) == pytest.approx(4 / 12)
    assert silhouette.overlap(first, ~first) == 0


def test_flicker_counts_changes_outside_the_figure_only() -> None:
    figure = np.zeros((3, 8, 8), np.bool_)
    figure[:, 2:4, 2:4] = True
    frames = np.zeros((3, 8, 8, 3), np.uint8)
    frames[1][figure[1]] = 255
    assert benchmark.flicker(frames, figure) == 0
    frames[1, 7, 7] = 240
    assert benchmark.flicker(frames, figure) == pytest.approx(240 / 60)
