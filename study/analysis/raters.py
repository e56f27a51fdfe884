"""One row for each rater: how they scored, and whether they are kept in the screened results."""

from dataclasses import dataclass

import pandas as pd

from study.analysis.screening import agreement_with_others, biases, bt500
from study.analysis.table import NotComputableError, main_scores, without_attention


@dataclass(frozen=True)
class Rules:
    """When a rater is left out of the screened results; fixed before the results are seen.

    Design choice: ITU-T P.913 discards below a correlation of .75, a figure for graded distortions
    of one source; raters of generated video agree less, and scripted honest raters stay above .3.

    Attributes:
        least_correlation: With the mean of the other raters.
        gold_tolerance: Points between a score and an attention item's expected score that pass.
        most_gold_failures: Share of attention scores failed, in [0, 1].
        most_repeat_difference: Mean absolute difference between repeated presentations, points; two
            uniform random scores differ by 1.6.
        least_repeats: Repeated clips below which that difference is too uncertain to judge by.
        least_spread: Standard deviation of a rater's scores, points.
    """

    least_correlation: float = 0.3
    gold_tolerance: float = 1.0
    most_gold_failures: float = 0.34
    most_repeat_difference: float = 1.5
    least_repeats: int = 5
    least_spread: float = 0.25

    def sentences(self) -> list[str]:
        """Returns the rules as sentences for the report."""
        return [
            "ITU-R BT.500 rejects the rater (outlying scores to both sides);",
            f"the scores hardly vary (standard deviation below {self.least_spread:g});",
            "the correlation with the mean of the other raters is below "
            f"{self.least_correlation:g};",
            f"more than {self.most_gold_failures:.0%} of the scores of attention items are more "
            f"than {self.gold_tolerance:g} from the expected score;",
            f"scores of {self.least_repeats} or more repeated clips differ by more than "
            f"{self.most_repeat_difference:g} on average.",
        ]


def rater_table(ratings: pd.DataFrame, rules: Rules | None = None) -> pd.DataFrame:
    """Returns what is known of each rater, and the rules they break.

    Args:
        ratings: A checked ratings table with its attention items and repetitions.
        rules: When to leave a rater out; the defaults when None.

    Returns:
        A row for each rater in order of appearance: rater, scores, mean, spread (points), bias
        (points above the stimulus means), seconds (median on a page), correlation, above and below
        (BT.500 outliers), repeats (clips seen again), repeat_same (share), repeat_difference
        (points), gold (attention scores), gold_failed (share), reasons (text, empty when none) and
        kept. NaN where there is nothing to compute from.
    """
    rules = rules or Rules()
    scores = main_scores(ratings)
    raters = pd.Index(dict.fromkeys(ratings["rater"]), name="rater")
    by_rater = scores.groupby("rater", sort=False)["score"]
    outliers = bt500(scores).reindex(raters)
    try:
        correlation = agreement_with_others(scores)
    except NotComputableError:
        correlation = pd.Series(dtype=float)
    # A row's seconds end with its own score; a page's with its last one.
    pages = ratings.groupby(["rater", "position"], sort=False)["seconds"].max()
    table = pd.DataFrame(
        {
            "scores": by_rater.size().reindex(raters).fillna(0).astype(int),
            "mean": by_rater.mean().reindex(raters),
            "spread": by_rater.std(ddof=1).reindex(raters),
            "bias": biases(scores).reindex(raters),
            "seconds": pages.groupby("rater").median().reindex(raters),
            "correlation": correlation.reindex(raters).astype(float),
            "above": outliers["above"].fillna(0).astype(int),
            "below": outliers["below"].fillna(0).astype(int),
        },
        index=raters,
    )
    table = table.join(_repeats(ratings).reindex(raters))
    table = table.join(_gold(ratings, rules).reindex(raters))
    for name in ("repeats", "gold"):
        table[name] = table[name].fillna(0).astype(int)
    rejected = outliers["rejected"].eq(True)
    broken = {
        "outlying (BT.500)": rejected,
        "hardly any spread": (table["scores"] > 1) & (table["spread"] < rules.least_spread),
        "disagrees with the others": table["correlation"] < rules.least_correlation,
        "failed attention items": table["gold_failed"] > rules.most_gold_failures,
        "inconsistent on repeats": (table["repeats"] >= rules.least_repeats)
        & (table["repeat_difference"] > rules.most_repeat_difference),
    }
    table["reasons"] = [
        ", ".join(name for name, where in broken.items() if where[rater]) for rater in raters
    ]
    table["kept"] = table["reasons"] == ""
    return table.reset_index()


def screened(ratings: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Returns the ratings of the raters that a rater table keeps."""
    kept = set(table.loc[table["kept"], "rater"])
    return ratings[ratings["rater"].isin(kept)].reset_index(drop=True)


def _repeats(ratings: pd.DataFrame) -> pd.DataFrame:
    """Returns, by rater, how repeated presentations agree with the first ones."""
    key = ["rater", "clip", "dimension"]
    real = without_attention(ratings)
    first = real[~real["repeat"]].groupby(key)["score"].mean()
    again = real[real["repeat"]].groupby(key)["score"].mean()
    difference = (again - first).dropna().abs()
    by_rater = difference.groupby("rater")
    return pd.DataFrame(
        {
            "repeats": difference.reset_index().groupby("rater")["clip"].nunique(),
            "repeat_same": difference.eq(0).groupby("rater").mean(),
            "repeat_difference": by_rater.mean(),
        }
    )


def _gold(ratings: pd.DataFrame, rules: Rules) -> pd.DataFrame:
    """Returns, by rater, how many attention scores there were and what share failed."""
    rows = ratings[ratings["gold"].notna()]
    failed = (rows["score"] - rows["gold"]).abs() > rules.gold_tolerance + 1e-9
    by_rater = failed.groupby(rows["rater"])
    return pd.DataFrame({"gold": by_rater.size(), "gold_failed": by_rater.mean().astype(float)})
