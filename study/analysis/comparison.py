"""Do the methods differ, and does one chosen method beat each of the others?"""

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from study.analysis.mos import bounds, crossed_bootstrap, rater_means
from study.analysis.table import NotComputableError, main_scores


@dataclass(frozen=True)
class Friedman:
    """Friedman's test that all methods are rated alike.

    Attributes:
        statistic: Chi-square statistic, corrected for ties.
        freedom: Methods - 1.
        p: From the chi-square distribution.
        concordance: Kendall's W in [0, 1]: 1 when every rater orders the methods alike.
        raters: Raters who scored every method; the others are left out.
        left_out: Raters who lack a method.
    """

    statistic: float
    freedom: int
    p: float
    concordance: float
    raters: int
    left_out: int


def friedman(means: pd.DataFrame) -> Friedman:
    """Returns Friedman's test over raters, blocked by rater (scipy's `friedmanchisquare`).

    Args:
        means: Shape (raters, methods), each rater's mean of each method; NaN where none was given.

    Raises:
        NotComputableError: If fewer than three methods or two complete raters remain, or every
            rater gave all methods the same mean.
    """
    from scipy import stats

    complete = means.dropna()
    raters, methods = complete.shape
    if methods < 3:
        raise NotComputableError(
            f"Friedman's test compares three methods or more, and there are {methods}"
        )
    if raters < 2:
        raise NotComputableError(
            "Friedman's test needs two raters or more who scored every method, and there "
            + ("is one" if raters == 1 else "is none")
        )
    # Means of the same whole numbers must tie exactly, whatever the rounding of the division.
    values = np.round(complete.to_numpy(float), 10)
    if (values == values[:, :1]).all():
        raise NotComputableError("every rater gave all methods the same mean")
    statistic, p = stats.friedmanchisquare(*values.T)
    return Friedman(
        float(statistic),
        methods - 1,
        float(p),
        float(statistic) / (raters * (methods - 1)),
        raters,
        len(means) - raters,
    )


@dataclass(frozen=True)
class SignedRank:
    """Wilcoxon's signed-rank test of paired differences.

    Attributes:
        statistic: The smaller of the two rank sums.
        p: Two-sided and exact, also with tied ranks.
        effect: Matched-pairs rank-biserial correlation in [-1, 1] (Kerby 2014): the share of the
            rank sum in favour less the share against.
        pairs: Differences that are not zero.
        zeros: Differences that are zero and were left out.
    """

    statistic: float
    p: float
    effect: float
    pairs: int
    zeros: int


def signed_rank(differences: np.ndarray) -> SignedRank:
    """Returns Wilcoxon's signed-rank test of differences, ranks by scipy.

    Design choice: the null distribution is counted exactly (the shift algorithm of Streitberg and
    Roehmel 1986). Raters' means are full of ties, for which scipy's `wilcoxon` either takes the
    normal approximation or, up to 13 pairs, enumerates in Python for seconds.

    Args:
        differences: Shape (n,), one for each rater; NaN is left out.

    Raises:
        NotComputableError: If fewer than two differences are other than zero.
    """
    from scipy import stats

    values = np.asarray(differences, float)
    # Means of the same whole numbers must tie exactly, whatever the rounding of the division.
    values = np.round(values[~np.isnan(values)], 10)
    kept = values[values != 0]
    if kept.size == 0:
        raise NotComputableError("no rater gave the two methods different means")
    if kept.size == 1:
        raise NotComputableError("only one rater gave the two methods different means")
    # Twice the ranks, as ties give half ranks.
    ranks = np.rint(2 * stats.rankdata(np.abs(kept))).astype(int)
    favour, total = int(ranks[kept > 0].sum()), int(ranks.sum())
    chance = np.zeros(total + 1)
    chance[0] = 1.0
    for rank in ranks:
        shifted = np.zeros(total + 1)
        shifted[rank:] = chance[:-rank]
        chance = (chance + shifted) / 2
    smaller = min(favour, total - favour)
    p = min(1.0, 2 * float(chance[: smaller + 1].sum()))
    return SignedRank(
        smaller / 2, p, (2 * favour - total) / total, kept.size, values.size - kept.size
    )


def holm(p: np.ndarray) -> np.ndarray:
    """Returns p values adjusted by Holm's step-down method (statsmodels' `multipletests`).

    Args:
        p: Shape (n,), the family's p values.
    """
    from statsmodels.stats.multitest import multipletests

    adjusted: np.ndarray = multipletests(p, method="holm")[1]
    return adjusted


