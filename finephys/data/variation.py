"""Variation of 3D windows for training: sides, direction of time, proportions, limbs, posture.

Design choice: captures are few, and arm movements of one body are plausible with leg movements of
another: limbs are exchanged between windows and bent by smooth small angles. The centre of mass
keeps its path, so that a flight remains one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from finephys.anthropometry import center_of_mass_weights
from finephys.skeleton import JOINT, JOINTS, MIRROR, PARENTS
from finephys.types import Bool

Array = npt.NDArray[np.float64]

_J = len(JOINTS)
_SIDES = ("left", "right")
_ARMS = {
    side: [JOINT[f"{side}_{part}"] for part in ("shoulder", "elbow", "wrist")] for side in _SIDES
}
_LEGS = {side: [JOINT[f"{side}_{part}"] for part in ("hip", "knee", "ankle")] for side in _SIDES}
_TRUNK = [JOINT[name] for name in ("thorax", "neck", "head")] + _ARMS["left"] + _ARMS["right"]


@dataclass(frozen=True)
class Variation:
    """Shares of windows that are varied.

    Attributes:
        exchanged: arms, or legs, taken from another window of the batch.
        bent: limbs and trunk turned by smooth angles of about 12 degrees.
        tilted: turned as a whole about a horizontal axis, by 30 to 180 degrees.
        length: largest relative change of a limb's length; every window.
    """

    exchanged: float = 0.35
    bent: float = 0.5
    tilted: float = 0.15
    length: float = 0.07


VARIED = Variation()
"""What the shipped weights were trained with."""

PLAIN = Variation(exchanged=0, bent=0, tilted=0)
"""Only sides, direction of time and proportions vary."""


def vary(
    joints: Array, touch: Bool, variation: Variation, rng: np.random.Generator
) -> tuple[Array, Bool, Bool]:
    """Mirror half of the windows, reverse 30 % in time, then vary them by `variation`.

    Args:
        joints: (N, F, J, 3) metres, z up.
        touch: (N, F, 3), flight, left foot on the floor, right foot on the floor.
        variation: shares.
        rng: draws which windows are varied, and how.

    Returns:
        joints, touch, and whether gravity still points down in each window (N,).
    """
    count = len(joints)
    mirrored = rng.random(count) < 0.5
    joints = np.where(
        mirrored[:, None, None, None], joints[:, :, MIRROR] * np.array([1, -1, 1]), joints
    )
    touch = np.where(mirrored[:, None, None], touch[..., [0, 2, 1]], touch)
    reversed_ = rng.random(count) < 0.3
    joints = np.where(reversed_[:, None, None, None], joints[:, ::-1], joints)
    touch = np.where(reversed_[:, None, None], touch[:, ::-1], touch)
    upright = np.ones(count, np.bool_)
    if variation.exchanged > 0:
        joints = _exchange(joints, variation.exchanged, rng)
    if variation.bent > 0:
        joints = _bend(joints, variation.bent, rng)
    if variation.tilted > 0:
        tilted = rng.random(count) < variation.tilted
        joints = _tilt(joints, tilted, rng)
        touch = touch & ~tilted[:, None, None]
        upright = ~tilted
    return _reproportion(joints, variation.length, rng), touch, upright


def _exchange(joints: Array, share: float, rng: np.random.Generator) -> Array:
    """Give windows the arms or the legs of another window, posed against their own trunk."""
    count = len(joints)
    donor = rng.permutation(count)
    drawn = rng.random(count) / share
    out = joints
    for limbs, chosen in ((_ARMS, drawn < 0.5), (_LEGS, (drawn >= 0.5) & (drawn < 1))):
        own, other = _trunk_frame(joints, limbs), _trunk_frame(joints[donor], limbs)
        new = joints.copy()
        for chain in limbs.values():
            for start, end in pairwise(chain):
                limb = joints[donor][:, :, end] - joints[donor][:, :, start]
                limb = np.einsum("nfij,nfkj,nfk->nfi", own, other, limb)
                length = np.linalg.norm(joints[:, :, end] - joints[:, :, start], axis=-1)
                norm = np.linalg.norm(limb, axis=-1).clip(1e-6)
                new[:, :, end] = new[:, :, start] + limb * (length / norm)[..., None]
        out = np.where(chosen[:, None, None, None], new, out)
    return _same_center(out, joints)


def _trunk_frame(joints: Array, limbs: dict[str, list[int]]) -> Array:
    """Axes (N, F, 3, 3) as columns: across the roots of the limbs, forward, along the trunk."""
    across = joints[:, :, limbs["left"][0]] - joints[:, :, limbs["right"][0]]
    along = joints[:, :, JOINT["thorax"]] - joints[:, :, JOINT["pelvis"]]
    across = across / np.linalg.norm(across, axis=-1, keepdims=True).clip(1e-6)
    along = along - across * (across * along).sum(-1, keepdims=True)
    along = along / np.linalg.norm(along, axis=-1, keepdims=True).clip(1e-6)
    return np.stack([across, np.cross(along, across), along], -1)


def _bend(joints: Array, share: float, rng: np.random.Generator) -> Array:
    """Turn trunk, limbs and their ends by angles that change smoothly over the window."""
    count = len(joints)
    out = joints.copy()

    def turn(root: int, members: Sequence[int]) -> None:
        matrix = _smooth_turn(count, joints.shape[1], rng)
        limb = out[:, :, members] - out[:, :, [root]]
        out[:, :, members] = out[:, :, [root]] + np.einsum("nfij,nfmj->nfmi", matrix, limb)

    turn(JOINT["spine"], _TRUNK)
    for chains in (_ARMS, _LEGS):
        for chain in chains.values():
            turn(chain[0], chain[1:])
            turn(chain[1], chain[2:])
    chosen = rng.random(count) < share
    whole: Array = np.where(chosen[:, None, None, None], _same_center(out, joints), joints)
    return whole


def _smooth_turn(count: int, frames: int, rng: np.random.Generator) -> Array:
    """Rotation matrices (N, F, 3, 3): a constant angle and a slow swing about one axis each."""
    axis = rng.normal(0, 1, (count, 1, 3))
    axis /= np.linalg.norm(axis, axis=-1, keepdims=True)
    time = np.linspace(0, 1, frames)
    swing = np.sin(2 * np.pi * (rng.uniform(0.2, 1.2, (count, 1)) * time + rng.random((count, 1))))
    angle = np.deg2rad(rng.normal(0, 10, (count, 1)) + rng.normal(0, 8, (count, 1)) * swing)
    turns: Array = Rotation.from_rotvec((axis * angle[..., None]).reshape(-1, 3)).as_matrix()
    return turns.reshape(count, frames, 3, 3)


def _tilt(joints: Array, chosen: Bool, rng: np.random.Generator) -> Array:
    """Turn whole windows about a horizontal axis through their middle."""
    count = len(joints)
    heading = rng.uniform(0, 2 * np.pi, count)
    axis = np.stack([np.cos(heading), np.sin(heading), np.zeros(count)], -1)
    angle = np.deg2rad(rng.uniform(30, 180, count))[:, None]
    turns = Rotation.from_rotvec(axis * angle).as_matrix()
    middle = joints.mean((1, 2), keepdims=True)
    turned = middle + np.einsum("nij,nfkj->nfki", turns, joints - middle)
    out: Array = np.where(chosen[:, None, None, None], turned, joints)
    return out


def _same_center(joints: Array, before: Array) -> Array:
    """Move each frame so that its centre of mass stays where it was."""
    moved = np.einsum("j,nfjd->nfd", center_of_mass_weights(), joints - before)
    out: Array = joints - moved[:, :, None]
    return out


def _reproportion(joints: Array, most: float, rng: np.random.Generator) -> Array:
    """Scale each limb's length by its own factor, the same on both sides, keeping directions."""
    factor = rng.uniform(1 - most, 1 + most, (len(joints), _J))
    factor = (factor + factor[:, MIRROR]) / 2
    out = joints.copy()
    for joint in range(1, _J):
        parent = PARENTS[joint]
        limb = joints[:, :, joint] - joints[:, :, parent]
        out[:, :, joint] = out[:, :, parent] + limb * factor[:, joint, None, None]
    return out
