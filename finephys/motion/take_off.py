"""What a body must leave the floor with: the momentum and steering that make the asked turns.

Counts are Yeadon's angles of the trunk: somersault about the lateral axis of the start, tilt, and
twist about the trunk. Momentum alone is three numbers for three counts; where it does not do, arms
and trunk steer as gymnasts' do, and the shortest change of all unknowns is taken.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from finephys.errors import FinePhysError
from finephys.motion.body import ANGLE, Body, rotation
from finephys.motion.curves import Array, Curve, Steered
from finephys.motion.flight import (
    STEP,
    Flight,
    Shapes,
    fly,
    integrate,
    shapes_of,
    somersault_tilt_twist,
)

_CANDIDATES, _KEEP, _NEWTON_STEPS, _STEER_STEPS = 16, 4, 24, 20
_ENOUGH = 4
"""Solutions to choose from; other momenta may do the same somersaults and twists."""

_SOLVED = 1e-5
"""Radians."""

_NEARLY = 0.05
"""Radians; what momentum alone can still put right after a twist made by tilt."""

_TILT = np.radians(20)
"""Design choice: candidates that tilt further come last; no body leaves the floor with more."""

_UNIT = 0.2
"""m^2/s, a momentum that counts in a step as much as a steering movement of full reach."""

_CHANGE = np.array([1.0, 0.0, 1.0])
"""Somersault and twist are changes since take-off; tilt is that at landing."""


class NoFlightError(FinePhysError):
    """No momentum makes this body do the asked somersaults and twists in the asked time."""


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
    """Find the take-off that gives the asked somersaults and twists, and fly it.

    Args:
        angles: joint angles over time, take-off at 0.
        body: limb lengths.
        duration: seconds in the air.
        start: (3, 3) pelvis to world at take-off.
        somersaults: turns of the trunk about world y from take-off to landing; positive forward.
        twists: turns of the trunk about its own axis; positive to the left.
        steering: movements that may be used where no momentum alone does it.
        quiet: part of the flight by which the twist, made by tilt alone, is to be over; None: the
            body may twist until it lands.
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
    if quiet is None:
        momentum, steered, left = _free(plain, reaches, body, start, target, duration)
    else:
        momentum, steered, start, left = _quiet(
            plain, reaches, body, start, target, duration, quiet
        )
    if left > _SOLVED:
        raise NoFlightError(
            f"no momentum gives {somersaults:g} somersaults and {twists:g} twists in "
            f"{duration:.2f} s (off by {left:.2g} rad); give more time or a tighter shape."
        )
    return fly(steered, body, duration, start, momentum)


def _angles(shape: Shapes, start: Array, momentum: Array) -> Array:
    return somersault_tilt_twist(integrate(shape, start, momentum) @ shape.trunk[::2])


def _miss(shape: Shapes, start: Array, momentum: Array, target: Array) -> Array:
    """Error (B, 3) of (somersault change, final tilt, twist change) for momenta (B, 3)."""
    angles = _angles(shape, start, momentum)
    missed: Array = angles[-1] - angles[0] * _CHANGE - target
    return missed


def _free(
    plain: Steered, reaches: Array, body: Body, start: Array, target: Array, duration: float
) -> tuple[Array, Steered, float]:
    """Momentum (3,), steering only if needed, and what is left."""
    shape = shapes_of([plain], body, duration)
    momenta, misses = _refine(shape, start, target, _candidates(shape, start, target, duration))
    if misses[0] <= _SOLVED or not len(reaches):
        return momenta[0], plain, float(misses[0])
    scales = np.concatenate([np.full(3, _UNIT), reaches])
    own = np.array([0, 0, 0, 0, *range(1, len(reaches) + 1)])

    def steered(unknowns: Array) -> Steered:
        return replace(plain, heights=tuple(unknowns[3:] * reaches))

    def error(unknowns: Array) -> Array:
        # The first is the point itself, the next three differ in momentum only.
        each = shapes_of([steered(one) for one in (unknowns[0], *unknowns[4:])], body, duration)
        shape = replace(
            each,
            inverse_inertia=each.inverse_inertia[:, own],
            limb_momentum=each.limb_momentum[:, own],
            trunk=each.trunk[:, own],
        )
        return _miss(shape, start, unknowns[:, :3] * _UNIT, target)

    found, left = np.zeros(len(scales)), np.inf
    for momentum in momenta[:_KEEP]:
        first = np.concatenate([momentum / _UNIT, np.zeros(len(reaches))])
        found, left = _gauss_newton(error, first, 3)
        if left <= _SOLVED:
            break
    return found[:3] * _UNIT, steered(found), left


def _candidates(shape: Shapes, start: Array, target: Array, duration: float) -> Array:
    """Momenta (K, 3) that come near the target, from a grid around a rigid body's, best first."""
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
    grid = np.concatenate([planar, around])
    angles = _angles(shape, start, grid)
    size = np.abs(angles[-1] - angles[0] * _CHANGE - target).max(1)
    size += 2 * np.maximum(np.abs(angles[..., 1]).max(0) - _TILT, 0.0)
    return grid[np.argsort(size)[:_CANDIDATES]]


