"""Figures of generated clips against the true renders of the same skeletons and prompts."""

import numpy as np

from finephys.skeleton import JOINT
from finephys.types import Bool, Bytes, Float

REACH = 0.1
"""Share of the figure's height within which a joint counts as found (PCK)."""


def overlap(first: Bool, second: Bool) -> float:
    """Intersection over union of two clips' silhouettes, all frames together."""
    union = int((first | second).sum())
    return float((first & second).sum()) / union if union else 1.0


def found_joints(read: Float, truth: Float) -> float:
    """Share of joints (F, 17, 2) read within REACH of the figure's height, those in the frame.

    The height is the largest side of the true joints' box in any frame of the clip: a tucked
    gymnast is as tall as she was when she stood.
    """
    height = float(np.ptp(truth, axis=1).max())
    inside = ((truth >= 0) & (truth < 1)).all(-1)
    near = np.linalg.norm(read - truth, axis=-1) <= REACH * height
    return float(near[inside].mean())


def flicker(frames: Bytes, figure: Bool) -> float:
    """Mean absolute change of grey levels between frames, outside the figure of either frame."""
    change = np.abs(np.diff(frames.astype(np.float32), axis=0)).mean(-1)
    outside = ~(figure[1:] | figure[:-1])
    return float(change[outside].mean())


def texture(frames: Bytes, figure: Bool) -> float:
    """Mean grey-level step between neighbouring pixels outside the figure (F, S, S)."""
    grey = frames.astype(np.float32).mean(-1)
    steps = []
    for axis in (1, 2):
        both = ~(np.delete(figure, -1, axis) | np.delete(figure, 0, axis))
        steps.append(np.abs(np.diff(grey, axis=axis))[both])
    return float(np.concatenate(steps).mean())


def turns(joints: Float) -> float:
    """Turns of the trunk in the picture from the first frame to the last, signed.

    The angle of the line from pelvis to thorax is followed from frame to frame by the shorter
    way, so more than half a turn between two frames cannot be seen.
    """
    trunk = joints[:, JOINT["thorax"]] - joints[:, JOINT["pelvis"]]
    angle = np.unwrap(np.arctan2(trunk[:, 1], trunk[:, 0]))
    return float(angle[-1] - angle[0]) / (2 * np.pi)
