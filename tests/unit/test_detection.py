"""From frames to 16 poses, and the choice of the span, with a detector that reads drawn dots."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from finephys.errors import ClipError, NoPersonError, RequestError, StoppedError
from finephys.pose2d import DETECTORS, load_detector
from finephys.pose2d.detection import detect_clip
from finephys.pose2d.span import choose_span
from finephys.pose2d.zoom import detect_crops, find_person, person_boxes
from finephys.skeleton import JOINT, JOINTS
from finephys.types import CONFIDENT_SCORE, Bytes, Float, VideoClip
from finephys.video import VideoFile, VideoInfo, write_video

STANDER = np.array(
    [
        [100, 110], [92, 110], [91, 155], [90, 200], [108, 110], [109, 155], [110, 200],
        [100, 85], [100, 60], [100, 48], [100, 34],
        [116, 62], [122, 90], [126, 115], [84, 62], [78, 90], [74, 115],
    ],
    np.float32,
)  # fmt: skip

SIDES = [joint for joint, name in enumerate(JOINTS) if name.startswith("right_")]


def drawn(poses: Float, size: tuple[int, int] = (320, 240), dot: int = 2) -> Bytes:
    """Dots at the joints, the two of a pair in one colour, as a body seen from the front."""
    frames = np.zeros((len(poses), size[1], size[0], 3), np.uint8)
    for frame, pose in zip(frames, poses, strict=True):
        for joint, (x, y) in enumerate(np.round(pose).astype(int)):
            name = JOINTS[joint].replace("left", "right")
            shade = 40 + 12 * JOINT[name]
            frame[y - dot : y + dot + 1, x - dot : x + dot + 1] = (shade, 255 - shade, 128)
    return frames


class DotReader:
    """Finds the dots; of a pair the one further left in the picture is the person's right.

    Like real detectors it sees nothing that is small in the picture it is given.
    """

    name = "dots"

    def __init__(self, smallest: float = 0.0) -> None:
        self.smallest = smallest
        self.seen: list[tuple[int, ...]] = []

    def detect(self, frames: Bytes) -> tuple[Float, Float]:
        self.seen.append(frames.shape)
        xy = np.zeros((len(frames), 17, 2), np.float32)
        score = np.zeros((len(frames), 17), np.float32)
        for index, frame in enumerate(frames):
            for joint, name in enumerate(JOINTS):
                if name.startswith("left_"):
                    continue
                shade = 40 + 12 * joint
                rows, columns = np.nonzero(
                    (np.abs(frame[..., 0].astype(int) - shade) < 5)
                    & (np.abs(frame[..., 1].astype(int) - 255 + shade) < 5)
                )
                if not len(rows):
                    continue
                score[index, joint] = 0.9
                if joint not in SIDES:
                    xy[index, joint] = columns.mean() + 0.5, rows.mean() + 0.5
                    continue
                left = columns < (columns.min() + columns.max()) / 2
                other = JOINT[name.replace("right", "left")]
                score[index, other] = 0.9
                for target, chosen in ((joint, left), (other, ~left)):
                    if chosen.any():
                        xy[index, target] = columns[chosen].mean() + 0.5, rows[chosen].mean() + 0.5
            side = np.ptp(xy[index], axis=0).max() / max(frame.shape[:2])
            if (score[index] > 0).sum() < 17 or side < self.smallest:
                xy[index], score[index] = 0, 0
        return xy, score


def walking(count: int = 16, step: float = 4.0) -> Float:
    poses = np.tile(STANDER, (count, 1, 1))
    poses[..., 0] += step * np.arange(count, dtype=np.float32)[:, None] - 40
    return poses


def test_16_frames_are_detected_as_they_are() -> None:
    poses = walking()
    found = detect_clip(VideoClip(drawn(poses), fps=6), DotReader())
    np.testing.assert_allclose(found.xy, np.round(poses) + 0.5, atol=0.1)
    assert found.score.min() > 0.8
    assert not found.interpolated.any()
    assert found.source == "dots"


def test_fewer_frames_are_filled_in_and_marked() -> None:
    """Catches repeated poses and interpolated ones passed off as seen."""
    poses = walking(6, step=12)
    clip = VideoClip(drawn(poses), fps=5, start=2.0)
    found = detect_clip(clip, DotReader())
    assert found.xy.shape == (16, 17, 2)
    np.testing.assert_array_equal(found.interpolated, np.arange(16) % 3 != 0)
    np.testing.assert_allclose(found.xy[::3], np.round(poses) + 0.5, atol=0.1)
    np.testing.assert_allclose(np.diff(found.xy[:, 0, 0]), 4, atol=0.5)
    assert found.score[1::3].max() < found.score[::3].min()
    np.testing.assert_allclose(clip.pose_times, np.linspace(2.0, 3.0, 16), atol=1e-5)


def test_uneven_frames_become_even_poses() -> None:
    """Catches a steady walk that seems to lurch because frames were not even in time."""
    times = np.linspace(0, 1.5, 16) + np.array([0, 0.02] * 8)
    poses = np.tile(STANDER, (16, 1, 1))
    poses[..., 0] += (60 * times[:, None] - 40).astype(np.float32)
    clip = VideoClip(drawn(poses), fps=10, frame_times=times.astype(np.float32))
    found = detect_clip(clip, DotReader())
    even = np.linspace(0, 1.52, 16)
    np.testing.assert_allclose(found.xy[:, 0, 0], 60 * even + 60.5, atol=0.8)
    assert not found.interpolated.any()


def test_a_person_in_some_frames_only() -> None:
    """Catches frames without a person filled with somebody; their score is 0."""
    frames = drawn(walking())
    frames[5:9] = 0
    found = detect_clip(VideoClip(frames, fps=6), DotReader())
    assert (found.score[5:9] == 0).all()
    assert (found.score[[0, 4, 9, 15]] > 0.8).all()


def test_nobody_is_an_error_that_offers_the_prior() -> None:
    frames = np.zeros((16, 90, 160, 3), np.uint8)
    with pytest.raises(NoPersonError, match=r"no person was detected in these 16 frames.*--prior"):
        detect_clip(VideoClip(frames, fps=6), DotReader())


def test_a_joint_seen_elsewhere_in_the_mirrored_frame_is_not_trusted() -> None:
    class Unsure(DotReader):
        calls = 0

        def detect(self, frames: Bytes) -> tuple[Float, Float]:
            xy, score = super().detect(frames)
            self.calls += 1
            if self.calls % 2:
                xy[:, JOINT["head"], 0] += 60
            return xy, score

    clip = VideoClip(drawn(walking(), dot=3), fps=6)
    reader = Unsure()
    found = detect_clip(clip, reader)
    assert found.score[:, JOINT["head"]].min() < CONFIDENT_SCORE
    assert np.median(found.score) > 0.8


def test_somebody_else_in_two_frames_is_not_trusted() -> None:
    """Catches the pose of a bystander handed on as the gymnast's."""
    poses = walking()
    poses[6:8, :, 0] += 1100
    clip = VideoClip(drawn(poses, size=(1400, 240)), fps=12)
    found = detect_clip(clip, DotReader())
    assert found.score[6:8].max() <= 0.1
    assert np.delete(found.score, [6, 7], axis=0).min() > 0.8


