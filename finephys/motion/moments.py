"""The time of the action in a motion, and the body between its frames."""

import numpy as np
import numpy.typing as npt

from finephys.types import Bool, WorldMotion


def seconds(motion: WorldMotion) -> float:
    """Seconds from the first frame to the last."""
    return (len(motion.joints) - 1) / motion.fps


def core(motion: WorldMotion) -> tuple[float, float]:
    """Find the seconds in which a motion's action takes place.

    Design choice: from take-off to landing of the longest flight; without flight, the shortest span
    that holds four fifths of the body's movement about its own pelvis; for motion of no class,
    an empty span in the middle.

    Returns:
        start and stop, seconds from the first frame.
    """
    last = len(motion.joints) - 1
    if motion.action is None:
        return last / 2 / motion.fps, last / 2 / motion.fps
    if motion.flight.any():
        edges = np.flatnonzero(np.diff(np.concatenate([[0], motion.flight.astype(np.int8), [0]])))
        starts, stops = edges[::2], edges[1::2]
        longest = int(np.argmax(stops - starts))
        return float(starts[longest]) / motion.fps, min(float(stops[longest]), last) / motion.fps
    body = motion.joints - motion.joints[:, :1]
    travel = np.linalg.norm(np.diff(body, axis=0), axis=-1).sum(-1)
    total = np.concatenate([[0.0], np.cumsum(travel)])
    ends = np.searchsorted(total, total + 0.8 * total[-1] - 1e-9)
    lengths = np.where(ends <= last, ends - np.arange(len(total)), last + 1)
    start = int(np.argmin(lengths))
    return start / motion.fps, (start + int(lengths[start])) / motion.fps


def sample_motion(
    motion: WorldMotion, times: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], Bool]:
    """Interpolate between frames by cubic Hermite splines (a body turns up to 25 deg a frame).

    Args:
        motion: at least two frames.
        times: (N,) seconds from the first frame; times outside the motion give its ends.

    Returns:
        joints float64 (N, 17, 3) world metres; flight bool (N,), that of the nearest frame.
    """
    last = len(motion.joints) - 1
    at = np.clip(times * motion.fps, 0, last)
    low = np.minimum(at.astype(np.int64), last - 1)
    share = (at - low)[:, None, None]
    before, here, after, beyond = (
        motion.joints[np.clip(low + step, 0, last)].astype(np.float64) for step in (-1, 0, 1, 2)
    )
    going = np.where((low > 0)[:, None, None], (after - before) / 2, after - here)
    coming = np.where((low + 2 <= last)[:, None, None], (beyond - here) / 2, after - here)
    joints = (
        (1 + 2 * share) * (1 - share) ** 2 * here
        + share**2 * (3 - 2 * share) * after
        + share * (1 - share) ** 2 * going
        - share**2 * (1 - share) * coming
    )
    return joints, motion.flight[np.rint(at).astype(np.int64)]
