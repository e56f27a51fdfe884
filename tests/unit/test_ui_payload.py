"""What the page sends to the browser, without a browser."""

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from finephys.skeleton import FRAMES, JOINT, JOINTS, LIMBS
from finephys.types import Pose2D, Pose3D, Stage, Update, VideoClip
from finephys.ui import payload, scene


@pytest.fixture
def body() -> Pose3D:
    rng = np.random.default_rng(0)
    xyz = rng.normal(0, 0.4, (FRAMES, len(JOINTS), 3)).astype(np.float32)
    xyz -= xyz[:, :1]
    root = np.cumsum(rng.normal(0, 0.05, (FRAMES, 3)), 0).astype(np.float32)
    return Pose3D(xyz, root - root[:1], "lifted")


def seen_by_a_camera(body: Pose3D, pixels_a_metre: float) -> Pose2D:
    xy = (body.xyz + body.root[:, None])[..., :2] * pixels_a_metre + np.array([320, 200])
    score = np.full((FRAMES, len(JOINTS)), 0.9, np.float32)
    return Pose2D(xy.astype(np.float32), score, source="camera")


def test_a_pixel_of_the_image_plane_is_as_wide_as_on_the_body(body: Pose3D) -> None:
    """Another scale would draw S_detect larger or smaller than the body it belongs to."""
    pose = seen_by_a_camera(body, 150.0)
    metres, origin = payload.plane_scale(pose.xy, pose.score, body)
    assert metres == pytest.approx(1 / 150.0, rel=1e-3)
    assert origin == pytest.approx(tuple(pose.xy[0, JOINT["pelvis"]]))


def test_joints_nobody_saw_do_not_move_the_image_plane(body: Pose3D) -> None:
    pose = seen_by_a_camera(body, 150.0)
    xy, score = pose.xy.copy(), pose.score.copy()
    xy[:, JOINT["left_wrist"]], score[:, JOINT["left_wrist"]] = 9000.0, 0.0
    assert payload.plane_scale(xy, score, body)[0] == pytest.approx(1 / 150.0, rel=1e-3)


def test_a_detection_that_knows_nothing_still_gives_a_plane(body: Pose3D) -> None:
    """With the pose prior every score may be 0; a division by zero would end the run."""
    pose = Pose2D(
        np.zeros((FRAMES, len(JOINTS), 2), np.float32), np.zeros((FRAMES, len(JOINTS)), np.float32)
    )
    metres, _ = payload.plane_scale(pose.xy, pose.score, body)
    assert np.isfinite(metres)
    assert metres > 0


def test_values_gather_and_are_plain_json(body: Pose3D) -> None:
    """A value that lost an earlier stage would empty a card when the next one arrives."""
    frames = np.full((FRAMES, 40, 64, 3), 120, np.uint8)
    value = payload.empty("run", "clip", ("text", "ours"), "physics")
    steps = (
        Update(Stage.CLIP, VideoClip(frames, 10.0), 0.1, 0.5, ("a note",)),
        Update(
            Stage.DETECTED, seen_by_a_camera(body, 20.0), 0.2, 1.0, ("a note", "set --real-speed")
        ),
        Update(Stage.DATA_DRIVEN, body, 0.3, 1.5),
        Update(Stage.PREVIEW, VideoClip(frames, 10.0), 0.5, 2.0, (), "text", (1, 8)),
        Update(Stage.HEATMAPS, VideoClip(frames, 10.0), 0.6, 3.0, (), "ours"),
    )
    for step in steps:
        before = json.dumps(value)
        after = payload.with_update(value, step)
        assert json.dumps(value) == before  # sent values are not changed afterwards
        value = after
    value = json.loads(json.dumps(value))
    assert value["notes"] == ["a note", "set “Real speed”"]
    assert value["size"] == [64, 40]
    assert value["interval"] == pytest.approx(0.1)
    assert {"clip", "detected", "data_driven", "plane"} <= set(value)
    # Pictures of poses that guide a generator (HEATMAPS) are no video of it.
    assert list(value["videos"]) == ["text"]
    assert value["videos"]["text"]["step"] == [1, 8]
    assert value["videos"]["text"]["since"] is None
    picture = Image.open(io.BytesIO(base64.b64decode(value["clip"][0].split(",")[1])))
    assert picture.size == (64, 40)


def test_each_pose_is_sent_the_frame_at_its_time() -> None:
    """Catches frames sent by number, which an uneven clip shows at the wrong poses."""
    times = np.array([0.0, 0.1, 0.2, 1.5], np.float32)
    frames = np.arange(4, dtype=np.uint8)[:, None, None, None] * 60
    clip = VideoClip(np.tile(frames, (1, 16, 16, 3)), 2.0, frame_times=times)
    value = payload.empty("run", "clip", ("ours",), "physics")
    sent = payload.with_update(value, Update(Stage.CLIP, clip, 0.1, 0.5))["clip"]
    shades = [
        round(np.asarray(Image.open(io.BytesIO(base64.b64decode(each.split(",")[1])))).mean() / 60)
        for each in sent
    ]
    assert shades == [0, 1, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3]


def test_a_mirrored_body_is_drawn_in_front_of_its_plane(body: Pose3D) -> None:
    mirrored = replace(body, xyz=body.xyz * np.array([-1, 1, 1], np.float32))
    value = payload.with_update(
        payload.empty("run", "action", ("ours",), "physics"),
        Update(Stage.DETECTED, seen_by_a_camera(mirrored, 90.0), 0.2, 1.0),
    )
    value = payload.with_update(value, Update(Stage.DATA_DRIVEN, mirrored, 0.3, 1.0))
    assert value["plane"]["depth"] > float((mirrored.xyz + mirrored.root[:, None])[..., 2].max())


def test_every_stage_has_a_trace_with_a_colour_for_every_point() -> None:
    """The browser fills coordinates only; a colour too few would shift colours along the body."""
    figure = scene.together()
    names = [trace["meta"] for trace in figure["data"]]
    assert names == [*scene.STAGES, "plane", "picture"]
    for trace in figure["data"][: len(scene.STAGES)]:
        assert len(trace["line"]["color"]) == len(LIMBS) * scene.POINTS_PER_LIMB


@pytest.mark.parametrize("columns", [2, 4])
def test_side_by_side_scenes_do_not_overlap(columns: int) -> None:
    layout = scene.side_by_side(columns)["layout"]
    domains = [layout[name]["domain"] for name in ("scene", "scene2", "scene3", "scene4")]
    area = sum(np.ptp(domain["x"]) * np.ptp(domain["y"]) for domain in domains)
    assert area == pytest.approx(1.0)
    corners = {(domain["x"][0], domain["y"][0]) for domain in domains}
    assert len(corners) == 4
