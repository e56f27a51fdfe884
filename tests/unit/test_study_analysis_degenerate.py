"""Statistics of too little or too even data: a reason in words, never an impossible number."""

import re
from collections.abc import Callable
from dataclasses import replace
from html import escape

import numpy as np
import pandas as pd
import pytest

from study.analysis.agreement import Intraclass, intraclass, krippendorff_alpha
from study.analysis.comparison import every_pair, friedman
from study.analysis.headline import headline
from study.analysis.info import StudyInfo
from study.analysis.mos import bounds, opinion_scores, t_interval
from study.analysis.raters import Rules
from study.analysis.report import page_html
from study.analysis.results import analyse
from study.analysis.table import (
    NotComputableError,
    check_choices,
    check_ratings,
    empty_choices,
    empty_ratings,
)

INFO = StudyInfo("A study", ours="a", resamples=50)
Score = Callable[[int, int, int], int]  # rater, method, item -> score


def ratings(score: Score, raters: int = 4, methods: int = 3, items: int = 2, gold: int = 0):
    """A study in one dimension; `gold` is what everybody answers where 5 was expected."""
    rows = [
        (f"r{r}", f"i{i}", f"c{m}{i}", "abcdefg"[m], score(r, m, i), methods * i + m, np.nan)
        for r in range(raters)
        for m in range(methods)
        for i in range(items)
    ]
    if gold:
        rows += [
            (f"r{r}", "i0", f"g{n}", "gold", gold, 100 + n, 5)
            for r in range(raters)
            for n in range(2)
        ]
    names = ["rater", "item", "clip", "method", "score", "position", "gold"]
    frame = pd.DataFrame(rows, columns=names)
    return check_ratings(frame.assign(dimension="d", side="single", seconds=1.0, repeat=False))


@pytest.mark.parametrize("seed", range(25))
def test_an_intraclass_correlation_is_possible_or_refused(seed: int) -> None:
    # Bug: "103.50 [7.95, -0.04]" under "1 is perfect", where clips differ less than single scores.
    rng = np.random.default_rng(seed)
    raters, clips = int(rng.integers(2, 6)), int(rng.integers(2, 6))
    spread = rng.choice([0.0, 0.3, 2.0], 3)
    values = 3 + spread[0] * rng.normal(size=(1, clips)) + spread[1] * rng.normal(size=(raters, 1))
    values = np.clip(np.rint(values + spread[2] * rng.normal(size=(raters, clips))), 1, 5)
    try:
        found = intraclass(pd.DataFrame(values))
    except NotComputableError:
        return
    for estimate, low, high in (
        (found.single, found.single_low, found.single_high),
        (found.average, found.average_low, found.average_high),
    ):
        assert 0 <= estimate <= 1
        assert np.isnan(low) or -1 <= low <= estimate + 0.01 <= high + 0.02 <= 1.03


@pytest.mark.parametrize(
    ("matrix", "reason"),
    [
        ([[1, 5, 3], [5, 1, 3]], "same mean"),
        ([[1, 4, 2], [4, 2, 3]], "no agreement shows"),
        ([[1, 2, 3], [2, 3, 4]], "constant shifts"),
        ([[3, 3, 3], [3, 3, 3]], "all scores are equal"),
    ],
)
def test_why_there_is_no_intraclass_correlation(matrix: list[list[int]], reason: str) -> None:
    with pytest.raises(NotComputableError, match=reason):
        intraclass(pd.DataFrame(np.array(matrix, float)))


def test_an_intraclass_correlation_that_exists_is_given() -> None:
    found = intraclass(pd.DataFrame([[1.0, 3, 5], [2, 3, 5], [1, 4, 4]]))
    assert isinstance(found, Intraclass)
    assert 0.5 < found.single < found.average < 1


@pytest.mark.parametrize("values", [[3.0, 3.0, 3.0], [1 / 3 + 1 / 3, 2 / 3]])
def test_no_interval_has_no_width(values: list[float]) -> None:
    # Bug: [4.00, 4.00] claims that every rater there is would give 4.
    with pytest.raises(NotComputableError, match="all values are equal"):
        t_interval(np.array(values))
    assert np.isnan(bounds(pd.Series(values))).all()


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval", "ratio"])
def test_alpha_of_even_scores_is_refused(level: str) -> None:
    for matrix in (np.full((3, 4), 2.0), np.array([[1, 2, np.nan]])):
        with pytest.raises(NotComputableError):
            krippendorff_alpha(matrix, level)


