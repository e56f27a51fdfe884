"""A solved flight placed in the world, and its state where it meets the floor."""

from dataclasses import dataclass

import numpy as np

from finephys.anthropometry import GRAVITY
from finephys.motion.body import Body, forward_kinematics
from finephys.motion.contact import ANKLES, Edge
from finephys.motion.curves import Array, Steered
from finephys.motion.flight import Flight, center_of_mass
from finephys.skeleton import JOINT


@dataclass(frozen=True)
class Air:
    """A flight in the world.

    Attributes:
        begin: seconds, on the motion's clock, of take-off.
        body: limb lengths.
        flight: solved rotations; its own clock starts at take-off.
        origin: (3,) centre of mass at take-off, metres.
        velocity: (3,) of the centre of mass at take-off, m/s.
    """

    begin: float
    body: Body
    flight: Flight
    origin: Array
    velocity: Array

    @property
    def end(self) -> float:
        """Seconds, on the motion's clock, of touch-down."""
        return self.begin + self.flight.duration

    @property
    def angles(self) -> Steered:
        """Joint angles over the flight's own time."""
        return self.flight.angles

    def joints(self, times: Array) -> Array:
        """Joints (T, 17, 3) in the world at `times` on the motion's clock."""
        own = times - self.begin
        local, _ = forward_kinematics(self.angles(own), self.body)
        local = local - center_of_mass(local)[:, None]
        path = self.origin + own[:, None] * self.velocity
        path[:, 2] -= 0.5 * GRAVITY * own**2
        rotations = self.flight.rotation_at(own)
        world: Array = np.einsum("tij,tkj->tki", rotations, local) + path[:, None]
        return world

    def _edge(self, time: float, inward: float) -> Edge:
        step = 1e-3 * inward
        joints = self.joints(time + step * np.arange(3.0))
        velocity = (-3 * joints[0] + 4 * joints[1] - joints[2]) / (2 * step)
        pelvis, ankles, index = JOINT["pelvis"], list(ANKLES), 0 if inward > 0 else -1
        return Edge(
            time,
            joints[0, pelvis],
            velocity[pelvis],
            self.flight.rotations[index],
            self.flight.spins[index],
            joints[0, ankles],
            velocity[ankles],
        )

    def take_off(self) -> Edge:
        """State at take-off."""
        return self._edge(self.begin, 1.0)

    def touch_down(self) -> Edge:
        """State at touch-down."""
        return self._edge(self.end, -1.0)


def place(
    flight: Flight,
    body: Body,
    begin: float,
    speed: float,
    start_points: tuple[int, ...],
    end_points: tuple[int, ...],
    start_height: float,
    end_height: float,
) -> Air:
    """Choose height and climb so that the flight begins and ends on the floor.

    Args:
        flight: solved.
        body: limb lengths.
        begin: seconds on the motion's clock.
        speed: horizontal, along x, m/s.
        start_points: joints of which the lowest is at `start_height` at take-off.
        end_points: joints of which the lowest is at `end_height` at touch-down.
        start_height: metres.
        end_height: metres.
    """
    duration = flight.duration
    ends, _ = forward_kinematics(flight.angles(np.array([0.0, duration])), body)
    heights = []
    for which, points, height in ((0, start_points, start_height), (1, end_points, end_height)):
        rotation = flight.rotations[-which]
        world = (ends[which] - center_of_mass(ends[which])) @ rotation.T
        heights.append(height - min(float(world[point, 2]) for point in points))
    climb = (heights[1] - heights[0]) / duration + 0.5 * GRAVITY * duration
    origin = np.array([0.0, 0.0, heights[0]])
    return Air(begin, body, flight, origin, np.array([speed, 0.0, climb]))
