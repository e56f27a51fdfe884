"""What a body cannot do: stretch its limbs, push itself without touching anything."""

import torch
from torch import Tensor

from finephys.pose3d.geometry import limb_vectors
from finephys.pose3d.physics.dynamics import joint_masses
from finephys.skeleton import JOINTS, PARENTS

_J = len(JOINTS)

_RIGID_SHARE = 0.5
"""How far limbs of the solved path are moved to their mean lengths. Measured: half-way lowers the
error of positions as well as the spread of lengths; all the way costs acceleration and 2D error."""

_LEAST_INERTIA = 1e-4
"""m^2, added to the inertia tensor: that of a body folded to a line cannot be inverted."""


def rigid_limbs(points: Tensor) -> Tensor:
    """Points (N, F, J, 3) with every limb at its mean length over the window, directions kept.

    Built from the pelvis outwards, then moved so that each frame's centre of mass stays.
    """
    limb = limb_vectors(points)
    length = limb.norm(dim=-1, keepdim=True).clamp(min=1e-4)
    limb = limb * (length.mean(1, keepdim=True) / length)
    out = [points[..., 0, :]]
    for child in range(1, _J):  # parents come before their children, limbs in the order of children
        out.append(out[PARENTS[child]] + limb[..., child - 1, :])
    built = torch.stack(out, -2)
    masses = joint_masses().to(points)[:, None]
    return built + ((points - built) * masses).sum(-2, keepdim=True)


def relax_limb_lengths(path: Tensor) -> Tensor:
    """A path (N, F, J, 3) whose limbs are half-way to their mean lengths over the window."""
    return path + _RIGID_SHARE * (rigid_limbs(path) - path)


def remove_net_wrench(force: Tensor, points: Tensor, masses: Tensor) -> Tensor:
    """Internal part of a force field: without its sum and its torque about the centre of mass.

    What is subtracted is the force field of a rigid body's acceleration, in proportion to mass.

    Args:
        force: (N, F, J, 3) N/kg.
        points: (N, F, J, 3) metres.
        masses: (J,), summing to 1.

    Returns:
        (N, F, J, 3) N/kg.
    """
    m = masses[:, None]
    arm = points - (points * m).sum(-2, keepdim=True)
    force = force - m * force.sum(-2, keepdim=True)
    torque = torch.linalg.cross(arm, force).sum(-2)
    # Inertia tensor sum m (|r|^2 1 - r r^T); the angular acceleration that the torque would give.
    square = (m * arm**2).sum((-1, -2))[..., None, None]
    eye = torch.eye(3, dtype=force.dtype, device=force.device)
    inertia = (square + _LEAST_INERTIA) * eye
    inertia = inertia - (m[..., None] * arm[..., :, None] * arm[..., None, :]).sum(-3)
    angular = torch.linalg.solve(inertia, torque[..., None])[..., 0]
    turning: Tensor = torch.linalg.cross(angular[..., None, :].expand_as(arm), arm)
    return force - m * turning
