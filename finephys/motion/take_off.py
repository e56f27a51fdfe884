"""Solving for take-off: the momentum and steering that give the requested turns.

Counts are Yeadon's angles of the trunk: somersault about the lateral axis of the start, tilt, and
twist about the trunk. Leaps and plain saltos need momentum alone, three numbers for three counts.
Saltos twist by contact (a body that leaves the floor leaning sideways, with a little momentum about
the other axes) and by tilt (one arm dropped or raised, the trunk bent sideways, and back again
before landing); all are unknowns of one solve, which starts from the lean that alone gives enough
twist and proceeds by the shortest damped steps.

Rods have no girth, and limbs none about their own axes: by de Leva's radii that leaves out a third
of the inertia about the long axis of a wrapped body, which therefore needs to tilt by a third less
than a real one, and 3 % of that about the lateral axis.
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

_CANDIDATES, _KEEP, _NEWTON_STEPS, _STEER_STEPS = 16, 4, 24, 60
_COARSE = 3 * STEP
"""Seconds of a step while solving for steering; the momentum alone then corrects the error."""

_TRIAL = 8
"""Steps after which a start that has not improved is abandoned."""

_ENOUGH = 4
"""Solutions to choose from; several momenta may give the same somersaults and twists."""

_SOLVED = 1e-5
"""Radians."""

_NEARLY = 1e-3
"""Radians that the momentum alone can correct after a solve with coarse steps."""

_TILT = np.radians(20)
"""Design choice: candidates that tilt further come last; no body leaves the floor with more."""

_MOST_TILT = np.radians(35)
"""Design choice: no salto tilts further in the air."""

_LEFT_OVER, _MOST_LEFT_OVER = np.radians(1.5), np.radians(4.5)
"""Design choice: sideways lean with which a twisting salto lands, for each twist, and at most."""

_OFF_AXIS = 0.15
"""Design choice: a salto's momentum is lateral but for this part; with more it lands spinning."""

_UNIT = 0.04
"""m^2/s, a momentum that counts in a step as much as a steering movement of full reach."""

_CHANGE = np.array([1.0, 0.0, 1.0])
"""Somersault and twist are changes since take-off; tilt is that at landing."""


class NoFlightError(FinePhysError):
    """No momentum gives this body the requested somersaults and twists in the given time."""


@dataclass(frozen=True)
class Steering:
    """A movement by which a body in the air tilts and so starts or stops its twist.

    Attributes:
        angle: name of the joint angle.
        start: part of the flight.
        end: part of the flight.
        reach: radians, how far it may go either way.
        range: radians, least and most of the joint angle itself.
    """

    angle: str
    start: float
    end: float
    reach: float
    range: tuple[float, float]


def solve(
    angles: Curve,
    body: Body,
    duration: float,
    start: Array,
    somersaults: float,
    twists: float,
    steering: tuple[Steering, ...] = (),
) -> Flight:
    """Find the take-off that gives the requested somersaults and twists, and integrate its flight.

    Args:
        angles: joint angles over time, take-off at 0.
        body: limb lengths.
        duration: seconds in the air.
        start: (3, 3) pelvis to world at take-off.
        somersaults: turns of the trunk about world y from take-off to landing; positive forward.
        twists: turns of the trunk about its own axis; positive to the left.
        steering: movements that may be used, besides a sideways lean at take-off, where momentum
            alone does not suffice.

    Raises:
        NoFlightError: the solve does not converge.
    """
    plain = Steered(
        angles,
        tuple(ANGLE[one.angle] for one in steering),
        tuple(one.start * duration for one in steering),
        tuple(one.end * duration for one in steering),
        tuple(one.range for one in steering),
        (0.0,) * len(steering),
    )
    lean = np.sign(somersaults * twists) * min(abs(twists) * _LEFT_OVER, _MOST_LEFT_OVER)
    target = 2 * np.pi * np.array([somersaults, 0.0, twists]) + np.array([0.0, lean, 0.0])
    by_tilt = bool(somersaults and twists and steering)
    if by_tilt:
        shape = shapes_of([plain], body, duration, _COARSE)
        firsts = _tilted(shape, start, target, duration)
    else:
        shape = shapes_of([plain], body, duration)
        momenta, misses = _refine(shape, start, target, _candidates(shape, start, target, duration))
        if misses[0] <= _SOLVED or not steering:
            return _checked(plain, body, duration, start, momenta[0], float(misses[0]))
        firsts = np.pad(momenta[:_KEEP] / _UNIT, ((0, 0), (0, 1)))
    reaches = np.array([one.reach for one in steering])
    momentum, start, steered = _steer(plain, reaches, body, start, target, duration, firsts)
    fine = shapes_of([steered], body, duration)
    momenta, misses = _refine(fine, start, target, momentum[None])
    tilt = float(np.abs(_angles(fine, start, momenta)[..., 1]).max())
    if by_tilt and tilt > _MOST_TILT:
        raise NoFlightError(
            f"the body would tilt by {np.degrees(tilt):.0f} degrees; give more time or a tighter "
            "shape."
        )
    return _checked(steered, body, duration, start, momenta[0], float(misses[0]))


