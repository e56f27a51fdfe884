"""Arithmetic on batches of 2D windows that several pose stages need; torch in, torch out."""

import torch
from torch import Tensor

from finephys.pose3d.windows import PoseWindows
from finephys.types import MISSING_SCORE


def window_tensors(windows: PoseWindows, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    """Pixels (N, F, J, 2), scores (N, F, J) and seconds between frames (N,) of windows."""
    return (
        torch.from_numpy(windows.xy).to(device),
        torch.from_numpy(windows.score).to(device),
        torch.from_numpy(windows.dt).to(device),
    )


def confidence_of(score: Tensor) -> Tensor:
    """Scores with everything that was not found at exactly 0, same shape."""
    return torch.where(score > MISSING_SCORE, score, torch.zeros_like(score))


def fill_missing(xy: Tensor, confidence: Tensor) -> Tensor:
    """Put joints without confidence on the straight line between their neighbours in time.

    Design choice: before the first and after the last sighting a joint stays where it was seen; a
    joint never seen in the window lies at the centre of the joints that were, or at 0.

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
    """Pixels per metre and offset that lay 3D points on the image without perspective.

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
    # When points and pixels disagree in direction the spread alone gives the scale.
    spread = ((w * b * b).sum((1, 2, 3), keepdim=True) / below.clamp(min=1e-9)).sqrt()
    scale = torch.maximum(above / below.clamp(min=1e-9), 0.3 * spread)
    scale = torch.where((below > 1e-6) & (scale > 1e-6), scale, torch.ones_like(scale))
    return scale, xy_mean - scale * point_mean


def perspective_evidence(
    points: Tensor, xy: Tensor, weight: Tensor, scale: Tensor, offset: Tensor, center: Tensor
) -> Tensor:
    """What detections say of the camera's distance: a least-squares 1/distance and its certainty.

    A point at depth z behind the pelvis lies at (pixels of a parallel projection) / (1 + k z) from
    the image's centre, k being 1 / distance; to first order the residual is -k z xy.

    Args:
        points: (N, F, J, 3) metres, z relative to the pelvis.
        xy: (N, F, J, 2) pixels.
        weight: (N, F, J).
        scale: (N, 1, 1, 1) pixels per metre, of `fit_image_scale`.
        offset: (N, 1, 1, 2) pixels, of `fit_image_scale`.
        center: (2,) pixels, the image's centre. Design choice: taken for the principal point.

    Returns:
        (N, 4): estimate in 1/metre, bounded to [-0.5, 0.5]; logarithm of its information; root mean
        square residual in metres; mean weight.
    """
    residual = (xy - scale * points[..., :2] - offset) / scale
    lever = -points[..., 2:] * (xy - center) / scale
    w = weight[..., None]
    lever = lever - weighted_mean(lever, weight, (1, 2))
    information = (w * lever**2).sum((1, 2, 3))
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
