"""Published answers that the analyses must give; each names the mistake it would catch."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from study.analysis.comparison import friedman, holm, signed_rank
from study.analysis.mos import t_interval
from study.analysis.p910 import recover
from study.analysis.power import Components, smallest_difference
from study.analysis.table import NotComputableError


def test_mos_of_five_scores() -> None:
    """A normal quantile or a population deviation in place of t would give another half width."""
    interval = t_interval(np.array([5, 4, 4, 3, 5]))
    assert interval.mean == pytest.approx(4.2)
    assert interval.high - interval.mean == pytest.approx(1.0389, abs=5e-5)
    assert interval.mean - interval.low == pytest.approx(1.0389, abs=5e-5)


def test_one_score_has_no_interval() -> None:
    """NaN must not come back as if it were an interval."""
    with pytest.raises(NotComputableError, match="two values or more"):
        t_interval(np.array([4.0]))


# Hollander and Wolfe (1973), rounding first base, seconds: round out, narrow angle, wide angle.
BASE_RUNNING = """
5.40 5.50 5.55  5.85 5.70 5.75  5.20 5.60 5.50  5.55 5.50 5.40  5.90 5.85 5.70  5.45 5.55 5.60
5.40 5.40 5.35  5.45 5.50 5.35  5.25 5.15 5.00  5.85 5.80 5.70  5.25 5.20 5.10  5.65 5.55 5.45
5.60 5.35 5.45  5.05 5.00 4.95  5.50 5.50 5.40  5.45 5.55 5.50  5.55 5.55 5.35  5.45 5.50 5.55
5.50 5.45 5.25  5.65 5.60 5.40  5.70 5.65 5.55  6.30 6.30 6.25
"""


def test_friedman_of_base_running() -> None:
    """A statistic without the correction for ties, or ranks across runners, would differ."""
    times = pd.DataFrame(np.array(BASE_RUNNING.split(), float).reshape(22, 3))
    result = friedman(times)
    assert result.statistic == pytest.approx(11.142857, abs=1e-6)
    assert result.p == pytest.approx(0.003805, abs=5e-7)
    assert result.freedom == 2
    assert result.concordance == pytest.approx(11.142857 / 44, abs=1e-6)


def test_holm_adjustment() -> None:
    """Bonferroni, or Holm without the running maximum, would give other values."""
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_signed_rank_of_maize() -> None:
    """Wrong signs, zeros or ranks: Darwin's maize (Fisher 1935), W = 24, exact p = .04126."""
    differences = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48])
    result = signed_rank(differences)
    assert result.statistic == 24
    assert result.p == pytest.approx(0.04126, abs=5e-6)
    assert result.effect == pytest.approx((96 - 24) / 120)


def test_one_difference_is_no_test() -> None:
    with pytest.raises(NotComputableError, match="only one rater"):
        signed_rank(np.array([0.0, 1.5, np.nan]))


def test_signed_rank_agrees_with_scipy() -> None:
    """Ties, zeros and small samples, where the null distribution differs from the tables."""
    rng = np.random.default_rng(4)
    for size in (3, 6, 8):
        differences = rng.integers(-3, 5, size) / 2
        expected = stats.wilcoxon(differences[differences != 0])
        result = signed_rank(differences)
        assert result.statistic == expected.statistic
        assert result.p == pytest.approx(expected.pvalue)
    untied = rng.normal(0.3, 1, 30)
    assert signed_rank(untied).p == pytest.approx(stats.wilcoxon(untied, method="exact").pvalue)


def test_recovery_of_planted_truth() -> None:
    """Bias with the wrong sign, or weights that do not fall with inconsistency."""
    rng = np.random.default_rng(3)
    quality = rng.uniform(1.5, 4.5, 400)
    bias = np.linspace(-0.5, 0.5, 20)
    inconsistency = rng.permutation(np.linspace(0.4, 1.6, 20))
    table = pd.DataFrame(
        [
            (
                f"c{clip:03}",
                f"r{rater:02}",
                quality[clip] + bias[rater] + inconsistency[rater] * noise,
            )
            for (clip, rater), noise in zip(
                product(range(400), range(20)), rng.standard_normal(8000), strict=True
            )
        ],
        columns=["clip", "rater", "score"],
    )
    found = recover(table)
    assert (np.abs(found.bias.to_numpy() - bias) < 4 * inconsistency / np.sqrt(400)).all()
    assert np.abs(found.inconsistency.to_numpy() / inconsistency - 1).max() < 0.2
    error = np.sqrt(np.mean((found.score.to_numpy() - quality) ** 2))
    plain = table.groupby("clip")["score"].mean().to_numpy()
    assert error < 0.8 * np.sqrt(np.mean((plain - quality) ** 2))


def test_planner_gives_the_notes_of_the_study() -> None:
    """A component divided by the wrong number would miss one of the three."""
    assert smallest_difference(20, 2, new_clips=True) == pytest.approx(1.5, abs=0.02)
    assert smallest_difference(20, 2, new_clips=False) == pytest.approx(0.57, abs=0.005)
    assert smallest_difference(20, 14, new_clips=True) == pytest.approx(0.62, abs=0.005)


@pytest.mark.parametrize("new_clips", [True, False])
def test_planned_difference_is_found_four_times_in_five(new_clips: bool) -> None:
    """A closed form that does not follow from its own model."""
    components = Components()
    raters, clips, studies = 12, 5, 4000
    truth = smallest_difference(raters, clips, components, new_clips=new_clips)
    rng = np.random.default_rng(8)
    # Two methods, method 1 better by `truth`; rater and item parts are there and must cancel.
    scores = rng.normal(0, components.residual, (studies, raters, clips, 2))
    scores += rng.normal(0, components.rater_method, (studies, raters, 1, 2))
    scores += rng.normal(0, 0.6, (studies, raters, 1, 1)) + rng.normal(
        0, 0.6, (studies, 1, clips, 1)
    )
    deviation = np.sqrt(
        2 * (components.rater_method**2 / raters + components.residual**2 / (raters * clips))
    )
    if new_clips:
        scores += rng.normal(0, components.clip, (studies, 1, clips, 2))
        deviation = np.sqrt(deviation**2 + 2 * components.clip**2 / clips)
    means = scores.mean((1, 2))
    found = np.abs(means[:, 1] - means[:, 0] + truth) > 1.959964 * deviation
    assert found.mean() == pytest.approx(0.8, abs=0.025)