def _checked(
    angles: Steered, body: Body, duration: float, start: Array, momentum: Array, left: float
) -> Flight:
    if left > _SOLVED:
        raise NoFlightError(
            f"no momentum makes the turns in {duration:.2f} s (off by {left:.2g} rad); give more "
            "time or a tighter shape."
        )
    return fly(angles, body, duration, start, momentum)


def _leaning(start: Array, lean: Array) -> Array:
    """Attitudes (B, 3, 3) at take-off that lean sideways by parts (B,) of _TILT."""
    turned: Array = start @ rotation("x", lean * _TILT)
    return turned


def _tilted(shape: Shapes, start: Array, target: Array, duration: float) -> Array:
    """Points (K, 4), momentum and lean, from which a lean at take-off alone nearly twists enough.

    The momentum is that of the plain somersault, as for a twist made by tilt.
    """
    size = float(target[0] / duration / shape.inverse_inertia[:, 0, 1, 1].mean())
    grid = np.zeros((7 * 40, 4))
    grid[:, 1] = np.repeat(np.linspace(0.85, 1.15, 7), 40) * size / _UNIT
    grid[:, 3] = np.tile(np.linspace(0.1, 1, 40), 7) * -np.sign(target[0] * target[2])
    angles = _angles(shape, _leaning(start, grid[:, 3]), grid[:, :3] * _UNIT)
    missed = angles[-1] - angles[0] * _CHANGE - target
    size_of = np.abs(missed * np.array([1.0, 0.4, 1.0])).max(1) + 0.5 * np.abs(grid[:, 3])
    result: Array = grid[np.argsort(size_of)[: 2 * _KEEP]]
    return result


def _steer(
    plain: Steered, reaches: Array, body: Body, start: Array, target: Array, duration: float,
    firsts: Array,
) -> tuple[Array, Array, Steered]:  # fmt: skip
    """Momentum (3,), attitude at take-off (3, 3) and steering that meet the target together."""
    own = np.array([0, 0, 0, 0, 0, *range(1, len(reaches) + 1)])

    def steered(unknowns: Array) -> Steered:
        return replace(plain, heights=tuple(unknowns[4:] * reaches))

    def error(unknowns: Array) -> Array:
        # The first is the point itself, the next four differ in momentum and lean only.
        different = [steered(one) for one in (unknowns[0], *unknowns[5:])]
        each = shapes_of(different, body, duration, _COARSE)
        shape = replace(
            each,
            inverse_inertia=each.inverse_inertia[:, own],
            limb_momentum=each.limb_momentum[:, own],
            trunk=each.trunk[:, own],
        )
        return _miss(shape, _leaning(start, unknowns[:, 3]), unknowns[:, :3] * _UNIT, target)

    found, best = firsts[0], (True, np.inf)
    for first in firsts:
        one, missed = _gauss_newton(error, np.concatenate([first, np.zeros(len(reaches))]), 3)
        off_axis = float(np.abs(one[[0, 2]]).max() / max(abs(one[1]), 1e-9))
        if (missed > _NEARLY, off_axis) < best:
            found, best = one, (missed > _NEARLY, off_axis)
        if missed <= _NEARLY and (off_axis < _OFF_AXIS or not target[0]):
            break
    return found[:3] * _UNIT, _leaning(start, found[3:4])[0], steered(found)


def _angles(shape: Shapes, start: Array, momentum: Array) -> Array:
    return somersault_tilt_twist(integrate(shape, start, momentum) @ shape.trunk[::2])


def _miss(shape: Shapes, start: Array, momentum: Array, target: Array) -> Array:
    """Error (B, 3) of (somersault change, final tilt, twist change) for momenta (B, 3)."""
    angles = _angles(shape, start, momentum)
    missed: Array = angles[-1] - angles[0] * _CHANGE - target
    return missed


def _candidates(shape: Shapes, start: Array, target: Array, duration: float) -> Array:
    """Momenta (K, 3) near the target, from a grid around a rigid body's, best first."""
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
    """Damped Newton from momenta (K, 3) in one batch; steps that do not improve are shortened.

    Returns:
        Momenta and residuals, best first; of those that meet the target, the least tilted first.
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
    """Find unknowns (U,) that make `error` vanish, by the shortest steps; return the residual too.

    Args:
        error: (U + 1, U), a point and its neighbours along each axis, to errors (U + 1, E).
        first: the starting point.
        bounded_from: unknowns from here on stay within -1 and 1.
    """
    delta = 1e-5
    free = np.ones(len(first), np.bool_)
    neighbours = np.concatenate([np.zeros((1, len(first))), delta * np.eye(len(first))])
    now, best, left, scale, move = first, first, np.inf, 1.0, np.zeros(len(first))
    begun = np.inf
    for step in range(_STEER_STEPS):
        errors = error(now + neighbours)
        worst = float(np.abs(errors[0]).max())
        begun = worst if step == 0 else begun
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
        if left < _SOLVED or scale < 1e-2 or (step == _TRIAL and left > 0.6 * begun):
            break
        now = best + scale * move
        now[bounded_from:] = np.clip(now[bounded_from:], -1.0, 1.0)
    return best, left
