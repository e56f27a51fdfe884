"""The generator's figures must tell a generator that obeys from one that does not."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from finephys.data.clips import ClipBatch
from finephys.generator.protocol import Sampling
from finephys.motion.looks import LEOTARDS
from finephys.skeleton import JOINT, JOINTS

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.generator import __main__ as benchmark
from benchmarks.generator import clip_readers, measures
from benchmarks.generator.figure_reader import FigureReader, Reading, read_figure


def clips(count: int = 4) -> ClipBatch:
    """Each figure is a white block of its own, around its joints."""
    rng = np.random.default_rng(0)
    frames = np.full((count, 16, 64, 64, 3), 30, np.uint8)
    frames[:, :, ::2] = 36
    figure = np.zeros((count, 16, 64, 64), np.bool_)
    xy = np.zeros((count, 16, 17, 2), np.float32)
    for index in range(count):
        left = 4 + 15 * index
        figure[index, :, 20:44, left : left + 8] = True
        xy[index] = rng.uniform((left, 20), (left + 8, 44), (17, 2))
    frames[figure] = 250
    prompts = ["A person jumps. A white leotard, a brick wall, a blue floor."] * count
    action = np.array([6, 17, 31, 40])[:count]
    return ClipBatch(frames, figure, None, xy / 64, prompts, action)


class Following:
    """Draws white where its heatmaps are, or where the first clip's were."""

    config = SimpleNamespace(heatmap_levels=(64,))

    def __init__(self, obeys: bool) -> None:
        self.obeys = obeys
        self.first: list[object] | None = None

    def denoise_batch(self, batch: list[Sampling]) -> list:
        heatmaps = [params.guide for params in batch]
        self.first = self.first or heatmaps
        drawn = heatmaps if self.obeys else self.first
        masks = np.stack([given.levels[0].max(1) > 0.4 for given in drawn])
        return [np.where(masks[..., None], 250, 30).astype(np.uint8).repeat(3, -1)]


class Bright(nn.Module):
    """Reads what is bright as the figure, and every joint in its middle."""

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        places = nn.functional.avg_pool2d(pictures[:, :1], 2).repeat(1, len(JOINTS), 1, 1)
        return pictures[:, 0], places


def readers() -> benchmark.Readers:
    torch.manual_seed(0)
    return benchmark.Readers(
        Bright(), clip_readers.ClassReader().eval(), clip_readers.ColorReader().eval()
    )


def test_swap_tells_following_from_ignoring() -> None:
    held = clips()
    obeying, _ = benchmark.measure(Following(obeys=True), readers(), held, 1, 1.0)
    ignoring, _ = benchmark.measure(Following(obeys=False), readers(), held, 1, 1.0)
    assert obeying["iou_of_truth"] == 1
    assert obeying["iou"] > 0.5
    assert obeying["swap"] > 0.5  # a skeleton and its owner out of step
    assert ignoring["iou"] > 0.5
    assert ignoring["swap"] < -0.5
    assert obeying["plain"] == 4  # a plain ground in place of stripes
    assert obeying["salto_clips"] == 2


def test_overlap_is_intersection_over_union() -> None:
    first, second = np.zeros((2, 4, 4), np.bool_), np.zeros((2, 4, 4), np.bool_)
    first[0, :2], second[0, 1:3] = True, True
    assert measures.overlap(first, second) == pytest.approx(4 / 12)
    assert measures.overlap(first, ~first) == 0


def test_flicker_counts_changes_outside_the_figure_only() -> None:
    figure = np.zeros((3, 8, 8), np.bool_)
    figure[:, 2:4, 2:4] = True
    frames = np.zeros((3, 8, 8, 3), np.uint8)
    frames[1][figure[1]] = 255
    assert measures.flicker(frames, figure) == 0
    frames[1, 7, 7] = 240
    assert measures.flicker(frames, figure) == pytest.approx(240 / 60)


