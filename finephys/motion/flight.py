"""Airborne dynamics: the centre of mass on a parabola, angular momentum constant.

The body's shape is prescribed, its root is free. Per unit body mass, in pelvis axes, with I the
inertia about the centre of mass and h the momentum of the limbs' own motion, the root turns with
omega = I^-1 (R^T L - h). The constant L is what a take-off gives; it is solved for so that the
somersaults and twists come out.
"""

from dataclasses import dataclass

import numpy as np

from finephys.anthropometry import consistent_mass_matrix
from finephys.errors import FinePhysError
from finephys.motion.body import Body, forward_kinematics, trunk_frames
from finephys.motion.curves import Array, Curve

_MASS = consistent_mass_matrix()
_WEIGHTS = _MASS.sum(1)
_HAT = np.zeros((3, 9))
for _i, _j, _k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
    _HAT[_k, 3 * _j + _i], _HAT[_k, 3 * _i + _j] = 1.0, -1.0

_CANDIDATES, _NEWTON_STEPS = 16, 24
_STEP = 1 / 120
"""Seconds; fourth-order Runge-Kutta, error per somersault below 1e-4 turn."""


class NoFlightError(FinePhysError):
    """No momentum makes this body do the asked somersaults and twists in the asked time."""


@dataclass(frozen=True)
class Flight:
    """A solved flight.

    Attributes:
        duration: seconds.
        momentum: (3,) angular momentum per unit body mass, m^2/s, world axes.
        times: (N,) seconds from take-off.
        rotations: (N, 3, 3) pelvis to world.
    """

    duration: float
    momentum: Array
    times: Array
    rotations: Array


def center_of_mass(joints: Array) -> Array:
    """Centre of mass (..., 3) of joints (..., 17, 3)."""
    result: Array = np.einsum("j,...jd->...d", _WEIGHTS, joints)
    return result


def angular_momentum(joints: Array, velocities: Array) -> Array:
    """Angular momentum (T, 3) about the centre of mass per unit body mass."""
    x = joints - center_of_mass(joints)[..., None, :]
    v = velocities - center_of_mass(velocities)[..., None, :]
    result: Array = np.cross(x, np.einsum("ij,tjd->tid", _MASS, v)).sum(-2)
    return result


def _inertia(joints: Array) -> Array:
    x = joints - center_of_mass(joints)[:, None]
    second = np.einsum("tia,ij,tjb->tab", x, _MASS, x, optimize=True)
    trace: Array = np.trace(second, axis1=1, axis2=2)[:, None, None] * np.eye(3) - second
    return trace


@dataclass(frozen=True)
class _Shape:
    """What the integrator needs of the body's shape, at every half step."""

    step: float
    inverse_inertia: Array
    limb_momentum: Array
    trunk: Array


def _shape(angles: Curve, body: Body, duration: float) -> _Shape:
    steps = int(np.ceil(duration / _STEP))
    times = np.linspace(0.0, duration, 2 * steps + 1)
    epsilon = 1e-4
    before, joints, after = (
        forward_kinematics(angles(times + shift), body)[0] for shift in (-epsilon, 0.0, epsilon)
    )
    momentum = angular_momentum(joints, (after - before) / (2 * epsilon))
    return _Shape(
        duration / steps,
        np.linalg.inv(_inertia(joints)).astype(np.float64),
        momentum,
        trunk_frames(joints),
    )


def _integrate(shape: _Shape, start: Array, momentum: Array) -> Array:
    """Rotations (N, B, 3, 3) at whole steps for a batch of momenta (B, 3)."""
    step, inverse, limbs = shape.step, shape.inverse_inertia, shape.limb_momentum
    column = momentum[:, :, None]

    def rate(rotations: Array, index: int) -> Array:
        local = rotations.transpose(0, 2, 1) @ column
        omega = (inverse[index] @ (local - limbs[index][:, None]))[:, :, 0]
        turned: Array = rotations @ (omega @ _HAT).reshape(-1, 3, 3)
        return turned

    now = np.repeat(start[None], len(momentum), axis=0)
    out = [now]
    for index in range(0, len(limbs) - 1, 2):
        k1 = rate(now, index)
        k2 = rate(now + 0.5 * step * k1, index + 1)
        k3 = rate(now + 0.5 * step * k2, index + 1)
        k4 = rate(now + step * k3, index + 2)
        now = now + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        out.append(now)
    return np.stack(out)


def somersault_tilt_twist(frames: Array) -> Array:
    """Unwrapped angles (N, ..., 3) of trunk frames (N, ..., 3, 3), radians.

    Yeadon's angles: frame = Ry(somersault) Rx(-tilt) Rz(twist); the somersault is about world y.
    """
    up = frames[..., :, 2]
    somersault = np.unwrap(np.arctan2(up[..., 0], up[..., 2]), axis=0)
    tilt = np.arcsin(np.clip(up[..., 1], -1, 1))
    twist = np.unwrap(np.arctan2(frames[..., 1, 0], frames[..., 1, 1]), axis=0)
    return np.stack([somersault, tilt, twist], axis=-1)


