"""The seven methods through the real pipeline, with the shipped weights."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from finephys.errors import RequestError, WeightsMissingError
from finephys.methods import METHODS
from finephys.models import Models
from finephys.pipeline import Pipeline
from finephys.types import Float, LimbHeatmaps, Poses, Request, Result, Stage, Update, VideoClip
from finephys.weights.checkpoints import checkpoints_root

REQUEST = Request(action=25, seed=3, steps=1, guidance_scale=1)


@pytest.fixture(scope="module")
def poses(pipeline: Pipeline) -> Poses:
    updates: Iterator[Update] = pipeline.stream_poses(None, REQUEST)
    while True:
        try:
            next(updates)
        except StopIteration as end:
            found: Poses = end.value
            return found


def test_bodies_are_put_where_the_fused_one_was(pipeline: Pipeline, poses: Poses) -> None:
    """Catches windows rebuilt from poses with another camera, size or scale: then lifted and
    physics would not be comparable with ours. S_re-proj lies on the way from the fitted camera's
    picture of the fused body to the detections.
    """

    def still(xy: Float) -> Float:
        return poses.camera.stabilised(xy)

    camera = still(pipeline.reproject(poses, poses.fused).xy)
    way = still(poses.detected.xy) - camera
    gone = still(poses.reprojected.xy) - camera
    share = (gone * way).sum(-1) / np.maximum((way**2).sum(-1), 1e-6)
    assert np.linalg.norm(gone - share[..., None] * way, axis=-1).max() < 0.1
    assert share[np.linalg.norm(way, axis=-1) > 1].min() > -0.05
    assert share.max() < 1.05
    assert np.linalg.norm(way, axis=-1).mean() < 0.05 * poses.size[1]


def test_each_method_makes_its_own_video(pipeline: Pipeline, poses: Poses) -> None:
    videos: dict[str, VideoClip] = {}
    guides: dict[str, object] = {}
    for name in METHODS:
        for update in pipeline.stream_from_poses(poses, replace(REQUEST, method=name)):
            if update.stage is Stage.VIDEO:
                videos[name] = update.value
            if update.stage is Stage.HEATMAPS:
                guides[name] = update.value
    assert set(guides) == {name for name, method in METHODS.items() if method.guide}
    assert all(isinstance(guide, LimbHeatmaps) for guide in guides.values())
    assert len({video.frames.tobytes() for video in videos.values()}) == len(METHODS)
    assert len({video.fps for video in videos.values()}) == 1


def test_an_unknown_method_ends_before_any_work(pipeline: Pipeline) -> None:
    with pytest.raises(RequestError, match="theirs"):
        next(pipeline.stream(None, Request(action=25, method="theirs")))


def test_a_comparison_finds_the_body_once(pipeline: Pipeline) -> None:
    """Each method on poses of its own would cost as many detections, and compare nothing."""
    methods = ("text", "ours")
    updates = list(pipeline.stream(None, REQUEST, methods=methods))
    stages = [update.stage for update in updates]
    assert stages.count(Stage.DETECTED) == 1
    fractions = [update.fraction for update in updates]
    assert fractions == sorted(fractions)
    results = [update.value for update in updates if isinstance(update.value, Result)]
    assert tuple(result.request.method for result in results) == methods
    assert results[0].poses.detected is results[1].poses.detected
    alone = list(pipeline.stream(None, replace(REQUEST, method="ours")))[-1].value
    assert isinstance(alone, Result)
    assert np.array_equal(results[1].video.frames, alone.video.frames)
    assert {update.method for update in updates if update.stage is Stage.PREVIEW} == set(methods)
    assert [u.step for u in updates if u.stage is Stage.PREVIEW] == [(1, 1), (1, 1)]


def test_a_comparison_with_an_impossible_method_ends_before_any_video(
    pipeline: Pipeline, empty_clip: Path
) -> None:
    """Refused in the middle, the videos before it would have been waited for in vain."""
    request = Request(action=31, use_prior=True, steps=1, start=0.0, span=1.0)
    seen: list[Stage] = []

    def run() -> None:
        for update in pipeline.stream(empty_clip, request, methods=("text", "detected", "ours")):
            seen.append(update.stage)

    with pytest.raises(RequestError, match="'detected'"):
        run()
    assert Stage.PREVIEW not in seen


@pytest.mark.parametrize("tier", ["sd15-controlnet", "sd15"])
def test_a_tier_without_weights_ends_before_any_work(
    pipeline: Pipeline, tier: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Catches a silent fall back to the pipeline's own tier."""
    monkeypatch.setenv("FINEPHYS_WEIGHTS", str(tmp_path))
    if checkpoints_root().joinpath(tier, "generator.safetensors").is_file():
        pytest.skip(f"the {tier} weights are here")
    with pytest.raises(WeightsMissingError, match="python -m finephys fetch sd15") as caught:
        next(pipeline.stream(None, replace(REQUEST, generator=tier)))
    assert pipeline.models.missing(tier) == str(caught.value)
    assert pipeline.models.missing("tiny") is None
    assert "tiny" in pipeline.models.generators  # what was loaded stays


def test_one_generator_is_kept_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of Stable Diffusion's size do not fit on one GPU."""
    loaded: list[str] = []

    def load(tier: str, device: str) -> str:
        loaded.append(tier)
        return f"{tier} on {device}"

    monkeypatch.setattr("finephys.generator.load_generator", load)
    models = Models("tiny", "cpu")
    for tier in ("tiny", "sd15", "sd15", "tiny"):
        assert models.generator(tier) == f"{tier} on cpu"
        assert models.holds(tier)
        assert list(models.generators) == [tier]
    assert loaded == ["tiny", "sd15", "tiny"]
