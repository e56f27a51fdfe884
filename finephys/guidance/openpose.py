"""Skeletons drawn in the OpenPose convention, as pose-driven generators were trained to read them.

The convention (18 keypoints of COCO, their order, 17 limbs, hues, widths) is that of the public
OpenPose annotator of ControlNet 1.1: limb k and keypoint k have hue 20 k degrees at full
saturation; limbs are filled ellipses of half-width 4 pixels at 0.6 of full brightness, keypoints
discs of radius 4 over them, for pictures of 512 pixels, on black.
"""

import colorsys
import math

import cv2
import numpy as np

from finephys.guidance.framing import Framing
from finephys.skeleton import FRAMES, JOINT
from finephys.types import CONFIDENT_SCORE, Bool, Bytes, Float, Pose2D, VideoClip

SIZE = 512
"""Width and height of the pictures."""

KEYPOINTS = (
    "nose",
    "neck",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
)
"""COCO-18, OpenPose's order."""

LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12),
    (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
"""Limbs as pairs of keypoints, in the order of drawing and coloring."""

COLORS = tuple(
    tuple(round(255 * part) for part in colorsys.hsv_to_rgb(k / len(KEYPOINTS), 1, 1))
    for k in range(len(KEYPOINTS))
)
"""RGB of keypoint k and of limb k."""

_HALF_WIDTH, _RADIUS, _DIMMED = 4, 4, 0.6


def keypoints(pose: Pose2D) -> tuple[Float, Float]:
    """Convert Human3.6M-17 joints to COCO-18 keypoints.

    The neck is the middle of the shoulders, as in OpenPose. Human3.6M's own "neck" is inside the
    skull, and detectors put it on the nose (see `skeleton`), so it is used as the nose. Eyes and
    ears are unknown and have score 0, so their limbs are not drawn, as for a turned head.

    Returns:
        xy (16, 18, 2) in the pose's pixels, score (16, 18).
    """
    xy = np.zeros((FRAMES, len(KEYPOINTS), 2), np.float32)
    score = np.zeros((FRAMES, len(KEYPOINTS)), np.float32)
    for index, name in enumerate(KEYPOINTS):
        if name == "neck":
            sides = [JOINT["left_shoulder"], JOINT["right_shoulder"]]
            xy[:, index] = pose.xy[:, sides].mean(1)
            score[:, index] = pose.score[:, sides].min(1)
        elif (joint := JOINT.get("neck" if name == "nose" else name)) is not None:
            xy[:, index], score[:, index] = pose.xy[:, joint], pose.score[:, joint]
    return xy, score


def pose_video(pose: Pose2D, canvas: Framing, fps: float = 8.0, size: int = SIZE) -> VideoClip:
    """Draw a pose for pose-driven generators.

    Args:
        pose: 2D joints in pixels of a clip, such as S_re-proj. Joints below
            `types.CONFIDENT_SCORE` are left out.
        canvas: the square of that clip which is drawn.
        fps: written on the clip.
        size: width and height in pixels.

    Returns:
        16 frames of (size, size, 3).
    """
    xy, score = keypoints(pose)
    placed = canvas.to_canvas(xy) * size
    frames = [
        _draw(points, trusted, size)
        for points, trusted in zip(placed, score >= CONFIDENT_SCORE, strict=True)
    ]
    return VideoClip(np.stack(frames), fps)


def _draw(points: Float, trusted: Bool, size: int) -> Bytes:
    picture = np.zeros((size, size, 3), np.uint8)
    scale = size / SIZE
    near = np.abs(points).max(-1) < 8 * size  # glitches further out would overflow the drawing
    shown = trusted & near
    for limb, (one, other) in enumerate(LIMBS):
        if shown[one] and shown[other]:
            middle, half = (points[one] + points[other]) / 2, (points[other] - points[one]) / 2
            polygon = cv2.ellipse2Poly(
                (int(middle[0]), int(middle[1])),
                (int(np.hypot(*half)), max(1, round(_HALF_WIDTH * scale))),
                int(math.degrees(math.atan2(half[1], half[0]))),
                0,
                360,
                1,
            )
            cv2.fillConvexPoly(picture, polygon, [int(part * _DIMMED) for part in COLORS[limb]])
    for index in np.flatnonzero(shown):
        center = (int(points[index, 0]), int(points[index, 1]))
        cv2.circle(picture, center, max(1, round(_RADIUS * scale)), COLORS[index], thickness=-1)
    return picture
