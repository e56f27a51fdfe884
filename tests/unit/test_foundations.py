"""Skeleton, anthropometry, actions and the values that flow: wrong tables and wrong shapes."""

import numpy as np
import pytest

from finephys.actions import ACTIONS, action_by_id
from finephys.anthropometry import (
    LIMB_LENGTHS_PER_HEIGHT,
    center_of_mass_weights,
    consistent_mass_matrix,
)
from finephys.errors import RequestError
from finephys.pose3d.windows import PoseWindows
from finephys.skeleton import (
    JOINT,
    JOINTS,
    LIMBS,
    MIRROR,
    PARENTS,
    from_blazepose,
    limb_lengths,
)
from finephys.types import Pose2D, Pose3D, Request, VideoClip


def test_mirror_table_swaps_sides_of_the_same_joint() -> None:
    for index, other in enumerate(MIRROR):
        name = JOINTS[index]
        swapped = name.replace("right", "?").replace("left", "right").replace("?", "left")
        assert JOINTS[other] == swapped


def test_limbs_form_one_tree() -> None:
    assert len(LIMBS) == len(JOINTS) - 1
    for child, parent in enumerate(PARENTS):
        assert parent < child  # a cycle or an orphan would break forward kinematics


def test_detector_landmarks_land_on_their_joints() -> None:
    """A left/right or index slip in a conversion table moves a joint onto another."""
    blaze = np.stack([np.arange(33.0), np.zeros(33)], -1).astype(np.float32)
    xy, _ = from_blazepose(blaze, np.ones(33, np.float32))
    assert xy[JOINT["left_wrist"], 0] == 15
    assert xy[JOINT["right_knee"], 0] == 26
    assert xy[JOINT["right_ankle"], 0] == 28
    assert xy[JOINT["pelvis"], 0] == 23.5
    assert xy[JOINT["thorax"], 0] == 11.5
    assert xy[JOINT["spine"], 0] == (23.5 + 11.5) / 2


def test_derived_joint_is_as_doubtful_as_its_worst_source() -> None:
    score = np.ones(33, np.float32)
    score[23] = 0.1  # left hip of BlazePose
    _, out = from_blazepose(np.zeros((33, 2), np.float32), score)
    assert out[JOINT["pelvis"]] == np.float32(0.1)
    assert out[JOINT["spine"]] == np.float32(0.1)
    assert out[JOINT["thorax"]] == 1


def test_masses_are_a_whole_body() -> None:
    matrix = consistent_mass_matrix()
    np.testing.assert_allclose(matrix, matrix.T)
    assert np.linalg.eigvalsh(matrix).min() > -1e-12  # a negative mass would give energy away
    # Moving every joint alike moves the whole mass: the rows sum to the centre-of-mass weights.
    np.testing.assert_allclose(matrix.sum(0), center_of_mass_weights(), atol=1e-12)
    assert matrix.sum() == pytest.approx(1)


def test_average_body_is_as_tall_as_it_says() -> None:
    lengths = dict(zip((JOINTS[child] for _, child in LIMBS), LIMB_LENGTHS_PER_HEIGHT, strict=True))
    standing = sum(lengths[n] for n in ("right_knee", "right_ankle", "spine", "thorax", "head"))
    assert 0.80 < standing < 0.95  # ankle to head centre; the rest is foot and skull


def test_limb_lengths_of_a_known_pose() -> None:
    pose = np.zeros((17, 3))
    pose[JOINT["right_hip"]] = [3, 4, 0]
    assert limb_lengths(pose)[0] == 5


def test_table_3_is_whole() -> None:
    assert [action.id for action in ACTIONS] == list(range(6, 41))
    assert {a.subset: 0 for a in ACTIONS} == {"FX-JUMP": 0, "FX-TURN": 0, "FX-SALTO": 0}
    assert sum(a.subset == "FX-TURN" for a in ACTIONS) == 7
    assert len({a.caption for a in ACTIONS}) == 35
    with pytest.raises(RequestError, match="6 to 40"):
        action_by_id(41)


@pytest.mark.parametrize(
    "bad",
    [
        {"xy": np.zeros((15, 17, 2), np.float32)},
        {"xy": np.zeros((16, 17, 2), np.float64)},
        {"xy": np.full((16, 17, 2), np.nan, np.float32)},
        {"score": np.full((16, 17), 1.5, np.float32)},
        {"score": np.full((16, 17), -0.1, np.float32)},
    ],
)
def test_a_wrong_pose_cannot_be_made(bad: dict[str, np.ndarray]) -> None:
    good = {"xy": np.zeros((16, 17, 2), np.float32), "score": np.zeros((16, 17), np.float32)}
    Pose2D(**good)
    with pytest.raises(RequestError):
        Pose2D(**(good | bad))


def test_infinite_metres_cannot_be_made() -> None:
    xyz = np.zeros((16, 17, 3), np.float32)
    xyz[3, 2, 1] = np.inf
    with pytest.raises(RequestError, match="NaN or infinite"):
        Pose3D(xyz, np.zeros((16, 3), np.float32))


def test_clip_times_start_at_the_span() -> None:
    clip = VideoClip(np.zeros((3, 4, 4, 3), np.uint8), fps=10, start=2.5)
    np.testing.assert_allclose(clip.times, [2.5, 2.6, 2.7], rtol=1e-6)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", -1),
        ("seed", 2**31),
        ("steps", 0),
        ("steps", 101),
        ("guidance_scale", 0.5),
        ("guidance_scale", float("nan")),
        ("real_speed", 0.0),
        ("body_height", 16.0),
        ("span", 0.0),
        ("start", -0.1),
        ("start", float("inf")),
    ],
)
def test_a_request_outside_its_ranges_names_the_value(field: str, value: float) -> None:
    with pytest.raises(RequestError, match=field.split("_")[0]):
        Request(**{field: value})


def test_windows_refuse_time_that_stands_still() -> None:
    with pytest.raises(RequestError, match="positive"):
        PoseWindows(
            xy=np.zeros((1, 16, 17, 2), np.float32),
            score=np.zeros((1, 16, 17), np.float32),
            size=(10, 10),
            dt=np.zeros(1, np.float32),
            body_height=1.6,
            ballistic=np.ones(1, np.float32),
        )
