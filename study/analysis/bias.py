"""Did the side or the moment of showing change the scores?"""

import numpy as np
import pandas as pd

from study.analysis.libraries import known_deprecations_ignored
from study.analysis.table import NotComputableError, without_attention

ALL_DIMENSIONS = "all together"


def side_and_order(ratings: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """Returns what the left side and the last page add to a score, in points.

    Least squares of score ~ rater + clip + side + position in each dimension and for the mean of
    all dimensions: a clip is compared with itself on the other side, shown to other raters or
    again to the same one. Standard errors are clustered by rater, quantiles are Student's t with
    raters - 1 degrees of freedom (statsmodels' OLS). Repetitions count, attention items do not.

    Args:
        ratings: A checked ratings table.
        confidence: Of the intervals, in (0, 1).

    Returns:
        A row for each dimension and effect: dimension, effect ("left side", "last page"),
        estimate, low, high (points), p, note; numbers are NaN where note says why.
    """
    rows = without_attention(ratings)
    looks = ["rater", "clip", "side", "position"]
    mean = rows.groupby(looks, sort=False, as_index=False)["score"].mean()
    parts = {name: rows[rows["dimension"] == name] for name in dict.fromkeys(rows["dimension"])}
    if len(parts) > 1:
        parts[ALL_DIMENSIONS] = mean
    found = []
    for dimension, part in parts.items():
        side = part["side"].map({"left": 0.5, "right": -0.5, "single": 0.0}).to_numpy(float)
        position = part["position"].to_numpy(float) / max(int(part["position"].max()), 1)
        for effect, values, other in (
            ("left side", side, position),
            ("last page", position, side),
        ):
            row: dict[str, object] = {"dimension": dimension, "effect": effect}
            try:
                row |= _effect(part, values, other, confidence) | {"note": ""}
            except NotComputableError as reason:
                row |= dict.fromkeys(("estimate", "low", "high", "p"), np.nan)
                row["note"] = str(reason)
            found.append(row)
    return pd.DataFrame(found)


def _effect(
    part: pd.DataFrame, values: np.ndarray, other: np.ndarray, confidence: float
) -> dict[str, float]:
    """Returns one effect beside raters, clips and the other effect."""
    with known_deprecations_ignored():
        from statsmodels.regression.linear_model import OLS

    if part["rater"].nunique() < 3:
        raise NotComputableError("an interval over raters needs three raters or more")
    dummies = pd.get_dummies(part[["rater", "clip"]], dtype=float).to_numpy()
    nuisance = np.column_stack([dummies, other])
    # Frisch, Waugh and Lovell: the effect is the slope on what raters and clips leave of it.
    left = values - nuisance @ np.linalg.lstsq(nuisance, values, rcond=None)[0]
    if np.abs(left).max() < 1e-8:
        raise NotComputableError("the design does not let it be told apart from raters and clips")
    score = part["score"].to_numpy(float)
    rest = score - nuisance @ np.linalg.lstsq(nuisance, score, rcond=None)[0]
    if np.abs(rest).max() < 1e-8:
        raise NotComputableError("nothing is left to explain once raters and clips are known")
    groups = part["rater"].astype("category").cat.codes.to_numpy()
    result = OLS(rest, left).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
    if not result.bse[0] > 1e-8:  # also NaN
        raise NotComputableError("all raters show the same effect to the digit: no interval")
    low, high = result.conf_int(1 - confidence)[0]
    return {
        "estimate": float(result.params[0]),
        "low": float(low),
        "high": float(high),
        "p": float(result.pvalues[0]),
    }