def test_joints_outside_the_frame_do_not_count_and_height_is_the_clips() -> None:
    truth = np.full((2, 17, 2), 0.5, np.float32)
    truth[0, 0, 1], truth[0, 1, 1] = 0.1, 0.9  # stands in the first frame, is a point in the second
    truth[1, 5] = 1.2  # the camera lost it
    read = truth + np.float32([0.07, 0])
    read[1, 5] = 0
    assert measures.found_joints(read, truth) == 1
    assert measures.found_joints(truth + np.float32([0.09, 0]), truth) == 0


@pytest.mark.parametrize("count", [-2.0, 0.5, 1.0, 2.5])
def test_turns_of_the_trunk_are_counted_with_their_sense(count: float) -> None:
    angle = 2 * np.pi * count * np.linspace(0, 1, 16)
    joints = np.zeros((16, 17, 2), np.float32)
    joints[:, JOINT["thorax"]] = np.stack((np.cos(angle), np.sin(angle)), -1)
    assert measures.turns(joints) == pytest.approx(count, abs=1e-5)


def test_a_peak_between_cells_is_read_between_them() -> None:
    """The likeliest cell alone would be off by half a cell, or x be taken for y."""

    class Peak(nn.Module):
        def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            row, column = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
            peak = -((column + 0.5 - 20.3) ** 2 + (row + 0.5 - 41.8) ** 2) / 2
            return pictures[:, 0], peak.expand(len(pictures), len(JOINTS), -1, -1)

    read = read_figure(Peak(), np.zeros((2, 64, 64, 3), np.uint8))
    np.testing.assert_allclose(read.joints[1, 3] * 64, (20.3, 41.8), atol=0.1)


def test_the_trunks_color_is_not_that_of_legs_or_background() -> None:
    joints = np.full((1, 17, 2), 0.5, np.float32)
    for name, at in {
        "left_shoulder": (0.55, 0.3), "right_shoulder": (0.45, 0.3),
        "left_hip": (0.55, 0.6), "right_hip": (0.45, 0.6),
    }.items():  # fmt: skip
        joints[0, JOINT[name]] = at
    frames = np.zeros((1, 64, 64, 3), np.uint8)
    silhouette = np.zeros((1, 64, 64), np.bool_)
    silhouette[0, 16:60, 26:38] = True
    frames[0, 16:40, 26:38] = (200, 20, 20)
    frames[0, 40:60, 26:38] = (220, 180, 150)
    reading = Reading(silhouette, joints, np.ones((1, 17), np.float32))
    np.testing.assert_allclose(
        clip_readers.trunk_colors(reading, frames)[:3] * 255, (200, 20, 20), atol=1
    )


def test_a_reader_learns_colors_from_readings_and_is_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    color = rng.integers(len(LEOTARDS), size=400)
    base = np.array(list(LEOTARDS.values()), np.float32)[color]
    trunk = np.concatenate([base + rng.normal(0, 0.03, base.shape) for _ in range(3)], 1)
    read = clip_readers.ReadClips(
        np.zeros((400, 16, 17, 3), np.float32), trunk.astype(np.float32), color, color
    )
    path = tmp_path / "color.safetensors"
    reader = clip_readers.train_color_reader(read, path, steps=200)
    assert (clip_readers.named(reader, list(read.trunk)) == color).mean() > 0.95
    again = clip_readers.train_color_reader(read, path, steps=0)
    assert (clip_readers.named(again, list(read.trunk[:9])) == color[:9]).mean() > 0.8


def test_the_prompts_color_is_the_leotards() -> None:
    """The floor's or the wall's colour would be taken for it."""
    prompt = "A person turns. A turquoise leotard, a blue wall with banners, a green floor."
    assert clip_readers.COLORS[clip_readers.color_of_prompt(prompt)] == "turquoise"
    assert clip_readers.color_of_prompt("A person turns.") == -1


def test_the_figure_reader_reads_at_any_size_that_halves_three_times() -> None:
    found = read_figure(FigureReader((8, 8, 8, 8)).eval(), np.zeros((3, 32, 48, 3), np.uint8))
    assert found.silhouette.shape == (3, 32, 48)
    assert found.joints.shape == (3, 17, 2)
