"""Clip scores recovered from raters of unequal care: ITU-T P.910 (2023) Annex E."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from study.analysis.table import NotComputableError

_LEAST_VARIANCE = 1e-8  # keeps the weight of a rater who never deviates finite
_COLLAPSED = 1e-3  # points: no rater is so consistent on a scale of whole numbers


@dataclass(frozen=True)
class Recovery:
    """Scores of clips and habits of raters that best explain the scores given.

    Attributes:
        score: Recovered score of each clip, in points of the scale, indexed by clip.
        deviation: Standard deviation of each recovered score, in points, indexed by clip.
        bias: How far above (+) or below (-) the others each rater scores, in points; mean 0.
        inconsistency: Standard deviation of each rater around score + bias, in points.
    """

    score: pd.Series
    deviation: pd.Series
    bias: pd.Series
    inconsistency: pd.Series


def recover(scores: pd.DataFrame, *, tolerance: float = 1e-8, rounds: int = 1000) -> Recovery:
    """Returns the maximum-likelihood scores of clips, rater biases and inconsistencies.

    ITU-T P.910 (2023) Annex E: score[rater, clip] = quality[clip] + bias[rater]
    + inconsistency[rater] * N(0, 1), solved by alternating projection: weights from residuals,
    then qualities, then biases, until the qualities move less than the tolerance.

    The likelihood has no upper bound where the qualities copy one rater, whose inconsistency then
    goes to zero. With few raters or clips the iteration ends there, and its scores are that one
    rater's; this is refused here, where the Annex is silent.

    Args:
        scores: Columns clip, rater, score; a rater may have scored a clip several times or never.
        tolerance: Euclidean norm of the last change of the qualities, in points.
        rounds: Most rounds before giving up.

    Raises:
        NotComputableError: If there are fewer than two raters or two clips, no convergence, or the
            likelihood collapses onto one rater.
    """
    raters, who = np.unique(scores["rater"], return_inverse=True)
    clips, what = np.unique(scores["clip"], return_inverse=True)
    if raters.size < 2 or clips.size < 2:
        raise NotComputableError(
            "maximum-likelihood recovery needs two raters and two clips or more, and there are "
            f"{raters.size} and {clips.size}"
        )
    given = scores["score"].to_numpy(float)
    per_rater = np.bincount(who)
    per_clip = np.bincount(what)

    def mean_by_rater(values: np.ndarray) -> np.ndarray:
        return np.bincount(who, values) / per_rater

    quality = np.bincount(what, given) / per_clip
    bias = mean_by_rater(given - quality[what])
    for _ in range(rounds):
        residual = given - quality[what] - bias[who]
        # A population standard deviation, as in the Annex: around the residuals' own mean.
        variance = mean_by_rater(residual**2) - mean_by_rater(residual) ** 2
        weight = 1 / (np.maximum(variance, 0.0) + _LEAST_VARIANCE)
        before = quality
        quality = np.bincount(what, weight[who] * (given - bias[who])) / np.bincount(
            what, weight[who]
        )
        bias = mean_by_rater(given - quality[what])
        if np.linalg.norm(quality - before) < tolerance:
            break
    else:
        raise NotComputableError(f"the recovery did not settle in {rounds} rounds")
    inconsistency = np.sqrt(np.maximum(variance, 0.0))
    collapsed = inconsistency < _COLLAPSED
    if collapsed.any() and not collapsed.all():
        raise NotComputableError(
            f"the likelihood has no maximum: the recovered scores copy rater "
            f"{str(raters[np.argmin(inconsistency)])!r} alone; more raters or clips are needed"
        )
    clip_mean = np.bincount(what, residual) / per_clip
    clip_variance = np.bincount(what, residual**2) / per_clip - clip_mean**2
    shift = bias.mean()
    return Recovery(
        pd.Series(quality + shift, clips),
        pd.Series(np.sqrt(np.maximum(clip_variance, 0.0) / per_clip), clips),
        pd.Series(bias - shift, raters),
        pd.Series(inconsistency, raters),
    )


def method_scores(scores: pd.DataFrame, dimension: str) -> pd.DataFrame:
    """Returns each method's mean recovered score, with a 95 % interval for these clips.

    Args:
        scores: Rows of `table.main_scores`.
        dimension: The dimension to read.

    Returns:
        A row for each method: method, score, low, high (points), clips. The interval is over
        raters only: 1.96 times the root of the summed squared deviations over the clip count; NaN
        where the raters agree to the digit.

    Raises:
        NotComputableError: As `recover`.
    """
    rows = scores[scores["dimension"] == dimension]
    found = recover(rows)
    clips = pd.DataFrame({"score": found.score, "variance": found.deviation**2})
    clips["method"] = rows.drop_duplicates("clip").set_index("clip")["method"]
    table = clips.groupby("method", as_index=False).agg(
        score=("score", "mean"), variance=("variance", "sum"), clips=("score", "size")
    )
    # Raters without any residual spread say nothing of how far others would differ.
    spread = np.sqrt(table["variance"]).where(table["variance"] > _LEAST_VARIANCE)
    half = 1.96 * spread / table["clips"]
    return table.assign(low=table["score"] - half, high=table["score"] + half)[
        ["method", "score", "low", "high", "clips"]
    ]
