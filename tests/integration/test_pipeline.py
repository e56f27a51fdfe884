"""The story as the page reads it: order, stopping, one job at a time, the prior."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from finephys.errors import NoPersonError, RequestError, StoppedError
from finephys.generator.protocol import Sampling
from finephys.guidance.framing import Framing
from finephys.guidance.heatmaps import limb_heatmaps
from finephys.methods import METHODS
from finephys.pipeline import Pipeline
from finephys.types import (
    LimbHeatmaps,
    Motion,
    Pose2D,
    Pose3D,
    Request,
    Result,
    Stage,
    Update,
    VideoClip,
)

ORDER = [
    Stage.DETECTED,
    Stage.DATA_DRIVEN,
    Stage.PHYSICS,
    Stage.REPROJECTED,
    Stage.HEATMAPS,
    Stage.PREVIEW,
    Stage.VIDEO,
    Stage.RESULT,
]
QUICK = Request(action=12, steps=2, seed=1, guidance_scale=1)


@pytest.fixture(autouse=True)
def _next_run_can_begin(pipeline: Pipeline) -> Iterator[None]:
    """A lock that a run keeps fails its own test, where the next one would wait for ever."""
    yield
    assert pipeline._lock.acquire(timeout=5), "the run kept the pipeline's lock"
    pipeline._lock.release()


@pytest.fixture(scope="module")
def updates(pipeline: Pipeline) -> list[Update]:
    return list(pipeline.stream(None, QUICK))


def test_values_arrive_in_order(updates: list[Update]) -> None:
    stages = [u.stage for u in updates]
    assert list(dict.fromkeys(stages)) == ORDER
    assert stages.count(Stage.PREVIEW) == 2
    fractions = [u.fraction for u in updates]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def test_the_result_holds_what_was_streamed(updates: list[Update]) -> None:
    result = updates[-1].value
    assert isinstance(result, Result)
    by_stage = {u.stage: u.value for u in updates}
    assert result.video is by_stage[Stage.VIDEO]
    assert result.poses.detected is by_stage[Stage.DETECTED]
    assert result.poses.reprojected is by_stage[Stage.REPROJECTED]
    assert isinstance(by_stage[Stage.DATA_DRIVEN], Pose3D)
    assert isinstance(by_stage[Stage.PHYSICS], Motion)
    assert len(result.video.frames) == 16
    assert result.request.prompt
    assert all(len(digest) == 64 for digest in result.config["checkpoints"].values())


def test_physics_is_not_a_copy_of_lifting(updates: list[Update]) -> None:
    """A PhysNet that returned its input would make S_pp equal S_dd and forward equal backward."""
    values = {u.stage: u.value for u in updates}
    lifted, motion = values[Stage.DATA_DRIVEN], values[Stage.PHYSICS]
    assert isinstance(lifted, Pose3D)
    assert isinstance(motion, Motion)
    assert np.abs(motion.combined.xyz - lifted.xyz).max() > 1e-3
    assert np.abs(motion.forward.xyz - motion.backward.xyz).max() > 1e-3
    assert np.abs(motion.acceleration).max() > 0.1


@pytest.mark.parametrize("at", [*ORDER[:6]])
def test_stop_works_in_every_stage_and_the_next_run_goes_on(pipeline: Pipeline, at: Stage) -> None:
    stop = threading.Event()
    seen: list[Stage] = []

    def run() -> None:
        for update in pipeline.stream(None, QUICK, stop):
            seen.append(update.stage)
            if update.stage is at:
                stop.set()

    with pytest.raises(StoppedError):
        run()
    assert seen[-1] is at
    assert next(iter(pipeline.stream(None, QUICK))).stage is Stage.DETECTED


def test_one_job_at_a_time(pipeline: Pipeline) -> None:
    """A second job must wait: both on one GPU would run out of memory."""
    first = pipeline.stream(None, QUICK)
    next(first)
    began, done = threading.Event(), threading.Event()

    def second() -> None:
        began.set()
        next(iter(pipeline.stream(None, QUICK)))
        done.set()

    thread = threading.Thread(target=second)
    thread.start()
    began.wait(5)
    assert not done.wait(0.5)
    first.close()  # an abandoned page frees the place
    assert done.wait(60)
    thread.join()


def test_nobody_is_an_error_unless_the_prior_is_asked_for(
    pipeline: Pipeline, empty_clip: Path
) -> None:
    with pytest.raises(NoPersonError, match="no person"):
        list(pipeline.stream(empty_clip, Request(steps=1)))
    request = Request(action=31, use_prior=True, steps=1, start=0.0, span=1.0)
    result = list(pipeline.stream(empty_clip, request))[-1].value
    assert isinstance(result, Result)
    poses = result.poses
    assert poses.detected.score.max() == 0
    assert poses.data_driven.mode == "pose prior"
    assert any("prior" in note for note in poses.notes)
    assert np.abs(np.diff(poses.data_driven.xyz, axis=0)).max() == 0


def test_camera_motion_is_put_back_into_the_pixels(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S_re-proj must lie on the moving camera's frames, not on the still camera's."""
    import finephys.pipeline as story
    from finephys.observe import simulated

    seen = simulated(Request(action=20, seed=1))
    shift = np.tile(np.eye(3), (16, 1, 1))
    shift[:, 0, 2] = np.linspace(0, 150, 16)  # frame 15 lies 150 px to the right in the first's
    camera = replace(seen.camera, to_first=shift @ seen.camera.to_first)
    xy = seen.detected.xy.copy()
    xy[..., 0] -= np.linspace(0, 150, 16, dtype=np.float32)[:, None]
    panned = replace(seen, camera=camera, detected=replace(seen.detected, xy=xy))
    monkeypatch.setattr(story, "simulated", lambda _: panned)
    values = {u.stage: u.value for u in pipeline.stream_poses(None, Request(action=20, seed=1))}
    pose = values[Stage.REPROJECTED]
    assert isinstance(pose, Pose2D)
    gap = np.linalg.norm(pose.xy - xy, axis=-1)
    assert np.median(gap[-1]) < 0.1 * np.ptp(xy[-1, :, 1])


