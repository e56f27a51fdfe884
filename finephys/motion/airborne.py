"""Leaps, jumps and saltos: entry, flight and landing put together for one seed."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from finephys.motion import classes, phases
from finephys.motion.air import Air, place
from finephys.motion.body import ANGLE, Body, swapped_name
from finephys.motion.classes import Airborne, Key, pose
from finephys.motion.contact import ANKLES, Contact, heading_frame, plant
from finephys.motion.curves import Array, Curve, through
from finephys.motion.flight import Flight
from finephys.motion.performance import Bool, Performance
from finephys.motion.take_off import NoFlightError, solve
from finephys.skeleton import JOINT

_STEPS = 0.4
"""Share of the saltos that are landed with a step, the most common small fault."""

_DRAWS, _TRIES = 20, 8
_LEAN = np.radians(33)
"""Radians. Design choice: the trunk of a leap stays closer to upright than this."""
_TAIL = 0.85
_WRISTS = (JOINT["left_wrist"], JOINT["right_wrist"])
_FEET = {"both": ANKLES, "left": ANKLES[:1], "right": ANKLES[1:]}


@dataclass(frozen=True)
class _Manner:
    """How one person performs a class.

    Attributes:
        gain: factors on the amplitudes, at most 10 % off, (20,).
        habit: constant faults of a few degrees, radians (20,).
        arms: style of the arms before and after the flight, radians (20,).
    """

    gain: Array
    habit: Array
    arms: Array

    def of(self, shape: Array, styled: bool = False) -> Array:
        """This person's version of a pose; `styled` adds the style of the arms."""
        own: Array = shape * self.gain + self.habit
        return own + self.arms if styled else own


@dataclass(frozen=True)
class _Plan:
    """What a seed draws for one motion, times in seconds.

    Attributes:
        duration: of the flight.
        speed: over the floor in flight, m/s.
        lean: of the trunk at take-off, radians.
        contact: of the feet on the floor before take-off, after a hop.
        hop: of the flight before that; 0 without one.
        lead: of the run-up or stand before.
        manner: how this person performs it.
    """

    duration: float
    speed: float
    lean: float
    contact: float
    hop: float
    lead: float
    manner: _Manner


def airborne(described: Airborne, body: Body, rng: np.random.Generator) -> Performance:
    """Simulate a class with a flight; take-off is at time 0."""
    plan, curve, air = _drawn(described, body, rng)
    before = _entry(described, plan, curve, air, body, rng)
    after: Contact
    if described.one_foot:
        foot = 0 if described.lands_on == "left" else 1
        after = phases.land_stepping(air.touch_down(), body, foot, rng.uniform(0.08, 0.13), _TAIL)
    else:
        hard = described.somersaults != 0
        sink = rng.uniform(0.2, 0.3) if hard else rng.uniform(0.12, 0.18)
        pitch = np.radians(26 if hard else 12)
        step = float(rng.uniform(0.12, 0.32)) if hard and rng.random() < _STEPS else 0.0
        after = phases.land_both(air.touch_down(), body, sink, _TAIL, pitch, step)
    parts = [*before, air, after]
    return Performance(parts[0].begin, parts[-1].end, partial(_sample, parts, curve, body))


def _sample(
    parts: list[Air | Contact], curve: Curve, body: Body, times: Array
) -> tuple[Array, Bool]:
    owner = np.searchsorted([part.end + 1e-9 for part in parts[:-1]], times)
    joints = np.zeros((len(times), len(JOINT), 3))
    flight = np.zeros(len(times), np.bool_)
    for index, part in enumerate(parts):
        here = owner == index
        if not here.any():
            continue
        if isinstance(part, Air):
            joints[here] = part.joints(times[here])
            flight[here] = (times[here] > part.begin + 1e-9) & (times[here] < part.end - 1e-9)
        else:
            joints[here] = part.joints(times[here], curve(times[here]), body)
    return joints, flight


def _drawn(described: Airborne, body: Body, rng: np.random.Generator) -> tuple[_Plan, Curve, Air]:
    """Draw a flight, again where this body cannot perform the action as drawn.

    Leaps that would tilt the trunk far from upright are drawn again too, a few times.
    """
    steering = classes.steering(described.steered) if described.twists else ()
    turns = described.somersaults + described.final_lean / 360
    flown: list[tuple[float, _Plan, Curve, Flight]] = []
    for draw in range(_DRAWS):
        plan = _plan(described, rng)
        curve = _curve(described, plan)
        start = heading_frame(0.0, plan.lean)
        try:
            flight = solve(curve, body, plan.duration, start, turns, described.twists, steering)
        except NoFlightError as error:
            failed = error
            continue
        lean = float(np.arccos(np.clip(flight.rotations[:, 2, 2].min(), -1, 1)))
        flown.append((lean, plan, curve, flight))
        if described.somersaults or lean < _LEAN or draw >= _TRIES:
            break
    if not flown:
        raise failed
    _, plan, curve, flight = min(flown, key=lambda one: one[0])
    from_feet = ANKLES[:1] if described.one_foot else ANKLES
    to_feet, toe = _FEET[described.lands_on], body.toe_height
    return plan, curve, place(flight, body, 0.0, plan.speed, from_feet, to_feet, toe, toe)


