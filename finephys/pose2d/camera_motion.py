"""How the camera moved under a clip, from the background around the person."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from finephys.skeleton import FRAMES
from finephys.types import Bool, Bytes, CameraMotion, Float, Pose2D, VideoClip

_WORKING_SIDE = 640  # pixels of the longer side when following points: finer gains nothing
_POINTS = 400
_FEWEST_INLIERS = 20
_LEAST_INLIER_SHARE = 0.4
_REPROJECTION = 1.5  # working pixels within which a background point follows the homography
_STILL = 0.35  # working pixels: a background that moves less than this stands still
_LOST_TRACK = 1.0  # working pixels a point may miss its origin by when followed there and back

STILL_NOTE = "The camera stands still."
MOVING_NOTE = "The camera moves; its motion was measured on the background and removed."
UNKNOWN_NOTE = (
    "The camera's motion could not be measured ({reason}), so flight and falling are not "
    "computed from the path of the body; a clip from a fixed camera gives more."
)


def estimate_camera_motion(clip: VideoClip, pose: Pose2D) -> CameraMotion:
    """Estimate the homography from each of the 16 poses' frames to the first.

    Corners outside the person's box are followed from frame to frame by pyramidal Lucas-Kanade
    flow, forth and back; RANSAC fits a homography; the steps are composed. Design choice: the
    paper does not treat moving cameras, but a path that holds the camera's own hides gravity.

    Args:
        clip: N frames.
        pose: S_detect of it, in its pixels.

    Returns:
        `known` with exact identities when the background stands still, `known` with homographies
        when every step could be measured, else not `known` with identities.
    """
    frames = len(clip.frames)
    scale = min(1.0, _WORKING_SIDE / max(clip.size))
    pictures = [_working_picture(frame, scale) for frame in clip.frames]
    pose_of_frame = np.round(np.linspace(0, FRAMES - 1, frames)).astype(int)
    masks = [
        _background(pictures[frame].shape, pose, pose_of_frame[frame], scale)
        for frame in range(frames)
    ]
    if _stands_still(pictures, masks):
        return CameraMotion(np.tile(np.eye(3), (FRAMES, 1, 1)), True, STILL_NOTE)
    to_first = [np.eye(3)]
    for frame in range(1, frames):
        step, reason = _step(pictures[frame], pictures[frame - 1], masks[frame], masks[frame - 1])
        if step is None:
            return unknown_camera(reason)
        to_first.append(to_first[-1] @ step)
    grow = np.diag([scale, scale, 1.0])
    full = np.array([np.linalg.inv(grow) @ matrix @ grow for matrix in to_first])
    full /= full[:, 2:, 2:]
    return CameraMotion(_to_poses(full), True, MOVING_NOTE)


def unknown_camera(reason: str) -> CameraMotion:
    """A camera whose motion is not known, with the reason as part of its note."""
    note = UNKNOWN_NOTE.format(reason=reason)
    return CameraMotion(np.tile(np.eye(3), (FRAMES, 1, 1)), False, note)


def _working_picture(frame: Bytes, scale: float) -> Bytes:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    if scale < 1:
        size = (round(frame.shape[1] * scale), round(frame.shape[0] * scale))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.uint8)


def _background(shape: tuple[int, ...], pose: Pose2D, index: int, scale: float) -> Bytes:
    """255 where the person certainly is not: outside the joints' box grown by a quarter."""
    mask = np.full(shape[:2], 255, np.uint8)
    known = pose.score[index] > 0
    if known.any():
        points = pose.xy[index][known] * scale
        low, high = points.min(0), points.max(0)
        margin = 0.25 * float(np.linalg.norm(high - low)) + 4
        left, top = np.maximum(np.floor(low - margin), 0).astype(int)
        right, bottom = np.maximum(np.ceil(high + margin), 0).astype(int)
        mask[top:bottom, left:right] = 0
    return mask


def _follow(picture: Bytes, other: Bytes, mask: Bytes, other_mask: Bytes) -> tuple[Float, Float]:
    """Background corners of `picture` and where they are in `other`, both (n, 2)."""
    none = np.zeros((0, 2), np.float32)
    corners = cv2.goodFeaturesToTrack(picture, _POINTS, 0.01, 6, mask=mask)
    if corners is None:
        return none, none
    there, found, _ = _flow(picture, other, corners)
    back, found_back, _ = _flow(other, picture, there)
    start, end = corners.reshape(-1, 2), there.reshape(-1, 2)
    good: Bool = (found.ravel() > 0) & (found_back.ravel() > 0)
    good &= np.linalg.norm(back.reshape(-1, 2) - start, axis=-1) < _LOST_TRACK
    cell = np.round(end).astype(int)
    height, width = other.shape[:2]
    good &= ((cell >= 0) & (cell < [width, height])).all(-1)
    good[good] = other_mask[cell[good, 1], cell[good, 0]] > 0
    return start[good], end[good]


def _flow(picture: Bytes, other: Bytes, points: Any) -> Any:  # noqa: ANN401
    return cv2.calcOpticalFlowPyrLK(
        picture, other, points, np.zeros_like(points), winSize=(21, 21), maxLevel=4
    )


def _stands_still(pictures: list[Bytes], masks: list[Bytes]) -> bool:
    """Whether most background points of the first frame are where they were in all others."""
    for frame in range(1, len(pictures)):
        start, end = _follow(pictures[0], pictures[frame], masks[0], masks[frame])
        if len(start) < _FEWEST_INLIERS:
            return False
        moved = np.linalg.norm(end - start, axis=-1)
        if np.median(moved) > _STILL or (moved < 2 * _STILL).mean() < 0.6:
            return False
    return True


def _step(
    picture: Bytes, before: Bytes, mask: Bytes, mask_before: Bytes
) -> tuple[npt.NDArray[np.float64] | None, str]:
    """Homography from a frame to the one before it, or None and why not."""
    start, end = _follow(picture, before, mask, mask_before)
    if len(start) < _FEWEST_INLIERS:
        return None, f"only {len(start)} background points can be followed"
    matrix, inliers = cv2.findHomography(
        start, end, cv2.RANSAC, _REPROJECTION, maxIters=2000, confidence=0.999
    )
    if matrix is None or not np.isfinite(matrix).all():
        return None, "the background points fit no single motion"
    share = float(inliers.mean())
    if inliers.sum() < _FEWEST_INLIERS or share < _LEAST_INLIER_SHARE:
        return None, f"only {share:.0%} of the background points move together"
    return np.asarray(matrix, np.float64), ""


def _to_poses(
    to_first: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Homographies at the 16 poses from those of N frames, linear in between."""
    if len(to_first) == FRAMES:
        return to_first
    at = np.linspace(0, len(to_first) - 1, FRAMES)
    before = np.minimum(at.astype(int), len(to_first) - 2)
    part = (at - before)[:, None, None]
    between: npt.NDArray[np.float64] = (1 - part) * to_first[before] + part * to_first[before + 1]
    return between
