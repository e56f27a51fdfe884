"""Do raters agree with each other: Krippendorff's alpha and intraclass correlations."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from study.analysis.libraries import known_deprecations_ignored
from study.analysis.table import NotComputableError


def clip_matrix(scores: pd.DataFrame, dimension: str) -> pd.DataFrame:
    """Returns the scores of one dimension, shape (raters, clips); NaN where none was given.

    Args:
        scores: Rows of `table.main_scores`; a rater's several scores of a clip are averaged.
        dimension: The dimension to read.
    """
    rows = scores[scores["dimension"] == dimension]
    return rows.pivot_table(index="rater", columns="clip", values="score", aggfunc="mean")


def krippendorff_alpha(matrix: np.ndarray, level: str = "ordinal") -> float:
    """Returns Krippendorff's alpha (Krippendorff 2011; the krippendorff package).

    Args:
        matrix: Shape (raters, units), NaN where none was given.
        level: nominal, ordinal, interval or ratio.

    Returns:
        1 for perfect agreement, 0 for none beyond chance, below 0 for systematic disagreement.

    Raises:
        NotComputableError: If no unit has two scores, or all scores are equal.
    """
    import krippendorff

    values = np.asarray(matrix, float)
    paired = values[:, (~np.isnan(values)).sum(0) >= 2]
    if paired.size == 0:
        raise NotComputableError("no clip was scored by two raters")
    if np.unique(paired[~np.isnan(paired)]).size < 2:
        raise NotComputableError("all scores are equal")
    alpha = float(krippendorff.alpha(values, level_of_measurement=level))
    if not np.isfinite(alpha):
        raise NotComputableError("no disagreement can be expected by chance in these scores")
    return alpha


@dataclass(frozen=True)
class Intraclass:
    """Intraclass correlations for absolute agreement, two-way random (McGraw and Wong 1996).

    Attributes:
        single: ICC(A,1), of one rater's scores.
        single_low: Lower end of its 95 % interval, rounded to two decimals by the library.
        single_high: Upper end.
        average: ICC(A,k), of the mean of all raters.
        average_low: Lower end of its 95 % interval.
        average_high: Upper end.
        raters: Raters compared.
        clips: Clips that every rater scored; the others are left out.
        left_out: Clips left out.
    """

    single: float
    single_low: float
    single_high: float
    average: float
    average_low: float
    average_high: float
    raters: int
    clips: int
    left_out: int


def intraclass(matrix: pd.DataFrame) -> Intraclass:
    """Returns ICC(A,1) and ICC(A,k) over the clips that every rater scored (pingouin).

    Args:
        matrix: Shape (raters, clips), NaN where none was given.

    Raises:
        NotComputableError: If fewer than two raters or two complete clips remain, fewer than five
            scores, the scores do not vary, or clips differ no more than by chance: the estimate and
            its interval mean nothing then.
    """
    complete = matrix.dropna(axis="columns")
    raters, clips = complete.shape
    if raters < 2 or clips < 2 or raters * clips < 5:
        raise NotComputableError(
            "intraclass correlations need two raters and two clips or more that all of them "
            f"scored, and five scores; there are {raters} raters and {clips} such clips"
        )
    values = complete.to_numpy(float)
    if np.ptp(values) == 0:
        raise NotComputableError("all scores are equal")
    if (values == values[:1]).all():
        raise NotComputableError("all raters gave the same scores: agreement is perfect")
    if np.ptp(values.mean(0)) < 1e-12:
        raise NotComputableError("all clips have the same mean: there is nothing to agree on")
    between, rest = _mean_squares(values)
    if rest < 1e-9:
        raise NotComputableError(
            "the raters differ by constant shifts only, so that there is no residual to judge by"
        )
    if between <= rest * (1 + 1e-9):
        raise NotComputableError(
            "the clips' means differ no more than single scores do, so that no agreement shows "
            f"(mean squares {between:.3g} between clips, {rest:.3g} residual)"
        )
    with known_deprecations_ignored():
        import pingouin

        rater, clip = np.indices(values.shape)
        found = pingouin.intraclass_corr(
            pd.DataFrame({"clip": clip.ravel(), "rater": rater.ravel(), "score": values.ravel()}),
            targets="clip",
            raters="rater",
            ratings="score",
        ).set_index("Type")
    single, single_low, single_high = _with_interval(found.loc["ICC(A,1)"])
    average, average_low, average_high = _with_interval(found.loc["ICC(A,k)"])
    return Intraclass(
        single=single,
        single_low=single_low,
        single_high=single_high,
        average=average,
        average_low=average_low,
        average_high=average_high,
        raters=raters,
        clips=clips,
        left_out=matrix.shape[1] - clips,
    )


def _mean_squares(values: np.ndarray) -> tuple[float, float]:
    """Returns the mean squares between clips and of the residual of a two-way layout."""
    raters, clips = values.shape
    clip, rater = values.mean(0), values.mean(1, keepdims=True)
    rest = values - clip - rater + values.mean()
    between = raters * float(((clip - values.mean()) ** 2).sum()) / (clips - 1)
    return between, float((rest**2).sum()) / ((raters - 1) * (clips - 1))


def _with_interval(row: pd.Series) -> tuple[float, float, float]:
    """Returns an estimate with its interval; NaN for an interval that is none."""
    estimate, (low, high) = float(row["ICC"]), map(float, row["CI95"])
    if not -1 <= estimate <= 1:  # also NaN
        raise NotComputableError(f"the estimate, {estimate:.2f}, is outside its range of -1 to 1")
    if not (low - 0.01 <= estimate <= high + 0.01 and high <= 1):  # rounded to two decimals
        return estimate, np.nan, np.nan
    return estimate, max(low, -1.0), high
