"""What is believed of detected joints."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from finephys.pose2d import load_detector, plausibility
from finephys.pose2d.detection import detect_twice
from finephys.pose2d.protocol import Detector
from finephys.skeleton import JOINT
from finephys.types import CONFIDENT_SCORE, Float, VideoClip
from finephys.video import read_span

CLIPS = Path(__file__).resolve().parents[3] / "shared" / "clips"

STANDER = np.array(
    [
        [100, 110], [92, 110], [92, 155], [92, 200], [108, 110], [108, 155], [108, 200],
        [100, 85], [100, 60], [100, 48], [100, 40],
        [116, 62], [122, 90], [126, 115], [84, 62], [78, 90], [74, 115],
    ],
    np.float32,
)  # fmt: skip


def standing(frames: int = 16) -> tuple[Float, Float]:
    """A person who walks to the right, as pixels and scores."""
    xy = np.tile(STANDER, (frames, 1, 1))
    xy[..., 0] += 4 * np.arange(frames, dtype=np.float32)[:, None]
    return xy, np.full((frames, 17), 0.9, np.float32)


def test_a_good_body_keeps_its_scores() -> None:
    """Catches checks so strict that honest detections are lost."""
    xy, score = standing()
    everywhere = np.ones(16, np.bool_)
    assert plausibility.agreement(xy, xy + 0.5, everywhere).min() > 0.95
    for factor in (
        plausibility.bone_lengths(xy, score),
        plausibility.left_right(xy, score),
        plausibility.inside(xy, (400, 300)),
        plausibility.same_person(xy, score, 0.1),
    ):
        assert factor.shape == (16, 17)
        assert factor.min() == 1


def test_a_joint_on_which_both_looks_disagree_is_doubted_alone() -> None:
    xy, _ = standing()
    other = xy.copy()
    other[3, JOINT["left_wrist"]] += 40
    factor = plausibility.agreement(xy, other, np.ones(16, np.bool_))
    assert factor[3, JOINT["left_wrist"]] < 0.1
    assert np.delete(factor[3], JOINT["left_wrist"]).min() > 0.95
    assert factor[4].min() > 0.95


def test_left_and_right_mixed_up_is_doubted() -> None:
    xy, _ = standing()
    xy[:, JOINT["left_ankle"], 0] += 30
    swapped = xy.copy()
    legs = [JOINT["left_ankle"], JOINT["right_ankle"]]
    swapped[:, legs] = xy[:, legs[::-1]]
    factor = plausibility.agreement(xy, swapped, np.ones(16, np.bool_))
    assert factor[:, legs].max() < 0.2


def test_a_frame_seen_by_one_look_only_is_not_trusted() -> None:
    xy, _ = standing()
    found = np.ones(16, np.bool_)
    found[5] = False
    factor = plausibility.agreement(xy, xy, found)
    assert factor[5].max() < CONFIDENT_SCORE
    assert factor[6].min() == 1


def test_a_bone_longer_than_the_body_allows_is_doubted() -> None:
    xy, score = standing()
    xy[2, JOINT["right_ankle"], 1] += 90
    factor = plausibility.bone_lengths(xy, score)
    assert factor[2, JOINT["right_ankle"]] < 0.1
    assert np.delete(factor[2], JOINT["right_ankle"]).min() == 1
    assert factor[3].min() == 1


def test_a_shin_always_three_times_the_other_is_doubted() -> None:
    xy, score = standing()
    xy[:, JOINT["left_ankle"]] = xy[:, JOINT["left_knee"]] + np.array([0, 12], np.float32)
    factor = plausibility.left_right(xy, score)
    assert factor[:, JOINT["right_ankle"]].max() < 0.2
    assert factor[:, JOINT["left_ankle"]].min() == 1


def test_joints_outside_the_picture_are_doubted() -> None:
    xy, _ = standing()
    factor = plausibility.inside(xy, (400, 170))
    ankles = [JOINT["left_ankle"], JOINT["right_ankle"]]
    assert factor[:, ankles].max() == 0
    assert np.delete(factor, ankles, axis=1).min() == 1


def test_another_person_in_some_frames_is_doubted() -> None:
    """Catches a jump to somebody else in a crowd taken for the fastest run on earth."""
    xy, score = standing()
    xy[5:8, :, 0] += 900
    factor = plausibility.same_person(xy, score, 0.05)
    assert factor[5:8].max() <= 0.1
    assert np.delete(factor, [5, 6, 7], axis=0).min() == 1


def test_a_fast_flight_is_one_person() -> None:
    """Catches a tumbler at 6 m/s taken for two people; 16 frames over 2.5 s."""
    xy, score = standing()
    body = np.ptp(STANDER[:, 1])
    xy[..., 0] += (np.arange(16, dtype=np.float32) * body * 0.6)[:, None]
    assert plausibility.same_person(xy, score, 1 / 6).min() == 1


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_detector()


def shown_still(picture: np.ndarray) -> VideoClip:
    return VideoClip(np.tile(picture, (4, 1, 1, 1)), fps=6)


@pytest.mark.parametrize("layout", ["plain", "in a wide frame", "small"])
def test_a_confident_nonsense_skeleton_comes_out_low(detector: Detector, layout: str) -> None:
    """Two entangled bodies: mediapipe is sure at 0.75 and more, and wrong."""
    path = CLIPS / "entangled_acrobats.jpg"
    if not path.is_file():
        pytest.skip(f"{path.name} is not on this machine")
    picture = np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])
    if layout == "in a wide frame":
        picture = np.pad(picture, ((60, 60), (300, 300), (0, 0)))
    if layout == "small":
        picture = cv2.resize(picture, None, fx=0.5, fy=0.5)
    clip = shown_still(np.asarray(picture, np.uint8))
    assert detector.detect(clip.frames)[1].mean() > 0.7
    score = detect_twice(clip, detector)[1]
    assert (score < CONFIDENT_SCORE).mean() > 0.8


@pytest.mark.parametrize(
    ("name", "start"),
    [("runner_gym_hall", 1.0), ("martial_arts_form", 3.6), ("jumping_jacks", 0.0)],
)
def test_good_clips_keep_nine_joints_of_ten(detector: Detector, name: str, start: float) -> None:
    path = CLIPS / f"{name}.mp4"
    if not path.is_file():
        pytest.skip(f"{path.name} is not on this machine")
    score = detect_twice(read_span(path, start, 2.0), detector)[1]
    assert (score >= CONFIDENT_SCORE).mean() >= 0.9
