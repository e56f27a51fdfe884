"""Clips every folder of tests shares."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CLIPS = ROOT.parent / "shared" / "clips"
EXAMPLES = ROOT / "assets" / "examples"


@pytest.fixture(scope="session")
def person_clip() -> Path:
    """A clip of one whole person: a real one where there is one, else a rendered example."""
    real = CLIPS / "runner_gym_hall.mp4"
    return real if real.is_file() else sorted(EXAMPLES.glob("*.mp4"))[0]


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
