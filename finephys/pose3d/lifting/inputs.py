"""The lifter's input: a window's pixels made independent of position and size in the image."""

from dataclasses import dataclass

import torch
from torch import Tensor

from finephys.pose3d.geometry import confidence_of, fill_missing, time_feature, weighted_mean

FEATURES = 6
"""Per joint and frame: xy about the body's centre (2), confidence (1), the centre's path (2), time
step (1)."""


@dataclass(frozen=True)
class LiftingInputs:
    """One normalised batch.

    Attributes:
        features: (N, F, J, FEATURES).
        path: (N, F, 2), centre of the body in each frame, in body sizes about the window's centre.
        center: (N, 2) pixels, centre of the window.
        size: (N,) pixels, root-mean-square distance of the joints from the centre.
        seen: bool (N,), False where the window holds nothing to lift.
    """

    features: Tensor
    path: Tensor
    center: Tensor
    size: Tensor
    seen: Tensor


def normalise(xy: Tensor, score: Tensor, dt: Tensor) -> LiftingInputs:
    """Centre and scale windows by the body itself.

    Design choice: missing joints are interpolated in time so that a frame's centre does not jump
    when joints come and go; the network sees their confidence of 0.

    Args:
        xy: (N, F, J, 2) pixels.
        score: (N, F, J) in [0, 1].
        dt: (N,) seconds.
    """
    confidence = confidence_of(score)
    filled = fill_missing(xy, confidence)
    # A joint seen somewhere in the window counts a little where it was only interpolated.
    weight = confidence + 0.05 * (confidence.sum(1, keepdim=True) > 0)
    center = weighted_mean(filled, weight, (2,))
    relative = filled - center
    squared = (relative**2).sum(-1)
    size = ((squared * weight).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1e-6)).sqrt()
    seen = (confidence > 0).flatten(1).any(1)
    size = torch.where(size > 1e-3, size, torch.ones_like(size))
    unit = size[:, None, None, None]
    path = (center - center.mean(1, keepdim=True)) / unit
    features = torch.cat(
        [
            (relative / unit).clamp(-4, 4),
            confidence[..., None],
            path.clamp(-20, 20).expand(-1, -1, xy.shape[2], -1),
            time_feature(dt)[:, None, None, None].expand(-1, xy.shape[1], xy.shape[2], 1),
        ],
        -1,
    )
    return LiftingInputs(features, path[:, :, 0], center.mean((1, 2)), size, seen)
