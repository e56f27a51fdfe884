"""The seven methods: what each is guided by, and the smoother against scipy's."""

from dataclasses import fields, replace

import numpy as np
import pytest
from scipy.signal import savgol_filter

from finephys.errors import RequestError
from finephys.methods import (
    DEFAULT_METHOD,
    METHODS,
    SMOOTHING_DEGREE,
    SMOOTHING_FRAMES,
    method_by_name,
    smooth,
)
from finephys.observe import simulated
from finephys.skeleton import FRAMES, JOINTS
from finephys.types import MOTION_ARRAYS, Motion, Pose2D, Pose3D, Poses, Request


def some_poses(seed: int = 0) -> Poses:
    """Poses of a simulated salto; the 3D stages hold bodies that can be told apart."""
    seen = simulated(Request(action=25, seed=seed))
    rng = np.random.default_rng(seed)

    def body(mode: str) -> Pose3D:
        xyz = rng.normal(0, 0.4, (FRAMES, len(JOINTS), 3)).astype(np.float32)
        return Pose3D(xyz, np.zeros((FRAMES, 3), np.float32), mode)

    arrays = {
        name: np.zeros([size or 0 for size in shape], np.float32)
        for name, shape in MOTION_ARRAYS.items()
    }
    noisy = seen.detected.xy + rng.normal(0, 6, seen.detected.xy.shape).astype(np.float32)
    return Poses(
        clip=None,
        size=seen.size,
        frame_times=seen.frame_times,
        dt=float(seen.frame_times[1]),
        camera=seen.camera,
        detected=replace(seen.detected, xy=noisy),
        data_driven=body("lifted"),
        motion=Motion(body("forward"), body("backward"), body("physics"), **arrays),
        fused=body("average"),
        reprojected=seen.detected,
        notes=(),
    )


def test_each_method_is_guided_by_its_own_stage() -> None:
    """Catches two names for one stage, and a re-projection of the wrong body."""
    poses = some_poses()
    asked: list[str] = []

    def reproject(given: Poses, body: Pose3D) -> Pose2D:
        assert given is poses
        asked.append(body.mode)
        return replace(given.reprojected, source=f"re-projected {body.mode}")

    drawn = {
        name: method.guide(poses, reproject) for name, method in METHODS.items() if method.guide
    }
    assert drawn["detected"] is poses.detected
    assert drawn["ours"] is poses.reprojected
    assert asked == ["lifted", "physics"]
    assert drawn["lifted"].source == "re-projected lifted"
    assert drawn["physics"].source == "re-projected physics"
    assert not np.array_equal(drawn["smoothed"].xy, poses.detected.xy)


def test_text_methods_have_no_skeleton_and_only_one_has_no_motion() -> None:
    assert [name for name, method in METHODS.items() if method.guide is None] == [
        "text",
        "text-still",
    ]
    assert [name for name, method in METHODS.items() if not method.motion] == ["text-still"]
    assert list(METHODS) == [method.name for method in METHODS.values()]
    assert DEFAULT_METHOD in METHODS


def test_an_unknown_method_lists_the_known_ones() -> None:
    with pytest.raises(RequestError, match=r"text-still.*ours"):
        method_by_name("theirs")


def test_smoother_with_equal_scores_is_savitzky_and_golays() -> None:
    """Catches a wrong window, a wrong end and weights that do not cancel."""
    pose = some_poses().detected
    for score in (1.0, 0.4):
        even = replace(pose, score=np.full_like(pose.score, score))
        wanted = savgol_filter(
            pose.xy.astype(np.float64), SMOOTHING_FRAMES, SMOOTHING_DEGREE, axis=0, mode="interp"
        )
        np.testing.assert_allclose(smooth(even).xy, wanted, atol=2e-3)


def test_smoother_keeps_free_fall_and_lessens_noise() -> None:
    times = np.arange(FRAMES, dtype=np.float32)[:, None, None]
    path = np.broadcast_to(3 * times + 0.5 * times**2, (FRAMES, len(JOINTS), 2))
    falling = Pose2D(np.ascontiguousarray(path), np.ones((FRAMES, len(JOINTS)), np.float32))
    np.testing.assert_allclose(smooth(falling).xy, path, atol=1e-3)
    shaken = path + np.random.default_rng(0).normal(0, 5, path.shape).astype(np.float32)
    left = np.abs(smooth(replace(falling, xy=shaken)).xy - path).mean()
    assert left < 0.8 * np.abs(shaken - path).mean()


def test_smoother_does_not_follow_a_doubted_glitch() -> None:
    """Catches a smoother that does not weigh by score."""
    pose = some_poses().reprojected
    score = pose.score.copy()
    glitch = pose.xy.copy()
    glitch[7, 3] += 400
    score[7, 3] = 0.02
    doubted = replace(pose, xy=glitch, score=score)
    before = np.abs(smooth(pose).xy - smooth(doubted).xy).max()
    trusted = np.abs(smooth(pose).xy - smooth(replace(doubted, score=pose.score)).xy).max()
    assert before < 0.1 * trusted


def test_smoother_takes_nothing_from_unseen_joints() -> None:
    """Catches placeholder positions of unseen joints leaking into seen ones, and NaN."""
    pose = some_poses().detected
    score, xy = pose.score.copy(), pose.xy.copy()
    score[5:, 2] = 0  # seen in five frames only
    xy[5:, 2] = -1e6
    score[:, 4] = 0  # never seen
    score[1:, 6] = 0  # seen once
    smoothed = smooth(replace(pose, xy=xy, score=score))
    assert np.abs(smoothed.xy[:5, 2]).max() < 1e4
    np.testing.assert_array_equal(smoothed.xy[5:, 2], xy[5:, 2])
    np.testing.assert_array_equal(smoothed.xy[:, 4], xy[:, 4])
    np.testing.assert_allclose(smoothed.xy[0, 6], xy[0, 6], rtol=1e-5)
    np.testing.assert_array_equal(smoothed.score, score)
    assert {field.name for field in fields(smoothed)} == {field.name for field in fields(pose)}
