"""S_pp: Euler-Lagrange dynamics of the lifted body, forward and backward in time."""

from finephys.pose3d.physics.physnet import PhysNet

__all__ = ["PhysNet"]