def _refine(shape: Shapes, start: Array, target: Array, now: Array) -> tuple[Array, Array]:
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


def _gauss_newton(
    error: Callable[[Array], Array], first: Array, bounded_from: int
) -> tuple[Array, float]:
    """Unknowns (U,) that make `error` vanish, by the shortest steps, and what is left.

    Args:
        error: (U + 1, U), a point and its neighbours along each axis, to errors (U + 1, E).
        first: where to begin.
        bounded_from: unknowns from here on stay within -1 and 1.
    """
    delta = 1e-5
    free = np.ones(len(first), np.bool_)
    neighbours = np.concatenate([np.zeros((1, len(first))), delta * np.eye(len(first))])
    now, best, left, scale, move = first, first, np.inf, 1.0, np.zeros(len(first))
    for _ in range(_STEER_STEPS):
        errors = error(now + neighbours)
        worst = float(np.abs(errors[0]).max())
        if worst < left:
            best, left, scale = now, worst, min(1.0, 2 * scale)
            jacobian = (errors[1:] - errors[0]).T / delta
            free[:] = True
            for _ in range(3):
                move = np.zeros(len(first))
                move[free] = -np.linalg.pinv(jacobian[:, free], rcond=1e-6) @ errors[0]
                stuck = (np.abs(best) >= 1) & (np.sign(move) == np.sign(best))
                stuck[:bounded_from] = False
                if not (stuck & free).any():
                    break
                free &= ~stuck
            move *= min(1.0, 0.6 / max(float(np.linalg.norm(move)), 1e-12))
        else:
            scale *= 0.4
        if left < _SOLVED or scale < 1e-2:
            break
        now = best + scale * move
        now[bounded_from:] = np.clip(now[bounded_from:], -1.0, 1.0)
    return best, left


def _quiet(
    plain: Steered, reaches: Array, body: Body, start: Array, target: Array, duration: float,
    quiet: float,
) -> tuple[Array, Steered, Array, float]:  # fmt: skip
    """Twist by tilt alone and stop it: leave the floor tilted, then take the tilt away in the air.

    The momentum stays that of the plain somersault. Unknown are its size, the tilt at take-off and
    the steering; what is met is no tilt and the whole twist at part `quiet` of the flight, and the
    somersaults at the end. The body is even on both sides by then and flies on without twisting.

    Returns:
        Momentum, steering, start (3, 3) with its tilt, and what is left.
    """
    shape = shapes_of([plain], body, duration, 2 * STEP)
    inertia = 1 / shape.inverse_inertia[:, 0, 1, 1]
    size = float(target[0] / duration * inertia.mean())
    at = round(quiet * (len(inertia) // 2))
    # What is left of the somersault when the body flies on without tilt, by Simpson's rule.
    weights = shape.step / 6 * np.array([1.0, *np.tile([4.0, 2.0], len(inertia) // 2 - at)])
    weights[-1] = weights[0]
    gained = (weights / inertia[2 * at :]).sum()
    lost = (weights * shape.limb_momentum[2 * at :, 0, 1] / inertia[2 * at :]).sum()
    lean = somersault_tilt_twist(shape.trunk[[2 * at, -1], 0])[:, 0]
    lost = np.cos(target[2]) * (lost - (lean[1] - lean[0]))

    def tilted(unknowns: Array) -> Array:
        turned: Array = start @ rotation("x", unknowns[..., 1] * _TILT)
        return turned

    def error(unknowns: Array) -> Array:
        steered = [replace(plain, heights=tuple(one[2:] * reaches)) for one in unknowns]
        momenta = unknowns[:, :1] * np.array([0.0, size, 0.0])
        shapes = shapes_of(steered, body, at * shape.step, shape.step)
        turned = _angles(shapes, tilted(unknowns), momenta)
        change: Array = turned[-1] - turned[0] * _CHANGE - target * _CHANGE
        change[:, 0] += unknowns[:, 0] * size * gained - lost
        return change

    tries = np.zeros((36, 2 + len(reaches)))
    tries[:, 0] = np.tile([0.9, 1.0, 1.1], 12)
    tries[:, 1] = np.repeat([-0.9, -0.5, -0.25, 0.25, 0.5, 0.9], 6)
    tries[:, 2] = np.tile(np.repeat([-0.3, 0.3], 3), 6)
    order = np.argsort(np.abs(error(tries)).max(1))
    found, left = tries[order[0]], np.inf
    for candidate in tries[order[:_KEEP]]:
        one, missed = _gauss_newton(error, candidate, 1)
        if missed < left:
            found, left = one, missed
        if left < _SOLVED:
            break
    momentum = np.array([0.0, found[0] * size, 0.0])
    steered = replace(plain, heights=tuple(found[2:] * reaches))
    start = tilted(found)
    if left < _NEARLY:
        fine = shapes_of([steered], body, duration)
        momenta, misses = _refine(fine, start, target, momentum[None])
        momentum, left = momenta[0], float(misses[0])
    return momentum, steered, start, left
