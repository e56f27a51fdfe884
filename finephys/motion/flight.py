"""Airborne dynamics: the centre of mass on a parabola, angular momentum constant.

The body's shape is prescribed, its root is free. Per unit body mass, in pelvis axes, with I the
inertia about the centre of mass and h the momentum of the limbs' own motion, the root turns with
omega = I^-1 (R^T L - h). The constant L is what a take-off gives; it is solved for so that the
somersaults and twists come out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from finephys.anthropometry import consistent_mass_matrix
from finephys.errors import FinePhysError
from finephys.motion.body import ANGLE, Body, forward_kinematics, rotation, trunk_frames
from finephys.motion.curves import Array, Curve, Steered

_MASS = consistent_mass_matrix()
_WEIGHTS = _MASS.sum(1)
_HAT = np.zeros((3, 9))
for _i, _j, _k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
    _HAT[_k, 3 * _j + _i], _HAT[_k, 3 * _i + _j] = 1.0, -1.0

_CANDIDATES, _KEEP, _NEWTON_STEPS, _STEER_STEPS = 16, 4, 24, 25
_ENOUGH = 4
"""Solutions to choose from; other momenta may do the same somersaults and twists."""

_SOLVED = 1e-5
"""Radians."""

_TILT = np.radians(20)
"""Design choice: candidates that tilt further are tried last."""

_NEARLY = 0.05
"""Radians; what momentum alone can still put right after a twist made by tilt."""

_UNIT = 0.2
"""m^2/s, a momentum that counts in a step as much as a steering movement of full reach."""

_CHANGE = np.array([1.0, 0.0, 1.0])
"""Somersault and twist are changes since take-off; tilt is that at landing."""

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
        spins: (N, 3) angular velocity in pelvis axes, rad/s.
        angles: joint angles over time, with the steering that was needed.
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


@dataclass(frozen=True)
class Steering:
    """A movement by which a body in the air tilts and so starts or stops its twist.

    Attributes:
        angle: name of the joint angle.
        start: part of the flight.
        end: part of the flight.
        reach: radians, how far it may go either way.
    """

    angle: str
    start: float
    end: float
    reach: float


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
class _Shape:
    """What the integrator needs of B shapes of the body (B may be 1), at every half step.

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


def _shapes(angles: Sequence[Steered], body: Body, duration: float, step: float = _STEP) -> _Shape:
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
    return _Shape(duration / steps, inverse, momentum, trunk_frames(now))


def _integrate(shape: _Shape, start: Array, momentum: Array) -> Array:
    """Rotations (N, B, 3, 3) at whole steps, from `start` (3, 3) or (B, 3, 3), momenta (B, 3)."""
    step, inverse, limbs = shape.step, shape.inverse_inertia, shape.limb_momentum[..., None]
    column = momentum[:, :, None]

    def rate(rotations: Array, index: int) -> Array:
        local = rotations.transpose(0, 2, 1) @ column
        omega = (inverse[index] @ (local - limbs[index]))[:, :, 0]
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


def _angles(shape: _Shape, start: Array, momentum: Array) -> Array:
    rotations = _integrate(shape, start, momentum)
    frames = rotations @ shape.trunk[::2]
    return somersault_tilt_twist(frames)


def _miss(shape: _Shape, start: Array, momentum: Array, target: Array) -> Array:
    """Error (B, 3) of (somersault change, final tilt, twist change) for momenta (B, 3)."""
    angles = _angles(shape, start, momentum)
    missed: Array = angles[-1] - angles[0] * _CHANGE - target
    return missed


def _search(shape: _Shape, start: Array, target: Array, duration: float) -> tuple[Array, Array]:
    """Momenta (K, 3) that come nearest to the target, and what is left (K,).

    A coarse grid, flown in one batch, gives the candidates.
    """
    grid = _grid(shape, start, target, duration)
    angles = _angles(shape, start, grid)
    size = np.abs(angles[-1] - angles[0] * _CHANGE - target).max(1)
    size += 2 * np.maximum(np.abs(angles[..., 1]).max(0) - _TILT, 0.0)
    return _refine(shape, start, target, grid[np.argsort(size)[:_CANDIDATES]])


