"""The seven methods through the real pipeline, with the shipped weights."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from finephys.errors import RequestError
from finephys.methods import METHODS
from finephys.observe import transform_points
from finephys.pipeline import Pipeline
from finephys.types import Float, LimbHeatmaps, Poses, Request, Stage, Update, VideoClip

ASKED = Request(action=25, seed=3, steps=1)


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline("tiny", "cpu")


@pytest.fixture(scope="module")
def poses(pipeline: Pipeline) -> Poses:
    updates: Iterator[Update] = pipeline.stream_poses(None, ASKED)
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
        return transform_points(poses.camera.to_first, xy)

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
        for update in pipeline.stream_from_poses(poses, replace(ASKED, method=name)):
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
