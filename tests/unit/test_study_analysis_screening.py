"""Screening of raters, and the row that each rater gets."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from study_scripted import Script, scripted_ratings

from study.analysis.raters import Rules, rater_table, screened
from study.analysis.screening import agreement_with_others, biases, bt500, without_bias
from study.analysis.table import NotComputableError, check_ratings


def panel(matrix: np.ndarray) -> pd.DataFrame:
    """Scores of shape (clips, raters) as rows; NaN cells are left out."""
    clip, rater = np.indices(matrix.shape)
    table = pd.DataFrame(
        {
            "clip": [f"c{one}" for one in clip.ravel()],
            "rater": [f"r{one:02}" for one in rater.ravel()],
            "dimension": "d",
            "score": matrix.ravel(),
        }
    )
    return table.dropna()


def bt500_by_the_book(matrix: np.ndarray, ddof: int) -> list[int]:
    """BT.500's procedure as its text has it, one score at a time."""
    raters = matrix.shape[1]
    above, below = [0] * raters, [0] * raters
    for row in matrix:
        kept = [value for value in row if not np.isnan(value)]
        mean = sum(kept) / len(kept)
        second = sum((value - mean) ** 2 for value in kept) / len(kept)
        if second == 0:
            continue
        kurtosis = sum((value - mean) ** 4 for value in kept) / len(kept) / second**2
        deviation = (sum((value - mean) ** 2 for value in kept) / (len(kept) - ddof)) ** 0.5
        limit = (2 if 2 <= kurtosis <= 4 else 20**0.5) * deviation
        for rater, value in enumerate(row):
            above[rater] += value >= mean + limit
            below[rater] += value <= mean - limit
    rejected = []
    for rater in range(raters):
        count, scored = above[rater] + below[rater], int((~np.isnan(matrix[:, rater])).sum())
        if count / scored > 0.05 and abs(above[rater] - below[rater]) / count < 0.3:
            rejected.append(rater)
    return rejected


@pytest.mark.parametrize("ddof", [0, 1])
def test_bt500_rejects_as_the_recommendation_says(ddof: int) -> None:
    """Wrong kurtosis, a threshold of sqrt(20) everywhere, or groups mixed up between clips."""
    rejections = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        truth = rng.uniform(1.5, 4.5, 60)[:, None]
        matrix = np.clip(np.rint(truth + rng.normal(0, 0.6, (60, 18))), 1, 5)
        matrix[:, :3] = rng.integers(1, 6, (60, 3))
        matrix[rng.random(matrix.shape) < 0.1] = np.nan
        matrix[5] = 3.0
        found = bt500(panel(matrix), ddof=ddof)
        expected = bt500_by_the_book(matrix, ddof)
        assert [f"r{rater:02}" for rater in expected] == sorted(found.index[found["rejected"]])
        rejections += len(expected)
    assert rejections > 10


def test_bt500_keeps_a_rater_who_is_always_high() -> None:
    """A bias is no reason for rejection: the second condition must count."""
    rng = np.random.default_rng(1)
    matrix = np.clip(np.rint(rng.uniform(2, 3, 80)[:, None] + rng.normal(0, 0.4, (80, 15))), 1, 5)
    matrix[:, 0] = np.minimum(matrix[:, 0] + 2, 5)
    found = bt500(panel(matrix))
    assert found.loc["r00", "above"] / 80 > 0.05
    assert not found.loc["r00", "rejected"]


def test_bias_is_removed_and_means_stay() -> None:
    """P.913: with every cell filled, biases sum to zero and the clips' means do not move."""
    rng = np.random.default_rng(2)
    matrix = rng.integers(1, 6, (10, 6)).astype(float)
    scores = panel(matrix)
    assert biases(scores).to_numpy() == pytest.approx(matrix.mean(0) - matrix.mean())
    adjusted = without_bias(scores).pivot_table(index="clip", columns="rater", values="score")
    order = [f"c{clip}" for clip in range(10)]
    assert adjusted.loc[order].mean(axis=1).to_numpy() == pytest.approx(matrix.mean(1))
    assert adjusted.mean().to_numpy() == pytest.approx(np.full(6, matrix.mean()))


def test_agreement_leaves_the_rater_out() -> None:
    """With two raters, a mean that holds the rater would agree with themselves."""
    matrix = np.array([[1.0, 5], [2, 4], [3, 3], [4, 2], [5, 1]])
    assert agreement_with_others(panel(matrix)).to_numpy() == pytest.approx([-1.0, -1.0])
    with pytest.raises(NotComputableError, match="no others"):
        agreement_with_others(panel(matrix[:, :1]))