def _refine(shape: _Shape, start: Array, target: Array, now: Array) -> tuple[Array, Array]:
    """Damped Newton from momenta (K, 3), all in one batch; steps that do not help are shortened.

    Returns:
        Momenta and what is left, best first; of those that meet the target, the least tilted.
    """
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
        if (left < _SOLVED).sum() >= min(_ENOUGH, len(now)):
            break
        if len(now) > _KEEP:
            keep = np.argsort(left)[: max(_KEEP, int(0.8 * len(now)))]
            best, left, move, scale = best[keep], left[keep], move[keep], scale[keep]
        now = best + scale[:, None] * move
    tilt = np.abs(_angles(shape, start, best)[..., 1]).max(0)
    order = np.lexsort((tilt, np.maximum(left, _SOLVED)))
    return best[order], left[order]


def _steer(
    angles: Steered, reaches: Array, body: Body, start: Array, target: Array, duration: float,
    momentum: Array,
) -> tuple[Array, Steered, float]:  # fmt: skip
    """Momentum and steering together, from a momentum that nearly meets the target.

    Gauss-Newton with the shortest step, momenta measured in _UNIT and steering in its reach.
    """
    count = 3 + len(reaches)
    scales = np.concatenate([np.full(3, _UNIT), reaches])
    now = np.concatenate([momentum, np.zeros(len(reaches))]) / scales
    best, left, scale, move = now, np.inf, 1.0, np.zeros(count)
    delta = 1e-5

    def steered(unknowns: Array) -> Steered:
        return replace(angles, heights=tuple(unknowns[3:] * scales[3:]))

    for _ in range(_STEER_STEPS):
        moved = now + np.concatenate([np.zeros((1, count)), delta * np.eye(count)])
        shapes = _shapes([steered(one) for one in (now, *moved[4:])], body, duration)
        own = np.array([0, 0, 0, 0, *range(1, len(reaches) + 1)])
        shape = replace(
            shapes,
            inverse_inertia=shapes.inverse_inertia[:, own],
            limb_momentum=shapes.limb_momentum[:, own],
            trunk=shapes.trunk[:, own],
        )
        error = _miss(shape, start, moved[:, :3] * scales[:3], target)
        size = float(np.abs(error[0]).max())
        if size < left:
            best, left, scale = now, size, min(1.0, 2 * scale)
            jacobian = (error[1:] - error[0]).T / delta
            move = -np.linalg.pinv(jacobian, rcond=1e-6) @ error[0]
            move *= min(1.0, 0.4 / max(float(np.linalg.norm(move)), 1e-12))
        else:
            scale *= 0.4
        if left < _SOLVED or scale < 1e-3:
            break
        now = best + scale * move
        now[3:] = np.clip(now[3:], -1.0, 1.0)
    return best[:3] * scales[:3], steered(best), left


def _grid(shape: _Shape, start: Array, target: Array, duration: float) -> Array:
    """Momenta (G, 3) around that of a rigid body."""
    mobility = shape.inverse_inertia[:, 0].mean(0)
    pitch = target[0] / duration / mobility[1, 1]
    spin = target[2] / duration / mobility[2, 2]
    rest = start @ shape.limb_momentum[:, 0].mean(0)
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


