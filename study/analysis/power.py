"""Before the start: how small a difference can a study of this size find?

Crossed random-effects model of one score in one dimension:
    score = method + rater + item + rater x method + clip + residual,
all random parts normal and independent. Every rater scores every clip and every method has the same
items, so that rater and item cancel in a difference of two methods. What remains is, with R raters
and C clips for each method,
    Var(difference) = 2 (clip^2 / C + rater_method^2 / R + residual^2 / (R C))   new clips count
    Var(difference) = 2 (rater_method^2 / R + residual^2 / (R C))                these clips only.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Components:
    """Standard deviations of a score's random parts, in points of a 1 to 5 scale.

    Design choice: the defaults are the plain values that give 1.5, .57 and .62 points for 20
    raters with 2 clips (new clips, these clips only) and with 14 clips; a pilot's estimates, as in
    a report's mixed model, should replace them.

    Attributes:
        clip: Between clips of one method, beyond the item: how good this clip came out.
        rater_method: A rater's own liking for a method.
        residual: What is left of one score.
    """

    clip: float = 0.5
    rater_method: float = 0.3
    residual: float = 0.8

    def __post_init__(self) -> None:
        for name in ("clip", "rater_method", "residual"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(
                    f"{name} is {value}; it must be a standard deviation of 0 or more."
                )


def difference_deviation(
    raters: int, clips: int, components: Components, *, new_clips: bool
) -> float:
    """Returns the standard deviation of a difference of two methods' MOS, in points.

    Args:
        raters: Raters, each scoring every clip.
        clips: Clips of each method.
        components: Standard deviations of the random parts.
        new_clips: True when the finding is to hold for clips not shown, False for these only.

    Raises:
        ValueError: If a number is below 1.
    """
    for name, value in (("raters", raters), ("clips", clips)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be 1 or more.")
    variance = components.rater_method**2 / raters + components.residual**2 / (raters * clips)
    if new_clips:
        variance += components.clip**2 / clips
    return float(np.sqrt(2 * variance))


def smallest_difference(
    raters: int,
    clips: int,
    components: Components | None = None,
    *,
    new_clips: bool,
    comparisons: int = 1,
    alpha: float = 0.05,
    power: float = 0.8,
) -> float:
    """Returns the smallest MOS difference found with the given power, in points.

    Two-sided normal test with known variance components; scores are not rounded or cut at the
    scale's ends. With few clips the true figure is larger, as the components must be estimated.

    Args:
        raters: Raters, each scoring every clip.
        clips: Clips of each method.
        components: Standard deviations of the random parts; the defaults when None.
        new_clips: True when the finding is to hold for clips not shown, False for these only.
        comparisons: Size of the family; each is tested at alpha / comparisons (Bonferroni, which
            is Holm's first step).
        alpha: Level of the family, in (0, 1).
        power: In (0, 1).

    Raises:
        ValueError: If an argument is out of range.
    """
    from scipy import stats

    if comparisons < 1:
        raise ValueError(f"comparisons is {comparisons}; it must be 1 or more.")
    for name, value in (("alpha", alpha), ("power", power)):
        if not 0 < value < 1:
            raise ValueError(f"{name} is {value}; it must lie between 0 and 1.")
    deviation = difference_deviation(raters, clips, components or Components(), new_clips=new_clips)
    quantiles = stats.norm.ppf(1 - alpha / comparisons / 2) + stats.norm.ppf(power)
    return float(quantiles * deviation)


def plan(
    raters: list[int],
    clips: list[int],
    methods: int,
    components: Components | None = None,
    *,
    dimensions: int = 1,
    alpha: float = 0.05,
    power: float = 0.8,
) -> pd.DataFrame:
    """Returns the smallest differences found for every number of raters and clips.

    Args:
        raters: Numbers of raters to consider.
        clips: Numbers of clips of each method to consider.
        methods: Methods, of which one is compared with each other one.
        components: Standard deviations of the random parts; the defaults when None.
        dimensions: Dimensions in the family of comparisons.
        alpha: Level, of each comparison and of the family.
        power: In (0, 1).

    Returns:
        A row for each combination: raters, clips, ratings_per_rater (scores in one dimension),
        these_clips and new_clips (points, one comparison at alpha), and the same for the family of
        (methods - 1) x dimensions comparisons: these_clips_family, new_clips_family.

    Raises:
        ValueError: If an argument is out of range.
    """
    if methods < 2:
        raise ValueError(f"methods is {methods}; a comparison needs 2 or more.")
    family = (methods - 1) * dimensions
    rows = []
    for many in raters:
        for shown in clips:
            row: dict[str, float] = {
                "raters": many,
                "clips": shown,
                "ratings_per_rater": methods * shown,
            }
            for suffix, size in (("", 1), ("_family", family)):
                for name, new in (("these_clips", False), ("new_clips", True)):
                    row[name + suffix] = smallest_difference(
                        many,
                        shown,
                        components,
                        new_clips=new,
                        comparisons=size,
                        alpha=alpha,
                        power=power,
                    )
            rows.append(row)
    return pd.DataFrame(rows)
