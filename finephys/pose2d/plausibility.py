"""How reliable detected joints are: factors in [0, 1] on their scores.

A detector's own score does not flag nonsense: two entangled bodies come back as one impossible
skeleton at a mean visibility of 0.8. Detecting twice does. All functions are pure and take xy
(F, 17, 2) pixels; "body size" is the diagonal of the joints' box.
"""

import numpy as np

from finephys.anthropometry import LIMB_LENGTHS_PER_HEIGHT
from finephys.skeleton import JOINT, JOINTS, MIRROR, limb_lengths
from finephys.types import Bool, Float

_AGREEMENT = 0.06  # body sizes of disagreement at which a joint keeps exp(-1/2) of its score
_CONFUSED, _CLEAR = 0.11, 0.06  # mean disagreement of a frame whose scores are all cut, all kept
_LEFT_OF_CONFUSED = 0.25  # factor of a frame that is confused throughout
_TOO_LONG = 1.5  # times the length that fits the rest of the body
_ROOT_SPEED = 8.0  # body heights a second, above any run or flight, camera pans included
_LONG_LIMBS = np.array([1, 2, 4, 5, 6, 7, 11, 12, 14, 15])  # index into LIMBS: not hips, shoulders


def agreement(xy: Float, mirrored: Float, found: Bool) -> Float:
    """Compare a detection with that in the mirrored frame, mirrored back.

    Design choice, measured on real clips: where the body is detected correctly, both agree within
    0.02 of the body size; elsewhere they differ by 0.1 and more. Swapped sides show up as well.

    Args:
        xy: detection in the frames, (F, 17, 2) pixels.
        mirrored: detection in the mirrored frames, mirrored back with `skeleton.mirror`.
        found: (F,), True where both found a person.

    Returns:
        (F, 17) factors in [0, 1]; 0.25 where only one of them found a person.
    """
    size = np.maximum(_body_size(xy), _body_size(mirrored))
    if found.any():
        size = np.maximum(size, 0.7 * np.median(size[found]))
    apart = np.linalg.norm(xy - mirrored, axis=-1) / np.maximum(size, 1e-6)[:, None]
    joint = np.exp(-0.5 * (apart / _AGREEMENT) ** 2)
    clear = np.clip((_CONFUSED - apart.mean(-1)) / (_CONFUSED - _CLEAR), _LEFT_OF_CONFUSED, 1)
    factor = np.where(found[:, None], joint * clear[:, None], _LEFT_OF_CONFUSED)
    return factor.astype(np.float32)


def bone_lengths(xy: Float, score: Float) -> Float:
    """Lower the scores of joints at the end of bones too long for the rest of the body.

    A projected bone can be shorter than the bone itself, never longer, so the body height in pixels
    is about the upper quartile of bone length over its share of the height; a bone that gives far
    more is wrong.

    Args:
        xy: (F, 17, 2) pixels.
        score: (F, 17) in [0, 1].

    Returns:
        (F, 17) factors in [0, 1].
    """
    heights = limb_lengths(xy)[:, _LONG_LIMBS] / LIMB_LENGTHS_PER_HEIGHT[_LONG_LIMBS]
    seen = score.max(-1) > 0
    factor = np.ones(score.shape, np.float32)
    if not seen.any():
        return factor
    height = np.quantile(heights, 0.75, axis=-1)
    for frame in np.flatnonzero(seen):
        near = np.flatnonzero(seen & (np.abs(np.arange(len(xy)) - frame) <= 3))
        allowed = _TOO_LONG * max(height[frame], np.median(height[near]))
        excess = np.maximum(heights[frame] / max(allowed, 1e-6) - 1, 0)
        factor[frame, _LONG_LIMBS + 1] = np.exp(-((excess / 0.3) ** 2))
    return factor


def inside(xy: Float, size: tuple[int, int]) -> Float:
    """Lower the scores of joints outside the picture, whose positions are extrapolated.

    Args:
        xy: (F, 17, 2) pixels.
        size: (width, height) in pixels.

    Returns:
        (F, 17) factors: 1 inside, falling to 0 at a tenth of the body size beyond the edge.
    """
    beyond = np.maximum(np.maximum(-xy, xy - np.array(size, np.float32)), 0).max(-1)
    margin = np.maximum(0.1 * _body_size(xy), 1)[:, None]
    factor: Float = np.clip(1 - beyond / margin, 0, 1).astype(np.float32)
    return factor


def same_person(xy: Float, score: Float, dt: float) -> Float:
    """Lower the scores of frames that show a different person, or a body that jumps and returns.

    Jumps of the pelvis or the size that no body can make split the frames into runs; runs that
    continue the best one are kept with it, the scores of the others are lowered.

    Args:
        xy: (F, 17, 2) pixels.
        score: (F, 17) in [0, 1].
        dt: seconds between frames.

    Returns:
        (F, 17) factors, 0.1 for frames of another person.
    """
    factor = np.ones(score.shape, np.float32)
    seen = np.flatnonzero(score.max(-1) > 0)
    if len(seen) < 2:
        return factor
    size = _body_size(xy)
    hips = xy[:, JOINT["pelvis"]]

    def continues(first: int, second: int) -> bool:
        larger = max(size[first], size[second])
        steps = abs(second - first)
        moved = float(np.linalg.norm(hips[second] - hips[first])) / max(larger, 1e-6)
        grown = larger / max(min(size[first], size[second]), 1e-6)
        return bool(moved < 0.35 + _ROOT_SPEED * dt * steps / 2 and grown < 2.5 + 0.5 * steps)

    runs: list[list[int]] = [[int(seen[0])]]
    for frame in seen[1:].tolist():
        if continues(runs[-1][-1], frame):
            runs[-1].append(frame)
        else:
            runs.append([frame])
    best = max(runs, key=lambda run: float(score[run].sum()))
    kept = list(best)
    at = runs.index(best)
    for run in reversed(runs[:at]):
        if continues(run[-1], kept[0]):
            kept = run + kept
    for run in runs[at + 1 :]:
        if continues(kept[-1], run[0]):
            kept = kept + run
    factor[np.setdiff1d(seen, kept)] = 0.1
    return factor


def left_right(xy: Float, score: Float) -> Float:
    """Lower the scores of a bone that is longer than its twin on the other side in every frame.

    A bone is foreshortened in some frames; its longest projection over a clip is near its true
    length, so that the two sides must agree.

    Args:
        xy: (F, 17, 2) pixels.
        score: (F, 17) in [0, 1].

    Returns:
        (F, 17) factors in [0, 1]; all 1 when fewer than 4 frames are seen.
    """
    factor = np.ones(score.shape, np.float32)
    seen = score.max(-1) > 0
    if seen.sum() < 4:
        return factor
    longest = np.quantile(limb_lengths(xy)[seen], 0.9, axis=0)
    for child in range(1, len(JOINTS)):
        other = MIRROR[child]
        if other == child:
            continue
        ratio = longest[child - 1] / max(longest[other - 1], 1e-6)
        factor[:, child] = np.exp(-10 * max(ratio / 2 - 1, 0) ** 2)
    return factor


def _body_size(xy: Float) -> Float:
    size: Float = np.linalg.norm(xy.max(-2) - xy.min(-2), axis=-1)
    return size