def test_friedman_ties_means_whatever_their_rounding() -> None:
    # Bug: 0.1 + 0.2 and 0.3 were ranked, and nothing but rounding decided.
    means = pd.DataFrame({"a": [0.1 + 0.2, 1.0], "b": [0.3, 1.0], "c": [0.3, 1.0]})
    with pytest.raises(NotComputableError, match="the same mean"):
        friedman(means)


def even(_rater: int, _method: int, _item: int) -> int:
    return 3


def falling(_rater: int, method: int, item: int) -> int:
    return 5 - method - (item and method == 0)


def balanced(rater: int, method: int, item: int) -> int:
    return 1 + (rater + method + 2 * item) % 4


CASES: dict[str, tuple[dict[str, object], str]] = {
    "all scores equal": ({"score": even}, "all methods have the same mean in d (3.00)"),
    "means equal, scores not": ({"score": balanced}, "all methods have the same mean in d (2.50)"),
    "two lead": (
        {"score": lambda r, m, i: 4 if m < 2 else 1 + r % 2},
        "a and b have the highest mean in d",
    ),
    "one method": ({"score": lambda r, m, i: 1 + r, "methods": 1}, "a is the only method scored"),
    "one rater": ({"score": falling, "raters": 1}, "one rater, from whom nothing follows"),
    "one item": ({"score": falling, "items": 1}, "a has the highest mean in d"),
    "nobody passes": ({"score": falling, "gold": 1}, "No rater passes the screening"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_first_sentence_claims_no_more_than_there_is(name: str) -> None:
    # Bugs: "all three have the highest mean"; a winner is named when no rater passes the screening.
    arguments, sentence = CASES[name]
    nobody = name == "nobody passes"
    # Rules that keep everybody but who fails the attention items: even scores have no spread.
    info = replace(INFO, rules=Rules(least_spread=-1, least_correlation=-2))
    results = analyse(ratings(**arguments), empty_choices(), info)  # type: ignore[arg-type]
    told = headline(results, info)
    assert sentence in told
    if nobody:
        assert "highest" not in told
        assert "better" not in told
    html = page_html(results, info)
    assert escape(told) in html
    shown = re.findall(r"\[(−?[0-9.]+), (−?[0-9.]+)\]", html)
    assert not [ends for ends in shown if ends[0] == ends[1]], "an interval without width"
    assert not re.search(r">(nan|inf|−?\d{3,}\.\d\d)", html)


def test_choices_have_a_first_sentence_too() -> None:
    # Bug: "There are no scores of methods in this study."
    rows = [
        {"rater": f"r{n}", "item": "i", "left": left, "right": right, "choice": choice}
        for n in range(3)
        for left, right, choice in (("a", "b", "left"), ("b", "c", "left"), ("c", "a", "tie"))
    ]
    frame = pd.DataFrame(rows).assign(dimension="d")
    frame["position"] = frame.groupby("rater").cumcount()
    told = headline(analyse(empty_ratings(), check_choices(frame), INFO), INFO)
    assert "a is preferred most often in d (75% of its choices)" in told
    ties = check_choices(frame.assign(choice="tie"))
    told = headline(analyse(empty_ratings(), ties, INFO), INFO)
    assert "no method is preferred to the others in d (50%" in told


def test_without_a_method_of_ones_own_every_pair_is_tested() -> None:
    # Bug: "Your method: none" gave no test, and nobody said so.
    info = StudyInfo("A study", resamples=50)
    table = ratings(lambda r, m, i: min(5, 5 - m + (r + i) % 2), raters=12)
    pairs = every_pair(table, resamples=50)
    assert list(zip(pairs["method"], pairs["other"], strict=True)) == [
        ("a", "b"),
        ("a", "c"),
        ("b", "c"),
    ]
    assert (pairs["difference"] > 0).all()
    assert (pairs["p_holm"] < 0.05).all()
    results = analyse(table, empty_choices(), info)
    html = page_html(results, info)
    assert "Every pair of methods" in html
    assert "a less c" in html
    assert "a difference shown in 3" in headline(results, info)
    assert not any("named" in reason for reason in results.missing)


def test_a_mean_without_spread_has_no_interval() -> None:
    table = opinion_scores(ratings(even), resamples=50)
    assert table[["t_low", "t_high", "low", "high"]].isna().all(axis=None)
    assert (table["mos"] == 3).all()
