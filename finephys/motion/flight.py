"""Airborne dynamics: the centre of mass on a parabola, angular momentum constant.

The body's shape is prescribed, its root is free. Per unit body mass, in pelvis axes, with I the
inertia about the centre of mass and h the momentum of the limbs' own motion, the root turns with
omega = I^-1 (R^T L - h). The constant L is set at take-off; take_off.py solves for the one that
gives the somersaults and twists.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from finephys.anthropometry import consistent_mass_matrix
from finephys.motion.body import Body, forward_kinematics, trunk_frames
from finephys.motion.curves import Array, Steered

_MASS = consistent_mass_matrix()
_WEIGHTS = _MASS.sum(1)
_HAT = np.zeros((3, 9))
for _i, _j, _k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
    _HAT[_k, 3 * _j + _i], _HAT[_k, 3 * _i + _j] = 1.0, -1.0

STEP = 1 / 120
"""Seconds; fourth-order Runge-Kutta, error per somersault below 1e-4 turn."""

_FASTEST = 80.0
"""rad/s, which bounds the integration; 12 turns a second is faster than any gymnast."""


@dataclass(frozen=True)
class Flight:
    """A solved flight.

    Attributes:
        duration: seconds.
        momentum: (3,) angular momentum per unit body mass, m^2/s, world axes.
        times: (N,) seconds from take-off.
        rotations: (N, 3, 3) pelvis to world.
        spins: (N, 3) angular velocity in pelvis axes, rad/s.
        angles: joint angles over time, steering included.
    """

    duration: float
    momentum: Array
    times: Array
    rotations: Array
    spins: Array
    angles: Steered

    def rotation_at(self, times: npt.ArrayLike) -> Array:
        """Pelvis to world (T, 3, 3) at `times`, by Hermite rotation vectors between the steps."""
        at = np.asarray(times, np.float64)
        step = self.times[1] - self.times[0]
        index = np.clip((at / step).astype(int), 0, len(self.times) - 2)
        s = ((at - self.times[index]) / step)[:, None]
        first, second = self.rotations[index], self.rotations[index + 1]
        whole = Rotation.from_matrix(first.swapaxes(1, 2) @ second).as_rotvec()
        going = self.spins[index] * step
        arriving = self.spins[index + 1] * step
        crossed = np.cross(whole, arriving)
        arriving = arriving + 0.5 * crossed + np.cross(whole, crossed) / 12
        turned = s**2 * (3 - 2 * s) * whole + s * (1 - s) ** 2 * going - s**2 * (1 - s) * arriving
        result: Array = first @ Rotation.from_rotvec(turned).as_matrix()
        return result


def center_of_mass(joints: Array) -> Array:
    """Centre of mass (..., 3) of joints (..., 17, 3)."""
    result: Array = np.einsum("j,...jd->...d", _WEIGHTS, joints)
    return result


def angular_momentum(joints: Array, velocities: Array) -> Array:
    """Angular momentum (..., 3) about the centre of mass per unit body mass."""
    x = joints - center_of_mass(joints)[..., None, :]
    v = velocities - center_of_mass(velocities)[..., None, :]
    result: Array = np.cross(x, _MASS @ v).sum(-2)
    return result


def _inertia(joints: Array) -> Array:
    x = joints - center_of_mass(joints)[..., None, :]
    second = x.swapaxes(-1, -2) @ (_MASS @ x)
    trace: Array = np.trace(second, axis1=-2, axis2=-1)[..., None, None] * np.eye(3) - second
    return trace


@dataclass(frozen=True)
class Shapes:
    """Inputs of the integrator for B shapes of the body (B may be 1), at every half step.

    Attributes:
        step: seconds of a whole step.
        inverse_inertia: (2N - 1, B, 3, 3).
        limb_momentum: (2N - 1, B, 3).
        trunk: (2N - 1, B, 3, 3) trunk frames in pelvis axes.
    """

    step: float
    inverse_inertia: Array
    limb_momentum: Array
    trunk: Array


def shapes_of(angles: Sequence[Steered], body: Body, duration: float, step: float = STEP) -> Shapes:
    """Inertia and limb momentum of each of `angles` over `duration` seconds from take-off."""
    steps = int(np.ceil(duration / step - 1e-9))
    times = np.linspace(0.0, duration, 2 * steps + 1)
    epsilon = 1e-4
    shifted = np.concatenate([times - epsilon, times, times + epsilon])
    values = np.concatenate([one(shifted) for one in angles])
    joints, _ = forward_kinematics(values, body)
    joints = joints.reshape(len(angles), 3, len(times), *joints.shape[1:]).transpose(1, 2, 0, 3, 4)
    before, now, after = joints
    momentum = angular_momentum(now, (after - before) / (2 * epsilon))
    inverse = np.linalg.inv(_inertia(now)).astype(np.float64)
    return Shapes(duration / steps, inverse, momentum, trunk_frames(now))


def integrate(shape: Shapes, start: Array, momentum: Array) -> Array:
    """Rotations (N, B, 3, 3) at whole steps, from `start` (3, 3) or (B, 3, 3), momenta (B, 3)."""
    step, inverse, limbs = shape.step, shape.inverse_inertia, shape.limb_momentum[..., None]
    column = momentum[:, :, None]

    def rate(rotations: Array, index: int) -> Array:
        local = rotations.transpose(0, 2, 1) @ column
        omega = (inverse[index] @ (local - limbs[index]))[:, :, 0]
        fastest = np.abs(omega).max()
        if fastest > _FASTEST:
            omega = np.clip(omega, -_FASTEST, _FASTEST)
        turned: Array = rotations @ (omega @ _HAT).reshape(-1, 3, 3)
        return turned

    now = np.broadcast_to(start, (len(momentum), 3, 3)).copy()
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


def fly(angles: Steered, body: Body, duration: float, start: Array, momentum: Array) -> Flight:
    """Integrate the flight of a body with momentum (3,), attitude `start` (3, 3) at take-off."""
    shape = shapes_of([angles], body, duration, STEP / 2)
    u, _, vt = np.linalg.svd(integrate(shape, start, momentum[None])[:, 0])
    rotations = u @ vt
    local = np.einsum("nji,j->ni", rotations, momentum) - shape.limb_momentum[::2, 0]
    spins = np.einsum("nij,nj->ni", shape.inverse_inertia[::2, 0], local)
    times = np.linspace(0.0, duration, len(rotations))
    return Flight(duration, momentum, times, rotations, spins, angles)
