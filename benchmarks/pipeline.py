"""The figures of the whole path, one JSON row each: `python -m benchmarks.pipeline [--clip FILE]`.

Needs a clip of one whole person; by default the running person of ../shared/clips, else the first
rendered example. Figures depend on the machine: quote them with its number of cores.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as app.py and the command line have it

from finephys.pipeline import Pipeline
from finephys.pose3d.windows import PoseWindows
from finephys.skeleton import FRAMES
from finephys.types import Request, Result, Stage

ROOT = Path(__file__).resolve().parent.parent
PERSON = ROOT.parent / "shared" / "clips" / "runner_gym_hall.mp4"


def row(what: str, **figures: object) -> None:
    """Print one measurement."""
    print(json.dumps({"what": what, "cores": os.cpu_count(), **figures}), flush=True)


def default_clip() -> Path:
    """The running person, or the first rendered example."""
    if PERSON.is_file():
        return PERSON
    return sorted((ROOT / "assets" / "examples").glob("*.mp4"))[0]


def warm_run(pipeline: Pipeline, clip: Path) -> Result:
    """From click to each value, models loaded."""
    began = time.monotonic()
    seconds: dict[str, float] = {}
    result: Result | None = None
    for update in pipeline.stream(clip, Request(seed=1)):
        seconds[update.stage.value] = round(time.monotonic() - began, 2)
        if isinstance(update.value, Result):
            result = update.value
    row(
        "click to value, warm, seconds",
        clip=clip.name,
        detected=seconds[Stage.DETECTED],
        reprojected=seconds[Stage.REPROJECTED],
        video=seconds[Stage.VIDEO],
        reach="4 / 6 / 20",
    )
    assert result is not None
    return result


def same_twice(pipeline: Pipeline, clip: Path, first: Result) -> None:
    """The same request and seed again."""
    again = list(pipeline.stream(clip, Request(seed=1)))[-1].value
    assert isinstance(again, Result)
    row(
        "same request and seed twice",
        identical=bool(np.array_equal(first.video.frames, again.video.frames)),
        reach="identical frames",
    )


def lift_batch(pipeline: Pipeline) -> None:
    """256 windows of plausible noise around the prior pose."""
    rng = np.random.default_rng(0)
    pose = pipeline.models.lifter.prior(None)[:, :2] * 300 + 320
    xy = (pose + rng.normal(0, 4, (256, FRAMES, *pose.shape))).astype(np.float32)
    windows = PoseWindows(
        xy=xy,
        score=rng.uniform(0.3, 1, xy.shape[:-1]).astype(np.float32),
        size=(640, 640),
        dt=np.full(256, 1 / 12, np.float32),
        body_height=1.6,
        ballistic=np.ones(256, np.float32),
    )
    fusion = Request().fusion
    pipeline.lift(windows, fusion)
    seconds = []
    for _ in range(3):
        began = time.monotonic()
        pipeline.lift(windows, fusion)
        seconds.append(time.monotonic() - began)
    row("lift 256 windows, ms a window", median=round(np.median(seconds) / 256e-3, 2), reach=4)


def cold_poses(clip: Path) -> None:
    """`python -m finephys poses`, whole process."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "finephys", "poses", str(clip), "--out", folder],
            check=True,
            cwd=ROOT,
            capture_output=True,
        )
        seconds = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    row("poses, cold process", seconds=round(seconds, 1), peak_GB=round(peak, 2), reach="20 / 1.5")


def app_start() -> None:
    """From starting app.py to its first page, and `import finephys`."""
    port = 7991
    began = time.monotonic()
    app = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                    answer.read()
                break
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() - began > 120:
                    raise
                time.sleep(0.1)
        row(
            "app start to first page, seconds", seconds=round(time.monotonic() - began, 1), reach=12
        )
    finally:
        app.terminate()
        app.wait(30)
    code = (
        "import sys, time; t = time.perf_counter(); import finephys;"
        "print(time.perf_counter() - t, 'torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)
    seconds, torch_loaded = out.stdout.decode().split()
    row("import finephys", seconds=round(float(seconds), 4), torch=torch_loaded, reach=0.3)


def swap_test() -> None:
    """The figure follows the skeleton given: the rows of benchmarks/generator.py."""
    subprocess.run(
        [sys.executable, "-m", "benchmarks.generator", "--clips", "32"], check=True, cwd=ROOT
    )


def main() -> None:
    """Measure every figure; the swap test takes most of the time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip", type=Path, default=None)
    parser.add_argument("--video", type=Path, help="also write the generated video there")
    arguments = parser.parse_args()
    clip = arguments.clip or default_clip()
    cold_poses(clip)
    app_start()
    pipeline = Pipeline("tiny", "cpu")
    began = time.monotonic()
    pipeline.warm_up()
    row("models loaded, seconds", seconds=round(time.monotonic() - began, 1))
    first = warm_run(pipeline, clip)
    same_twice(pipeline, clip, first)
    lift_batch(pipeline)
    swap_test()
    if arguments.video:
        from finephys.video import write_video

        write_video(arguments.video, first.video)


if __name__ == "__main__":
    main()
