"""The simulated motions: one physically correct 3D motion for a class and a seed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation, RotationSpline

from finephys.actions import action_by_id
from finephys.anthropometry import GRAVITY
from finephys.errors import RequestError
from finephys.motion import classes, contact, turning
from finephys.motion.body import ANGLE, Body, forward_kinematics, random_body, swapped_name
from finephys.motion.classes import Airborne, Supported
from finephys.motion.curves import Array, Curve, Steered, through
from finephys.motion.flight import Flight, NoFlightError, center_of_mass, solve
from finephys.skeleton import JOINT, mirror
from finephys.types import WorldMotion


def simulate(action: int, seed: int, fps: float = 60.0) -> WorldMotion:
    """Simulate one gymnast doing one action.

    In flight the centre of mass falls with g = 9.81 m/s^2 and angular momentum is constant; on the
    floor planted feet stay where they are. Half of the seeds are mirrored.

    Args:
        action: FineGym class, 6 to 40.
        seed: 0 or more; chooses body, speed, amplitudes, arms, small faults and side.
        fps: frames per second of the result, 10 to 1000.

    Returns:
        World axes: x forward (direction faced at the start), y left, z up, floor at z = 0; metres.

    Raises:
        RequestError: action, seed or fps is outside what is accepted.
    """
    described = classes.description(action)
    action_by_id(action)
    if seed < 0:
        raise RequestError(f"seed is {seed}; give an integer of 0 or more.")
    if not 10 <= fps <= 1000:
        raise RequestError(f"fps is {fps}; give a frame rate between 10 and 1000.")
    rng = np.random.default_rng([action, seed])
    body = random_body(rng)
    mirrored = bool(rng.integers(2))
    if isinstance(described, Supported):
        joints, flight = turning.turn(described, body, rng, fps)
    else:
        joints, flight = _airborne(described, body, rng, fps)
    if mirrored:
        joints = mirror(joints, axis=1).astype(np.float64)
    source = f"simulation of class {action}, seed {seed}"
    return WorldMotion(joints.astype(np.float32), float(fps), flight, action, source)


@dataclass(frozen=True)
class _Air:
    """A flight placed in the world."""

    angles: Steered
    body: Body
    flight: Flight
    spline: RotationSpline
    start: Array
    velocity: Array

    def rotations(self, times: Array) -> Array:
        matrix: Array = self.spline(times).as_matrix()
        return matrix

    def joints(self, times: Array) -> Array:
        local, _ = forward_kinematics(self.angles(times), self.body)
        rotations = self.rotations(times)
        local = local - center_of_mass(local)[:, None]
        path = self.start + times[:, None] * self.velocity
        path[:, 2] -= 0.5 * GRAVITY * times**2
        world: Array = np.einsum("tij,tkj->tki", rotations, local) + path[:, None]
        return world

    def edge(self, time: float, inward: float) -> contact.Edge:
        step = 1e-3 * inward
        joints = self.joints(time + step * np.arange(3.0))
        velocity = (-3 * joints[0] + 4 * joints[1] - joints[2]) / (2 * step)
        pelvis = JOINT["pelvis"]
        ankles = list(contact.ANKLES)
        return contact.Edge(
            time, joints[0, pelvis], velocity[pelvis], self.rotations(np.array([time]))[0],
            self.spline(time, 1), joints[0, ankles], velocity[ankles],
        )  # fmt: skip


def _redrawn(described: Airborne, body: Body, rng: np.random.Generator) -> _Air:
    """A flight; shapes and times with which this body cannot do the action are drawn again."""
    for _ in range(_DRAWS):
        duration = float(np.round(rng.uniform(*described.seconds) * 60) / 60)
        speed = float(rng.uniform(*described.speed))
        lean = float(np.radians(described.lean + rng.uniform(-2, 2)))
        try:
            return _fly(described, _vary(described, rng), body, duration, speed, lean)
        except NoFlightError as error:
            failed = error
    raise failed


_DRAWS = 20
_LEAD, _TAIL = 0.85, 0.85


def _airborne(
    described: Airborne, body: Body, rng: np.random.Generator, fps: float
) -> tuple[Array, npt.NDArray[np.bool_]]:
    air = _redrawn(described, body, rng)
    angles, duration = air.angles, air.flight.duration
    off, on = air.edge(0.0, 1.0), air.edge(duration, -1.0)
    if described.one_foot:
        before = contact.run_up(off, body, described.crouch, _LEAD, np.radians(6))
        foot = 0 if described.lands_on == "left" else 1
        after = contact.land_stepping(on, body, foot, rng.uniform(0.08, 0.13), _TAIL)
    else:
        before = contact.jump_off(off, body, rng.uniform(0.24, 0.32), _LEAD, np.radians(22))
        hard = abs(described.somersaults) > 0
        sink = rng.uniform(0.2, 0.3) if hard else rng.uniform(0.12, 0.18)
        after = contact.land_both(on, body, sink, _TAIL, np.radians(26 if hard else 12))
    times = np.arange(-round(_LEAD * fps), round((duration + _TAIL) * fps) + 1) / fps
    local, thighs = forward_kinematics(angles(times), body)
    joints = np.zeros_like(local)
    flying = (times >= -1e-9) & (times <= duration + 1e-9)
    joints[flying] = air.joints(times[flying])
    for phase, here in ((before, times < -1e-9), (after, times > duration + 1e-9)):
        rotations = phase.rotations(times[here])
        world = np.einsum("tij,tkj->tki", rotations, local[here])
        world += phase.pelvis(times[here])[:, None]
        ankles = (phase.ankles[0](times[here]), phase.ankles[1](times[here]))
        joints[here] = contact.place_legs(world, thighs[here], rotations, ankles, body)
    inside = (times > 1e-9) & (times < duration - 1e-9)
    return joints, inside


def _vary(described: Airborne, rng: np.random.Generator) -> tuple[classes.Key, ...]:
    """Amplitudes up to about 8 % off, a person's own habits of arms, a few degrees of fault."""
    gain = 1 + 0.04 * rng.standard_normal(len(ANGLE))
    habit = np.radians(3.0) * rng.standard_normal(len(ANGLE))
    for name in ("left_knee", "right_knee", "left_elbow", "right_elbow"):
        habit[ANGLE[name]] = abs(habit[ANGLE[name]])
    for name in ("spine_side", "spine_twist"):
        habit[ANGLE[name]] *= 0.2 if described.twists else 0.0
    # A straight salto with one side off would start to twist: only twisting bodies are uneven.
    uneven = 0.2 if described.twists or not described.somersaults else 0.0
    swap = [ANGLE[swapped_name(name)] for name in ANGLE]
    habit = (1 - uneven) * (habit + habit[swap]) / 2 + uneven * habit
    gain = (gain + gain[swap]) / 2
    return tuple((when, shape * np.clip(gain, 0.9, 1.1) + habit) for when, shape in described.keys)


