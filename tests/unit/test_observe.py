"""From pixels to a still camera's pixels and back."""

import numpy as np
import pytest

from finephys.errors import RequestError
from finephys.observe import simulated
from finephys.types import CameraMotion, Request


def test_a_translation_moves_every_joint_of_its_frame() -> None:
    xy = np.zeros((16, 17, 2), np.float32)
    shifts = np.tile(np.eye(3), (16, 1, 1))
    shifts[:, 0, 2] = np.arange(16)
    moved = CameraMotion(shifts, True, "").stabilised(xy)
    np.testing.assert_allclose(moved[5, :, 0], 5)
    np.testing.assert_allclose(moved[5, :, 1], 0)


def test_there_and_back() -> None:
    rng = np.random.default_rng(0)
    matrices = np.eye(3) + rng.normal(0, 1e-4, (16, 3, 3))
    xy = rng.uniform(0, 500, (16, 17, 2)).astype(np.float32)
    camera = CameraMotion(matrices, True, "")
    back = camera.in_clip(camera.stabilised(xy))
    np.testing.assert_allclose(back, xy, atol=1e-2)


def test_a_panning_camera_is_undone() -> None:
    """Seen through the first frame's camera a stander's feet stay put however the camera turns."""
    from finephys.motion.cameras import sample_camera
    from finephys.observe import _to_first

    joints = np.zeros((16, 17, 3), np.float32)
    joints[..., 2] = np.linspace(0.1, 1.6, 17)
    joints[..., 0] = np.linspace(0, 4, 16)[:, None]  # the camera follows a walker
    camera = sample_camera(joints, np.random.default_rng(1), 512, pan=True)
    assert len(camera.rotation) == 16
    stander = np.zeros((16, 17, 3), np.float32)
    stander[..., 2] = np.linspace(0.1, 1.6, 17)
    xy, _ = camera.project(stander)
    assert np.ptp(xy[:, 0, 0]) > 20  # the pan moves the stander in the image
    still = CameraMotion(_to_first(camera), True, "").stabilised(xy)
    assert np.ptp(still, axis=0).max() < 0.05


def test_the_same_seed_gives_the_same_simulation() -> None:
    first, second = (simulated(Request(action=12, seed=3)) for _ in range(2))
    np.testing.assert_array_equal(first.detected.xy, second.detected.xy)
    other = simulated(Request(action=12, seed=4))
    assert not np.array_equal(first.detected.xy, other.detected.xy)
    assert "class 12" in first.detected.source


def test_neither_clip_nor_action_is_an_error() -> None:
    with pytest.raises(RequestError, match="neither"):
        simulated(Request())