def _angles(shape: _Shape, start: Array, momentum: Array) -> Array:
    rotations = _integrate(shape, start, momentum)
    frames = rotations @ shape.trunk[::2][:, None]
    return somersault_tilt_twist(frames)


def _miss(shape: _Shape, start: Array, momentum: Array, target: Array) -> Array:
    """Error (B, 3) of (somersault change, final tilt, twist change) for momenta (B, 3)."""
    angles = _angles(shape, start, momentum)
    missed: Array = angles[-1] - angles[0] * np.array([1.0, 0.0, 1.0]) - target
    return missed


def _search(shape: _Shape, start: Array, target: Array, duration: float) -> tuple[Array, float]:
    """The momentum that meets the target, and what is left: a coarse grid, then damped Newton.

    All candidates fly in one batch; Newton steps that do not help are halved.
    """
    grid = _grid(shape, start, target, duration)
    size = np.abs(_miss(shape, start, grid, target)).max(1)
    now = grid[np.argsort(size)[:_CANDIDATES]]
    best, left, scale = now, np.full(len(now), np.inf), np.ones(len(now))
    move = np.zeros_like(now)
    delta = 1e-5
    for _ in range(_NEWTON_STEPS):
        moved = np.concatenate([now, *(now + delta * axis for axis in np.eye(3))])
        error = _miss(shape, start, moved, target).reshape(4, len(now), 3)
        size = np.abs(error[0]).max(1)
        better = size < left
        jacobian = ((error[1:] - error[0]) / delta).transpose(1, 2, 0)
        step = -(np.linalg.pinv(jacobian, rcond=1e-6) @ error[0][:, :, None])[:, :, 0]
        length = np.linalg.norm(step, axis=1, keepdims=True)
        step *= np.minimum(1.0, 0.2 / np.maximum(length, 1e-12))
        best = np.where(better[:, None], now, best)
        left = np.where(better, size, left)
        move = np.where(better[:, None], step, move)
        scale = np.where(better, np.minimum(1.0, 2 * scale), 0.4 * scale)
        if left.min() < 1e-6:
            break
        if len(now) > 4:
            keep = np.argsort(left)[: max(4, int(0.8 * len(now)))]
            best, left, move, scale = best[keep], left[keep], move[keep], scale[keep]
        now = best + scale[:, None] * move
    winner = int(left.argmin())
    return best[winner], float(left[winner])


def _grid(shape: _Shape, start: Array, target: Array, duration: float) -> Array:
    """Momenta (G, 3) around that of a rigid body."""
    mobility = shape.inverse_inertia.mean(0)
    pitch = target[0] / duration / mobility[1, 1]
    spin = target[2] / duration / mobility[2, 2]
    rest = start @ shape.limb_momentum.mean(0)
    planar = np.zeros((15, 3))
    planar[:, 1] = np.linspace(0.7, 1.3, 15) * pitch + rest[1]
    around = np.stack(
        np.meshgrid(
            np.linspace(-0.4, 0.4, 7) * pitch + rest[0],
            np.linspace(0.8, 1.2, 4) * pitch + rest[1],
            np.linspace(-0.6, 1.6, 9) * (spin if spin else 0.1 * pitch),
            indexing="ij",
        ),
        axis=-1,
    ).reshape(-1, 3)
    return np.concatenate([planar, around])


def solve(
    angles: Curve,
    body: Body,
    duration: float,
    start: Array,
    somersaults: float,
    twists: float,
    final_tilt: float = 0.0,
) -> Flight:
    """Find the momentum that gives the asked somersaults and twists.

    Args:
        angles: joint angles over time, take-off at 0.
        body: limb lengths.
        duration: seconds in the air.
        start: (3, 3) pelvis to world at take-off.
        somersaults: turns of the trunk about world y from take-off to landing; positive forward.
        twists: turns of the trunk about its own axis; positive to the left.
        final_tilt: radians, sideways lean of the trunk at landing.

    Raises:
        NoFlightError: the solve does not converge.
    """
    shape = _shape(angles, body, duration)
    target = np.array([2 * np.pi * somersaults, final_tilt, 2 * np.pi * twists])
    found, left = _search(shape, start, target, duration)
    if left > 1e-5:
        raise NoFlightError(
            f"no momentum gives {somersaults:g} somersaults and {twists:g} twists in "
            f"{duration:.2f} s (off by {left:.2g} rad); give more time or a tighter shape."
        )
    rotations = _integrate(shape, start, found[None])[:, 0]
    u, _, vt = np.linalg.svd(rotations)
    times = np.linspace(0.0, duration, len(rotations))
    return Flight(duration, found, times, u @ vt)
