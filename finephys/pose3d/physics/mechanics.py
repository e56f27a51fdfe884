"""What a body cannot do: stretch its limbs, push itself without touching anything."""

import torch
from torch import Tensor

from finephys.pose3d.physics.dynamics import joint_masses
from finephys.skeleton import JOINTS, LIMBS, PARENTS

_J = len(JOINTS)
_PARENT = [parent for parent, _ in LIMBS]
_CHILD = [child for _, child in LIMBS]

_RIGID_SHARE = 0.5
"""How far limbs of the found path are brought to their mean lengths. Measured: half-way lowers the
error of positions as well as the spread of lengths; all the way costs acceleration and 2D error."""


def rigid_limbs(points: Tensor) -> Tensor:
    """Points (N, F, J, 3) with every limb at its mean length over the window, directions kept.

    Built from the pelvis outwards, then moved so that each frame's centre of mass stays.
    """
    limb = points[..., _CHILD, :] - points[..., _PARENT, :]
    length = limb.norm(dim=-1, keepdim=True).clamp(min=1e-4)
    limb = limb * (length.mean(1, keepdim=True) / length)
    out = [points[..., 0, :]]
    for child in range(1, _J):
        out.append(out[PARENTS[child]] + limb[..., child - 1, :])
    built = torch.stack(out, -2)
    masses = joint_masses().to(points)[:, None]
    return built + ((points - built) * masses).sum(-2, keepdim=True)


def settle_limbs(path: Tensor) -> Tensor:
    """A path (N, F, J, 3) whose limbs are half-way to their mean lengths over the window."""
    return path + _RIGID_SHARE * (rigid_limbs(path) - path)


def without_wrench(force: Tensor, points: Tensor, masses: Tensor) -> Tensor:
    """Force (N, F, J, 3) freed of its sum and of its torque about the centre of mass.

    What is taken away is the force field of a rigid body's acceleration, in proportion to mass.
    """
    m = masses[:, None]
    arm = points - (points * m).sum(-2, keepdim=True)
    force = force - m * force.sum(-2, keepdim=True)
    torque = torch.linalg.cross(arm, force).sum(-2)
    square = (m * arm**2).sum((-1, -2))[..., None, None]
    # A ten-thousandth is added: a body folded to a line could not be inverted.
    eye = torch.eye(3, dtype=force.dtype, device=force.device)
    inertia = (square + 1e-4) * eye - (m[..., None] * arm[..., :, None] * arm[..., None, :]).sum(-3)
    spin = torch.linalg.solve(inertia, torque[..., None])[..., 0]
    turning: Tensor = torch.linalg.cross(spin[..., None, :].expand_as(arm), arm)
    return force - m * turning