def test_agreement_of_a_constant_rater_is_unknown() -> None:
    """NaN, not 0 and not a warning."""
    matrix = np.column_stack([np.full(6, 4.0), np.arange(6) % 5 + 1, np.arange(6) % 4 + 1])
    found = agreement_with_others(panel(matrix))
    assert np.isnan(found["r00"])
    assert found["r01":].notna().all()


def test_scripted_bad_raters_are_found_and_hardly_anybody_else() -> None:
    """Twelve studies of 23 raters: a bad rater who is kept, or honest ones who are left out."""
    honest_left_out = 0
    for seed in range(12):
        ratings, bad = scripted_ratings(Script(dimensions=("Text", "Overall")), seed)
        table = rater_table(ratings)
        left_out = set(table.loc[~table["kept"], "rater"])
        assert set(bad) <= left_out
        honest_left_out += len(left_out - set(bad))
    assert honest_left_out <= 1


def test_a_row_for_each_rater() -> None:
    """Counts that mix up attention items, repetitions and scores."""
    ratings, _ = scripted_ratings(Script(honest=4, bad=("constant",), attention=2), 3)
    table = rater_table(ratings).set_index("rater")
    assert (table["scores"] == 2 * 2 * 7 * 4).all()
    assert (table["gold"] == 2 * 4).all()
    assert (table["repeats"] == 2).all()
    one = table.index[0]
    rows = ratings[(ratings["rater"] == one) & ratings["gold"].isna()]
    again = rows[rows["repeat"]]
    first = rows[~rows["repeat"]].groupby(["clip", "dimension"])["score"].mean()
    differences = [abs(row.score - first[row.clip, row.dimension]) for row in again.itertuples()]
    # A clip that comes again on the one repeated page is scored there on one side.
    assert table.loc[one, "repeat_difference"] == pytest.approx(np.mean(differences))
    constant = table[table["spread"] == 0]
    assert len(constant) == 1
    assert "hardly any spread" in constant["reasons"].iloc[0]


def test_seconds_of_a_page_end_with_its_last_score() -> None:
    """The first of eight scores of a page taken for the whole page."""
    ratings, _ = scripted_ratings(Script(honest=2, bad=(), dimensions=("a", "b"), attention=0), 1)
    order = ratings.groupby(["rater", "position"]).cumcount()
    table = rater_table(ratings.assign(seconds=2.0 + 3.0 * order))
    assert table["seconds"].tolist() == [2.0 + 3.0 * 3] * 2


def test_rules_are_obeyed() -> None:
    """An option that is read and not obeyed."""
    ratings, bad = scripted_ratings(Script(honest=6), 5)
    nothing = Rules(
        least_correlation=-1.1, most_gold_failures=1.0, most_repeat_difference=9, least_spread=-1
    )
    reasons = set(rater_table(ratings, nothing)["reasons"])
    assert reasons <= {"", "outlying (BT.500)"}
    strict = replace(nothing, least_correlation=1.1)
    table = rater_table(ratings, strict)
    constant = table["correlation"].isna()
    assert (table["kept"] == constant & (table["reasons"] == "")).all()
    often = replace(nothing, most_repeat_difference=-1, least_repeats=1)
    assert rater_table(ratings, often)["reasons"].str.contains("inconsistent").all()
    seldom = replace(often, least_repeats=99)
    assert not rater_table(ratings, seldom)["reasons"].str.contains("inconsistent").any()
    failing = replace(nothing, most_gold_failures=-1)
    assert rater_table(ratings, failing)["reasons"].str.contains("attention").all()
    flat = replace(nothing, least_spread=9)
    assert rater_table(ratings, flat)["reasons"].str.contains("spread").all()
    assert screened(ratings, rater_table(ratings))["rater"].nunique() == 6
    assert not set(bad) & set(screened(ratings, rater_table(ratings))["rater"])


def test_one_rater_is_described() -> None:
    """The first finished rater must not break the table."""
    ratings, _ = scripted_ratings(Script(honest=1, bad=()), 0)
    table = rater_table(ratings)
    assert len(table) == 1
    assert np.isnan(table["correlation"].iloc[0])
    assert table["kept"].iloc[0]


def test_a_page_with_one_expected_score_measures_no_method() -> None:
    """An attention page expects a score in one dimension; its others must not count as a method."""
    ratings, _ = scripted_ratings(Script(honest=3, bad=()), 0)
    attention = ratings["gold"].notna()
    partly = ratings.assign(gold=ratings["gold"].where(ratings["dimension"] == "Text"))
    whole, part = rater_table(ratings), rater_table(check_ratings(partly))
    assert attention.sum() > partly["gold"].notna().sum() > 0
    assert part["scores"].tolist() == whole["scores"].tolist()
