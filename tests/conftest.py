"""Clips and the running app, which several folders of tests share."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

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
def public_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Narrow public weights of every system, fetched into one folder."""
    from tests.narrow import write_public

    return write_public(tmp_path_factory.mktemp("public"))


@dataclass(frozen=True)
class RunningApp:
    """`python app.py` as its users meet it: address, log, and the folder of its temporary files."""

    url: str
    log: Path
    temporary: Path
    seconds_to_page: float


@pytest.fixture(scope="session")
def running_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    """The app on a free port, in a process of its own."""
    folder = tmp_path_factory.mktemp("app")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "log.txt"
    environment = {**os.environ, "TMPDIR": str(folder), "CUDA_VISIBLE_DEVICES": ""}
    began = time.monotonic()
    with (
        log.open("wb") as sink,
        subprocess.Popen(
            [sys.executable, "app.py", "--port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=sink,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        url = f"http://127.0.0.1:{port}/"
        try:
            _wait_for(url, process, log)
            yield RunningApp(url, log, folder, time.monotonic() - began)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
    left = list(folder.glob("finephys-*"))
    assert not left, f"uploads and results were left behind when the app ended: {left}"


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(600):
        if process.poll() is not None:
            pytest.fail(f"app.py ended with {process.returncode}:\n{log.read_text()}")
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    pytest.fail(f"app.py did not answer within two minutes:\n{log.read_text()}")
