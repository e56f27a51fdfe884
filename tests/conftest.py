"""Fixtures that several folders of tests share, and how tests are spread over workers."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.app_server import AppServer

if TYPE_CHECKING:
    from finephys.pipeline import Pipeline

# Read when torch or numpy is imported, here and in every process that a test starts. Tests run on
# several workers: more threads in each would only wait for one another.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
for library in ("OMP", "MKL", "OPENBLAS"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent
CLIPS = ROOT.parent / "shared" / "clips"
EXAMPLES = ROOT / "assets" / "examples"

GROUPS = {
    "browser": ("browser/", "security/test_file_access.py", "security/test_public_addresses.py"),
    "pipeline": (
        "integration/test_pipeline.py",
        "integration/test_methods_pipeline.py",
        "integration/test_sequence.py",
    ),
    "simulation": (
        "unit/test_simulation",
        "unit/test_motion_moments.py",
        "integration/test_shipped_poses.py",
    ),
}
"""Name -> beginnings of paths under tests/ whose tests share something costly: the running app and
the browser, loaded models, or solved simulations. They run on one worker, the first group first;
every other file is a group of its own."""


def group_of(nodeid: str) -> str:
    """The group of a test; its file where that shares nothing costly with other files."""
    file = nodeid.partition("::")[0].removeprefix("tests/")
    return next((group for group, starts in GROUPS.items() if file.startswith(starts)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give each group to one worker; xdist's own marks for groups do nothing with pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest groups, so that none of them is left at the end."""
    order = {group: place for place, group in enumerate(GROUPS)}
    items.sort(key=lambda item: order.get(group_of(item.nodeid), len(order)))


@pytest.fixture(scope="session")
def person_clip() -> Path:
    """A clip of one whole person: a real one where there is one, else a rendered example."""
    real = CLIPS / "runner_gym_hall.mp4"
    return real if real.is_file() else EXAMPLES / "double_turn.mp4"


@pytest.fixture(scope="session")
def pipeline() -> "Pipeline":
    """The tiny tier's pipeline, whose models are loaded when first used."""
    from finephys.pipeline import Pipeline

    return Pipeline("tiny", "cpu")


@pytest.fixture(scope="session")
def empty_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a textured scene with nobody in it, which drifts by five pixels a frame."""
    import numpy as np

    from finephys.types import VideoClip
    from finephys.video import write_video

    rng = np.random.default_rng(0)
    scene = rng.integers(0, 255, (12, 16, 3), np.uint8).repeat(20, 0).repeat(20, 1)
    path = tmp_path_factory.mktemp("clips") / "nobody.mp4"
    write_video(path, VideoClip(np.stack([np.roll(scene, 5 * at, 1) for at in range(8)]), fps=4))
    return path


@pytest.fixture(scope="session")
def public_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Narrow public weights of every system, fetched into one folder."""
    from tests.narrow import write_public

    return write_public(tmp_path_factory.mktemp("public"))


@pytest.fixture(scope="session")
def running_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """The app on a free port, in a process of its own."""
    with AppServer(tmp_path_factory.mktemp("app")) as server:
        yield server
    left = server.left_behind()
    assert not left, f"uploads and results were left behind when the app ended: {left}"
