"""What every detector in the table must do; a new entry is judged by these tests alone."""

from pathlib import Path

import numpy as np
import pytest

from finephys.pose2d import DETECTORS, load_detector
from finephys.pose2d.detection import detect_clip
from finephys.pose2d.protocol import Detector
from finephys.skeleton import JOINT, MIRROR, mirror
from finephys.types import CONFIDENT_SCORE, Pose2D, VideoClip
from finephys.video import probe, read_span

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "clips" / "runner_gym_hall.mp4"
RENDERED = ROOT / "assets" / "examples" / "double_turn.mp4"


@pytest.fixture(scope="module", params=sorted(DETECTORS))
def detector(request: pytest.FixtureRequest) -> Detector:
    return load_detector(request.param)


@pytest.fixture(scope="module")
def clip() -> VideoClip:
    """Two seconds of one whole person."""
    path = REAL if REAL.is_file() else RENDERED
    return read_span(path, 0, min(2.0, probe(path).last))


@pytest.fixture(scope="module")
def plain(detector: Detector, clip: VideoClip) -> Pose2D:
    """What the detector says of the clip as it is."""
    return detect_clip(clip, detector)


def test_its_name_is_its_key(detector: Detector) -> None:
    assert detector.name in DETECTORS


def test_shapes_and_ranges(detector: Detector, clip: VideoClip) -> None:
    xy, score = detector.detect(clip.frames[:3])
    assert (xy.shape, xy.dtype) == ((3, 17, 2), np.float32)
    assert (score.shape, score.dtype) == ((3, 17), np.float32)
    assert np.isfinite(xy).all()
    assert score.min() >= 0
    assert score.max() <= 1


def test_no_frames_give_no_poses(detector: Detector) -> None:
    xy, score = detector.detect(np.zeros((0, 64, 64, 3), np.uint8))
    assert xy.shape == (0, 17, 2)
    assert score.shape == (0, 17)


@pytest.mark.parametrize("size", [(64, 64), (37, 301), (720, 41)])
def test_nobody_is_all_zeros(detector: Detector, size: tuple[int, int]) -> None:
    """Catches the last person seen being given again for an empty frame."""
    xy, score = detector.detect(np.full((2, *size, 3), 128, np.uint8))
    assert not xy.any()
    assert not score.any()


def test_frames_do_not_depend_on_those_before(detector: Detector, clip: VideoClip) -> None:
    """Catches state kept between frames: a clip is read forth, single and mixed."""
    frames = clip.frames[[0, 5, 10]]
    together = detector.detect(frames)[0]
    for index in (2, 0, 1):
        np.testing.assert_allclose(detector.detect(frames[index][None])[0][0], together[index])


def test_joints_are_where_a_person_has_them(detector: Detector, clip: VideoClip) -> None:
    """Catches a wrong joint order: an upright body has its head above pelvis above ankles."""
    xy, _ = detector.detect(clip.frames[:4])
    height = xy[..., 1]
    ankles = height[:, [JOINT["left_ankle"], JOINT["right_ankle"]]].mean(1)
    assert (height[:, JOINT["head"]] < height[:, JOINT["thorax"]]).all()
    assert (height[:, JOINT["thorax"]] < height[:, JOINT["pelvis"]]).all()
    assert (height[:, JOINT["pelvis"]] < ankles).all()


def test_coordinates_are_pixels_of_the_frame(detector: Detector, clip: VideoClip) -> None:
    """Catches normalised coordinates and an offset lost: a frame moved by a border."""
    frame = clip.frames[0]
    padded = np.pad(frame, ((40, 0), (60, 0), (0, 0)), mode="edge")
    plain, moved = (detector.detect(picture[None])[0][0] for picture in (frame, padded))
    size = np.ptp(plain, axis=0).max()
    apart = np.linalg.norm(moved - plain - np.array([60, 40]), axis=-1)
    assert np.median(apart) < 0.05 * size


def test_the_mirrored_clip_gives_the_mirrored_pose(
    detector: Detector, clip: VideoClip, plain: Pose2D
) -> None:
    """Catches left and right mixed up in the conversion to Human3.6M's joints."""
    flipped = detect_clip(
        VideoClip(np.ascontiguousarray(clip.frames[:, :, ::-1]), fps=clip.fps), detector
    )
    back = mirror(flipped.xy, 0, clip.size[0])
    size = np.linalg.norm(np.ptp(plain.xy, axis=1), axis=-1)[:, None]
    both = (plain.score >= CONFIDENT_SCORE) & (flipped.score[:, MIRROR] >= CONFIDENT_SCORE)
    assert both.mean() > 0.7
    apart = np.linalg.norm(back - plain.xy, axis=-1) / size
    assert np.quantile(apart[both], 0.95) < 0.05


def test_half_the_pixels_give_half_the_coordinates(
    detector: Detector, clip: VideoClip, plain: Pose2D
) -> None:
    """Catches pixels that depend on a working size instead of the frame's."""
    height, width = (side // 2 * 2 for side in clip.frames.shape[1:3])
    quads = clip.frames[:, :height, :width].reshape(-1, height // 2, 2, width // 2, 2, 3)
    small = VideoClip(quads.mean((2, 4)).astype(np.uint8), fps=clip.fps)
    half = detect_clip(small, detector)
    both = (plain.score >= CONFIDENT_SCORE) & (half.score >= CONFIDENT_SCORE)
    assert both.mean() > 0.7
    size = np.linalg.norm(np.ptp(plain.xy, axis=1), axis=-1)[:, None]
    apart = np.linalg.norm(2 * half.xy - plain.xy, axis=-1) / size
    assert np.quantile(apart[both], 0.95) < 0.05
