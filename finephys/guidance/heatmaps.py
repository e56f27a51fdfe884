"""Limb heatmaps: skeletons as images, one channel per limb, at every scale of the U-Net.

Source: supplement A.2 (skeletons become limb heatmaps following PoseConv3D): the value at a pixel
    is exp(-D^2 / (2 sigma^2)) times the lower score of the limb's two joints, with D the distance
    from the pixel to the limb.
"""

import torch

from finephys.guidance.framing import Framing
from finephys.skeleton import LIMB_CHILDREN, LIMB_PARENTS
from finephys.types import LimbHeatmaps, Pose2D

SIGMA = 0.02
"""Width of a limb as a share of the canvas. Design choice: about half a forearm's thickness."""

_MIN_SIGMA_PIXELS = 0.6
"""Minimum width in heatmap pixels, so that a thin limb is visible at coarse levels."""


def limb_heatmaps(pose: Pose2D, framing: Framing, levels: tuple[int, ...]) -> LimbHeatmaps:
    """Draw the heatmaps of one clip's skeleton on the canvas.

    Args:
        pose: 2D joints in pixels of the clip.
        framing: the canvas, a square of the clip.
        levels: width and height of each level in pixels, finest first.

    Returns:
        One float32 (16, 16 limbs, h, h) in [0, 1] per level.
    """
    canvas = torch.from_numpy(framing.to_canvas(pose.xy))
    score = torch.from_numpy(pose.score)
    return LimbHeatmaps(tuple(heatmap_level(canvas, score, level).numpy() for level in levels))


def heatmap_level(canvas: torch.Tensor, score: torch.Tensor, side: int) -> torch.Tensor:
    """Draw limb heatmaps of any batch of skeletons at one scale.

    Args:
        canvas: (..., J, 2) canvas coordinates, [0, 1] inside.
        score: (..., J) in [0, 1].
        side: width and height of the heatmaps in pixels.

    Returns:
        (..., L, side, side) in [0, 1]; rows downwards, columns to the right, values at pixel
        centers.
    """
    sigma = max(SIGMA, _MIN_SIGMA_PIXELS / side)
    start = canvas[..., LIMB_PARENTS, :, None, None]  # (..., L, 2, 1, 1)
    along = canvas[..., LIMB_CHILDREN, :, None, None] - start
    least_score = torch.minimum(score[..., LIMB_PARENTS], score[..., LIMB_CHILDREN])
    centers = (torch.arange(side, dtype=canvas.dtype, device=canvas.device) + 0.5) / side
    x = centers[None, :] - start[..., 0, :, :]  # (..., L, 1, side)
    y = centers[:, None] - start[..., 1, :, :]  # (..., L, side, 1)
    along_x, along_y = along[..., 0, :, :], along[..., 1, :, :]
    length = (along_x**2 + along_y**2).clamp_min(1e-12)
    share = ((x * along_x + y * along_y) / length).clamp(0, 1)  # nearest point of the limb
    distance = (x - share * along_x) ** 2 + (y - share * along_y) ** 2
    return torch.exp(-distance / (2 * sigma**2)) * least_score[..., None, None]
