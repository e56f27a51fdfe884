"""The smoothers that the reference is tuned over.

Each takes metres (N, F, J, 3), scores (N, F, J) and seconds between frames (N,).
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from scipy.signal import savgol_filter

from finephys.pose3d.physics.smoothing import smooth
from finephys.skeleton import FRAMES

Array = npt.NDArray[np.float64]
Smoother = Callable[[Array, Array, Array], Array]


def savitzky_golay(window: int, order: int) -> Smoother:
    """Polynomials of `order` over `window` frames."""

    def run(points: Array, score: Array, dt: Array) -> Array:
        out: Array = savgol_filter(points, window, order, axis=1)
        return out

    return run


def one_euro(cutoff: float, slope: float) -> Smoother:
    """Casiez et al. (2012): a low pass whose cutoff in Hz rises with speed; 1 Hz for the speed."""

    def run(points: Array, score: Array, dt: Array) -> Array:
        step = dt[:, None, None]

        def share(frequency: Array | float) -> Array:
            return 1 / (1 + 1 / (2 * np.pi * np.asarray(frequency) * step))

        out = points.copy()
        speed = np.zeros_like(points[:, 0])
        for frame in range(1, FRAMES):
            fresh = (points[:, frame] - out[:, frame - 1]) / step
            speed = speed + share(1.0) * (fresh - speed)
            part = share(cutoff + slope * np.abs(speed))
            out[:, frame] = out[:, frame - 1] + part * (points[:, frame] - out[:, frame - 1])
        return out

    return run


def confidence_weighted_rts(stiffness: float) -> Smoother:
    """Random accelerations of equal variance; frames are weighted by their joints' scores.

    The path is the one that a Rauch-Tung-Striebel smoother of that model finds.
    """

    def run(points: Array, score: Array, dt: Array) -> Array:
        weight = torch.from_numpy(0.05 + score).float().transpose(1, 2)
        measured = torch.from_numpy(points).float().transpose(1, 2)
        stiff = torch.full_like(weight[..., 2:], stiffness)
        path = smooth(measured, weight, stiff, torch.zeros_like(measured[..., 2:, :]))
        out: Array = path.transpose(1, 2).numpy().astype(np.float64)
        return out

    return run


def candidates() -> Iterator[tuple[str, Smoother]]:
    """All smoothers that are tried, by name; the first changes nothing."""
    yield "none", lambda points, score, dt: points
    for window in (5, 7, 9, 11):
        for order in (2, 3):
            yield f"Savitzky-Golay {window} frames, order {order}", savitzky_golay(window, order)
    for cutoff in (0.5, 1.0, 2.0, 4.0):
        for slope in (0.5, 2.0, 8.0):
            yield f"One-Euro {cutoff} Hz, slope {slope}", one_euro(cutoff, slope)
    for stiffness in (0.05, 0.15, 0.4, 1.0, 2.5, 6.0):
        yield f"RTS, stiffness {stiffness}", confidence_weighted_rts(stiffness)