def against_others(
    ratings: pd.DataFrame,
    ours: str,
    *,
    resamples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Returns one method against every other in every dimension (see `compared`).

    Args:
        ratings: A checked ratings table; attention items and repetitions are left out.
        ours: The method to compare with all others.
        resamples: Bootstrap resamples.
        seed: Seed of the resampling.
        confidence: Of the interval, in (0, 1).

    Raises:
        NotComputableError: If `ours` has no scores or is alone.
    """
    scores = main_scores(ratings)
    methods = _methods(scores)
    if ours not in methods:
        raise NotComputableError(
            f"no score was given to {ours!r}; the methods are {', '.join(methods) or 'none'}"
        )
    if len(methods) < 2:
        raise NotComputableError(f"there is no method to compare {ours!r} with")
    pairs = [(ours, other) for other in methods if other != ours]
    return compared(scores, pairs, resamples, seed, confidence)


def every_pair(
    ratings: pd.DataFrame, *, resamples: int = 2000, seed: int = 0, confidence: float = 0.95
) -> pd.DataFrame:
    """Returns every method against every other in every dimension (see `compared`).

    Args:
        ratings: A checked ratings table; attention items and repetitions are left out.
        resamples: Bootstrap resamples.
        seed: Seed of the resampling.
        confidence: Of the interval, in (0, 1).

    Raises:
        NotComputableError: If there are fewer than two methods.
    """
    scores = main_scores(ratings)
    methods = _methods(scores)
    if len(methods) < 2:
        raise NotComputableError(f"there are {len(methods)} methods; two or more can be compared")
    pairs = list(itertools.combinations(methods, 2))
    return compared(scores, pairs, resamples, seed, confidence)


def compared(
    scores: pd.DataFrame,
    pairs: list[tuple[str, str]],
    resamples: int,
    seed: int,
    confidence: float,
) -> pd.DataFrame:
    """Returns pairs of methods compared in every dimension.

    The test's pairs are raters: a rater's mean for the one less the rater's mean for the other.
    Holm's adjustment is over the whole family, pairs of methods x dimensions. The interval of the
    difference is from `mos.crossed_bootstrap`, so that new raters and new items count in it, while
    the test's p value is for these clips only.

    Args:
        scores: Rows of `table.main_scores`.
        pairs: Methods to compare, the one and the other.
        resamples: Bootstrap resamples.
        seed: Seed of the resampling.
        confidence: Of the interval, in (0, 1).

    Returns:
        A row for each pair and dimension: method, other, dimension, difference (mean over raters,
        points), low, high, statistic, p, p_holm, effect, pairs, zeros, note. Where the test cannot
        be computed p is 1 in the family, so that the others are not favoured, and note says why.
    """
    rows = []
    for dimension in dict.fromkeys(scores["dimension"]):
        means = rater_means(scores, dimension)
        part = scores[scores["dimension"] == dimension]
        try:
            draws = crossed_bootstrap(part, resamples=resamples, seed=seed)
        except NotComputableError:
            draws = None
        for one, other in pairs:
            row: dict[str, object] = {"method": one, "other": other, "dimension": dimension}
            if one not in means or other not in means:
                differences = np.array([])
            else:
                differences = (means[one] - means[other]).dropna().to_numpy()
            row["difference"] = float(differences.mean()) if differences.size else np.nan
            row["low"], row["high"] = (
                bounds(draws[one] - draws[other], confidence)
                if draws is not None and differences.size
                else (np.nan, np.nan)
            )
            row |= _test(differences)
            rows.append(row)
    table = pd.DataFrame(rows)
    table.insert(table.columns.get_loc("p") + 1, "p_holm", holm(table["p"].to_numpy(float)))
    return table


def _methods(scores: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(scores["method"]))


def _test(differences: np.ndarray) -> dict[str, object]:
    """Returns the test's columns of one row, or why there is no test."""
    untested = {"statistic": np.nan, "p": 1.0, "effect": np.nan, "pairs": 0}
    if differences.size == 0:
        return untested | {"zeros": 0, "note": "not tested: no rater scored both methods"}
    try:
        test = signed_rank(differences)
    except NotComputableError as reason:
        return untested | {"zeros": differences.size, "note": f"not tested: {reason}"}
    note = ""
    if test.pairs < 6:
        note = (
            f"with {test.pairs} differing raters p cannot fall below {2.0 ** (1 - test.pairs):.3g}"
        )
    return {
        "statistic": test.statistic,
        "p": test.p,
        "effect": test.effect,
        "pairs": test.pairs,
        "zeros": test.zeros,
        "note": note,
    }
