"""Camera motion from the background, on pictures moved by known homographies."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from finephys.pose2d.camera_motion import estimate_camera_motion, turning_residual
from finephys.types import Bytes, Pose2D, VideoClip

SIZE = (480, 270)


def texture(seed: int = 0, size: tuple[int, int] = (1440, 810)) -> Bytes:
    """A scene with corners at several scales."""
    rng = np.random.default_rng(seed)
    scene = np.zeros((size[1], size[0], 3), np.float32)
    for cells in (8, 24, 72):
        patch = rng.uniform(0, 255, (cells, cells * 16 // 9, 3)).astype(np.float32)
        scene += cv2.resize(patch, size, interpolation=cv2.INTER_NEAREST) / 3
    return np.asarray(cv2.GaussianBlur(scene, (0, 0), 1), np.uint8)


def turning(
    degrees: tuple[float, float, float], zoom: float = 1.0, focal: float = 1.2
) -> np.ndarray:
    """Homographies (16, 3, 3) to the first frame of a camera that pans, tilts, rolls and zooms."""
    width, height = SIZE
    matrices = []
    for part in np.linspace(0, 1, 16):
        first = np.array([[focal * width, 0, width / 2], [0, focal * width, height / 2], [0, 0, 1]])
        now = first @ np.diag([1 + (zoom - 1) * part, 1 + (zoom - 1) * part, 1])
        turn = Rotation.from_euler("yxz", np.array(degrees) * part, degrees=True).as_matrix()
        matrices.append(first @ turn @ np.linalg.inv(now))
    matrices = np.array(matrices)
    return matrices / matrices[:, 2:, 2:]


def filmed(to_first: np.ndarray, noise: float = 3.0) -> VideoClip:
    """What such a camera sees of the texture."""
    scene, rng = texture(), np.random.default_rng(1)
    into_scene = np.array([[1, 0, 480], [0, 1, 270], [0, 0, 1.0]])
    frames = [
        cv2.warpPerspective(
            scene, into_scene @ matrix, SIZE, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )
        for matrix in to_first
    ]
    frames = np.stack(frames) + rng.normal(0, noise, (16, SIZE[1], SIZE[0], 3))
    return VideoClip(np.clip(frames, 0, 255).astype(np.uint8), fps=6)


def nobody() -> Pose2D:
    return Pose2D(np.zeros((16, 17, 2), np.float32), np.zeros((16, 17), np.float32))


def person(center: tuple[float, float] = (240, 135)) -> Pose2D:
    """A body of 60 by 120 pixels that stands at `center`."""
    xy = np.zeros((16, 17, 2), np.float32)
    xy[..., 0] = center[0] + np.linspace(-30, 30, 17)
    xy[..., 1] = center[1] + np.linspace(-60, 60, 17)
    return Pose2D(xy, np.ones((16, 17), np.float32))


def worst(found: np.ndarray, true: np.ndarray) -> float:
    """Largest distance in pixels over a grid of the frame."""
    grid = np.stack(np.meshgrid(np.linspace(0, SIZE[0], 5), np.linspace(0, SIZE[1], 5)), -1)
    points = np.c_[grid.reshape(-1, 2), np.ones(25)]
    one, two = (points @ matrix.transpose(0, 2, 1) for matrix in (found, true))
    return float(
        np.linalg.norm(one[..., :2] / one[..., 2:] - two[..., :2] / two[..., 2:], axis=-1).max()
    )


@pytest.mark.parametrize(
    ("degrees", "zoom"), [((4, 0, 0), 1.0), ((12, 2, 0), 1.0), ((6, 3, 3), 1.2), ((0, 0, 0), 0.8)]
)
def test_a_turning_camera_is_measured(degrees: tuple[float, float, float], zoom: float) -> None:
    """Catches homographies composed in the wrong order or the wrong way round."""
    true = turning(degrees, zoom)
    camera = estimate_camera_motion(filmed(true), nobody())
    assert camera.known
    assert worst(camera.to_first, true) < 2.5


def test_a_still_camera_gives_identity_exactly() -> None:
    """Catches noise of the estimate shaking the poses of every clip from a tripod."""
    camera = estimate_camera_motion(filmed(np.tile(np.eye(3), (16, 1, 1))), nobody())
    assert camera.known
    assert camera.note == "The camera stands still."
    np.testing.assert_array_equal(camera.to_first, np.tile(np.eye(3), (16, 1, 1)))


def test_the_person_does_not_count_as_background() -> None:
    """Catches a textured body that moves being taken for a moving camera."""
    frames = np.full((16, SIZE[1], SIZE[0], 3), 90, np.uint8)
    frames[:, :, :70] = texture()[:270, :70]
    body = texture(5)
    for index in range(16):
        frames[index, 60:210, 180:300] = body[300:450, 300 + 4 * index : 420 + 4 * index]
    clip = VideoClip(frames, fps=6)
    assert estimate_camera_motion(clip, person()).note == "The camera stands still."
    assert estimate_camera_motion(clip, nobody()).note != "The camera stands still."


@pytest.mark.parametrize(("degrees", "zoom"), [((20, 0, 0), 1.3), ((24, 5, 0), 0.9)])
def test_long_pans_do_not_drift(degrees: tuple[float, float, float], zoom: float) -> None:
    """Catches steps composed in the wrong order, a first frame out of sight still used, and a
    similarity taken for a step that it only nearly fits, which adds up.
    """
    true = turning(degrees, zoom, focal=2.0)
    camera = estimate_camera_motion(filmed(true), nobody())
    assert camera.known
    assert worst(camera.to_first, true) < 2.5


def test_a_camera_that_travels_is_not_known() -> None:
    """Catches a camera that runs along: near and far background move differently."""
    true = turning((0, 0, 0))
    true[:, 0, 2] = np.linspace(0, 30, 16)
    true[:, 0, 1] = np.linspace(0, 0.5, 16)  # the floor shifts more the nearer it is
    camera = estimate_camera_motion(filmed(true), nobody())
    assert not camera.known
    assert "travels" in camera.note
    np.testing.assert_array_equal(camera.to_first, np.tile(np.eye(3), (16, 1, 1)))


@pytest.mark.parametrize("scene", ["noise", "blank"])
def test_a_background_that_cannot_be_followed_is_not_known(scene: str) -> None:
    """Catches random motion reported as known."""
    frames = np.full((16, SIZE[1], SIZE[0], 3), 90, np.uint8)
    if scene == "noise":
        frames = np.random.default_rng(0).integers(0, 255, frames.shape, np.uint8)
    camera = estimate_camera_motion(VideoClip(frames, fps=6), nobody())
    assert not camera.known
    assert "could not be removed" in camera.note


def test_few_frames_give_16_homographies() -> None:
    true = turning((5, 0, 0))
    clip = filmed(true)
    camera = estimate_camera_motion(VideoClip(clip.frames[::5], fps=2), nobody())
    assert camera.to_first.shape == (16, 3, 3)
    assert worst(camera.to_first, true) < 2.5


def test_uneven_frames_give_homographies_at_the_times_of_the_poses() -> None:
    """Catches homographies counted by frame while the poses are even in time."""
    times = np.cumsum([0.0, *[0.1, 0.2] * 7, 0.1]).astype(np.float32)
    to_first = np.tile(np.eye(3), (16, 1, 1))
    to_first[:, 0, 2] = 80 * times  # a camera that shifts at a constant speed, in pixels
    clip = replace(filmed(to_first), frame_times=times)
    camera = estimate_camera_motion(clip, nobody())
    assert camera.known
    expected = np.tile(np.eye(3), (16, 1, 1))
    expected[:, 0, 2] = 80 * (clip.pose_times - times[0])
    assert worst(camera.to_first, expected) < 1


def test_large_frames_are_measured_in_their_own_pixels() -> None:
    """Catches the working scale left in the result."""
    true = turning((5, 0, 0))
    frames = [cv2.resize(frame, (960, 540)) for frame in filmed(true).frames]
    camera = estimate_camera_motion(VideoClip(np.stack(frames), fps=6), nobody())
    shrink = np.diag([0.5, 0.5, 1])
    assert worst(shrink @ camera.to_first @ np.linalg.inv(shrink), true) < 2.5


def test_what_a_turning_camera_cannot_do() -> None:
    assert turning_residual(turning((10, 3, 2), 1.3)[5::5], SIZE) < 1e-3
    stretched = np.tile(np.diag([1.25, 1.1, 1.0]), (3, 1, 1))
    assert turning_residual(stretched, SIZE) > 0.006
