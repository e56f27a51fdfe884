"""Clips and the running app, which several folders of tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.app_server import AppServer

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is imported

ROOT = Path(__file__).resolve().parent.parent
CLIPS = ROOT.parent / "shared" / "clips"
EXAMPLES = ROOT / "assets" / "examples"


@pytest.fixture(scope="session")
def person_clip() -> Path:
    """A clip of one whole person: a real one where there is one, else a rendered example."""
    real = CLIPS / "runner_gym_hall.mp4"
    return real if real.is_file() else EXAMPLES / "double_turn.mp4"


@pytest.fixture(scope="session")
def empty_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a textured scene with nobody in it."""
    import numpy as np

    from finephys.types import VideoClip
    from finephys.video import write_video

    rng = np.random.default_rng(0)
    scene = rng.integers(0, 255, (12, 16, 3), np.uint8).repeat(20, 0).repeat(20, 1)
    path = tmp_path_factory.mktemp("clips") / "nobody.mp4"
    write_video(path, VideoClip(np.tile(scene, (24, 1, 1, 1)), fps=12))
    return path


@pytest.fixture(scope="session")
def running_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """The app on a free port, in a process of its own."""
    with AppServer(tmp_path_factory.mktemp("app")) as server:
        yield server
    left = server.left_behind()
    assert not left, f"uploads and results were left behind when the app ended: {left}"
