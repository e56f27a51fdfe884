"""How the camera moved under a clip, from the background around the person."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from finephys.skeleton import FRAMES
from finephys.types import Bool, Bytes, CameraMotion, Float, Pose2D, VideoClip

Homography = npt.NDArray[np.float64]

_WORKING_SIDE = 640  # pixels of the longer side when tracking points: finer gains nothing
_POINTS = 400
_FEWEST_INLIERS = 20
_FEWEST_STILL = 10  # enough to see that nothing moves; no motion is fitted to them
_LEAST_INLIER_SHARE = 0.4
_REPROJECTION = 1.5  # working pixels within which a background point follows the homography
_AS_GOOD = 0.03  # working pixels a similarity may miss by beyond a homography; .1 drifts 8 pixels
_STILL = 0.5  # working pixels: a background that moves less than this stands still
_LOST_TRACK = 1.0  # working pixels a point may miss its origin by when tracked forward and back
_LEAST_OVERLAP = 0.6  # share of a frame inside the key frame below which the key frame moves on
_LARGEST_DRIFT = 25.0  # working pixels at the corners: more is a wrong fit, not drift
_TRAVELS = 0.006  # share of the longer side that a turning, zooming camera leaves unexplained

STILL_NOTE = "The camera stands still."
MOVING_NOTE = "The camera turns or zooms; its motion was measured on the background and removed."
UNKNOWN_NOTE = (
    "The camera's motion could not be removed ({reason}), so the path of the body says nothing "
    "about flight and falling; a clip from a camera that stays in one place gives better results."
)


def estimate_camera_motion(clip: VideoClip, pose: Pose2D) -> CameraMotion:
    """Estimate the homography from each of the 16 poses' frames to the first.

    Corners outside the person's box are tracked from frame to frame by pyramidal Lucas-Kanade
    flow, forward and back; RANSAC fits a homography; the steps are composed and corrected against
    an earlier frame that still overlaps. Design choice: the paper does not treat moving cameras,
    but a body's path that includes the camera's own hides gravity. A homography removes the turning
    and zooming of a camera that stays in one place; a camera that travels also shifts the person
    against the background, which the background does not show, so that its motion is not known.

    Args:
        clip: N >= 2 frames.
        pose: S_detect of it, in its pixels.

    Returns:
        `known` with exact identities when the background stands still, `known` with homographies
        when every step could be measured, else not `known` with identities.
    """
    count = len(clip.frames)
    scale = min(1.0, _WORKING_SIDE / max(clip.size))
    pictures = [_working_picture(frame, scale) for frame in clip.frames]
    pose_of_frame = np.abs(clip.times[:, None] - clip.pose_times).argmin(1)
    masks = [
        _background(pictures[frame].shape, pose, pose_of_frame[frame], scale)
        for frame in range(count)
    ]
    if _stands_still(pictures, masks):
        return CameraMotion(np.tile(np.eye(3), (FRAMES, 1, 1)), True, STILL_NOTE)
    to_first = [np.eye(3)]
    key = 0  # frame against which the drift of composed steps is taken out
    for frame in range(1, count):
        step, reason = _step(pictures[frame], pictures[frame - 1], masks[frame], masks[frame - 1])
        if step is None:
            return unknown_camera(reason)
        to_key = np.linalg.inv(to_first[key]) @ to_first[-1] @ step
        if _overlap(to_key, pictures[0].shape) < _LEAST_OVERLAP:
            key, to_key = frame - 1, step
        if key < frame - 1:
            to_key = _corrected(to_key, pictures[frame], pictures[key], masks[frame], masks[key])
        to_first.append(to_first[key] @ to_key)
    grow = np.diag([scale, scale, 1.0])
    full = np.linalg.inv(grow) @ np.array(to_first) @ grow
    full /= full[:, 2:, 2:]
    if turning_residual(full[np.unique([count // 3, 2 * count // 3, -1])], clip.size) > _TRAVELS:
        return unknown_camera("it travels, so that near and far move differently")
    return CameraMotion(_at_poses(full, clip), True, MOVING_NOTE)


def unknown_camera(reason: str) -> CameraMotion:
    """A camera whose motion is not known, with the reason as part of its note."""
    note = UNKNOWN_NOTE.format(reason=reason)
    return CameraMotion(np.tile(np.eye(3), (FRAMES, 1, 1)), False, note)


def turning_residual(to_first: Homography, size: tuple[int, int]) -> float:
    """How far homographies are from those of a camera that turns and zooms in one place.

    Such a camera gives H = K(f0) R K(f)^-1 with a rotation R and focal lengths f (Hartley and
    Zisserman, Multiple View Geometry, 8.4.2); f0 is shared by all frames, the principal point is
    taken as the middle of the frame.

    Args:
        to_first: (n, 3, 3) pixel homographies to one frame.
        size: (width, height) in pixels.

    Returns:
        Largest distance, over a grid of points, as a share of the frame's longer side.
    """
    side, count = max(size), len(to_first)
    steps = np.linspace(-0.5, 0.5, 5)
    grid = np.stack(np.meshgrid(steps * size[0], steps * size[1]), -1).reshape(-1, 2) / side
    middle = np.array([[side, 0, size[0] / 2], [0, side, size[1] / 2], [0, 0, 1.0]])
    points = np.c_[grid, np.ones(len(grid))]
    mapped = points @ (np.linalg.inv(middle) @ to_first @ middle).transpose(0, 2, 1)
    target = mapped[..., :2] / mapped[..., 2:]

    def miss(values: Homography) -> Homography:
        focal, turns = np.exp(values[0]), values[1:].reshape(count, 4)
        rays = np.tile(points, (count, 1, 1))
        rays[..., :2] /= (focal * np.exp(turns[:, 3]))[:, None, None]
        rays = rays @ Rotation.from_rotvec(turns[:, :3]).as_matrix().transpose(0, 2, 1)
        away: Homography = rays[..., :2] / np.maximum(rays[..., 2:], 1e-3) * focal - target
        return away.ravel()

    fits = []
    for focal in (0.7, 2.0):
        first = np.r_[np.log(focal), np.zeros(4 * count)]
        low = np.r_[np.log(0.4), np.full(4 * count, -np.pi)]
        high = np.r_[np.log(8.0), np.full(4 * count, np.pi)]
        fits.append(least_squares(miss, first, bounds=(low, high), max_nfev=100))
    best = min(fits, key=lambda fit: float(fit.cost))
    return float(np.linalg.norm(miss(best.x).reshape(-1, 2), axis=-1).max())


def _working_picture(frame: Bytes, scale: float) -> Bytes:
    """Grey and small, with local contrast raised so that dark halls give corners too."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    if scale < 1:
        size = (round(frame.shape[1] * scale), round(frame.shape[0] * scale))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.createCLAHE(3.0, (8, 8)).apply(grey), np.uint8)


