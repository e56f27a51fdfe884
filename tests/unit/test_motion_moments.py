"""The action of a motion is where it happens; the body between two frames is still a body."""

import numpy as np
import pytest

from finephys.motion.library import HELD_OUT_SEED
from finephys.motion.moments import core, sample_motion, seconds
from finephys.motion.simulation import simulate
from finephys.skeleton import limb_lengths
from finephys.types import WorldMotion


def turning(action: int | None, frames: int = 90, fps: float = 30.0) -> WorldMotion:
    """A rigid body turning on the spot; with a class it is in flight from 1.0 s to 1.6 s."""
    body = np.random.default_rng(3).uniform([-0.4, -0.3, 0.1], [0.4, 0.3, 1.6], (17, 3))
    angle = np.linspace(0, 3, frames)[:, None]
    x = np.cos(angle) * body[:, 0] - np.sin(angle) * body[:, 1]
    y = np.sin(angle) * body[:, 0] + np.cos(angle) * body[:, 1]
    joints = np.stack([x, y, np.broadcast_to(body[:, 2], x.shape)], -1).astype(np.float32)
    flight = np.zeros(frames, np.bool_)
    flight[round(fps) : round(1.6 * fps)] = action is not None
    return WorldMotion(joints, fps, flight, action, "made up")


def test_the_core_is_the_longest_flight_and_nothing_where_there_is_no_class() -> None:
    """Catches windows that show the run-up only, under the caption of a salto."""
    motion = turning(25)
    assert core(motion) == pytest.approx((1.0, 1.6))
    flight = motion.flight.copy()
    flight[5:10] = True
    hopped = WorldMotion(motion.joints, 30.0, flight, 25, "with a hurdle step")
    assert core(hopped) == pytest.approx((1.0, 1.6))
    assert core(turning(None)) == pytest.approx((seconds(motion) / 2, seconds(motion) / 2))


def test_the_core_of_a_turn_is_where_the_body_moves() -> None:
    """Catches a core that ignores motion when nothing leaves the floor."""
    joints = turning(20).joints.copy()
    joints[:30], joints[60:] = joints[30], joints[60]
    still = WorldMotion(joints, 30.0, np.zeros(90, np.bool_), 20, "turns in the middle second")
    start, stop = core(still)
    assert start >= 1.0 - 1 / 30
    assert stop <= 2.0 + 1 / 30
    assert stop - start == pytest.approx(0.8, abs=0.1)


def test_moments_pass_through_frames_and_keep_a_turning_body_rigid() -> None:
    """Catches linear interpolation, which shrinks limbs of a fast body between frames."""
    motion = turning(20, frames=30, fps=10.0)
    at_frames, _ = sample_motion(motion, 0.5 + 0.1 * np.arange(16))
    assert at_frames == pytest.approx(motion.joints[5:21], abs=1e-5)
    between, _ = sample_motion(motion, 0.55 + 0.1 * np.arange(16))
    length = np.linalg.norm(between[:, 3] - between[:, 8], axis=-1)
    true = np.linalg.norm(motion.joints[0, 3] - motion.joints[0, 8])
    assert length == pytest.approx(np.full(16, true), rel=3e-5)


def test_flight_is_that_of_the_nearest_frame_and_the_ends_hold() -> None:
    """Catches flags cut off by rounding down, and a body that flies on past its last frame."""
    motion = turning(25)
    _, flight = sample_motion(motion, np.array([0.98, 0.99, 1.58, 1.59]))
    assert flight.tolist() == [False, True, True, False]
    joints, _ = sample_motion(motion, np.array([-1.0, 99.0]))
    assert np.allclose(joints, motion.joints[[0, -1]])


def test_a_straight_line_stays_straight_up_to_its_ends() -> None:
    """Catches slopes halved at the first and last frame."""
    joints = np.zeros((31, 17, 3), np.float32)
    joints[..., 2] = 0.1 * np.arange(31)[:, None]
    motion = WorldMotion(joints, 30.0, np.zeros(31, np.bool_), None, "made up")
    times = np.linspace(0, 1, 77)
    assert np.allclose(sample_motion(motion, times)[0][:, 0, 2], 3 * times, atol=1e-6)


def test_a_simulated_motion_keeps_its_bones_between_frames() -> None:
    """Catches interpolation so coarse that limbs shrink between frames."""
    motion = simulate(38, HELD_OUT_SEED)
    joints, _ = sample_motion(motion, 0.13 + np.linspace(0, 1.5, 16))
    assert np.abs(limb_lengths(joints) - limb_lengths(motion.joints)[:1]).max() < 2e-3