class Recorder:
    """A generator that keeps what it was given and makes a black clip."""

    def __init__(self) -> None:
        self.given: list[Sampling] = []

    def draw(self, guide: Pose2D, canvas: Framing) -> LimbHeatmaps:
        return limb_heatmaps(guide, canvas, (8,))

    def denoise(self, sampling: Sampling) -> Iterator[VideoClip]:
        self.given.append(sampling)
        yield VideoClip(np.zeros((16, 8, 8, 3), np.uint8), fps=sampling.fps)


def test_a_request_reaches_the_generator_whole(
    pipeline: Pipeline, updates: list[Update], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a seed or an action that is read and not obeyed."""
    recorder = Recorder()
    monkeypatch.setattr(pipeline.models, "generator", lambda name: recorder)
    poses = updates[-1].value.poses
    request = Request(
        action=12, seed=7, prompt="a leap", steps=1, guidance_scale=2.5, method="text-still"
    )
    list(pipeline.stream_from_poses(poses, request))
    list(pipeline.stream_from_poses(poses, replace(request, method="ours")))
    still, ours = recorder.given
    for given in (still, ours):
        assert (given.prompt, given.seed, given.action) == ("a leap", 7, 12)
        assert (given.steps, given.guidance_scale) == (1, 2.5)
        assert given.fps == pytest.approx(1 / (poses.frame_times[1] - poses.frame_times[0]))
    assert (still.motion, ours.motion) == (False, True)
    assert still.guide is None
    assert isinstance(ours.guide, LimbHeatmaps)


def test_a_fusion_that_does_not_exist_is_named(pipeline: Pipeline) -> None:
    with pytest.raises(RequestError, match="average"):
        list(pipeline.stream(None, Request(action=12, fusion="magic")))


def test_a_tier_that_does_not_exist_is_named() -> None:
    with pytest.raises(RequestError, match="tiny"):
        Pipeline("huge")


@pytest.mark.parametrize("at", [None, Stage.CLIP])
def test_stop_works_while_a_clip_is_read_and_searched(
    pipeline: Pipeline, person_clip: Path, at: Stage | None
) -> None:
    """Reading and detection take most of a run's wait; a Stop they ignore looks broken."""
    stop = threading.Event()
    if at is None:
        stop.set()
    seen: list[Stage] = []

    def run() -> None:
        for update in pipeline.stream(person_clip, Request(steps=1), stop):
            seen.append(update.stage)
            stop.set()

    with pytest.raises(StoppedError):
        run()
    assert seen == ([] if at is None else [Stage.CLIP])


def test_no_two_methods_draw_the_same_skeleton(pipeline: Pipeline, updates: list[Update]) -> None:
    """Catches a grid whose videos are equal: a fusion that is S_pp made two methods one."""
    result = updates[-1].value
    assert isinstance(result, Result)
    poses = result.poses
    drawn = {
        name: method.guide(poses, pipeline.reproject).xy
        for name, method in METHODS.items()
        if method.guide is not None
    }
    for first, second in combinations(drawn, 2):
        assert np.abs(drawn[first] - drawn[second]).max() > 0.5, (first, second)
