"""Limb heatmaps: skeletons as images, one channel a limb, at every scale of the U-Net.

Source: supplement A.2 (skeletons become limb heatmaps following PoseConv3D): the value at a point
is exp(-D^2 / (2 sigma^2)) times the lesser score of the limb's two joints, D the distance from the
point to the limb.
"""

import torch

from finephys.guidance.framing import Framing
from finephys.skeleton import LIMB_CHILDREN, LIMB_PARENTS
from finephys.types import LimbHeatmaps, Pose2D

SIGMA = 0.02
"""Width of a limb as a share of the canvas. Design choice: about half a forearm's thickness."""

_SIGMA_CELLS = 0.6
"""Least width in cells, so that a thin limb never falls between the cells of a coarse level."""


def limb_heatmaps(pose: Pose2D, framing: Framing, levels: tuple[int, ...]) -> LimbHeatmaps:
    """Heatmaps of one clip's skeleton on the canvas.

    Args:
        pose: 2D joints in pixels of the clip.
        framing: the square of the clip that is the canvas.
        levels: cells along one side of each level, finest first.

    Returns:
        One float32 (16, 16 limbs, h, h) in [0, 1] per level.
    """
    canvas = torch.from_numpy(framing.to_canvas(pose.xy))
    score = torch.from_numpy(pose.score)
    return LimbHeatmaps(tuple(heatmap_level(canvas, score, level).numpy() for level in levels))


def heatmap_level(canvas: torch.Tensor, score: torch.Tensor, cells: int) -> torch.Tensor:
    """Limb heatmaps of any batch of skeletons at one scale.

    Args:
        canvas: (..., J, 2) canvas coordinates, [0, 1] inside.
        score: (..., J) in [0, 1].
        cells: cells along one side.

    Returns:
        (..., L, cells, cells) in [0, 1]; rows run down, columns right, values at cell centres.
    """
    sigma = max(SIGMA, _SIGMA_CELLS / cells)
    start = canvas[..., LIMB_PARENTS, :, None, None]  # (..., L, 2, 1, 1)
    along = canvas[..., LIMB_CHILDREN, :, None, None] - start
    least_score = torch.minimum(score[..., LIMB_PARENTS], score[..., LIMB_CHILDREN])
    centers = (torch.arange(cells, dtype=canvas.dtype, device=canvas.device) + 0.5) / cells
    x = centers[None, :] - start[..., 0, :, :]  # (..., L, 1, cells)
    y = centers[:, None] - start[..., 1, :, :]  # (..., L, cells, 1)
    along_x, along_y = along[..., 0, :, :], along[..., 1, :, :]
    length = (along_x**2 + along_y**2).clamp_min(1e-12)
    share = ((x * along_x + y * along_y) / length).clamp(0, 1)  # nearest point of the limb
    distance = (x - share * along_x) ** 2 + (y - share * along_y) ** 2
    return torch.exp(-distance / (2 * sigma**2)) * least_score[..., None, None]
