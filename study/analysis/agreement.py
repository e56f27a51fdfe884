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
    return float(krippendorff.alpha(values, level_of_measurement=level))


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
            scores, or the scores do not vary.
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
    with known_deprecations_ignored():
        import pingouin

        rater, clip = np.indices(values.shape)
        found = pingouin.intraclass_corr(
            pd.DataFrame({"clip": clip.ravel(), "rater": rater.ravel(), "score": values.ravel()}),
            targets="clip",
            raters="rater",
            ratings="score",
        ).set_index("Type")
    single, average = found.loc["ICC(A,1)"], found.loc["ICC(A,k)"]
    return Intraclass(
        single=float(single["ICC"]),
        single_low=float(single["CI95"][0]),
        single_high=float(single["CI95"][1]),
        average=float(average["ICC"]),
        average_low=float(average["CI95"][0]),
        average_high=float(average["CI95"][1]),
        raters=raters,
        clips=clips,
        left_out=matrix.shape[1] - clips,
    )
