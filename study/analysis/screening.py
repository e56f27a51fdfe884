"""Which raters to doubt: ITU-R BT.500 rejection, ITU-T P.913 bias removal, agreement with others.

A stimulus is one clip in one dimension; all functions take rows of `table.main_scores`.
"""

import numpy as np
import pandas as pd

from study.analysis.table import NotComputableError

STIMULUS = ["clip", "dimension"]


def bt500(scores: pd.DataFrame, *, ddof: int = 1) -> pd.DataFrame:
    """Returns ITU-R BT.500-15's count of outlying scores and its verdict for each rater.

    For each stimulus, a score is outlying at 2 standard deviations from the mean where the kurtosis
    lies in [2, 4] and at sqrt(20) elsewhere. A rater is rejected when more than 5 % of their scores
    are outlying and these lie to both sides: |above - below| / (above + below) < 0.3. A rater who
    is always too high or too low is not rejected: that is a bias. The deviation divides by n - 1,
    the moments of the kurtosis by n. A stimulus scored alike by everyone, or by one rater, is
    nobody's outlier.

    Args:
        scores: Columns rater, clip, dimension, score.
        ddof: 1 as the recommendation has it; 0 to compare with the sureal package, which divides
            the deviation by n and so rejects a little more.

    Returns:
        Indexed by rater: scores, above, below (counts), rejected (bool).
    """
    groups = scores.groupby(STIMULUS, sort=False)["score"]
    centred = scores["score"] - groups.transform("mean")
    by_stimulus = [scores[name] for name in STIMULUS]
    second = (centred**2).groupby(by_stimulus, sort=False).transform("mean").to_numpy(float)
    fourth = (centred**4).groupby(by_stimulus, sort=False).transform("mean").to_numpy(float)
    count = groups.transform("size").to_numpy(float)
    usable = (count > 1) & (second > 1e-12)
    kurtosis = np.divide(fourth, second**2, out=np.full(count.shape, np.nan), where=usable)
    deviation = np.sqrt(second * count / np.where(count > ddof, count - ddof, 1))
    limit = np.where((kurtosis >= 2) & (kurtosis <= 4), 2.0, np.sqrt(20.0)) * deviation
    offset = centred.to_numpy(float)
    table = pd.DataFrame(
        {
            "rater": scores["rater"].to_numpy(),
            "scores": 1,
            "above": usable & (offset >= limit),
            "below": usable & (offset <= -limit),
        }
    )
    table = table.groupby("rater", sort=False).sum().astype(int)
    outlying = table["above"] + table["below"]
    lopsided = (table["above"] - table["below"]).abs() / outlying.where(outlying > 0, 1)
    table["rejected"] = (outlying / table["scores"] > 0.05) & (lopsided < 0.3)
    return table


def biases(scores: pd.DataFrame) -> pd.Series:
    """Returns how far each rater scores above the stimulus means, in points (ITU-T P.913, 12.4).

    Args:
        scores: Columns rater, clip, dimension, score.

    Returns:
        Indexed by rater: the mean over the rater's scores of score - mean of its stimulus.
    """
    offset = scores["score"] - scores.groupby(STIMULUS, sort=False)["score"].transform("mean")
    return offset.groupby(scores["rater"], sort=False).mean()


def without_bias(scores: pd.DataFrame) -> pd.DataFrame:
    """Returns the scores less each rater's bias (ITU-T P.913, 12.4); they are whole no longer."""
    return scores.assign(score=scores["score"] - scores["rater"].map(biases(scores)))


def agreement_with_others(scores: pd.DataFrame) -> pd.Series:
    """Returns each rater's Pearson correlation with the mean of all other raters, over stimuli.

    ITU-T P.913 (11.5) correlates with the mean of all raters; leaving the rater out of that mean
    keeps a rater from agreeing with themselves in a small panel.

    Args:
        scores: Columns rater, clip, dimension, score.

    Returns:
        Indexed by rater, in [-1, 1]; NaN for a rater with fewer than three shared stimuli, or whose
        scores, or the others' means, do not vary.

    Raises:
        NotComputableError: If there are fewer than two raters.
    """
    matrix = scores.pivot_table(index=STIMULUS, columns="rater", values="score", aggfunc="mean")
    values = matrix.to_numpy(float)
    if values.shape[1] < 2:
        raise NotComputableError("a rater is compared with the others, and there are no others")
    given = ~np.isnan(values)
    filled = np.where(given, values, 0.0)
    others = given.sum(1, keepdims=True) - given
    mean_of_others = np.divide(
        filled.sum(1, keepdims=True) - filled,
        others,
        out=np.full(values.shape, np.nan),
        where=others > 0,
    )
    found = {
        rater: _correlation(values[:, column], mean_of_others[:, column])
        for column, rater in enumerate(matrix.columns)
    }
    return pd.Series(found, dtype=float)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    both = ~np.isnan(one) & ~np.isnan(other)
    one, other = one[both], other[both]
    if one.size < 3 or np.ptp(one) < 1e-9 or np.ptp(other) < 1e-9:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])
