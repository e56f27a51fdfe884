"""Cameras project exactly and refuse what does not fit."""

import numpy as np
import pytest

from finephys.errors import RequestError
from finephys.motion.cameras import Camera, frame_body, look_at

POSITION = np.array([-5.0, 0.0, 1.0])


def _forward_camera() -> Camera:
    """Five metres behind the origin, one metre up, looking along world x."""
    return Camera(look_at(POSITION, np.array([[0.0, 0.0, 1.0]])), POSITION, 100.0, 64)


def test_known_points_land_where_the_pinhole_formula_says() -> None:
    """Catches a swapped axis or a wrong sign: left is left, up is up, far is small."""
    points = np.array([[[0, 0, 1], [0, 1, 1], [0, 0, 2], [5, -1, 1]]], np.float32)
    xy, depth = _forward_camera().project(points)
    assert depth[0] == pytest.approx([5, 5, 5, 10])
    assert xy[0] == pytest.approx(np.array([[32, 32], [12, 32], [32, 12], [42, 32]]), abs=1e-4)


def test_camera_axes_are_right_down_away() -> None:
    """Catches a left-handed camera frame."""
    got = _forward_camera().to_camera(np.array([[[1.0, -2.0, -2.0]]]))
    assert got[0, 0] == pytest.approx([2, 3, 6])
    assert got.dtype == np.float32
    assert np.linalg.det(_forward_camera().rotation[0]) == pytest.approx(1)


def test_tilt_turns_the_axis_right_and_down() -> None:
    """Catches a tilt of the wrong sign, which would make framing diverge."""
    tilted = look_at(POSITION, np.array([[0.0, 0.0, 1.0]]), tilt=(0.1, 0.2))
    xy, _ = Camera(tilted, POSITION, 100.0, 64).project(np.array([[[0.0, 0.0, 1.0]]]))
    assert xy[0, 0, 0] < 32
    assert xy[0, 0, 1] < 32


def test_resizing_scales_pixels() -> None:
    """Catches a focal length that does not follow the canvas."""
    points = np.array([[[0.3, 0.8, 1.4]]])
    small, _ = _forward_camera().project(points)
    large, _ = _forward_camera().resized(256).project(points)
    assert large == pytest.approx(4 * small, rel=1e-5)


def test_a_turning_camera_wants_its_own_number_of_frames() -> None:
    """Catches silent broadcasting of a pan over another clip's frames."""
    rotation = np.repeat(_forward_camera().rotation, 3, 0)
    with pytest.raises(RequestError, match="3 frames but the motion has 4"):
        Camera(rotation, POSITION, 100.0, 64).project(np.zeros((4, 17, 3)))


@pytest.mark.parametrize("share", [0.5, 0.75, 0.9])
def test_framing_gives_the_box_its_share_and_centres_it(share: float) -> None:
    """Catches framing by the world box instead of the projected one."""
    joints = np.random.default_rng(0).uniform([-2, -1, 0], [2, 1, 2], (16, 17, 3)).astype("f4")
    middle = (joints.min((0, 1)) + joints.max((0, 1))) / 2
    camera = frame_body(joints, np.array([-9.0, 3.0, 1.5]), middle[None], 256, share)
    xy, _ = camera.project(joints)
    low, high = xy.min((0, 1)), xy.max((0, 1))
    assert (high - low).max() / 256 == pytest.approx(share, abs=0.01)
    assert (low + high) / 2 == pytest.approx(np.array([128.0, 128.0]), abs=1.0)