def test_a_bone_of_impossible_length_is_not_trusted() -> None:
    """Catches a foot found on somebody else, on which both looks agree."""
    poses = walking()
    poses[6, [JOINT["left_ankle"], JOINT["right_ankle"]], 1] += 110
    found = detect_clip(VideoClip(drawn(poses, size=(320, 400)), fps=6), DotReader())
    assert found.score[6, [JOINT["left_ankle"], JOINT["right_ankle"]]].max() < CONFIDENT_SCORE
    assert found.score[7].min() > 0.8


def test_a_small_body_is_found_by_looking_closer() -> None:
    """Catches a gymnast in a wide shot lost in the frames where the whole picture is too much."""
    small = STANDER * 0.45
    poses = np.tile(small, (16, 1, 1)) + np.array([30, 40], np.float32)
    poses[..., 0] += 3 * np.arange(16, dtype=np.float32)[:, None]
    frames = drawn(poses, size=(480, 360), dot=0)
    found = detect_clip(VideoClip(frames, fps=6), DotReader(smallest=0.3))
    assert (found.score.max(1) > 0.8).all()
    np.testing.assert_allclose(found.xy, np.round(poses) + 0.5, atol=0.1)


def test_missing_frames_are_searched_where_their_neighbours_are() -> None:
    poses = walking(9, step=6)
    reader = DotReader()
    boxes = person_boxes(poses, np.arange(9) % 4 == 0)
    np.testing.assert_allclose(boxes[2, :2], (poses[2].min(0) + poses[2].max(0)) / 2, atol=1)
    xy, score = detect_crops(drawn(poses), boxes, reader, True)
    np.testing.assert_allclose(xy, np.round(poses) + 0.5, atol=0.1)
    assert (score > 0.8).all()
    assert all(shape[1] <= 240 and shape[2] <= 320 for shape in reader.seen)