def _plan(described: Airborne, rng: np.random.Generator) -> _Plan:
    hop = {"run": 0.0, "stand": 0.0, "hurdle": 0.28, "snap": 0.22}[described.entry]
    return _Plan(
        float(np.round(rng.uniform(*described.seconds) * 60) / 60),
        float(rng.uniform(*described.speed)),
        float(np.radians(described.lean + rng.uniform(-2, 2))),
        float(rng.uniform(0.11, 0.13)),
        hop * float(rng.uniform(0.9, 1.15)),
        0.0 if described.entry == "snap" else 0.6 if hop else 0.85,
        _manner(described, rng),
    )


def _entry(
    described: Airborne, plan: _Plan, curve: Curve, air: Air, body: Body, rng: np.random.Generator
) -> list[Air | Contact]:
    edge = air.take_off()
    if described.entry == "run":
        return [phases.run_up(edge, body, described.crouch, plan.lead, np.radians(3))]
    if described.entry == "stand":
        return [phases.jump_off(edge, body, rng.uniform(0.24, 0.32), plan.lead, np.radians(22))]
    hop = _hop(described, plan, curve, air, body, rng)
    rebound = phases.punch(hop.touch_down(), edge, body, rng.uniform(0.04, 0.07))
    if described.entry == "snap":
        return [hop, rebound]
    run = phases.run_up(hop.take_off(), body, 0.06, plan.lead, np.radians(8))
    return [run, hop, rebound]


def _hop(
    described: Airborne, plan: _Plan, curve: Curve, air: Air, body: Body, rng: np.random.Generator
) -> Air:
    """Build the flight before the rebound: a hurdle step, or the snap-down of a round-off."""
    begin = -plan.contact - plan.hop
    own = replace(curve, times=curve.times - begin)
    snap = described.entry == "snap"
    first, last = (rng.uniform(120, 140), rng.uniform(22, 30)) if snap else (10.0, -6.0)
    start = heading_frame(0.0, np.radians(first))
    flight = solve(own, body, plan.hop, start, (last - first) / 360, 0.0)
    toe = body.toe_height
    speed = rng.uniform(-3.0, -2.4) if snap else rng.uniform(2.4, 3.0)
    hop = place(
        flight, body, begin, speed, _WRISTS if snap else ANKLES[:1], ANKLES,
        rng.uniform(0.03, 0.08) if snap else toe, toe,
    )  # fmt: skip
    edge, landing = air.take_off(), hop.touch_down()
    gaps = [plant(edge, foot, body, -1.0) - plant(landing, foot, body, 1.0) for foot in (0, 1)]
    shift = (gaps[0] + gaps[1]) / 2 * np.array([1.0, 1.0, 0.0])
    return replace(hop, origin=hop.origin + shift)


def _manner(described: Airborne, rng: np.random.Generator) -> _Manner:
    gain = 1 + 0.04 * rng.standard_normal(len(ANGLE))
    habit = np.radians(3.0) * rng.standard_normal(len(ANGLE))
    for name in ("left_knee", "right_knee", "left_elbow", "right_elbow"):
        habit[ANGLE[name]] = abs(habit[ANGLE[name]])
    # An asymmetric body would start to twist in a plain salto: only twisting bodies are uneven.
    for name in ("spine_side", "spine_twist"):
        habit[ANGLE[name]] *= 0.2 if described.twists else 0.0
    uneven = 0.2 if described.twists or not described.somersaults else 0.0
    swap = [ANGLE[swapped_name(name)] for name in ANGLE]
    habit = (1 - uneven) * (habit + habit[swap]) / 2 + uneven * habit
    gain = np.clip((gain + gain[swap]) / 2, 0.9, 1.1)
    raised, aside, bent = rng.uniform(-22, 18), rng.uniform(-25, 25), rng.uniform(0, 20)
    return _Manner(gain, habit, pose(arm_raise=raised, arm_side=aside, elbow=bent))


def _curve(described: Airborne, plan: _Plan) -> Curve:
    """Joint angles over the whole motion, from the run-up to the stand."""
    own = plan.manner.of
    flying = [(when * plan.duration, own(shape)) for when, shape in described.keys]
    off, on = flying[0][1], flying[-1][1]
    running, present = own(classes.RUNNING, True), own(classes.PRESENT, True)
    hop = -plan.contact - plan.hop
    before: list[Key]
    if described.entry == "run":
        before = [(-plan.lead, running), (-0.4, running), (-0.18, (running + off) / 2)]
    elif described.entry == "stand":
        low = own(classes.LOW)
        before = [(-plan.lead, own(classes.ARMS_UP, True)), (-0.36, low), (-0.28, low)]
    elif described.entry == "hurdle":
        before = [
            (hop - plan.lead, running),
            (hop - 0.25, running),
            (hop, own(classes.HURDLE_OFF)),
            (hop + 0.55 * plan.hop, own(classes.HURDLE)),
            (-plan.contact, own(classes.HURDLE_LAND)),
        ]
    else:
        before = [
            (hop, own(classes.SNAP)),
            (hop + 0.5 * plan.hop, own(classes.SNAPPING)),
            (-plan.contact, own(classes.SNAP_LAND)),
        ]
    if described.one_foot:
        after = [(0.25, (on + present) / 2), (0.6, present)]
    else:
        squat = classes.SQUAT if described.somersaults else classes.SOFT_SQUAT
        after = [(0.2, own(squat)), (0.62, present)]
    after.append((_TAIL, present))
    keys = [*before, *flying, *((plan.duration + when, shape) for when, shape in after)]
    return through([when for when, _ in keys], [shape for _, shape in keys])
