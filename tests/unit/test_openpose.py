"""Skeletons in the OpenPose convention: colours, sides and places of every keypoint and limb."""

import numpy as np
import pytest

from finephys.guidance.framing import Framing, frame_body
from finephys.guidance.openpose import COLORS, KEYPOINTS, LIMBS, SIZE, keypoints, pose_video
from finephys.observe import simulated
from finephys.skeleton import FRAMES, JOINT, JOINTS
from finephys.types import Pose2D, Request

PUBLISHED = (
    "255 0 0, 255 85 0, 255 170 0, 255 255 0, 170 255 0, 85 255 0, 0 255 0, 0 255 85, 0 255 170, "
    "0 255 255, 0 170 255, 0 85 255, 0 0 255, 85 0 255, 170 0 255, 255 0 255, 255 0 170, 255 0 85"
)
"""Colours as public annotators list them (e.g. draw_bodypose in controlnet_aux)."""

PUBLISHED_LIMBS = (
    "2-3 2-6 3-4 4-5 6-7 7-8 2-9 9-10 10-11 2-12 12-13 13-14 2-1 1-15 15-17 1-16 16-18"
)
"""Their limbs, keypoints counted from 1."""


def spread() -> Pose2D:
    """A pose whose joints are far apart and far from the picture's edge."""
    places = {
        "pelvis": (50, 60), "spine": (50, 50), "thorax": (50, 33), "neck": (50, 15),
        "head": (50, 8), "right_hip": (42, 60), "right_knee": (38, 76), "right_ankle": (34, 92),
        "left_hip": (58, 60), "left_knee": (62, 76), "left_ankle": (66, 92),
        "right_shoulder": (38, 32), "right_elbow": (24, 40), "right_wrist": (10, 48),
        "left_shoulder": (62, 32), "left_elbow": (76, 40), "left_wrist": (90, 48),
    }  # fmt: skip
    xy = np.array([places[name] for name in JOINTS], np.float32)
    return Pose2D(np.tile(xy, (FRAMES, 1, 1)), np.ones((FRAMES, len(JOINTS)), np.float32))


WHOLE = Framing(0, 0, 100)


def test_colours_and_limbs_are_the_published_ones() -> None:
    assert ", ".join(" ".join(map(str, color)) for color in COLORS) == PUBLISHED
    assert " ".join(f"{a + 1}-{b + 1}" for a, b in LIMBS) == PUBLISHED_LIMBS


@pytest.mark.parametrize("name", KEYPOINTS[:14])
def test_each_keypoint_has_its_colour_where_its_joint_is(name: str) -> None:
    """Catches left and right exchanged, x and y exchanged, and BGR."""
    pose = spread()
    joints = {"nose": ("neck",), "neck": ("left_shoulder", "right_shoulder")}.get(name, (name,))
    place = np.mean([pose.xy[0, JOINT[joint]] for joint in joints], axis=0) / 100 * SIZE
    picture = pose_video(pose, WHOLE).frames[0]
    assert tuple(picture[int(place[1]), int(place[0])]) == COLORS[KEYPOINTS.index(name)]


@pytest.mark.parametrize("limb", range(13))
def test_each_limb_is_its_dimmed_colour_between_its_ends(limb: int) -> None:
    xy, _ = keypoints(spread())
    one, other = LIMBS[limb]
    picture = pose_video(spread(), WHOLE).frames[0]
    wanted = [int(part * 0.6) for part in COLORS[limb]]
    middle = (xy[0, one] + xy[0, other]) / 2 / 100 * SIZE
    assert list(picture[int(middle[1]), int(middle[0])]) == wanted


def test_widths_are_those_of_the_convention() -> None:
    """The forearm's half-width is 4 pixels, a keypoint's radius 4."""
    only = spread()
    score = np.zeros_like(only.score)
    score[:, [JOINT["left_knee"], JOINT["left_ankle"]]] = 1
    picture = pose_video(Pose2D(only.xy, score), WHOLE).frames[0]
    row = int(0.84 * SIZE)  # half-way down the shank
    assert 7 <= (picture[row].max(-1) > 0).sum() <= 10
    lowest = np.flatnonzero(picture.max((1, 2)))[-1]
    assert abs(lowest - (0.92 * SIZE + 4)) <= 1.5


def test_unseen_joints_and_what_hangs_on_them_are_left_out() -> None:
    pose = spread()
    score = pose.score.copy()
    score[:, JOINT["right_elbow"]] = 0.1
    frames = pose_video(Pose2D(pose.xy, score), WHOLE).frames
    colors = {tuple(color) for color in frames[0].reshape(-1, 3)}
    assert COLORS[KEYPOINTS.index("right_elbow")] not in colors
    assert tuple(int(part * 0.6) for part in COLORS[2]) not in colors  # shoulder to elbow
    nothing = pose_video(Pose2D(pose.xy, np.zeros_like(pose.score)), WHOLE)
    assert not nothing.frames.any()


def test_a_glitch_does_not_stop_the_drawing() -> None:
    xy = spread().xy.copy()
    xy[3, JOINT["left_wrist"]] = 1e9
    video = pose_video(Pose2D(xy, spread().score), WHOLE)
    assert video.frames[3].any()


def test_a_simulated_gymnast_lies_on_the_canvas_at_any_size() -> None:
    pose = simulated(Request(action=38, seed=2)).detected
    for size in (64, 512):
        video = pose_video(pose, frame_body(pose), 9.0, size)
        assert video.frames.shape == (FRAMES, size, size, 3)
        assert video.fps == 9.0
        lit = video.frames.max(-1) > 0
        assert lit.any((1, 2)).all()
        assert not lit[:, 0].any()
        assert 0.005 < lit.mean() < 0.15
