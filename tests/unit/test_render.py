"""The renderer draws the body it is given, in the colours it is given."""

from dataclasses import replace

import numpy as np
import pytest

from finephys.errors import RequestError
from finephys.motion.cameras import Camera, frame_body, look_at
from finephys.motion.figure import body_height, build_figure
from finephys.motion.looks import BACKGROUNDS, LEOTARDS, Look
from finephys.motion.render import pose_truth, render
from finephys.skeleton import JOINT
from finephys.types import Float

LOOK = Look(leotard="red", background="brick wall", floor="grey floor", light=(0.6, 0.0, 0.8))


def _standing() -> Float:
    """A 1.6 m body facing world x with its arms a little away from it, (1, 17, 3)."""
    at = {
        "pelvis": (0, 0, 0.87),
        "right_hip": (0, -0.09, 0.87),
        "right_knee": (0, -0.10, 0.48),
        "right_ankle": (0, -0.10, 0.09),
        "left_hip": (0, 0.09, 0.87),
        "left_knee": (0, 0.10, 0.48),
        "left_ankle": (0, 0.10, 0.09),
        "spine": (0, 0, 1.08),
        "thorax": (0, 0, 1.31),
        "neck": (0, 0, 1.42),
        "head": (0, 0, 1.52),
        "left_shoulder": (0, 0.15, 1.30),
        "left_elbow": (0, 0.33, 1.12),
        "left_wrist": (0, 0.50, 0.96),
        "right_shoulder": (0, -0.15, 1.30),
        "right_elbow": (0, -0.33, 1.12),
        "right_wrist": (0, -0.50, 0.96),
    }
    return np.array([[at[name] for name in JOINT]], np.float32)


def _front(joints: Float, size: int) -> Camera:
    middle = np.array([[0.0, 0.0, 0.8]])
    return frame_body(joints, np.array([8.0, 0.0, 1.0]), middle, size)


def _at(picture: Float, joints: Float, camera: Camera, point: tuple[float, float, float]) -> Float:
    xy, _ = camera.project(np.array([[point]]))
    column, row = np.round(xy[0, 0] - 0.5).astype(int)
    colour: Float = picture[0, row - 1 : row + 2, column - 1 : column + 2].mean((0, 1))
    return colour


def test_a_limb_in_front_hides_the_one_behind() -> None:
    """Catches a painter's order or a depth test the wrong way round."""
    look = replace(LOOK, leotard="blue")
    for depth, red_shows in ((0.35, True), (-0.35, False)):
        joints = _standing()
        joints[0, JOINT["right_elbow"]] = (depth, -0.15, 1.10)
        joints[0, JOINT["right_wrist"]] = (depth, 0.10, 1.10)
        camera = _front(joints, 128)
        frames, *_ = render(joints, camera, look, 128)
        red, _, blue = _at(frames.astype(np.float32), joints, camera, (depth, 0.0, 1.10))
        assert (red > blue) == red_shows


def test_what_is_behind_is_the_frame_without_the_body_but_with_its_shadow() -> None:
    joints = _standing()
    film = render(joints, _front(joints, 64), LOOK, 64)
    inside = film.silhouette
    grown = inside.copy()
    for axis in (1, 2):
        grown |= np.roll(grown, 1, axis) | np.roll(grown, -1, axis)
    assert (film.behind[~grown] == film.frames[~grown]).all()
    change = np.abs(film.frames[inside].astype(int) - film.behind[inside])
    assert change.mean() > 20
    # The same place with the body far above it has no shadow.
    alone = render(joints + np.float32([0, 0, 40]), _front(joints, 64), LOOK, 64)
    darker = alone.frames.astype(int) - film.behind
    assert darker.max() > 15


@pytest.mark.parametrize("size", [64, 128, 256])
def test_the_silhouette_covers_the_projected_joints(size: int) -> None:
    """Catches a figure drawn by another camera than the truth's."""
    joints = np.repeat(_standing(), 16, 0)
    joints[:, :, 0] += np.linspace(-1, 1, 16)[:, None]
    camera = frame_body(joints, np.array([5.0, 6.0, 1.5]), np.array([[0.0, 0.0, 0.8]]), size)
    frames, silhouette, _ = render(joints, camera, LOOK, size)
    assert frames.shape == (16, size, size, 3)
    assert frames.dtype == np.uint8
    pose = pose_truth(joints, camera)
    column, row = np.moveaxis(np.floor(pose.xy).astype(int), -1, 0)
    covered = silhouette[np.arange(16)[:, None], row, column]
    assert covered.mean() > 0.97
    assert 0.01 < silhouette.mean() < 0.35
    assert (pose.score == 1).all()


def test_the_same_input_gives_the_same_pixels() -> None:
    """Catches hidden randomness in scenery or figure."""
    joints = _standing()
    camera = _front(joints, 64)
    first, second = (render(joints, camera, LOOK, 64)[0] for _ in range(2))
    assert (first == second).all()
    other = render(joints, camera, replace(LOOK, seed=1), 64)[0]
    assert (first != other).any()