def test_scores_of_the_mirrored_look_are_turned_back_too() -> None:
    """Catches left scores on right joints: a hidden left wrist that makes the right one doubted."""

    class HidesRight(DotReader):
        def detect(self, frames: Bytes) -> tuple[Float, Float]:
            xy, score = super().detect(frames)
            score[:, JOINT["right_wrist"]] = 0.2
            return xy, score

    poses = walking(2)
    boxes = person_boxes(poses, np.ones(2, np.bool_))
    _, score = detect_crops(drawn(poses), boxes, HidesRight(), True)
    np.testing.assert_allclose(score[:, JOINT["left_wrist"]], 0.2)
    np.testing.assert_allclose(score[:, JOINT["right_wrist"]], 0.9)


def test_a_crop_beyond_the_edge_is_cut_not_wrapped() -> None:
    poses = walking(2) - np.array([30, 0], np.float32)
    xy, _ = detect_crops(
        drawn(poses), person_boxes(poses, np.ones(2, np.bool_)), DotReader(), False
    )
    np.testing.assert_allclose(xy, np.round(poses) + 0.5, atol=0.1)


@pytest.mark.parametrize("after", [0, 5, 20])
def test_stop_ends_detection(after: int) -> None:
    calls = []

    def stop() -> bool:
        calls.append(1)
        return len(calls) > after

    with pytest.raises(StoppedError):
        detect_clip(VideoClip(drawn(walking()), fps=6), DotReader(), stop)
    assert len(calls) == after + 1


def test_find_person_gives_zeros_where_nobody_is() -> None:
    xy, score = find_person(np.zeros((4, 64, 64, 3), np.uint8), DotReader(), 0.1)
    assert not xy.any()
    assert not score.any()


def test_a_detector_that_does_not_exist() -> None:
    with pytest.raises(RequestError, match=f"choose {', '.join(DETECTORS)}"):
        load_detector("crystal ball")


@contextmanager
def waving(
    path: Path, seconds: float, moves: tuple[float, float], fps: int = 20
) -> Iterator[VideoFile]:
    """A clip in which the arms wave only between two times."""
    poses = np.tile(STANDER, (round(seconds * fps), 1, 1))
    for index in range(len(poses)):
        if moves[0] <= index / fps < moves[1]:
            for wrist, side in (("left_wrist", 1), ("right_wrist", -1)):
                poses[index, JOINT[wrist]] += (side * 20, -8 * abs(index % 12 - 6))
    write_video(path, VideoClip(drawn(poses, dot=4, size=(240, 240)), fps=fps))
    with VideoFile(path) as file:
        yield file


class Blurred(DotReader):
    """Reads dots after H.264 has softened them: takes the nearest shade."""

    def detect(self, frames: Bytes) -> tuple[Float, Float]:
        clean = np.zeros_like(frames)
        red = frames[..., 0].astype(int)
        sharp = (np.abs(red + frames[..., 1] - 255) < 24) & (frames[..., 2] > 90)
        joint = np.clip(np.round((red - 40) / 12), 0, 16).astype(int)
        clean[..., 0] = np.where(sharp, 40 + 12 * joint, 0)
        clean[..., 1] = np.where(sharp, 215 - 12 * joint, 0)
        return super().detect(clean)


