"""A detector trained on real people finds the rendered gymnast: a test of realism."""

from pathlib import Path

import numpy as np
import pytest

from finephys.motion.examples import (
    EXAMPLES,
    FPS,
    SIZE,
    Example,
    example_motion,
    still_camera,
)
from finephys.motion.render import render
from finephys.pose2d import load_detector
from finephys.skeleton import JOINT
from finephys.video import probe

EXAMPLE_FOLDER = Path(__file__).resolve().parents[2] / "assets" / "examples"
LIMB_JOINTS = [index for name, index in JOINT.items() if name not in ("neck", "head", "spine")]


@pytest.mark.parametrize("example", EXAMPLES[:2], ids=lambda example: example.name)
def test_a_detector_finds_the_example_gymnast_where_she_is(example: Example) -> None:
    """Catches a figure that no longer looks human, and left limbs painted as right ones."""
    motion = example_motion(example)
    camera, joints = still_camera(motion, example.yaw), motion.joints[::3]
    frames = render(joints, camera, example.look, SIZE).frames
    truth, _ = camera.project(joints)
    xy, score = load_detector().detect(frames)
    found = score.max(1) > 0
    assert found.mean() >= 0.8
    body = np.linalg.norm(truth.max(1) - truth.min(1), axis=-1)
    error = np.linalg.norm(xy - truth, axis=-1)[:, LIMB_JOINTS] / body[:, None]
    assert np.median(error[found]) < 0.06


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_example_is_shipped_small_and_playable(example: Example) -> None:
    """Catches an example that the page offers but the repository lacks, or a file too heavy."""
    path = EXAMPLE_FOLDER / f"{example.name}.mp4"
    info = probe(path)
    assert path.stat().st_size <= 300_000
    assert (info.width, info.height) == (SIZE, SIZE)
    assert info.fps == pytest.approx(FPS, rel=0.01)
    assert 1.0 <= info.duration <= 2.6
