"""How good is each method: mean opinion scores with two kinds of interval."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from study.analysis.table import NotComputableError, main_scores

EQUAL = 1e-9
"""Points below which two means are the same number, whatever the rounding of the division."""


@dataclass(frozen=True)
class Interval:
    """A mean and its interval, in points of the scale.

    Attributes:
        mean: The estimate.
        low: Lower end.
        high: Upper end.
        n: How many values the interval is over.
    """

    mean: float
    low: float
    high: float
    n: int


def t_interval(values: np.ndarray, confidence: float = 0.95) -> Interval:
    """Returns a mean with Student's t interval.

    Args:
        values: Shape (n,), independent values.
        confidence: In (0, 1).

    Raises:
        NotComputableError: If there are fewer than two values, or all are equal: an interval of no
            width would claim a certainty that so few values cannot give.
    """
    from scipy import stats

    values = np.asarray(values, float)
    if values.size < 2:
        raise NotComputableError(
            f"a t interval needs two values or more, and there {_are(values.size)}"
        )
    if np.ptp(values) < EQUAL:
        raise NotComputableError("all values are equal, so that nothing is known of their spread")
    mean = float(values.mean())
    half = float(stats.t.ppf((1 + confidence) / 2, values.size - 1)) * float(
        values.std(ddof=1) / np.sqrt(values.size)
    )
    return Interval(mean, mean - half, mean + half, values.size)


def rater_means(scores: pd.DataFrame, dimension: str) -> pd.DataFrame:
    """Returns each rater's mean for each method, shape (raters, methods); NaN where none was given.

    Args:
        scores: Rows of `table.main_scores`.
        dimension: The dimension to read.
    """
    rows = scores[scores["dimension"] == dimension]
    return rows.pivot_table(index="rater", columns="method", values="score", aggfunc="mean")


def opinion_scores(
    ratings: pd.DataFrame, *, resamples: int = 2000, seed: int = 0, confidence: float = 0.95
) -> pd.DataFrame:
    """Returns the mean opinion score of every method and dimension with both intervals.

    `t_low`, `t_high`: Student's t over the raters' means, so these raters' population and these
    clips only. `low`, `high`: see `crossed_bootstrap`; new raters and new items count.

    Args:
        ratings: A checked ratings table; attention items and repetitions are left out.
        resamples: Bootstrap resamples.
        seed: Seed of the resampling.
        confidence: In (0, 1).

    Returns:
        A row for each method and dimension: method, dimension, mos (mean of all its scores),
        t_low, t_high, low, high, scores, raters, items; NaN where an interval cannot be computed.
    """
    scores = main_scores(ratings)
    rows = []
    for dimension in dict.fromkeys(scores["dimension"]):
        part = scores[scores["dimension"] == dimension]
        means = rater_means(scores, dimension)
        try:
            draws = crossed_bootstrap(part, resamples=resamples, seed=seed)
        except NotComputableError:
            draws = None
        for method in dict.fromkeys(part["method"]):
            own = part[part["method"] == method]
            low, high = (np.nan, np.nan) if draws is None else bounds(draws[method], confidence)
            try:
                t = t_interval(means[method].dropna().to_numpy(), confidence)
                t_low, t_high = t.low, t.high
            except NotComputableError:
                t_low = t_high = np.nan
            rows.append(
                {
                    "method": method,
                    "dimension": dimension,
                    "mos": float(own["score"].mean()),
                    "t_low": t_low,
                    "t_high": t_high,
                    "low": low,
                    "high": high,
                    "scores": len(own),
                    "raters": own["rater"].nunique(),
                    "items": own["item"].nunique(),
                }
            )
    return pd.DataFrame(rows)


def crossed_bootstrap(
    scores: pd.DataFrame, *, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Returns means of each method over resampled raters and resampled items.

    The pigeonhole bootstrap (Owen 2007, Annals of Applied Statistics 1, 386): raters and items are
    each drawn with replacement and every score counts (times its rater was drawn) x (times its item
    was drawn). One draw serves all methods, so differences of columns are draws of differences.

    Args:
        scores: Rows of one dimension of `table.main_scores`.
        resamples: Number of rows to return.
        seed: Seed of the draws.

    Returns:
        Shape (resamples, methods), columns named by method.

    Raises:
        NotComputableError: If there are fewer than two raters or two items.
    """
    raters, rater_index = np.unique(scores["rater"], return_inverse=True)
    items, item_index = np.unique(scores["item"], return_inverse=True)
    for count, what in ((raters.size, "raters"), (items.size, "items")):
        if count < 2:
            raise NotComputableError(
                f"resampling needs two {what} or more, and there {_are(count)}"
            )
    rng = np.random.default_rng(seed)
    rater_draws = rng.multinomial(raters.size, np.full(raters.size, 1 / raters.size), resamples)
    item_draws = rng.multinomial(items.size, np.full(items.size, 1 / items.size), resamples)
    columns = {}
    for method in dict.fromkeys(scores["method"]):
        own = (scores["method"] == method).to_numpy()
        total = np.zeros((raters.size, items.size))
        given = np.zeros((raters.size, items.size))
        np.add.at(total, (rater_index[own], item_index[own]), scores["score"].to_numpy()[own])
        np.add.at(given, (rater_index[own], item_index[own]), 1.0)
        weight = ((rater_draws @ given) * item_draws).sum(1)
        summed = ((rater_draws @ total) * item_draws).sum(1)
        # A resample without a score of this method says nothing about it.
        columns[method] = np.divide(
            summed, weight, out=np.full(resamples, np.nan), where=weight > 0
        )
    return pd.DataFrame(columns)


def bounds(draws: pd.Series, confidence: float = 0.95) -> tuple[float, float]:
    """Returns the percentile interval of bootstrap draws; draws without a score are left out.

    Equal draws give no interval, NaN: one of no width would claim certainty.
    """
    kept = draws.to_numpy(float)
    kept = kept[~np.isnan(kept)]
    if kept.size == 0 or np.ptp(kept) < EQUAL:
        return np.nan, np.nan
    low, high = np.quantile(kept, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _are(count: int) -> str:
    return "is one" if count == 1 else "is none" if count == 0 else f"are {count}"
