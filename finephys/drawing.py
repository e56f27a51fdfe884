"""Skeletons drawn on pictures: the four pose stages side by side as one video."""

import cv2
import numpy as np

from finephys.skeleton import FRAMES, LIMBS
from finephys.types import Bytes, Float, Pose2D, Pose3D, Poses, VideoClip

PANEL = 320
"""Height and width of one stage's panel in pixels."""

_RIGHT, _LEFT, _MIDDLE = (236, 112, 60), (66, 135, 245), (120, 120, 130)
_PAPER, _INK = 250, (60, 60, 70)
_STRIP = 26


def limb_color(limb: int) -> tuple[int, int, int]:
    """RGB of a limb: right side orange, left side blue, trunk grey."""
    child = LIMBS[limb][1]
    if child in (1, 2, 3, 14, 15, 16):
        return _RIGHT
    return _LEFT if child in (4, 5, 6, 11, 12, 13) else _MIDDLE


def draw_skeleton(picture: Bytes, xy: Float, score: Float | None = None, width: int = 3) -> None:
    """Draw one pose onto a picture, in place.

    Args:
        picture: uint8 (H, W, 3) RGB.
        xy: (J, 2) pixels of the picture.
        score: (J,) in [0, 1]; a limb is fainter the lower the score of its ends, and left out at 0.
        width: line width in pixels.
    """
    limit = 4 * max(picture.shape[:2])
    for limb, (parent, child) in enumerate(LIMBS):
        trust = 1.0 if score is None else float(min(score[parent], score[child]))
        if trust <= 0 or np.abs(xy[[parent, child]]).max() > limit:
            continue
        color = tuple(int(_PAPER + (c - _PAPER) * (0.3 + 0.7 * trust)) for c in limb_color(limb))
        start, end = (tuple(int(v) for v in np.rint(xy[joint] * 16)) for joint in (parent, child))
        cv2.line(picture, start, end, color, width, cv2.LINE_AA, shift=4)


def _caption(picture: Bytes, text: str) -> None:
    cv2.rectangle(picture, (0, 0), (PANEL, _STRIP), (255, 255, 255), -1)
    cv2.putText(picture, text, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)


def _letterbox(size: tuple[int, int]) -> tuple[float, float, float]:
    """Scale and offsets that put an image plane of (width, height) into a panel."""
    width, height = size
    scale = PANEL / max(width, height)
    return scale, (PANEL - width * scale) / 2, (PANEL - height * scale) / 2


def panels_2d(pose: Pose2D, size: tuple[int, int], clip: VideoClip | None) -> list[Bytes]:
    """One panel a pose: over the clip's frame nearest to its time, or plain without a clip.

    Args:
        pose: 2D joints in pixels of the clip.
        size: (width, height) in pixels of the image plane.
        clip: the frames; None for a simulated action.
    """
    scale, left, top = _letterbox(size)
    under = None if clip is None else clip.frames[clip.nearest(clip.pose_times)]
    pictures = []
    for frame in range(FRAMES):
        picture = np.full((PANEL, PANEL, 3), _PAPER, np.uint8)
        if under is not None:
            shown = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
            small = cv2.resize(under[frame], shown, interpolation=cv2.INTER_AREA)
            x, y = round(left), round(top)
            small = small[: PANEL - y, : PANEL - x]
            picture[y : y + small.shape[0], x : x + small.shape[1]] = small
        placed = pose.xy[frame] * np.float32(scale) + np.array([left, top], np.float32)
        draw_skeleton(picture, placed, pose.score[frame])
        pictures.append(picture)
    return pictures


def panels_3d(pose: Pose3D, yaw: float = 0.5, pitch: float = 0.2) -> list[Bytes]:
    """One panel a pose: the root-relative body seen from the side and above.

    Args:
        pose: metres, camera axes.
        yaw: radians around the vertical, from the camera's own view.
        pitch: radians downward.
    """
    turn = np.array(
        [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]], np.float32
    )
    tilt = np.array(
        [[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]],
        np.float32,
    )
    seen = pose.xyz @ (tilt @ turn).T
    low, high = seen[..., :2].min((0, 1)), seen[..., :2].max((0, 1))
    reach = float((high - low).max()) + 1e-6
    pictures = []
    for frame in range(FRAMES):
        picture = np.full((PANEL, PANEL, 3), _PAPER, np.uint8)
        placed = (seen[frame, :, :2] - (low + high) / 2) / reach * (PANEL * 0.8) + PANEL * 0.53
        draw_skeleton(picture, placed.astype(np.float32))
        pictures.append(picture)
    return pictures


def poses_video(poses: Poses) -> VideoClip:
    """S_detect, S_dd, S_pp and S_re-proj side by side, 16 frames of (PANEL, 4 PANEL)."""
    rows = {
        f"S_detect ({poses.detected.source})": panels_2d(poses.detected, poses.size, poses.clip),
        "S_dd, data-driven 3D": panels_3d(poses.data_driven),
        "S_pp, physics": panels_3d(poses.motion.combined),
        f"S_re-proj ({poses.fused.mode})": panels_2d(poses.reprojected, poses.size, poses.clip),
    }
    for text, pictures in rows.items():
        for picture in pictures:
            _caption(picture, text)
    frames = np.stack([np.concatenate(row, axis=1) for row in zip(*rows.values(), strict=True)])
    spacing = float(poses.frame_times[-1] - poses.frame_times[0]) / (FRAMES - 1)
    return VideoClip(frames, fps=1 / spacing)


def comparison_video(poses: Poses, videos: dict[str, VideoClip]) -> VideoClip:
    """The clip and several methods' videos of it in one grid, each under its name.

    Args:
        poses: of the clip, which is the first panel where there is one.
        videos: 16 square frames each, by the titles written above them.

    Returns:
        16 frames, at most four panels wide.
    """
    shown = dict(videos) if poses.clip is None else {"input": poses.clip, **videos}
    columns = min(4, len(shown))
    pictures = []
    for frame in range(FRAMES):
        panels = [_titled(title, clip, frame) for title, clip in shown.items()]
        panels += [np.full_like(panels[0], 255)] * (-len(panels) % columns)
        rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
        pictures.append(np.concatenate([np.concatenate(row, axis=1) for row in rows]))
    return VideoClip(np.stack(pictures), fps=next(iter(videos.values())).fps)


def _titled(title: str, clip: VideoClip, frame: int) -> Bytes:
    """The frame at a pose's time, as large as a panel allows, under a strip with its title."""
    nearest = clip.frames[clip.nearest(clip.pose_times[[frame]])[0]]
    scale, left, top = _letterbox(clip.size)
    size = (max(1, round(clip.size[0] * scale)), max(1, round(clip.size[1] * scale)))
    picture = np.full((PANEL + _STRIP, PANEL, 3), 255, np.uint8)
    x, y = int(left), int(top) + _STRIP
    picture[y : y + size[1], x : x + size[0]] = cv2.resize(
        nearest, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    )
    _caption(picture, title)
    return picture
