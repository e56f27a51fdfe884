"""Smooth curves through keys, for joint angles, the pelvis and the feet."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_LEAST_ROOM = np.radians(4)
"""Radians by which a bump may still move a joint angle at the end of its range."""


@dataclass(frozen=True)
class Curve:
    """A piecewise quintic through keys, with zero acceleration at every key (C2 throughout).

    Outside its keys a curve is extrapolated linearly, with the end key's velocity.

    Attributes:
        times: (K,) seconds, increasing.
        values: (K, D).
        velocities: (K, D) per second.
    """

    times: Array
    values: Array
    velocities: Array

    def __call__(self, times: npt.ArrayLike) -> Array:
        """Values (T, D) at `times` (T,)."""
        at = np.asarray(times, np.float64)
        index = np.clip(np.searchsorted(self.times, at, side="right") - 1, 0, len(self.times) - 2)
        start, width = self.times[index], self.times[index + 1] - self.times[index]
        raw = (at - start) / width
        s = np.clip(raw, 0.0, 1.0)[:, None]
        width = width[:, None]
        end_shape = s**3 * (10 - 15 * s + 6 * s**2)
        start_slope = s - 6 * s**3 + 8 * s**4 - 3 * s**5
        end_slope = -4 * s**3 + 7 * s**4 - 3 * s**5
        v0, v1 = self.velocities[index], self.velocities[index + 1]
        inside = (
            self.values[index] * (1 - end_shape)
            + self.values[index + 1] * end_shape
            + width * (v0 * start_slope + v1 * end_slope)
        )
        before = np.minimum(raw, 0.0)[:, None] * width * v0
        after = np.maximum(raw - 1.0, 0.0)[:, None] * width * v1
        result: Array = inside + before + after
        return result


def through(
    times: npt.ArrayLike,
    values: npt.ArrayLike,
    start_velocity: npt.ArrayLike | None = None,
    end_velocity: npt.ArrayLike | None = None,
) -> Curve:
    """Interpolate keys without overshoot: slopes by Fritsch and Carlson's harmonic mean.

    Args:
        times: (K,) seconds, increasing, K >= 2.
        values: (K, D).
        start_velocity: (D,) at the first key; None: rest.
        end_velocity: (D,) at the last key; None: rest.
    """
    at, keys = np.asarray(times, np.float64), np.asarray(values, np.float64)
    velocities = np.zeros_like(keys)
    if len(at) > 2:
        width = np.diff(at)[:, None]
        slope = np.diff(keys, axis=0) / width
        left, right = slope[:-1], slope[1:]
        first, second = 2 * width[1:] + width[:-1], width[1:] + 2 * width[:-1]
        same_sign = left * right > 1e-12
        safe_left, safe_right = (np.where(same_sign, left, 1.0), np.where(same_sign, right, 1.0))
        mean = (first + second) / (first / safe_left + second / safe_right)
        velocities[1:-1] = np.where(same_sign, mean, 0.0)
    if start_velocity is not None:
        velocities[0] = start_velocity
    if end_velocity is not None:
        velocities[-1] = end_velocity
    return Curve(at, keys, velocities)


@dataclass(frozen=True)
class Steered:
    """A curve with flat-topped smooth bumps (C2) added to some of its columns.

    Attributes:
        curve: the curve that the bumps are added to.
        columns: (C,) column of each bump.
        starts: (C,) seconds.
        ends: (C,) seconds.
        ranges: (C,) range in which bumps keep the column; they flatten near its ends.
        heights: (C,) of each bump at its middle.
    """

    curve: Curve
    columns: tuple[int, ...]
    starts: tuple[float, ...]
    ends: tuple[float, ...]
    ranges: tuple[tuple[float, float], ...]
    heights: tuple[float, ...]

    def __call__(self, times: npt.ArrayLike) -> Array:
        """Values (T, D) at `times` (T,)."""
        at = np.asarray(times, np.float64)
        values = self.curve(at)
        bumps: dict[int, Array] = {}
        for column, start, end, height in zip(
            self.columns, self.starts, self.ends, self.heights, strict=True
        ):
            s = np.clip((at - start) / (end - start), 0.0, 1.0)
            bump = height * (1 - (2 * s - 1) ** 4) ** 3
            bumps[column] = bumps.get(column, 0.0) + bump
        for column, (least, most) in dict(zip(self.columns, self.ranges, strict=True)).items():
            own, bump = values[:, column], bumps[column]
            room = np.maximum(np.where(bump < 0, own - least, most - own), _LEAST_ROOM)
            values[:, column] = own + room * np.tanh(bump / room)
        return values