def _angle_curve(described: Airborne, keys: tuple[classes.Key, ...], duration: float) -> Curve:
    off, on = keys[0][1], keys[-1][1]
    if described.one_foot:
        prepared = classes.pose(classes.ARMS_OUT, arm_raise=55, arm_side=60)
        settled = classes.pose(classes.PRESENT)
        before = [(-_LEAD, prepared), (-0.4, prepared), (-0.18, (prepared + off) / 2)]
        after = [(0.25, (on + settled) / 2), (0.6, settled), (_TAIL, settled)]
    else:
        before = [(-_LEAD, classes.ARMS_UP), (-0.3, classes.LOW), (-0.16, classes.LOW)]
        squat = (
            classes.SQUAT if described.somersaults else classes.pose(classes.SQUAT, spine_flex=8)
        )
        after = [(0.2, squat), (0.62, classes.PRESENT), (_TAIL, classes.PRESENT)]
    times = [when for when, _ in before]
    times += [when * duration for when, _ in keys]
    times += [duration + when for when, _ in after]
    poses = [shape for _, shape in (*before, *keys, *after)]
    return through(times, poses)


def _fly(
    described: Airborne,
    keys: tuple[classes.Key, ...],
    body: Body,
    duration: float,
    speed: float,
    lean: float,
) -> _Air:
    """Solve the flight and set it on the floor."""
    start = contact.heading_frame(0.0, lean)
    turns = described.somersaults + described.final_lean / 360
    angles = _angle_curve(described, keys, duration)
    steering = classes.STEERING if described.twists else ()
    flight = solve(angles, body, duration, start, turns, described.twists, steering)
    spline = RotationSpline(flight.times, Rotation.from_matrix(flight.rotations))
    ends, _ = forward_kinematics(flight.angles(np.array([0.0, duration])), body)
    heights = []
    for which, rotation, feet in (
        (0, start, [0] if described.one_foot else [0, 1]),
        (1, flight.rotations[-1], {"both": [0, 1], "left": [0], "right": [1]}[described.lands_on]),
    ):
        world = (ends[which] - center_of_mass(ends[which])) @ rotation.T
        lowest = min(float(world[contact.ANKLES[foot], 2]) for foot in feet)
        heights.append(body.toe_height - lowest)
    climb = (heights[1] - heights[0]) / duration + 0.5 * GRAVITY * duration
    origin = np.array([0.0, 0.0, heights[0]])
    return _Air(flight.angles, body, flight, spline, origin, np.array([speed, 0.0, climb]))
