"""Euler-Lagrange dynamics of the body: M(q) qddot = J - C (Eqs. 35 and 41).

Coordinates q (N, 51): the 17 joints, joint-major, x y z each, metres in camera axes. M is per unit
body mass, so that J and C are in N/kg. The paper leaves the form of M, J and C open: the supplement
derives C from M (Eqs. 37-41), and of the main paper it is known that small heads estimate M^-1, J
and C apart from each other.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from finephys.anthropometry import center_of_mass_weights, consistent_mass_matrix
from finephys.skeleton import JOINTS

_J = len(JOINTS)
COORDINATES = 3 * _J
"""Generalised coordinates."""

_LEAST_MASS = 0.004
"""Fraction of body mass on every joint. Design choice: keeps M definite where the tables of
segments leave a joint (the neck) massless."""

_SHAPE_SCALE = 2.0
"""1/metre: joints lie within half a metre of their mean, so that the networks' inputs are within
about 1. Design choice; the shipped weights are trained with it."""

_VELOCITY_SCALE = 0.3
"""Seconds a metre: joints of a gymnast move at about 3 m/s."""

_LEAST_DIAGONAL = 0.05
"""Share of a joint's lumped mass below which the learned diagonal of M cannot fall."""

_SOFTPLUS_ONE = 0.5413
"""softplus(0.5413) = 1: a fresh network starts at the lumped masses of the body."""


def joint_masses() -> Tensor:
    """Body mass lumped on the joints, (17,), summing to 1."""
    masses = center_of_mass_weights() + _LEAST_MASS
    return torch.from_numpy(masses / masses.sum()).float()


def angular_momentum(points: Tensor, velocity: Tensor) -> Tensor:
    """Angular momentum of the segments' rods about the centre of mass, per unit body mass.

    Args:
        points: (..., J, 3) metres.
        velocity: (..., J, 3) m/s.

    Returns:
        (..., 3) m^2/s.
    """
    matrix = torch.from_numpy(consistent_mass_matrix()).to(points)
    weight = matrix.sum(-1, keepdim=True)  # rows sum to the share of each joint in the total mass
    arm = points - (points * weight).sum(-2, keepdim=True)
    relative = velocity - (velocity * weight).sum(-2, keepdim=True)
    out: Tensor = torch.linalg.cross(arm, matrix @ relative).sum(-2)
    return out


def coriolis_of(
    momentum: Callable[[Tensor, Tensor], Tensor], q: Tensor, velocity: Tensor
) -> Tensor:
    """C(q, qdot) of any mass matrix, by automatic differentiation of Eq. 40.

    C = Mdot qdot - grad_q (1/2 qdot^T M(q) qdot), the terms of Eqs. 38 and 39 without M qddot.

    Args:
        momentum: M(q) v of (q, v), each (N, K).
        q: (N, K).
        velocity: (N, K).

    Returns:
        (N, K), differentiable when gradients are on.
    """
    keep = torch.is_grad_enabled()
    # Inference mode records nothing to differentiate, and tensors made in it cannot be: copy them.
    with torch.inference_mode(False), torch.enable_grad():
        q = (q.clone() if keep else q.detach().clone()).requires_grad_()
        velocity = velocity.clone() if keep else velocity.detach().clone()
        momenta = momentum(q, velocity)
        # Mdot qdot is the derivative of M(q) v along qdot with v held at qdot: a forward-mode
        # product, by differentiating twice. `slope` = grad_q (probe^T M v) is linear in the probe,
        # so that the derivative of slope^T qdot by the probe is d(M v)/dq qdot.
        probe = torch.zeros_like(velocity, requires_grad=True)
        (slope,) = torch.autograd.grad((momenta * probe).sum(), q, create_graph=True)
        (mass_rate,) = torch.autograd.grad(
            (slope * velocity).sum(), probe, create_graph=keep, retain_graph=True
        )
        energy = 0.5 * (velocity * momenta).sum()
        (gradient,) = torch.autograd.grad(energy, q, create_graph=keep)
        out: Tensor = mass_rate - gradient
    return out if keep else out.detach()


def _joints(values: Tensor) -> Tensor:
    """(N, 51) -> (N, 17, 3)."""
    return values.reshape(-1, _J, 3)


def _shape(q: Tensor) -> Tensor:
    """The body's shape wherever it is: q about the mean of its joints, scaled metres, (N, 51)."""
    joints = _joints(q)
    return _SHAPE_SCALE * (joints - joints.mean(1, keepdim=True)).flatten(1)