def _background(shape: tuple[int, ...], pose: Pose2D, index: int, scale: float) -> Bytes:
    """255 outside the joints' box grown by a quarter, where the person cannot be."""
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


def _track(picture: Bytes, other: Bytes, mask: Bytes, other_mask: Bytes) -> tuple[Float, Float]:
    """Background corners of `picture` and their positions in `other`, both (n, 2)."""
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
        start, end = _track(pictures[0], pictures[frame], masks[0], masks[frame])
        if len(start) < _FEWEST_STILL:
            return False
        moved = np.linalg.norm(end - start, axis=-1)
        if np.median(moved) > _STILL or (moved < 2 * _STILL).mean() < 0.6:
            return False
    return True


def _step(
    picture: Bytes, before: Bytes, mask: Bytes, mask_before: Bytes
) -> tuple[Homography | None, str]:
    """Homography from a frame to the one before it, or None and the reason.

    A similarity is used where it fits as well: where the person hides much of the background, its
    four numbers are still well determined, a homography's eight are not.
    """
    start, end = _track(picture, before, mask, mask_before)
    if len(start) < _FEWEST_INLIERS:
        return None, f"only {len(start)} points of the background can be tracked"
    cv2.setRNGSeed(0)  # RANSAC draws from OpenCV's own generator: the same clip, the same answer
    matrix, inliers = cv2.findHomography(
        start, end, cv2.RANSAC, _REPROJECTION, maxIters=2000, confidence=0.999
    )
    if matrix is None or not np.isfinite(matrix).all():
        return None, "the points of the background fit no single motion"
    share = float(inliers.mean())
    if inliers.sum() < _FEWEST_INLIERS or share < _LEAST_INLIER_SHARE:
        return None, f"only {share:.0%} of the background's points move together"
    affine, agreeing = cv2.estimateAffinePartial2D(
        start, end, None, cv2.RANSAC, _REPROJECTION, maxIters=2000, confidence=0.999
    )
    if affine is not None and agreeing.sum() >= 0.95 * inliers.sum():
        similarity = np.r_[np.asarray(affine, np.float64), [[0, 0, 1]]]
        followed = inliers.ravel() > 0
        misses = [
            float(np.median(np.linalg.norm(_moved(model, start) - end, axis=-1)[followed]))
            for model in (similarity, matrix)
        ]
        if misses[0] < 1.1 * misses[1] + _AS_GOOD:
            return similarity, ""
    return np.asarray(matrix, np.float64), ""


def _moved(matrix: Homography, points: npt.NDArray[Any]) -> Homography:
    """Points (n, 2) moved by a homography."""
    moved: Homography = np.c_[points, np.ones(len(points))] @ matrix.T
    return moved[:, :2] / moved[:, 2:]


def _overlap(to_key: Homography, shape: tuple[int, ...]) -> float:
    """Share of a frame that lies inside the key frame."""
    height, width = shape[:2]
    grid = np.stack(np.meshgrid(np.linspace(0, width, 9), np.linspace(0, height, 9)), -1)
    points = _moved(to_key, grid.reshape(-1, 2))
    return float(((points >= 0) & (points <= [width, height])).all(-1).mean())


def _corrected(
    to_key: Homography, picture: Bytes, key: Bytes, mask: Bytes, key_mask: Bytes
) -> Homography:
    """Remove the drift of composed steps by tracking from the warped frame into the key frame."""
    height, width = key.shape
    there = cv2.warpPerspective(picture, to_key, (width, height))
    seen = cv2.warpPerspective(mask, to_key, (width, height), flags=cv2.INTER_NEAREST)
    seen = cv2.erode(seen, np.ones((9, 9), np.uint8))
    step, _ = _step(np.asarray(there), key, np.asarray(seen), key_mask)
    if step is None:
        return to_key
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]])
    drift = np.linalg.norm(_moved(step, corners) - corners, axis=-1).max()
    return step @ to_key if drift < _LARGEST_DRIFT else to_key


def _at_poses(to_first: Homography, clip: VideoClip) -> Homography:
    """Homographies at the times of the 16 poses, linear between those of the frames, (N, 3, 3)."""
    at = np.interp(clip.pose_times, clip.times, np.arange(len(to_first)))
    before = np.minimum(at.astype(int), len(to_first) - 2)
    part = (at - before)[:, None, None]
    between: Homography = (1 - part) * to_first[before] + part * to_first[before + 1]
    return between
