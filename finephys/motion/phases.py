"""The phases on the floor: standing jump, run-up, punch, landing on both feet or on one."""

import numpy as np

from finephys.motion.body import Body
from finephys.motion.contact import (
    Contact,
    Edge,
    heading_frame,
    plant,
    roll_seconds,
    rotvec,
    rotvec_rate,
    standing_foot,
)
from finephys.motion.curves import Array, through


def jump_off(edge: Edge, body: Body, crouch: float, lead: float, pitch: float) -> Contact:
    """Stand, crouch and push off both feet.

    Args:
        edge: state at take-off.
        body: limb lengths.
        crouch: how far the pelvis sinks, metres.
        lead: seconds from standing to take-off.
        pitch: forward lean in the crouch, radians.
    """
    t = edge.time
    start = t - lead
    spots = [plant(edge, foot, body, -1.0) for foot in (0, 1)]
    middle = (spots[0] + spots[1]) / 2
    push = float(np.clip(2 * crouch / max(edge.velocity[2], 1.0), 0.12, 0.3))
    low = edge.pelvis - 0.5 * push * edge.velocity
    low[0] = 0.5 * low[0] + 0.5 * (middle[0] - 0.05)
    low[1] = middle[1]
    tall = np.array([middle[0], middle[1], body.standing])
    pelvis = through(
        [start, start + 0.15 * lead, t - push, t],
        [tall, tall, low, edge.pelvis],
        end_velocity=edge.velocity,
    )
    upright = rotvec(edge.rotation, heading_frame(edge.yaw))
    bent = rotvec(edge.rotation, heading_frame(edge.yaw, pitch))
    turning = through([start, t - push, t], [upright, bent, np.zeros(3)], end_velocity=edge.spin)
    left, right = (standing_foot(spots[foot], body, start, t, edge, None, foot) for foot in (0, 1))
    return Contact(start, t, edge.rotation, turning, pelvis, (left, right))


def run_up(edge: Edge, body: Body, dip: float, lead: float, pitch: float) -> Contact:
    """Run and push off the left foot, the right leg already swinging.

    Design choice: between two steps no foot is on the floor for up to 0.07 s. That is not flagged
    as flight: a flag means free fall, and a runner's path here is a smooth curve, not a parabola.

    Args:
        edge: state at take-off.
        body: limb lengths.
        dip: how far the pelvis sinks before the push, metres.
        lead: seconds of running.
        pitch: forward lean while running, radians.
    """
    t = edge.time
    roll = roll_seconds(edge, body)
    speed = edge.velocity[:2] * 1.05
    tall = 0.895 * body.leg + body.ankle_height

    def ground(before: float) -> Array:
        return edge.pelvis[:2] - speed * before

    lowest = min(tall - dip, float(edge.pelvis[2]) - 0.5 * dip)
    starts = [lead, 0.62, 0.42, 0.11] if lead > 0.7 else [lead, 0.42, 0.11]
    heights = [tall, tall - 0.015, tall, lowest][-len(starts) :]
    pelvis = through(
        [*(t - before for before in starts), t],
        [
            *(np.array([*ground(before), z]) for before, z in zip(starts, heights, strict=True)),
            edge.pelvis,
        ],
        start_velocity=np.array([*speed, 0.0]),
        end_velocity=edge.velocity,
    )
    leaning = rotvec(edge.rotation, heading_frame(edge.yaw, pitch))
    turning = through(
        [t - lead, t - 0.2, t], [leaning, leaning, np.zeros(3)], end_velocity=edge.spin
    )
    side, flat = np.array([0.0, 0.06]), body.ankle_height
    left_now = plant(edge, 0, body, -1.0)
    left_before = np.array([*(ground(0.60) + side), flat])
    right_before = np.array([*(ground(0.345) - side), flat])
    right_first = np.array([*(ground(0.855) - side), flat])
    lift = np.array([0.0, 0.0, 0.2])
    trailing = np.array([*(ground(1.05) + side), flat]) + lift
    left = through(
        [t - 0.95, t - 0.695, t - 0.505, t - 0.34, t - 0.18, t - roll, t],
        [trailing, left_before, left_before, (left_before + left_now) / 2 + lift, left_now,
         left_now, edge.ankles[0]],
        end_velocity=edge.ankle_velocities[0],
    )  # fmt: skip
    swing = edge.ankles[1] - 0.45 * 0.11 * edge.ankle_velocities[1]
    swing = np.array([*((right_before + swing) / 2)[:2], flat + 0.13])
    right = through(
        [t - 0.96, t - 0.76, t - 0.6, t - 0.44, t - 0.25, t - 0.11, t],
        [right_first, right_first, (right_first + right_before) / 2 + lift, right_before,
         right_before, swing, edge.ankles[1]],
        end_velocity=edge.ankle_velocities[1],
    )  # fmt: skip
    return Contact(t - lead, t, edge.rotation, turning, pelvis, (left, right))


def punch(before: Edge, after: Edge, body: Body, dip: float) -> Contact:
    """Rebound off both feet, from the landing of a hop to a take-off.

    Args:
        before: state at touch-down.
        after: state at take-off.
        body: limb lengths.
        dip: how far the pelvis sinks below the lower of both, metres.
    """
    begin, end = before.time, after.time
    middle = begin + 0.42 * (end - begin)
    low = 0.55 * before.pelvis + 0.45 * after.pelvis
    low[2] = min(before.pelvis[2], after.pelvis[2]) - dip
    pelvis = through(
        [begin, middle, end], [before.pelvis, low, after.pelvis], before.velocity, after.velocity
    )
    coming = rotvec(after.rotation, before.rotation)
    turning = through(
        [begin, end], [coming, np.zeros(3)], rotvec_rate(coming, before.spin), after.spin
    )
    left, right = (
        standing_foot(plant(after, foot, body, -1.0), body, begin, end, after, before, foot)
        for foot in (0, 1)
    )
    return Contact(begin, end, after.rotation, turning, pelvis, (left, right))