@pytest.mark.parametrize("background", ["bright gym hall", "dark arena", "outdoor sky"])
@pytest.mark.parametrize("name", LEOTARDS)
def test_each_named_leotard_is_recoverable_from_the_torso(name: str, background: str) -> None:
    """Catches light so strong or dim that the prompt's colour word becomes a lie."""
    joints = _standing()
    camera = _front(joints, 64)
    look = replace(LOOK, leotard=name, background=background)
    frames, *_ = render(joints, camera, look, 64)
    xy, _ = camera.project(joints)
    left, right = xy[0, JOINT["right_hip"], 0], xy[0, JOINT["left_hip"], 0]
    low, high = sorted((left, right))
    top, bottom = xy[0, JOINT["thorax"], 1] + 2, xy[0, JOINT["pelvis"], 1]
    torso = frames[0, int(top) : int(bottom), int(low) : int(high) + 1].reshape(-1, 3).mean(0) / 255
    names = list(LEOTARDS)
    errors = [np.linalg.norm(torso - np.array(LEOTARDS[other])) for other in names]
    assert names[int(np.argmin(errors))] == name


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_no_background_is_plain_and_none_looks_like_another(background: str) -> None:
    """Catches a texture that is missing or painted outside of what a camera sees."""
    joints = _standing()
    camera = _front(joints, 64)
    pictures = {
        other: render(joints, camera, replace(LOOK, background=other), 64) for other in BACKGROUNDS
    }
    frames, silhouette, _ = pictures[background]
    behind = frames[0, :40][~silhouette[0, :40]].astype(np.float32)
    assert behind.std(0).max() > 8
    for other, (others, *_) in pictures.items():
        if other != background:
            gap = np.abs(frames[0, :40].astype(int) - others[0, :40].astype(int)).mean()
            assert gap > 8, other


def test_the_background_moves_with_a_pan_and_stands_still_without() -> None:
    """Catches scenery glued to the canvas while the camera turns."""
    joints = np.repeat(_standing(), 2, 0)
    position = np.array([8.0, 0.0, 1.2])
    targets = np.array([[0.0, 0.0, 1.0], [0.0, 0.5, 1.0]])
    turning = Camera(look_at(position, targets), position, 200.0, 64)
    still = Camera(look_at(position, targets[:1]), position, 200.0, 64)
    moved, *_ = render(joints, turning, LOOK, 64)
    kept, silhouette, _ = render(joints, still, LOOK, 64)
    outside = ~silhouette[0]
    assert (kept[0][outside] == kept[1][outside]).all()
    # Half a metre at eight metres and 200 pixels of focal length is 12.5 pixels.
    sky = np.s_[:16]
    truth = kept[0][sky].astype(int)
    errors = [
        np.abs(np.roll(moved[1][sky].astype(int), shift, 1) - truth)[:, 20:44].mean()
        for shift in range(-20, 21)
    ]
    assert abs(abs(int(np.argmin(errors)) - 20) - 12.5) <= 1.5


def test_long_clips_do_not_change_at_the_seams_of_their_batches() -> None:
    """Catches per-batch state: a still body must stay the same in all frames."""
    joints = np.repeat(_standing(), 18, 0)
    frames, *_ = render(joints, _front(joints, 64), LOOK, 64)
    assert (frames == frames[:1]).all()


def test_the_body_casts_a_shadow_below_itself() -> None:
    """Catches a body that floats over an unshaded floor, or a shadow drawn elsewhere."""
    joints = _standing()
    camera = _front(joints, 128)
    low, silhouette, _ = render(joints, camera, LOOK, 128)
    high, *_ = render(joints + np.float32([0, 0, 3.0]), camera, LOOK, 128)
    xy, _ = camera.project(np.array([[[0.15, 0.0, 0.0]]]))
    column, row = xy[0, 0].astype(int)
    assert not silhouette[0, row, column]
    assert low[0, row, column].sum() < 0.85 * high[0, row, column].sum()


def test_feet_and_hands_extend_the_skeleton_and_stay_above_the_floor() -> None:
    """Catches toes under the floor, and feet that point backwards."""
    joints = _standing()
    assert body_height(joints) == pytest.approx(1.6, abs=0.06)
    figure = build_figure(joints)
    ends = figure.origin + figure.length[..., None] * figure.axes[:, :, 2] / np.square(
        figure.axes[:, :, 2]
    ).sum(-1, keepdims=True)
    assert ends[..., 2].min() > 0
    feet = ends[:, 0][ends[:, 0, 2] < 0.1]
    assert feet[:, 0].max() > 0.10
    assert ends[:, 0, 1].max() > 0.50 + 0.08  # the hand goes on beyond the wrist


def test_joints_of_another_skeleton_are_refused() -> None:
    """Catches a stack trace from inside the renderer."""
    with pytest.raises(RequestError, match=r"\(1, 16, 3\)"):
        render(_standing()[:, :16], _front(_standing(), 64), LOOK, 64)
