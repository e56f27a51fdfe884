"""A solved motion, airborne or supported, that can be evaluated at any time."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from finephys.motion.curves import Array

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Performance:
    """A solved motion.

    Attributes:
        begin: seconds on the motion's clock, on which the action itself begins at 0.
        end: seconds.
        at: from times (T,) to joints (T, 17, 3) in the world, metres, and flight flags (T,).
    """

    begin: float
    end: float
    at: Callable[[Array], tuple[Array, Bool]]