def land_both(
    edge: Edge, body: Body, sink: float, tail: float, pitch: float, step: float = 0.0
) -> Contact:
    """Land on both feet, absorb in a squat, stand up, perhaps with a step.

    Args:
        edge: state at touch-down.
        body: limb lengths.
        sink: how far the pelvis sinks, metres.
        tail: seconds from touch-down to the end.
        pitch: forward lean in the squat, radians.
        step: metres the left foot steps on in the direction of travel.
    """
    t = edge.time
    spots = [plant(edge, foot, body, 1.0) for foot in (0, 1)]
    middle = (spots[0] + spots[1]) / 2
    facing = np.array([np.cos(edge.yaw), np.sin(edge.yaw)])
    soak = float(np.clip(2 * sink / max(abs(edge.velocity[2]), 1.0), 0.12, 0.3))
    low = edge.pelvis + 0.5 * soak * edge.velocity
    low[:2] = 0.35 * low[:2] + 0.65 * (middle[:2] - 0.08 * facing)
    low[2] = max(low[2], body.ankle_height + 0.42 * body.leg)
    pace = max(float(np.linalg.norm(edge.velocity[:2])), 0.3)
    stride = step * np.array([*edge.velocity[:2] / pace, 0.0])
    tall = middle + stride / 2
    tall[2] = body.standing - 0.4 * step**2
    pelvis = through(
        [t, t + soak, t + soak + 0.5, t + tail],
        [edge.pelvis, low, tall, tall],
        start_velocity=edge.velocity,
    )
    bent = rotvec(edge.rotation, heading_frame(edge.yaw, pitch))
    upright = rotvec(edge.rotation, heading_frame(edge.yaw))
    turning = through(
        [t, t + 1.3 * soak, t + soak + 0.45, t + tail],
        [np.zeros(3), bent, upright, upright],
        start_velocity=edge.spin,
    )
    left, right = (
        standing_foot(spots[foot], body, t, t + tail, None, edge, foot) for foot in (0, 1)
    )
    if step:
        lifted = spots[0] + stride / 2 + np.array([0.0, 0.0, 0.06])
        left = through(
            [t, t + roll_seconds(edge, body), t + 0.34, t + 0.46, t + 0.58, t + tail],
            [edge.ankles[0], spots[0], spots[0], lifted, spots[0] + stride, spots[0] + stride],
            start_velocity=edge.ankle_velocities[0],
        )
    return Contact(t, t + tail, edge.rotation, turning, pelvis, (left, right))


def land_stepping(edge: Edge, body: Body, foot: int, sink: float, tail: float) -> Contact:
    """Land on one foot (0 left, 1 right), step through with the other and close."""
    t = edge.time
    other = 1 - foot
    roll = roll_seconds(edge, body)
    speed, stop = edge.velocity[:2], 0.6
    left_side = np.array([-np.sin(edge.yaw), np.cos(edge.yaw)])
    facing = np.array([np.cos(edge.yaw), np.sin(edge.yaw)])
    pace = max(float(np.linalg.norm(speed)), 0.3)
    along = float(speed @ facing) / pace
    end = edge.pelvis[:2] + (0.2 + 0.2 * abs(along)) * stop * speed
    soak = float(np.clip(2 * sink / max(abs(edge.velocity[2]), 1.0), 0.08, 0.2))
    bent = 0.88 * body.leg + body.ankle_height
    depth = min(float(edge.pelvis[2]) - sink, bent)
    low = np.array([*(edge.pelvis[:2] + soak * speed * 0.85), depth])
    late = np.array([*(0.12 * edge.pelvis[:2] + 0.88 * end), bent + 0.01 * body.leg])
    tall = np.array([*end, body.standing])
    pelvis = through(
        [t, t + soak, t + 0.42, t + 0.78, t + tail],
        [edge.pelvis, low, late, tall, tall],
        start_velocity=edge.velocity,
    )
    upright = rotvec(edge.rotation, heading_frame(edge.yaw))
    turning = through(
        [t, t + 0.4, t + tail], [np.zeros(3), upright, upright], start_velocity=edge.spin
    )
    flat = body.ankle_height
    down = plant(edge, foot, body, 1.0)
    width = 0.07 if foot == 0 else -0.07
    ahead = 0.12 * along * facing
    stepped = np.array([*(end + ahead - width * left_side), flat])
    closed = np.array([*(end - 0.3 * ahead + width * left_side), flat])
    lift = np.array([0.0, 0.0, 0.09])
    landed = through(
        [t, t + roll, t + 0.26, t + 0.42, t + 0.58, t + tail],
        [edge.ankles[foot], down, down, (down + closed) / 2 + lift, closed, closed],
        start_velocity=edge.ankle_velocities[foot],
    )
    swing = edge.ankles[other] + 0.45 * 0.15 * edge.ankle_velocities[other]
    swing = np.array([*((swing + stepped) / 2)[:2], flat + 0.1])
    stepping = through(
        [t, t + 0.15, t + 0.3, t + tail],
        [edge.ankles[other], swing, stepped, stepped],
        start_velocity=edge.ankle_velocities[other],
    )
    feet = (landed, stepping) if foot == 0 else (stepping, landed)
    return Contact(t, t + tail, edge.rotation, turning, pelvis, feet)
