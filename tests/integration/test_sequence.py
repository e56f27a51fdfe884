"""Sequences of any length and speed through the shipped pose stages."""

from pathlib import Path

import numpy as np
import pytest

from finephys.errors import RequestError
from finephys.motion.simulation import simulate
from finephys.pipeline import Pipeline
from finephys.sequence import HOP, PoseSequence, lift_sequence
from finephys.skeleton import FRAMES, JOINTS

SIZE = (640, 480)
J = len(JOINTS)


def seen(frames: int, fps: float, jitter: float = 1.0) -> tuple[PoseSequence, np.ndarray]:
    """A simulated split jump repeated back and forth, seen from the side; its true bodies."""
    every = max(1, round(60 / fps))
    motion = simulate(12, 100_000, fps=fps * every)
    once = np.concatenate([motion.joints, motion.joints[::-1]])
    joints = np.concatenate([once] * (frames * every // len(once) + 1))
    joints = joints[: frames * every : every].astype(np.float64)
    camera = np.stack([joints[..., 0], -joints[..., 2], joints[..., 1]], -1)
    xy = 60 * (camera[..., :2] - camera[:, :, :2].mean((0, 1))) + np.array(SIZE) / 2
    rng = np.random.default_rng(0)
    xy = xy + rng.normal(0, jitter, xy.shape)
    score = np.full((frames, J), 0.9, np.float32)
    return PoseSequence(xy.astype(np.float32), score, fps, SIZE), camera - camera[:, :1]


def test_a_thousand_frames_have_no_seams(pipeline: Pipeline) -> None:
    """Catches windows put end to end: the body would jump where one ends and the next begins."""
    poses, truth = seen(1000, 20.0)
    lifted = lift_sequence(pipeline, poses, 1.6, "physics")
    assert lifted.fused.shape == (1000, J, 3)
    error = np.linalg.norm(np.diff(lifted.fused - truth, n=2, axis=0), axis=-1).mean(1)
    frames = np.arange(1, 999)
    seam = np.isin(frames % HOP, (0, HOP - 1))
    assert error[seam].mean() < 1.15 * error[~seam].mean()
    jump = np.linalg.norm(np.diff(lifted.root, n=2, axis=0), axis=-1)
    assert jump[seam].mean() < 1.3 * jump[~seam].mean() + 1e-3


@pytest.mark.parametrize("frames", [1, 2, 15, 16, 17, 40])
def test_short_sequences_come_back_as_long_as_they_were(pipeline: Pipeline, frames: int) -> None:
    """Catches windows that reach beyond the end, and a single frame that moves."""
    poses, _ = seen(frames, 20.0, 0.0)
    lifted = lift_sequence(pipeline, poses, 1.6, "physics")
    for values in vars(lifted).values():
        assert len(values) == frames
        assert np.isfinite(values).all()
    assert np.abs(lifted.fused).max() < 3
    assert np.abs(lifted.root[0]).max() == 0


@pytest.mark.parametrize("fps", [1.0, 46.0, 120.0, 240.0])
def test_the_shortest_sequences_are_lifted_at_any_rate(pipeline: Pipeline, fps: float) -> None:
    """Catches a spline through the one point that is left of a short, fast sequence."""
    still, _ = seen(1, 20.0, 0.0)
    for frames in (1, 2, 3):
        xy, score = np.repeat(still.xy, frames, 0), np.repeat(still.score, frames, 0)
        lifted = lift_sequence(pipeline, PoseSequence(xy, score, fps, SIZE), 1.6, "physics")
        for values in vars(lifted).values():
            assert len(values) == frames
            assert np.isfinite(values).all()
        assert np.abs(np.diff(lifted.fused, axis=0)).max(initial=0) < 0.05  # metres
        assert np.abs(np.diff(lifted.reprojected_xy, axis=0)).max(initial=0) < 1  # pixels


@pytest.mark.parametrize("fps", [1.0, 5.0, 24.0, 60.0, 240.0])
def test_any_frame_rate_gives_the_same_body(pipeline: Pipeline, fps: float) -> None:
    """Catches time steps far outside of training that throw the body about."""
    motion_frames = max(FRAMES, int(2 * fps))
    poses, truth = seen(motion_frames, fps)
    lifted = lift_sequence(pipeline, poses, 1.6, "physics")
    error = np.linalg.norm(lifted.fused - truth, axis=-1).mean()
    assert error < 0.25
    assert np.linalg.norm(np.diff(lifted.fused, axis=0), axis=-1).max() < 1.8


def test_frames_in_which_nothing_is_seen_are_bridged(pipeline: Pipeline) -> None:
    """Catches a body that falls to the corner of the image where detections are 0."""
    poses, _ = seen(64, 20.0)
    xy, score = poses.xy.copy(), poses.score.copy()
    xy[30:34], score[30:34] = 0, 0
    lifted = lift_sequence(pipeline, PoseSequence(xy, score, 20.0, SIZE), 1.6, "physics")
    centre = lifted.reprojected_xy.mean(1)
    assert np.linalg.norm(np.diff(centre, axis=0), axis=-1).max() < 40


def test_what_cannot_be_lifted_is_refused_in_one_sentence() -> None:
    """Catches shapes that fail deep inside with a message about something else."""
    xy, score = np.zeros((5, J, 2), np.float32), np.zeros((5, J), np.float32)
    with pytest.raises(RequestError, match="0 frames; give 1 to"):
        PoseSequence(xy[:0], score[:0], 25, SIZE)
    with pytest.raises(RequestError, match="fps is 500"):
        PoseSequence(xy, score, 500, SIZE)
    with pytest.raises(RequestError, match="expected"):
        PoseSequence(xy, score[:, :3], 25, SIZE)


def test_the_command_takes_sequences(tmp_path: Path) -> None:
    """Catches a sequence taken for a batch of windows."""
    from finephys.__main__ import main

    poses, _ = seen(20, 20.0)
    path = tmp_path / "in.npz"
    np.savez(path, xy=poses.xy, score=poses.score, size=SIZE, fps=20.0)
    assert main(["lift", str(path), "--out", str(tmp_path / "out.npz")]) == 0
    with np.load(tmp_path / "out.npz") as file:
        assert file["fused"].shape == (20, J, 3)
        assert file["root"].shape == (20, 3)