class LearnedDynamics(nn.Module):
    """M(q) is learned; C is derived from it by automatic differentiation of Eq. 40.

    Design choice: M is a positive diagonal plus a low-rank product, so that it is positive definite
    and cheap to invert. It depends on q through the body's shape alone, in metres: the same pose of
    a smaller body has another M.

    Attributes:
        rank: of what is added to the diagonal.
        mechanical: J holds gravity, and no wrench acts on a body in flight.
    """

    rank = 6
    mechanical = True

    def __init__(self, hidden: int = 96) -> None:
        super().__init__()
        self.hidden = nn.Linear(COORDINATES, hidden)
        self.output = nn.Linear(hidden, COORDINATES * (1 + self.rank))
        nn.init.normal_(self.output.weight, std=0.02)
        nn.init.zeros_(self.output.bias)
        masses = joint_masses().repeat_interleave(3)
        self.register_buffer("masses", masses)

    def factors(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Diagonal (N, 51), positive, and low-rank factor (N, 51, rank) of M(q)."""
        masses: Tensor = self.get_buffer("masses")
        out = self.output(torch.tanh(self.hidden(_shape(q))))
        scale = _LEAST_DIAGONAL + functional.softplus(out[:, :COORDINATES] + _SOFTPLUS_ONE)
        diagonal = masses * scale
        low = out[:, COORDINATES:].reshape(-1, COORDINATES, self.rank)
        return diagonal, low * masses.sqrt()[:, None]

    def momentum(self, q: Tensor, velocity: Tensor) -> Tensor:
        """M(q) qdot, (N, 51)."""
        diagonal, low = self.factors(q)
        return diagonal * velocity + (low @ (low.mT @ velocity[..., None]))[..., 0]

    def coriolis(self, q: Tensor, velocity: Tensor) -> Tensor:
        """C(q, qdot) (N, 51), N/kg."""
        return coriolis_of(self.momentum, q, velocity)

    def acceleration(self, q: Tensor, force: Tensor) -> Tensor:
        """M(q)^-1 force (N, 51) by the Woodbury identity.

        (D + L L^T)^-1 = D^-1 - D^-1 L (1 + L^T D^-1 L)^-1 L^T D^-1: only a rank x rank system is
        solved.
        """
        diagonal, low = self.factors(q)
        scaled = low / diagonal[..., None]
        inner = torch.eye(self.rank, dtype=q.dtype, device=q.device) + low.mT @ scaled
        correction: Tensor = torch.linalg.solve(inner, scaled.mT @ force[..., None])
        return force / diagonal - (scaled @ correction)[..., 0]

    def matrix(self, q: Tensor) -> Tensor:
        """M(q), (N, 51, 51)."""
        diagonal, low = self.factors(q)
        return torch.diag_embed(diagonal) + low @ low.mT


class AnthropometricDynamics(nn.Module):
    """Constant mass matrix of the body's segments, so that C = 0 in these coordinates."""

    mechanical = True

    def __init__(self) -> None:
        super().__init__()
        masses = consistent_mass_matrix() + _LEAST_MASS * np.eye(_J)
        joint = torch.from_numpy(masses / masses.sum())
        self.register_buffer("joint_matrix", joint.float(), persistent=False)
        self.register_buffer("joint_inverse", torch.linalg.inv(joint).float(), persistent=False)

    def momentum(self, q: Tensor, velocity: Tensor) -> Tensor:
        """M qdot, (N, 51)."""
        out: Tensor = self.get_buffer("joint_matrix") @ _joints(velocity)
        return out.flatten(1)

    def coriolis(self, q: Tensor, velocity: Tensor) -> Tensor:
        """0: the kinetic energy does not depend on q."""
        return torch.zeros_like(velocity)

    def acceleration(self, q: Tensor, force: Tensor) -> Tensor:
        """M^-1 force, (N, 51)."""
        out: Tensor = self.get_buffer("joint_inverse") @ _joints(force)
        return out.flatten(1)

    def matrix(self, q: Tensor) -> Tensor:
        """M, (N, 51, 51), the same for every q."""
        whole: Tensor = torch.kron(self.get_buffer("joint_matrix"), torch.eye(3, device=q.device))
        return whole.expand(len(q), -1, -1)


class FreeDynamics(LearnedDynamics):
    """As in PhysMoP and the main paper: M, J and C are three independent networks.

    C is not derived from M, J holds no gravity and its wrench is free.
    """

    mechanical = False

    def __init__(self, hidden: int = 96) -> None:
        super().__init__(hidden)
        last = nn.Linear(hidden, COORDINATES)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.free = nn.Sequential(nn.Linear(2 * COORDINATES, hidden), nn.Tanh(), last)

    def coriolis(self, q: Tensor, velocity: Tensor) -> Tensor:
        """C(q, qdot) (N, 51), N/kg, learned independently of M."""
        masses: Tensor = self.get_buffer("masses")
        out: Tensor = self.free(torch.cat([_shape(q), _VELOCITY_SCALE * velocity], -1)) * masses
        return out


class NoDynamics(LearnedDynamics):
    """The control: as many parameters, the same losses and data, and no acceleration.

    The outputs of the force and mass networks correct the measurements instead.
    """

    mechanical = False

    def acceleration(self, q: Tensor, force: Tensor) -> Tensor:
        """0."""
        return torch.zeros_like(force)

    def coriolis(self, q: Tensor, velocity: Tensor) -> Tensor:
        """0."""
        return torch.zeros_like(velocity)

    def correction(self, q: Tensor) -> Tensor:
        """(N, 51) in tenths of a metre, from the parameters that make M elsewhere."""
        out: Tensor = self.output(torch.tanh(self.hidden(_shape(q))))
        return out.reshape(len(q), COORDINATES, -1).mean(-1)


Dynamics = LearnedDynamics | AnthropometricDynamics

DYNAMICS: dict[str, Callable[[], Dynamics]] = {
    "euler-lagrange": LearnedDynamics,
    "anthropometric": AnthropometricDynamics,
    "free": FreeDynamics,
    "none": NoDynamics,
}
"""Dynamics by name; a checkpoint holds those it was trained with."""
