"""Arithmetic on batches of windows that several pose stages share; torch in, torch out."""

from collections.abc import Iterator

import torch
from torch import Tensor

from finephys.anthropometry import LIMB_LENGTHS_PER_HEIGHT
from finephys.pose3d.windows import DetectedWindows
from finephys.skeleton import LIMB_CHILDREN, LIMB_PARENTS
from finephys.types import MISSING_SCORE

CHUNK = 64
"""Windows that a stage works on at once: enough for speed, little memory."""

TIME_STEP_UNIT = 0.125
"""Seconds. Design choice: 16 frames in two seconds are the typical window."""

_HEIGHT_IN_LIMBS = float(LIMB_LENGTHS_PER_HEIGHT.sum())
"""Sum of an average body's limb lengths as a multiple of its height (de Leva's proportions)."""


def window_tensors(windows: DetectedWindows, device: torch.device) -> tuple[Tensor, Tensor]:
    """Pixels (N, F, J, 2) and scores (N, F, J) of windows, on a device."""
    return torch.from_numpy(windows.xy).to(device), torch.from_numpy(windows.score).to(device)


def chunks(count: int) -> Iterator[slice]:
    """Slices of at most CHUNK windows; one empty slice when there are none."""
    return (slice(begin, begin + CHUNK) for begin in range(0, max(count, 1), CHUNK))


def time_feature(dt: Tensor) -> Tensor:
    """The networks' input for a time step: its bounded logarithm about TIME_STEP_UNIT.

    Args:
        dt: (N,) seconds between frames.

    Returns:
        (N,) in [-2, 1].
    """
    return (dt / TIME_STEP_UNIT).log().clamp(-2.0, 1.0)


def limb_vectors(points: Tensor) -> Tensor:
    """Vectors from parent to child joint: (..., J, D) -> (..., L, D)."""
    out: Tensor = points[..., LIMB_CHILDREN, :] - points[..., LIMB_PARENTS, :]
    return out


def body_height(body: Tensor) -> Tensor:
    """Height that an average body with these limb lengths has, in the unit of `body`.

    Design choice: by the median over frames of the sum of all limb lengths, so that one badly
    lifted frame does not change it.

    Args:
        body: (N, F, J, 3).

    Returns:
        (N,), 0 for a body shrunk to a point.
    """
    total = torch.linalg.vector_norm(limb_vectors(body), dim=-1).sum(-1)
    height: Tensor = total.median(1).values / _HEIGHT_IN_LIMBS
    return height


def confidence_of(score: Tensor) -> Tensor:
    """Scores with everything at or below MISSING_SCORE set to exactly 0, same shape."""
    return torch.where(score > MISSING_SCORE, score, torch.zeros_like(score))


def fill_missing(xy: Tensor, confidence: Tensor) -> Tensor:
    """Interpolate joints without confidence linearly between their neighbours in time.

    Design choice: before the first and after the last sighting a joint stays where it was seen; a
    joint never seen in the window is put at the mean of the joints that were, or at 0.

    Args:
        xy: (N, F, J, 2) pixels.
        confidence: (N, F, J), 0 where missing.

    Returns:
        (N, F, J, 2), finite wherever xy is.
    """
    frames = xy.shape[1]
    seen = confidence > 0
    index = torch.arange(frames, device=xy.device)[None, :, None]
    before = torch.where(seen, index, -1).cummax(1).values
    after = torch.where(seen, index, frames).flip(1).cummin(1).values.flip(1)
    low = torch.where(before >= 0, before, after).clamp(0, frames - 1)
    high = torch.where(after < frames, after, before).clamp(0, frames - 1)
    share = (index - low).clamp(min=0) / (high - low).clamp(min=1)
    first = xy.gather(1, low[..., None].expand_as(xy))
    last = xy.gather(1, high[..., None].expand_as(xy))
    filled = first + (last - first) * share[..., None]
    center = weighted_mean(xy, confidence, (1, 2))
    return torch.where(seen.any(1, keepdim=True)[..., None], filled, center)


def weighted_mean(xy: Tensor, weight: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Mean of xy (..., 2) over `axes` with weight (...); 0 where all weights are 0; axes kept."""
    total = weight.sum(axes, keepdim=True).clamp(min=1e-6)
    return (xy * weight[..., None]).sum(axes, keepdim=True) / total[..., None]


def fit_image_scale(points: Tensor, xy: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Fit pixels per metre and offset of a parallel projection of 3D points to the image.

    Minimises sum weight |xy - scale points_xy - offset|^2 over a window (closed form).

    Args:
        points: (N, F, J, 2 or 3) metres in camera axes, root path included.
        xy: (N, F, J, 2) pixels.
        weight: (N, F, J), not negative.

    Returns:
        scale (N, 1, 1, 1) pixels per metre, positive; offset (N, 1, 1, 2) pixels. A window without
        weight gets scale 1 and offset 0.
    """
    flat = points[..., :2]
    point_mean = weighted_mean(flat, weight, (1, 2))
    xy_mean = weighted_mean(xy, weight, (1, 2))
    a = flat - point_mean
    b = xy - xy_mean
    w = weight[..., None]
    above = (w * a * b).sum((1, 2, 3), keepdim=True)
    below = (w * a * a).sum((1, 2, 3), keepdim=True)
    # Points and pixels that disagree in direction have a correlation near 0 or below, and no scale
    # by least squares; three tenths of the ratio of their spreads is the least that is accepted.
    spread = ((w * b * b).sum((1, 2, 3), keepdim=True) / below.clamp(min=1e-9)).sqrt()
    scale = torch.maximum(above / below.clamp(min=1e-9), 0.3 * spread)
    scale = torch.where((below > 1e-6) & (scale > 1e-6), scale, torch.ones_like(scale))
    return scale, xy_mean - scale * point_mean


def perspective_evidence(
    points: Tensor, xy: Tensor, weight: Tensor, scale: Tensor, offset: Tensor, center: Tensor
) -> Tensor:
    """Least-squares estimate of 1 / (distance of the camera) from detections, with its certainty.

    A point at depth z behind the pelvis lies at (pixels of a parallel projection) / (1 + k z) from
    the image's centre, k being 1 / distance; to first order the residual is -k z xy.

    Args:
        points: (N, F, J, 3) metres, z relative to the pelvis.
        xy: (N, F, J, 2) pixels.
        weight: (N, F, J).
        scale: (N, 1, 1, 1) pixels per metre, of `fit_image_scale`.
        offset: (N, 1, 1, 2) pixels, of `fit_image_scale`.
        center: (2,) pixels, the image's centre. Design choice: used as the principal point.

    Returns:
        (N, 4): estimate in 1/metre, bounded to [-0.5, 0.5]; logarithm of its information; root mean
        square residual in metres; mean weight.
    """
    residual = (xy - scale * points[..., :2] - offset) / scale
    lever = -points[..., 2:] * (xy - center) / scale
    w = weight[..., None]
    lever = lever - weighted_mean(lever, weight, (1, 2))
    information = (w * lever**2).sum((1, 2, 3))
    # 0.5 is the information of a prior of 0 1/metre, a camera infinitely far away.
    estimate = (w * lever * residual).sum((1, 2, 3)) / (information + 0.5)
    total = weight.sum((1, 2)).clamp(min=1e-6)
    error = ((w * residual**2).sum((1, 2, 3)) / total).clamp(max=4.0).sqrt()
    return torch.stack(
        [
            estimate.clamp(-0.5, 0.5),
            (information + 1e-3).log(),
            error,
            weight.mean((1, 2)),
        ],
        -1,
    )
