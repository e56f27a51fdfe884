"""Limb heatmaps: where they peak, how scores weigh, what each level shows."""

import numpy as np
import pytest
import torch

from finephys.guidance.framing import Framing
from finephys.guidance.heatmaps import heatmap_level, limb_heatmaps
from finephys.skeleton import FRAMES, JOINT, JOINTS, LIMBS
from finephys.types import Pose2D

SHIN = LIMBS.index((JOINT["right_knee"], JOINT["right_ankle"]))
FRAMING = Framing(100, 50, 64)


def one_shin(score: float = 1.0) -> Pose2D:
    """Right shin from (110, 60) to (110, 100), all other joints far from the canvas."""
    xy = np.full((FRAMES, len(JOINTS), 2), -900.0, np.float32)
    scores = np.ones((FRAMES, len(JOINTS)), np.float32)
    xy[:, JOINT["right_knee"]], xy[:, JOINT["right_ankle"]] = (110.5, 60.5), (110.5, 100.5)
    scores[:, JOINT["right_ankle"]] = score
    return Pose2D(xy, scores)


def test_peaks_on_the_limb_at_row_y_column_x() -> None:
    level = limb_heatmaps(one_shin(), FRAMING, (64,)).levels[0][0, SHIN]
    np.testing.assert_allclose(level[10:51, 10], 1, atol=1e-4)  # transposed: level[10, 10:51]
    assert level[30, 20] < 1e-3
    assert level[60, 10] < 1e-3  # a line without ends


def test_falls_off_as_a_gaussian_of_the_distance() -> None:
    level = limb_heatmaps(one_shin(), FRAMING, (64,)).levels[0][0, SHIN]
    ratio = np.log(level[30, 13]) / np.log(level[30, 11])  # 9 for distance squared, 3 for distance
    assert ratio == pytest.approx(9, rel=1e-2)


def test_the_lesser_score_of_the_two_joints_weighs() -> None:
    whole = limb_heatmaps(one_shin(), FRAMING, (32,)).levels[0]
    weak = limb_heatmaps(one_shin(0.25), FRAMING, (32,)).levels[0]
    np.testing.assert_allclose(weak[:, SHIN], 0.25 * whole[:, SHIN], rtol=1e-5)
    assert limb_heatmaps(one_shin(0.0), FRAMING, (32,)).levels[0][:, SHIN].max() == 0


def test_every_level_sees_the_limb() -> None:
    levels = limb_heatmaps(one_shin(), FRAMING, (64, 32, 16, 8)).levels
    assert [level.shape[-1] for level in levels] == [64, 32, 16, 8]
    for level in levels:  # a limb thinner than a cell falling between the cells of a coarse level
        assert level[0, SHIN].max() > 0.6
        assert level.min() >= 0
        assert level.max() <= 1


def test_a_limb_of_no_length_is_a_point_and_not_nan() -> None:
    canvas = torch.full((2, len(JOINTS), 2), 0.5)
    level = heatmap_level(canvas, torch.ones(2, len(JOINTS)), 17)
    assert torch.isfinite(level).all()
    assert level[0, 0, 8, 8] == pytest.approx(1)


def test_one_formula_for_one_clip_and_for_a_training_batch() -> None:
    pose = one_shin(0.5)
    alone = limb_heatmaps(pose, FRAMING, (16,)).levels[0]
    canvas = torch.from_numpy(FRAMING.to_canvas(pose.xy))[None].repeat(3, 1, 1, 1)
    batch = heatmap_level(canvas, torch.from_numpy(pose.score)[None].repeat(3, 1, 1), 16)
    np.testing.assert_allclose(batch[2].numpy(), alone, atol=1e-6)