def _steer_quietly(
    angles: Steered, reaches: Array, body: Body, start: Array, target: Array, duration: float,
    quiet: float,
) -> tuple[Array, Steered, Array, float]:  # fmt: skip
    """Twist by tilt alone and stop it: leave the floor tilted, then take the tilt away in the air.

    The momentum stays that of the plain somersault. Unknown are its size, the tilt at take-off and
    the steering; what is met is no tilt and the whole twist at part `quiet` of the flight, and the
    somersaults at the end. The body is even on both sides by then and flies on without twisting.

    Returns:
        Momentum, steering, start (3, 3) with its tilt, and what is left.
    """
    plain = _shapes([angles], body, duration)
    inertia = 1 / plain.inverse_inertia[:, 0, 1, 1]
    size = float(target[0] / duration * inertia.mean())
    count = 2 + len(reaches)
    at = round(quiet * (len(plain.trunk) // 2))
    # What is left of the somersault when the body flies on without tilt, by Simpson's rule.
    weights = plain.step / 6 * np.array([1.0, *np.tile([4.0, 2.0], len(inertia) // 2 - at)])
    weights[-1] = weights[0]
    facing = np.cos(target[2])
    gained = (weights / inertia[2 * at :]).sum()
    lost = (weights * plain.limb_momentum[2 * at :, 0, 1] / inertia[2 * at :]).sum()
    lean = somersault_tilt_twist(plain.trunk[[2 * at, -1], 0])[:, 0]
    lost = facing * (lost - (lean[1] - lean[0]))
    delta = 1e-5

    def tilted(unknowns: Array) -> Array:
        turned: Array = start @ rotation("x", unknowns[..., 1] * _TILT)
        return turned

    def error(unknowns: Array) -> Array:
        bent = [replace(angles, heights=tuple(one[2:] * reaches)) for one in unknowns]
        momenta = unknowns[:, :1] * np.array([0.0, size, 0.0])
        shapes = _shapes(bent, body, at * plain.step, plain.step)
        turned = _angles(shapes, tilted(unknowns), momenta)
        change: Array = turned[-1] - turned[0] * _CHANGE - target * _CHANGE
        change[:, 0] += unknowns[:, 0] * size * gained - lost
        return change

    tries = np.zeros((36, count))
    tries[:, 0] = np.tile([0.9, 1.0, 1.1], 12)
    tries[:, 1] = np.repeat([-0.9, -0.5, -0.25, 0.25, 0.5, 0.9], 6)
    tries[:, 2] = np.tile(np.repeat([-0.3, 0.3], 3), 6)
    order = np.argsort(np.abs(error(tries)).max(1))
    found, found_left = tries[order[0]], np.inf
    for candidate in tries[order[:_KEEP]]:
        now, best, left, scale = candidate, candidate, np.inf, 1.0
        move = np.zeros(count)
        for _ in range(_STEER_STEPS):
            errors = error(now + np.concatenate([np.zeros((1, count)), delta * np.eye(count)]))
            worst = float(np.abs(errors[0]).max())
            if worst < left:
                best, left, scale = now, worst, min(1.0, 2 * scale)
                jacobian = (errors[1:] - errors[0]).T / delta
                move = -np.linalg.pinv(jacobian, rcond=1e-6) @ errors[0]
                move *= min(1.0, 0.5 / max(float(np.linalg.norm(move)), 1e-12))
            else:
                scale *= 0.4
            if left < _SOLVED or scale < 1e-2:
                break
            now = best + scale * move
            now[1:] = np.clip(now[1:], -1.0, 1.0)
        if left < found_left:
            found, found_left = best, left
        if left < _SOLVED:
            break
    steered = replace(angles, heights=tuple(found[2:] * reaches))
    return np.array([0.0, found[0] * size, 0.0]), steered, tilted(found), found_left


def solve(
    angles: Curve,
    body: Body,
    duration: float,
    start: Array,
    somersaults: float,
    twists: float,
    steering: tuple[Steering, ...] = (),
    quiet: float | None = None,
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
        steering: movements that may be used where no momentum alone does it.
        quiet: part of the flight by which the twist is to be over; None: it may last.
        final_tilt: sideways lean of the trunk at landing, radians, towards world y.

    Raises:
        NoFlightError: the solve does not converge.
    """
    plain = Steered(
        angles,
        tuple(ANGLE[one.angle] for one in steering),
        tuple(one.start * duration for one in steering),
        tuple(one.end * duration for one in steering),
        (0.0,) * len(steering),
    )
    target = 2 * np.pi * np.array([somersaults, final_tilt / (2 * np.pi), twists])
    reaches = np.array([one.reach for one in steering])
    if quiet is not None:
        found, steered, start, left = _steer_quietly(
            plain, reaches, body, start, target, duration, quiet
        )
        if left < _NEARLY:
            final = _shapes([steered], body, duration)
            momenta, misses = _refine(final, start, target, found[None])
            found, left = momenta[0], float(misses[0])
    else:
        momenta, misses = _search(_shapes([plain], body, duration), start, target, duration)
        found, steered, left = momenta[0], plain, float(misses[0])
        if left > _SOLVED and steering:
            for momentum in momenta[:_KEEP]:
                found, steered, left = _steer(
                    plain, reaches, body, start, target, duration, momentum
                )
                if left <= _SOLVED:
                    break
    if left > _SOLVED:
        raise NoFlightError(
            f"no momentum gives {somersaults:g} somersaults and {twists:g} twists in "
            f"{duration:.2f} s (off by {left:.2g} rad); give more time or a tighter shape."
        )
    shape = _shapes([steered], body, duration, _STEP / 2)
    rotations = _integrate(shape, start, found[None])[:, 0]
    u, _, vt = np.linalg.svd(rotations)
    rotations = u @ vt
    local = np.einsum("nji,j->ni", rotations, found) - shape.limb_momentum[::2, 0]
    spins = np.einsum("nij,nj->ni", shape.inverse_inertia[::2, 0], local)
    times = np.linspace(0.0, duration, len(rotations))
    return Flight(duration, found, times, rotations, spins, steered)