@pytest.mark.parametrize(("seconds", "moves"), [(7.0, (4.0, 6.5)), (40.0, (22.0, 25.0))])
def test_the_span_with_most_motion_is_chosen(
    tmp_path: Path, seconds: float, moves: tuple[float, float]
) -> None:
    """Catches the first seconds being taken, in short clips and in long ones looked at in pairs."""
    with waving(tmp_path / "a.mp4", seconds, moves, fps=20 if seconds < 9 else 10) as file:
        start, span, notes = choose_span(file, Blurred())
    assert span == 2.5
    covered = min(start + span, moves[1]) - max(start, moves[0])
    assert covered > 1.2
    assert "most body motion" in notes[0]


def test_a_short_action_in_a_long_still_clip_is_found(tmp_path: Path) -> None:
    """Catches a search that leaves gaps longer than an action, and a note that denies it."""
    reader = Blurred()
    with waving(tmp_path / "a.mp4", 61.0, (37.1, 38.6), fps=10) as file:
        start, span, notes = choose_span(file, reader)
    assert start < 37.1
    assert start + span > 38.6
    assert abs(start + span / 2 - (37.1 + 38.6) / 2) < 0.5
    assert "comparing pictures at most 0.1 s apart" in notes[0]
    assert sum(shape[0] for shape in reader.seen) < 200


def test_a_very_large_clip_is_searched_by_key_frames_and_the_note_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches minutes of decoding, and a note that claims more than was looked at."""
    monkeypatch.setattr("finephys.pose2d.span._MOST_PIXELS", 0.0)
    with waving(tmp_path / "a.mp4", 61.0, (37.1, 38.6), fps=10) as file:
        begin, length, notes = choose_span(file, Blurred())
    assert 0 <= begin <= 61 - length
    assert notes[0].startswith("Only pictures up to 25 s apart were compared")


def test_the_search_of_a_long_clip_can_be_stopped(tmp_path: Path) -> None:
    asked = []
    with waving(tmp_path / "a.mp4", 20.0, (9.0, 11.0), fps=10) as file, pytest.raises(StoppedError):
        choose_span(file, Blurred(), lambda: len(asked) > 50 or bool(asked.append(1)))


def test_one_wrong_detection_does_not_win_the_span(tmp_path: Path) -> None:
    """Catches the most motion found where a limb was once misread."""

    class Glitch(Blurred):
        calls = 0

        def detect(self, frames: Bytes) -> tuple[Float, Float]:
            xy, score = super().detect(frames)
            self.calls += 1
            if self.calls == 4:
                xy[:, [joint for joint, name in enumerate(JOINTS) if "left" in name], 0] += 150
            return xy, score

    with waving(tmp_path / "a.mp4", 7.0, (4.0, 6.5)) as file:
        start, span, _ = choose_span(file, Glitch())
    assert min(start + span, 6.5) - max(start, 4.0) > 1.2


def test_a_tie_goes_to_the_middle(tmp_path: Path) -> None:
    with waving(tmp_path / "a.mp4", 6.0, (0.0, 6.0)) as file:
        start, span, _ = choose_span(file, Blurred())
    assert abs(start + span / 2 - 3.0) < 1


def test_a_short_clip_is_taken_whole(tmp_path: Path) -> None:
    with waving(tmp_path / "a.mp4", 2.0, (0.0, 1.0)) as file:
        assert choose_span(file, Blurred()) == (0.0, pytest.approx(1.95), ())


def test_without_anybody_the_middle_is_taken_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, VideoClip(np.full((80, 64, 64, 3), 90, np.uint8), fps=20))
    with VideoFile(path) as file:
        start, span, notes = choose_span(file, DotReader())
    assert start + span / 2 == pytest.approx(file.info.last / 2)
    assert notes == ("No moving person was detected; the middle of the clip is used.",)


def test_a_film_needs_a_start(tmp_path: Path) -> None:
    info = VideoInfo(tmp_path / "film.mp4", 7200, 25, 64, 64, 180_000)
    film = cast(VideoFile, SimpleNamespace(info=info, name=info.path.name))
    with pytest.raises(ClipError, match=r"film.mp4 lasts 120 min; up to 10 min are searched"):
        choose_span(film, DotReader())
