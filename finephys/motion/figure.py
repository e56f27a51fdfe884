"""A gymnast's body around 17 joints: ellipsoids and tapered capsules with a material each.

The skeleton has no end joints for hands, feet and face; they extend forearm, shank and neck.
Sizes are fractions of body height of a slim adult, after de Leva's and common artists' tables.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from finephys.anthropometry import LIMB_LENGTHS_PER_HEIGHT
from finephys.skeleton import JOINT, limb_lengths
from finephys.types import Float

Vectors = npt.NDArray[np.float64]


class Material(IntEnum):
    """Material of a part."""

    SKIN = 0
    LEOTARD = 1
    SLEEVE = 2
    HEAD = 3
    HAIR = 4
    CHEST = 5
    JAW = 6


@dataclass(frozen=True)
class Figure:
    """P convex parts in F frames, each a tapered capsule along its third local axis.

    A world point p has local coordinates `axes @ (p - origin)`; the part is the convex hull of two
    spheres there, at 0 and at (0, 0, length). Ellipsoids have length 0 and stretched axes.

    Attributes:
        origin: float32 (P, F, 3) world metres.
        axes: float32 (P, F, 3, 3), rows scaled.
        length: float32 (P, F), local.
        radius: float32 (P, 2), local, at both ends.
        reach: float32 (P,) metres, radius of a world sphere around either end that holds that end.
        material: (P,) values of Material.
        side: (P,) +1 left, -1 right, 0 neither.
    """

    origin: Float
    axes: Float
    length: Float
    radius: Float
    reach: Float
    material: npt.NDArray[np.int64]
    side: npt.NDArray[np.int64]


def body_height(joints: Float) -> float:
    """Estimate the standing height, in metres, of the body with these joints (F, 17, 3)."""
    lengths = limb_lengths(joints).mean(0)
    long = LIMB_LENGTHS_PER_HEIGHT > 0.12  # legs, arms and trunk; the neck's joints vary by source
    return float(np.median(lengths[long] / LIMB_LENGTHS_PER_HEIGHT[long]))


def build_figure(joints: Float, build: float = 1.0) -> Figure:
    """Build a body around joints.

    Args:
        joints: (F, 17, 3) world metres, floor at z = 0.
        build: girth relative to the average.

    Returns:
        The body's parts.
    """
    return _Builder(joints.astype(np.float64), build).figure()


def _unit(vectors: Vectors) -> Vectors:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    out: Vectors = vectors / np.maximum(length, 1e-9)
    return out


def _across(vectors: Vectors, axis: Vectors) -> Vectors:
    """Unit parts of `vectors` perpendicular to the unit `axis`."""
    return _unit(vectors - (vectors * axis).sum(-1, keepdims=True) * axis)


def _swing(vectors: Vectors, start: Vectors, end: Vectors) -> Vectors:
    """Turn `vectors` by the least rotation that takes the unit `start` to the unit `end`."""
    axis = np.cross(start, end)
    cosine = (start * end).sum(-1, keepdims=True)
    along = (axis * vectors).sum(-1, keepdims=True) * axis / np.maximum(1 + cosine, 1e-6)
    turned: Vectors = cosine * vectors + np.cross(axis, vectors) + along
    return turned


class _Builder:
    def __init__(self, joints: Vectors, build: float) -> None:
        self.joints = joints
        self.height = body_height(joints.astype(np.float32))
        self.girth = self.height * build
        self.parts: list[tuple[Vectors, Vectors, Vectors, float, float, float, int, int]] = []
        self.hips = self._frame(
            self._at("left_hip") - self._at("right_hip"), self._at("spine") - self._at("pelvis")
        )
        self.chest = self._frame(
            self._at("left_shoulder") - self._at("right_shoulder"),
            self._at("thorax") - self._at("spine"),
        )

    def figure(self) -> Figure:
        self._trunk()
        self._head()
        for side in (1, -1):
            self._leg(side)
            self._arm(side)
        origin, axes, length, first, second, reach, material, side_of = zip(
            *self.parts, strict=True
        )
        return Figure(
            np.stack(origin).astype(np.float32),
            np.stack(axes).astype(np.float32),
            np.stack(length).astype(np.float32),
            np.stack([first, second], -1).astype(np.float32),
            np.asarray(reach, np.float32),
            np.asarray(material),
            np.asarray(side_of),
        )

    def _at(self, name: str) -> Vectors:
        return self.joints[:, JOINT[name]]

    @staticmethod
    def _frame(left: Vectors, up: Vectors) -> Vectors:
        """Rows left, forward, up; up exact."""
        up = _unit(up)
        left = _across(left, up)
        return np.stack([left, np.cross(left, up), up], -2)

    def _ball(
        self,
        center: Vectors,
        frame: Vectors,
        half: tuple[float, float, float],
        material: Material,
        side: int = 0,
    ) -> None:
        """Add an ellipsoid with half axes `half` (of body height) along the rows of `frame`."""
        sizes = np.array(half) * self.girth
        zero = np.zeros(len(center))
        axes = frame / sizes[:, None]
        self.parts.append((center, axes, zero, 1.0, 1.0, float(sizes.max()), int(material), side))

    def _capsule(
        self,
        start: Vectors,
        end: Vectors,
        radii: tuple[float, float],
        material: Material,
        side: int = 0,
        flat: float = 1.0,
        forward: Vectors | None = None,
    ) -> None:
        """Add a tapered capsule, `flat` times thinner along `forward` than across it."""
        axis = end - start
        length = np.linalg.norm(axis, axis=-1)
        axis = _unit(axis)
        if forward is None:
            forward = np.where(
                np.abs(axis[:, :1]) < 0.8, np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
            )
        front = _across(forward, axis)
        axes = np.stack([np.cross(front, axis), front * flat, axis], -2)
        first, second = radii[0] * self.girth, radii[1] * self.girth
        length = np.maximum(length, 1.02 * abs(first - second))
        self.parts.append(
            (start, axes, length, first, second, max(first, second), int(material), side)
        )

    def _trunk(self) -> None:
        height, hips, chest = self.height, self.hips, self.chest
        pelvis, spine, thorax = self._at("pelvis"), self._at("spine"), self._at("thorax")
        ribs = spine + 0.52 * (thorax - spine)
        self._ball(
            pelvis + 0.012 * height * hips[:, 2], hips, (0.098, 0.066, 0.070), Material.LEOTARD
        )
        for sign in (1, -1):
            seat = pelvis + height * (
                0.046 * sign * hips[:, 0] - 0.026 * hips[:, 1] - 0.008 * hips[:, 2]
            )
            self._ball(seat, hips, (0.050, 0.047, 0.054), Material.LEOTARD)
        middle = (self.hips[:, 1] + chest[:, 1]) / 2
        self._capsule(
            pelvis + 0.35 * (spine - pelvis),
            ribs,
            (0.080, 0.079),
            Material.LEOTARD,
            0,
            1.38,
            middle,
        )
        self._ball(ribs, chest, (0.088, 0.064, 0.100), Material.CHEST)
        for sign in (1, -1):
            bust = ribs + height * (0.036 * sign * chest[:, 0] + 0.036 * chest[:, 1])
            self._ball(bust, chest, (0.038, 0.034, 0.036), Material.LEOTARD)
        left, right = self._at("left_shoulder"), self._at("right_shoulder")
        self._capsule(
            left + 0.16 * (right - left),
            right + 0.16 * (left - right),
            (0.034, 0.034),
            Material.CHEST,
        )

    def _head(self) -> None:
        height, chest = self.height, self.chest
        thorax, neck, top = self._at("thorax"), self._at("neck"), self._at("head")
        up = _unit(top - (neck + thorax) / 2)
        frame = np.stack([_across(chest[:, 0], up), np.cross(_across(chest[:, 0], up), up), up], -2)
        center = neck + 0.30 * (top - neck) + 0.006 * height * frame[:, 1]
        self._capsule(thorax - 0.01 * height * chest[:, 2], center, (0.034, 0.029), Material.SKIN)
        self._capsule(  # the slope from neck to shoulders
            thorax + 0.022 * height * chest[:, 2] - 0.012 * height * chest[:, 1],
            thorax - 0.004 * height * chest[:, 2] - 0.012 * height * chest[:, 1],
            (0.030, 0.040),
            Material.SKIN,
        )
        # Heads vary little with girth.
        slim = self.height / self.girth
        self._ball(center, frame, (0.046 * slim, 0.058 * slim, 0.070 * slim), Material.HEAD)
        jaw = center + height * (0.018 * frame[:, 1] - 0.034 * frame[:, 2])
        self._ball(jaw, frame, (0.033 * slim, 0.038 * slim, 0.036 * slim), Material.JAW)
        nose = center + height * (0.059 * frame[:, 1] - 0.008 * frame[:, 2])
        self._ball(nose, frame, (0.008, 0.012, 0.014), Material.SKIN)
        bun = center + height * (0.036 * frame[:, 2] - 0.056 * frame[:, 1])
        self._ball(bun, frame, (0.030, 0.030, 0.030), Material.HAIR)

    def _leg(self, side: int) -> None:
        name = "left" if side > 0 else "right"
        height = self.height
        hip, knee, ankle = (self._at(f"{name}_{joint}") for joint in ("hip", "knee", "ankle"))
        thigh, shank = _unit(knee - hip), _unit(ankle - knee)
        front = _swing(self.hips[:, 1], -self.hips[:, 2], thigh)
        shin = _swing(front, thigh, shank)
        self._capsule(hip, knee, (0.051, 0.033), Material.SKIN, side)
        self._capsule(knee, ankle, (0.032, 0.020), Material.SKIN, side)
        calf = knee + 0.30 * (ankle - knee) - 0.010 * height * shin
        calf_frame = np.stack([np.cross(shin, shank), shin, shank], -2)
        self._ball(calf, calf_frame, (0.030, 0.031, 0.075), Material.SKIN, side)

        # A foot that carries weight lies flat; in the air a gymnast points her toes.
        clearance = ankle[:, 2:] / height
        lifted = np.clip((clearance - 0.065) / 0.09, 0, 1)
        lifted = lifted * lifted * (3 - 2 * lifted)
        pointed = _unit(shank + 0.35 * shin)
        level = shin * np.array([1.0, 1.0, 0.0]) + 1e-4 * self.hips[:, 1]
        toes = _unit((1 - lifted) * _unit(level) * np.array([1.0, 1.0, 0.0]) + lifted * pointed)
        heel = ankle + height * (0.016 * shank - 0.014 * toes)
        ball = ankle + height * (0.020 * shank + 0.088 * toes)
        floor = 0.012 * height
        heel[:, 2] = np.maximum(heel[:, 2], floor)
        ball[:, 2] = np.maximum(ball[:, 2], floor)
        self._capsule(heel, ball, (0.021, 0.015), Material.SKIN, side)

    def _arm(self, side: int) -> None:
        name = "left" if side > 0 else "right"
        height = self.height
        shoulder, elbow, wrist = (
            self._at(f"{name}_{joint}") for joint in ("shoulder", "elbow", "wrist")
        )
        upper, fore = _unit(elbow - shoulder), _unit(wrist - elbow)
        outward = side * self.chest[:, 0]
        palm = _swing(_swing(-self.chest[:, 2], outward, upper), upper, fore)
        self._capsule(shoulder, elbow, (0.029, 0.022), Material.SLEEVE, side)
        self._capsule(elbow, wrist, (0.023, 0.015), Material.SLEEVE, side)
        self._capsule(
            wrist, wrist + 0.052 * height * fore, (0.016, 0.022), Material.SKIN, side, 1.7, palm
        )
        self._capsule(
            wrist + 0.05 * height * fore,
            wrist + 0.095 * height * _unit(fore + 0.15 * palm),
            (0.017, 0.008),
            Material.SKIN,
            side,
            1.6,
            palm,
        )
