"""The canvas square: what must decide where it lies, and what must not."""

import numpy as np
import pytest

from finephys.errors import RequestError
from finephys.guidance.framing import Framing, frame_body
from finephys.skeleton import FRAMES, JOINT, JOINTS
from finephys.types import Pose2D


def standing(center: tuple[float, float] = (320.0, 240.0), height: float = 200.0) -> Pose2D:
    rng = np.random.default_rng(3)
    offsets = rng.uniform(-0.5, 0.5, (len(JOINTS), 2)) * (0.4 * height, height)
    offsets[0], offsets[1] = (0, -height / 2), (0, height / 2)
    xy = np.tile(np.asarray(center) + offsets, (FRAMES, 1, 1)).astype(np.float32)
    return Pose2D(xy, np.ones((FRAMES, len(JOINTS)), np.float32))


def with_joint(
    pose: Pose2D, frame: int, joint: str, xy: tuple[float, float], score: float
) -> Pose2D:
    places, scores = pose.xy.copy(), pose.score.copy()
    places[frame, JOINT[joint]], scores[frame, JOINT[joint]] = xy, score
    return Pose2D(places, scores)


def test_box_fills_the_asked_share_and_is_centred() -> None:
    framing = frame_body(standing(), fill=0.5)  # a swapped fill or a corner for a centre
    assert framing.side == pytest.approx(400, rel=1e-3)
    assert framing.y + framing.side / 2 == pytest.approx(240, abs=0.5)


def test_all_frames_count() -> None:
    pose = standing()
    moved = Pose2D(
        pose.xy + np.linspace(0, 300, FRAMES, dtype=np.float32)[:, None, None], pose.score
    )
    canvas = frame_body(moved).to_canvas(moved.xy)  # framing the first frame only
    assert canvas.min() > 0
    assert canvas.max() < 1


def test_low_scores_do_not_move_the_square() -> None:
    pose = standing()
    untrusted = with_joint(pose, 4, "left_wrist", (9000.0, -9000.0), 0.05)
    assert frame_body(untrusted) == frame_body(pose)


def test_one_confident_glitch_does_not_shrink_the_body() -> None:
    pose = standing()
    glitch = with_joint(pose, 4, "left_wrist", (5000.0, 240.0), 1.0)
    assert frame_body(glitch).side < 1.2 * frame_body(pose).side


def test_one_frame_on_another_person_does_not_count() -> None:
    pose = standing()
    xy = pose.xy.copy()
    xy[7] += 4000
    jumped = frame_body(Pose2D(xy, pose.score))
    assert jumped.side < 1.2 * frame_body(pose).side


def test_nobody_is_an_error_and_not_an_arbitrary_square() -> None:
    pose = standing()
    with pytest.raises(RequestError, match="no body to frame"):
        frame_body(Pose2D(pose.xy, np.zeros_like(pose.score)))


def test_a_body_of_one_point_still_gives_a_square() -> None:
    xy = np.full((FRAMES, len(JOINTS), 2), 7.0, np.float32)
    assert frame_body(Pose2D(xy, np.ones(xy.shape[:2], np.float32))).side > 0


@pytest.mark.parametrize("fill", [0.0, -1.0, 1.5, float("nan")])
def test_impossible_fill_is_refused(fill: float) -> None:
    with pytest.raises(RequestError, match="fill"):
        frame_body(standing(), fill)


def test_a_square_without_area_is_refused() -> None:
    with pytest.raises(RequestError, match="square"):
        Framing(0, 0, 0)
