"""Are a motion's joint angles those of a human? Angles from joint positions, limits from tables.

Nothing here knows the simulator's own angles. Seventeen joints show directions of limbs, not how a
limb rolls about itself, and no pelvis apart from the lower trunk: a thigh's angle is measured
against the line from pelvis to mid-spine, so it holds the hip's own range and what the lumbar spine
adds to it.

Sources:
    [A] American Academy of Orthopaedic Surgeons, ranges as tabulated in Norkin & White, Measurement
        of Joint Motion: A Guide to Goniometry, Appendix A.
        (Its Table A.1, elbow and shoulder, was read again on the publisher's page; hip, knee and
        spine are the values commonly quoted from it.)
    [M] American Medical Association, Guides to the Evaluation of Permanent Impairment, as tabulated
        there.
    [T] Trudelle-Jackson et al. 2010, Spine 35(16):1539-1544: lumbar extension of women, means 53
        and 60 degrees.
    [F] FIG Code of Points, Women's Artistic Gymnastics: split leaps, jumps and turns with the leg
        held up ask for 180 degrees between the legs, a ring leap for the rear foot at head height.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from finephys.skeleton import JOINT

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Limit:
    """The most a body can do of one movement.

    Attributes:
        most: degrees.
        source: of the tables in this module's text.
    """

    most: float
    source: str


LIMITS = {
    "elbow flexion": Limit(150, "[A] 150"),
    "knee flexion": Limit(150, "[M] 150, [A] 135"),
    "knee hyperextension": Limit(10, "[A] 10"),
    "thighs apart": Limit(180, "[F] 180; [A] 2 x 45 abduction, 120 + 30 flexion and extension"),
    "thigh before the trunk": Limit(180, "[F] leg held up at 180; [A] 120 hip alone"),
    "thigh behind the trunk": Limit(83, "[A] 30 hip + [T] 53 lumbar"),
    "thigh across the midline": Limit(30, "[A] 30 adduction"),
    "trunk flexion": Limit(80, "[A] 80"),
    "trunk extension": Limit(53, "[T] 53; [A] 30"),
    "trunk to the side": Limit(35, "[A] 35"),
    "shoulders against hips": Limit(45, "[A] 45 rotation"),
    "head flexion": Limit(50, "[M] 50, [A] 45"),
    "head extension": Limit(60, "[M] 60, [A] 45"),
    "arm behind the trunk": Limit(60, "[A] 60 extension"),
    "arm across the chest": Limit(135, "[A] 135 horizontal adduction from the side"),
}
"""Movement -> limit, degrees, for trained gymnasts; where they go past normal people, both."""


def _unit(vectors: Array) -> Array:
    result: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return result


def _between(first: Array, second: Array) -> Array:
    """Angle (T,) between vectors (T, 3), degrees."""
    cross = np.linalg.norm(np.cross(first, second), axis=-1)
    result: Array = np.degrees(np.arctan2(cross, (first * second).sum(-1)))
    return result


def _frame(up: Array, left: Array) -> Array:
    """Rows forward, left, up (T, 3, 3) of a body part."""
    up = _unit(up)
    left = _unit(left - up * (left * up).sum(-1, keepdims=True))
    return np.stack([np.cross(left, up), left, up], 1)


def _limbs(joints: Array) -> dict[str, Array]:
    def limb(start: str, end: str) -> Array:
        return joints[:, JOINT[end]] - joints[:, JOINT[start]]

    return {
        f"{side} {name}": limb(f"{side}_{start}", f"{side}_{end}")
        for side in ("left", "right")
        for name, start, end in (
            ("thigh", "hip", "knee"), ("shank", "knee", "ankle"),
            ("arm", "shoulder", "elbow"), ("forearm", "elbow", "wrist"),
        )
    } | {
        "lower trunk": limb("pelvis", "spine"), "upper trunk": limb("spine", "thorax"),
        "head": limb("thorax", "head"), "hips": limb("right_hip", "left_hip"),
        "shoulders": limb("right_shoulder", "left_shoulder"),
    }  # fmt: skip


def largest_angles(joints: Array) -> dict[str, float]:
    """The most that joints (T, 17, 3) show of each movement of LIMITS, degrees."""
    limb = _limbs(joints)
    lower = _frame(limb["lower trunk"], limb["hips"])
    chest = _frame(limb["upper trunk"], limb["shoulders"])

    def seen(frame: Array, name: str) -> Array:
        result: Array = np.einsum("tij,tj->ti", frame, _unit(limb[name]))
        return result

    upper, head = seen(lower, "upper trunk"), seen(chest, "head")
    bend = np.degrees(np.arctan2(upper[:, 0], upper[:, 2]))
    nod = np.degrees(np.arctan2(head[:, 0], head[:, 2]))
    across = seen(lower, "shoulders")
    twist = np.degrees(np.arctan2(across[:, 0], across[:, 1]))
    found: dict[str, list[Array]] = {
        "thighs apart": [_between(limb["left thigh"], limb["right thigh"])],
        "trunk flexion": [bend],
        "trunk extension": [-bend],
        "trunk to the side": [np.degrees(np.abs(np.arcsin(upper[:, 1])))],
        "shoulders against hips": [np.abs(twist)],
        "head flexion": [nod],
        "head extension": [-nod],
    }
    for side, sign in (("left", 1.0), ("right", -1.0)):
        thigh, arm = seen(lower, f"{side} thigh"), seen(chest, f"{side} arm")
        raised = np.degrees(np.arctan2(thigh[:, 0], -thigh[:, 2]))
        behind = (thigh[:, 0] < 0) & (np.hypot(thigh[:, 0], thigh[:, 2]) > 0.5)
        forward = np.degrees(np.arccos(np.clip(-thigh[:, 2], -1, 1)))
        elbow = _between(limb[f"{side} arm"], limb[f"{side} forearm"])
        knee = _between(limb[f"{side} thigh"], limb[f"{side} shank"])
        # A knee bends so that the shank goes behind the thigh, seen from the thigh's own front.
        front = np.cross(limb[f"{side} thigh"], limb["hips"])
        ahead = (front * limb[f"{side} shank"]).sum(-1) > 0
        sideways = np.abs((_unit(limb["hips"]) * _unit(limb[f"{side} thigh"])).sum(-1)) > 0.7
        wrong = np.where(ahead & ~sideways, knee, 0.0)
        hanging = (-arm[:, 2] > 0) & (np.hypot(arm[:, 0], arm[:, 2]) > 0.5)
        extended = np.degrees(np.arctan2(-arm[:, 0], -arm[:, 2]))
        level = np.hypot(arm[:, 0], arm[:, 1]) > 0.5
        # From the side by the front; what is nearly straight back is extension, not this.
        crossed = np.degrees(np.arctan2(arm[:, 0], sign * arm[:, 1])) % 360
        for name, values in (
            ("elbow flexion", elbow),
            ("knee flexion", knee),
            ("knee hyperextension", wrong),
            ("thigh before the trunk", np.where(behind, 0.0, forward)),
            ("thigh behind the trunk", np.where(behind, -raised, 0.0)),
            ("thigh across the midline", np.degrees(-sign * np.arcsin(thigh[:, 1]))),
            ("arm behind the trunk", np.where(hanging, extended, 0.0)),
            ("arm across the chest", np.where(level & (crossed < 240), crossed, 0.0)),
        ):  # fmt: skip
            found.setdefault(name, []).append(values)
    return {name: float(np.max(found[name])) for name in LIMITS}


def excess(joints: Array) -> tuple[float, str]:
    """How far joints (T, 17, 3) go beyond the limits.

    Returns:
        Degrees by which the worst movement exceeds its limit, negative within, and its name.
    """
    over = {name: angle - LIMITS[name].most for name, angle in largest_angles(joints).items()}
    worst = max(over, key=lambda name: over[name])
    return over[worst], worst
