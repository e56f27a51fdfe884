"""The gymnast as a Pinocchio model, built from joint positions alone, to check the simulation by.

A free-flyer carries eleven rods on spherical joints: the segments of de Leva's table with their
masses, centres and transverse inertias, hands and feet as points at wrist and ankle.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from finephys.anthropometry import POINT_MASSES, SEGMENTS, center_of_mass_weights
from finephys.motion.figures import angular_momentum, longest_flight
from finephys.skeleton import JOINT, JOINTS
from finephys.types import WorldMotion

Array = npt.NDArray[np.float64]

_PELVIS = "pelvis"
_RODS: tuple[tuple[str, str, str], ...] = (
    ("spine", "pelvis", _PELVIS),
    ("thorax", "spine", "spine"),
    ("head", "thorax", "thorax"),
    *((f"{side}_elbow", f"{side}_shoulder", "thorax") for side in ("left", "right")),
    *((f"{side}_wrist", f"{side}_elbow", f"{side}_elbow") for side in ("left", "right")),
    *((f"{side}_knee", f"{side}_hip", _PELVIS) for side in ("left", "right")),
    *((f"{side}_ankle", f"{side}_knee", f"{side}_knee") for side in ("left", "right")),
)
"""Rods: joint at the far end, joint at the near end, rod or body that carries the near end."""


def _unit(vectors: Array) -> Array:
    result: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return result


def _frames(up: Array, left: Array) -> Array:
    """Frames (T, 3, 3) whose third column is `up` and whose second is `left`, made square to it."""
    up = _unit(up)
    left = _unit(left - up * (left * up).sum(-1, keepdims=True))
    return np.stack([np.cross(left, up), left, up], -1)


def _carried(directions: Array) -> Array:
    """Frames (T, 3, 3) along rods (T, 3), carried from moment to moment without roll."""
    axes = _unit(directions)
    first = np.cross(axes[0], np.eye(3)[int(np.abs(axes[0]).argmin())])
    left = _unit(first)
    out = []
    for axis in axes:
        left = _unit(left - axis * (left @ axis))
        out.append(np.stack([np.cross(left, axis), left, axis], -1))
    return np.stack(out)


class RigidBody:
    """A Pinocchio model of one body, and its configurations over a motion.

    Attributes:
        model: `pinocchio.Model`, of mass 1.
        configurations: (T, nq).
    """

    def __init__(self, joints: Array) -> None:
        import pinocchio as pin

        self._pin: Any = pin
        self.model = pin.Model()
        at = {name: joints[:, JOINT[name]] for name in JOINTS}
        middle = (at["left_hip"] + at["right_hip"]) / 2
        hips, shoulders = (at[f"left_{n}"] - at[f"right_{n}"] for n in ("hip", "shoulder"))
        # The hips are one line: the pelvis' frame is square to it, towards the spine.
        turned = _frames(at["spine"] - middle, hips)
        lateral = _unit(hips)
        forward = _unit(np.cross(lateral, turned[:, :, 2]))
        frames = {_PELVIS: np.stack([forward, lateral, np.cross(forward, lateral)], -1)}
        places = {_PELVIS: at["pelvis"]}
        number = {
            _PELVIS: self.model.addJoint(0, pin.JointModelFreeFlyer(), pin.SE3.Identity(), "")
        }
        quaternions = [np.stack([pin.Quaternion(one).coeffs() for one in frames[_PELVIS]])]
        for far, near, carrier in _RODS:
            along = at[far] - at[near]
            frame = _frames(along, shoulders) if far == "thorax" else _carried(along)
            offset = np.einsum("tji,tj->ti", frames[carrier], at[near] - places[carrier]).mean(0)
            number[far] = self.model.addJoint(
                number[carrier], pin.JointModelSpherical(), pin.SE3(np.eye(3), offset), far
            )
            self.model.appendBodyToJoint(
                number[far], self._inertia(far, near, float(np.linalg.norm(along, axis=1).mean())),
                pin.SE3.Identity(),
            )  # fmt: skip
            turn = frames[carrier].transpose(0, 2, 1) @ frame
            quaternions.append(np.stack([pin.Quaternion(one).coeffs() for one in turn]))
            frames[far], places[far] = frame, at[near]
        self.configurations = np.concatenate([places[_PELVIS], *quaternions], 1)

    def _inertia(self, far: str, near: str, length: float) -> object:
        pin = self._pin
        ends = {JOINT[far], JOINT[near]}
        segment = next(one for one in SEGMENTS if {one.start, one.end} == ends)
        share = segment.center if segment.start == JOINT[near] else 1 - segment.center
        across = segment.mass * (segment.gyration * length) ** 2
        rod = pin.Inertia(
            segment.mass, np.array([0, 0, share * length]), np.diag([across, across, 0.0])
        )
        if JOINT[far] in POINT_MASSES:
            mass = POINT_MASSES[JOINT[far]]
            rod += pin.Inertia(mass, np.array([0.0, 0.0, length]), np.zeros((3, 3)))
        return rod

    def momentum(self, frame: int, step: float) -> tuple[Array, Array]:
        """Centre of mass (3,) and angular momentum about it (3,), per unit mass, at a frame.

        The velocity is the fourth-order difference of the four neighbouring configurations.

        Args:
            frame: at least two from either end.
            step: seconds between frames.
        """
        pin, here = self._pin, self.configurations[frame]
        data = self.model.createData()
        before2, before, after, after2 = (
            pin.difference(self.model, here, self.configurations[frame + k]) for k in (-2, -1, 1, 2)
        )
        velocity = (8 * (after - before) - (after2 - before2)) / (12 * step)
        total = pin.computeTotalMass(self.model)
        center = pin.centerOfMass(self.model, data, here, velocity)
        pin.computeCentroidalMomentum(self.model, data, here, velocity)
        return np.array(center), np.array(data.hg.angular) / total


def pinocchio_figures(motion: WorldMotion) -> dict[str, float]:
    """How far our centre of mass and momentum are from Pinocchio's over the longest flight.

    Returns:
        pinocchio_center_mm, and pinocchio_momentum as a share of the momentum; empty without a
        flight.
    """
    if not motion.flight.any():
        return {}
    joints = motion.joints[longest_flight(motion)].astype(np.float64)
    momentum = angular_momentum(joints, motion.fps)
    size = float(np.linalg.norm(momentum.mean(0)))
    body = RigidBody(joints)
    frames = range(2, len(joints) - 2, 12)
    theirs = [body.momentum(frame, 1 / motion.fps) for frame in frames]
    centers = [
        np.abs(center - center_of_mass_weights() @ joints[frame]).max()
        for frame, (center, _) in zip(frames, theirs, strict=True)
    ]
    spins = [
        np.linalg.norm(spin - momentum[frame - 2])
        for frame, (_, spin) in zip(frames, theirs, strict=True)
    ]
    return {
        "pinocchio_center_mm": 1e3 * float(max(centers)),
        "pinocchio_momentum": float(max(spins)) / size,
    }
