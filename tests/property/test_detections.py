"""Cameras and detection noise that the pose stages train on."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from finephys.data.detections import as_detector_sees, degrade, mask, random_views, views
from finephys.data.pose_windows import WindowSampler, WindowSettings
from finephys.data.variation import PLAIN
from finephys.motion.moments import sample_motion
from finephys.skeleton import FRAMES, JOINT, JOINTS, limb_lengths
from finephys.types import WorldMotion

J = len(JOINTS)


def bodies(seed: int, count: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pose = rng.normal(0, 0.4, (count, 1, J, 3)) + np.array([0, 0, 1])
    return pose + np.cumsum(rng.normal(0, 0.02, (count, FRAMES, J, 3)), 1)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_views_keep_shape_and_look_down_the_depth_axis(seed: int) -> None:
    """Catches a camera that mirrors (determinant -1), stretches, or has the body behind it."""
    joints = bodies(seed)
    camera = random_views(joints, np.full(4, 1.7), np.random.default_rng(seed))
    assert (camera.points[..., 2] > 0.3).all()
    np.testing.assert_allclose(limb_lengths(camera.points), limb_lengths(joints), atol=1e-9)
    frame = camera.points[0, 0, [1, 2, 3]] - camera.points[0, 0, 0]
    world = joints[0, 0, [1, 2, 3]] - joints[0, 0, 0]
    np.testing.assert_allclose(np.linalg.det(frame), np.linalg.det(world), atol=1e-9)
    down = joints.copy()
    down[..., 2] -= 1.0
    lower = random_views(down, np.full(4, 1.7), np.random.default_rng(seed))
    np.testing.assert_allclose(lower.points, camera.points, atol=1e-9)


@given(st.integers(0, 10_000), st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_degraded_detections_are_finite_scored_and_to_scale(seed: int, level: float) -> None:
    """Catches scores outside [0, 1] and noise that does not scale with the picture."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(100, 400, (4, FRAMES, J, 2))
    noisy, score = degrade(xy, np.full(4, 100.0), np.full(4, level), np.random.default_rng(seed))
    large, same = degrade(xy * 3, np.full(4, 300.0), np.full(4, level), np.random.default_rng(seed))
    assert np.isfinite(noisy).all()
    assert score.min() >= 0
    assert score.max() <= 1
    np.testing.assert_allclose(large, 3 * noisy, rtol=1e-4, atol=1e-2)
    np.testing.assert_array_equal(score, same)
    hidden = mask(score, rng)
    assert (hidden <= score).all()


def test_a_level_camera_sees_the_vertical_as_its_own_whatever_its_yaw() -> None:
    """Catches rotations multiplied in another order: yaw would tilt the picture."""
    count = 10
    joints = bodies(0, count)
    angles = (np.linspace(0, 6, count), np.full(count, 0.3), np.full(count, 0.1))
    height = np.full(count, 1.7)
    camera = views(joints, height, angles, 5 * height, np.zeros((count, 2)), 100 * height)
    expected = [np.sin(0.1) * np.cos(0.3), -np.cos(0.1) * np.cos(0.3), -np.sin(0.3)]
    for world, seen in zip(joints, camera.points, strict=True):
        world, seen = (points.reshape(-1, 3) - points.mean((0, 1)) for points in (world, seen))
        np.testing.assert_allclose(np.linalg.lstsq(world, seen)[0][2], expected, atol=1e-9)


def test_noise_grows_with_its_level() -> None:
    """Catches levels that are read and not obeyed."""
    xy = np.random.default_rng(0).uniform(100, 400, (200, FRAMES, J, 2))
    errors = []
    for level in (0.15, 0.5, 1.0):
        noisy, score = degrade(
            xy, np.full(200, 100.0), np.full(200, level), np.random.default_rng(1)
        )
        found = score > 0.06
        errors.append(np.linalg.norm(noisy - xy, axis=-1)[found].mean())
    assert errors[0] * 2 < errors[1]
    assert errors[1] * 1.4 < errors[2]


def test_detectors_place_nose_and_eyes_before_the_head() -> None:
    """Catches a face that looks backwards."""
    standing = np.zeros((1, FRAMES, J, 3))
    standing[..., JOINT["thorax"], 2] = 1.4
    standing[..., JOINT["head"], 2] = 1.7
    standing[..., JOINT["left_shoulder"], :] = [0, 0.2, 1.4]
    standing[..., JOINT["right_shoulder"], :] = [0, -0.2, 1.4]
    seen = as_detector_sees(standing, np.random.default_rng(0))
    assert (seen[..., JOINT["neck"], 0] > 0.05).all()
    assert (seen[..., JOINT["head"], 0] > 0.03).all()


def test_windows_carry_the_time_they_were_cut_with() -> None:
    """Catches dt that does not match the motion: a body falling freely shows g in every window."""
    fps = 60.0
    time = np.arange(120) / fps
    pose = np.random.default_rng(0).normal(0, 0.3, (1, J, 3)) + np.array([0, 0, 2])
    joints = np.repeat(pose, 120, 0)
    joints[..., 2] += (8 * time - 0.5 * 9.81 * time**2)[:, None]
    motion = WorldMotion(joints.astype(np.float32), fps, np.ones(120, np.bool_), 24, "fall")
    cut, _ = sample_motion(motion, np.linspace(0.2, 1.4, FRAMES))
    step = 1.2 / (FRAMES - 1)
    np.testing.assert_allclose(np.diff(cut[:, 0, 2], 2) / step**2, -9.81, rtol=0.02)
    upright = WindowSettings(variation=PLAIN)
    batch = WindowSampler([], [motion], upright).draw(16, np.random.default_rng(0))
    assert batch.flight.all()
    assert not batch.contact.any()
    assert (batch.action == 24).all()
    assert (np.abs(batch.body[:, :, 0]).max((1, 2)) == 0).all()
    assert batch.score.shape == (16, FRAMES, J)
