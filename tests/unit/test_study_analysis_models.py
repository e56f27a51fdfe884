"""Agreement, pairwise choices, the mixed model and biases: published answers and planted truth."""

import itertools

import numpy as np
import pandas as pd
import pytest
from study_scripted import Script, scripted_choices, scripted_ratings

from study.analysis import mixed
from study.analysis.agreement import clip_matrix, intraclass, krippendorff_alpha
from study.analysis.bias import ALL_DIMENSIONS, side_and_order
from study.analysis.comparison import against_others, friedman
from study.analysis.mixed import fit
from study.analysis.mos import crossed_bootstrap, opinion_scores
from study.analysis.pairs import bradley_terry, win_counts
from study.analysis.table import NotComputableError, check_ratings, main_scores

# Krippendorff (2011), reliability data C: four observers, twelve units, 0 where none was given.
DATA_C = """
1 2 3 3 2 1 4 1 2 0 0 0
1 2 3 3 2 2 4 1 2 5 0 3
0 3 3 3 2 3 4 2 2 5 1 0
1 2 3 3 2 4 4 1 2 5 1 0
"""


@pytest.mark.parametrize(
    ("level", "expected"),
    [("nominal", 0.7434), ("ordinal", 0.8154), ("interval", 0.8491), ("ratio", 0.7974)],
)
def test_alpha_of_krippendorffs_data(level: str, expected: float) -> None:
    """Another level of measurement, or a missing score read as a value."""
    matrix = np.array(DATA_C.split(), float).reshape(4, 12)
    matrix[matrix == 0] = np.nan
    assert krippendorff_alpha(matrix, level) == pytest.approx(expected, abs=5e-5)


def test_alpha_needs_pairs_that_vary() -> None:
    with pytest.raises(NotComputableError, match="scored by two raters"):
        krippendorff_alpha(np.array([[1.0, np.nan], [np.nan, 2]]))
    with pytest.raises(NotComputableError, match="all scores are equal"):
        krippendorff_alpha(np.full((3, 4), 2.0))


# Shrout and Fleiss (1979), table 2: six targets, four judges.
SHROUT_FLEISS = [
    [9, 2, 5, 8],
    [6, 1, 3, 2],
    [8, 4, 6, 8],
    [7, 1, 2, 6],
    [10, 5, 6, 9],
    [6, 2, 4, 7],
]


def test_intraclass_of_shrout_and_fleiss() -> None:
    """Consistency or one-way coefficients, or raters and targets exchanged."""
    matrix = pd.DataFrame(np.array(SHROUT_FLEISS, float).T)
    matrix[6] = [1.0, 2.0, np.nan, 3.0]
    found = intraclass(matrix)
    assert found.single == pytest.approx(0.2898, abs=5e-5)
    assert found.average == pytest.approx(0.6201, abs=5e-5)
    assert (found.raters, found.clips, found.left_out) == (4, 6, 1)


@pytest.mark.parametrize(
    ("matrix", "reason"),
    [
        (np.ones((1, 9)), "two raters"),
        (np.ones((9, 1)), "two clips"),
        (np.ones((3, 4)), "all scores are equal"),
        (np.tile([1.0, 2, 3], (3, 1)), "agreement is perfect"),
        (np.array([[1.0, np.nan, 3, 4, np.nan], [np.nan, 2, 3, np.nan, 5]]), "two clips"),
    ],
)
def test_intraclass_says_why_not(matrix: np.ndarray, reason: str) -> None:
    with pytest.raises(NotComputableError, match=reason):
        intraclass(pd.DataFrame(matrix))


# Agresti (Categorical Data Analysis), 1987 baseball: home wins-losses against each visitor.
TEAMS = ["MIL", "DET", "TOR", "NY", "BOS", "CLE", "BAL"]
BASEBALL = """
-   4-3 4-2 4-3 6-1 4-2 6-0
3-3 -   4-2 4-3 6-0 6-1 4-3
2-5 4-3 -   2-4 4-3 4-2 6-0
3-3 5-1 2-5 -   4-3 4-2 6-1
5-1 2-5 3-3 4-2 -   5-2 6-0
2-5 3-3 3-4 4-3 4-2 -   2-4
2-5 1-5 1-6 2-4 1-6 3-4 -
"""


def baseball() -> pd.DataFrame:
    rows = []
    for home, line in zip(TEAMS, BASEBALL.strip().splitlines(), strict=True):
        for away, cell in zip(TEAMS, line.split(), strict=True):
            if cell != "-":
                won, lost = map(int, cell.split("-"))
                rows += [(home, away, "left")] * won + [(home, away, "right")] * lost
    table = pd.DataFrame(rows, columns=["left", "right", "choice"])
    return table.assign(rater="season", item="x", dimension="d", position=range(len(table)))


def test_bradley_terry_of_baseball() -> None:
    """A side term that is always there, a wrong sign or a wrong reference."""
    found = bradley_terry(baseball(), "BAL", with_side=False).strengths.set_index("method")
    expected = {"MIL": 1.581, "DET": 1.436, "TOR": 1.294, "NY": 1.248, "BOS": 1.108, "CLE": 0.684}
    for team, strength in expected.items():
        assert found.loc[team, "strength"] == pytest.approx(strength, abs=6e-4)
    assert found.loc["MIL", ["wins", "losses"]].tolist() == [50, 28]


def test_home_advantage_of_baseball() -> None:
    """Agresti's home-field term is .302; a term with the wrong sign or coding would differ."""
    found = bradley_terry(baseball(), "BAL")
    assert found.side == pytest.approx(0.302, abs=5e-4)
    assert found.side_low < 0.302 < found.side_high


def test_bradley_terry_agrees_with_choix() -> None:
    """Without ties and without a side term both maximise the same likelihood."""
    import choix

    choices = scripted_choices(Script(ties=0.0, left_bias=0.0, honest=8), 4)
    ours = bradley_terry(choices, with_side=False).strengths.set_index("method")["strength"]
    number = {method: at for at, method in enumerate(sorted(ours.index))}
    data = [
        (number[row.left], number[row.right])
        if row.choice == "left"
        else (number[row.right], number[row.left])
        for row in choices.itertuples()
    ]
    theirs = choix.ilsr_pairwise(len(number), data)
    assert ours.sort_index().to_numpy() == pytest.approx(theirs - theirs.mean(), abs=1e-5)


def test_planted_strengths_and_side_are_recovered() -> None:
    """Over 20 studies the intervals of the side term hold the truth, and the order is found."""
    quality = {"A": 4.5, "B": 3.5, "C": 2.5, "D": 1.5}
    inside, ordered = 0, 0
    script = Script(quality=quality, honest=24, ties=0.0, clip=0.0, left_bias=0.4, residual=0.8)
    # A normal lead of .4 with deviation .8 sqrt(2): the log odds among equals, by its probability.
    from scipy import stats

    chance = stats.norm.cdf(0.4 / (0.8 * np.sqrt(2)))
    for seed in range(20):
        choices = scripted_choices(script, seed)
        found = bradley_terry(choices)
        ordered += list(found.strengths["method"]) == list(quality)
        near = choices[choices["left"].map(quality).sub(choices["right"].map(quality)).abs() < 1.5]
        assert len(near) > 50
        inside += found.side_low < np.log(chance / (1 - chance)) < found.side_high
    assert ordered >= 19
    assert inside >= 17


def some_choices(*rows: tuple[str, str, str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["left", "right", "choice"])
    return table.assign(rater="r1", item="x", dimension="d", position=range(len(table)))


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "no choices"),
        ([("A", "B", "left"), ("B", "A", "right")], "went one way"),
        ([("A", "B", "left"), ("B", "A", "left"), ("C", "D", "left")], "never compared"),
        (
            [("A", "B", "left"), ("A", "B", "right"), ("A", "C", "left"), ("C", "B", "right")],
            "every choice between .*C.* and the other methods|every choice between .*A, B",
        ),
    ],
)
def test_choices_without_finite_strengths_say_so(
    rows: list[tuple[str, str, str]], reason: str
) -> None:
    """Infinite strengths printed as large numbers."""
    with pytest.raises(NotComputableError, match=reason):
        bradley_terry(some_choices(*rows))


def test_a_side_always_chosen_has_no_finite_term() -> None:
    """Everybody presses left: the strengths are equal and the side term is left out, and said."""
    rows = [(one, other, "left") for one, other in itertools.permutations("ABC", 2)]
    found = bradley_terry(some_choices(*rows))
    assert np.isnan(found.side)
    assert any("no side term" in note for note in found.notes)
    assert found.strengths["strength"].to_numpy() == pytest.approx(np.zeros(3), abs=1e-9)


def test_ties_count_half_for_both() -> None:
    found = bradley_terry(
        some_choices(("A", "B", "tie"), ("B", "A", "tie"), ("A", "B", "left"), ("B", "A", "left"))
    )
    assert found.ties == 2
    assert any("2 ties count as half a win" in note for note in found.notes)
    uneven = [("A", "B", "left"), ("B", "A", "right"), ("A", "B", "left"), ("A", "B", "right")]
    uneven_fit = bradley_terry(
        some_choices(*uneven, ("A", "B", "tie"), ("A", "B", "tie")), "B", with_side=False
    )
    # Three wins, one loss and two ties are four wins to two.
    assert uneven_fit.strengths["strength"].iloc[0] == pytest.approx(np.log(2))
    wins = win_counts(some_choices(("A", "B", "tie"), ("A", "B", "left")))
    assert wins.loc["A", "B"] == 1.5
    assert wins.loc["B", "A"] == 0.5


MIDDLE = {"A": 3.6, "B": 3.3, "C": 3.0, "D": 2.4}
"""Qualities whose scores seldom meet the ends of the scale, so that points stay points."""


def test_the_likelihood_is_that_of_statsmodels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shortcut that is another likelihood; the library's own is the truth."""
    ratings, _ = scripted_ratings(Script(honest=8, bad=(), dimensions=("d",)), 4)
    quick, compared = mixed._likelihood, []

    def both(model, levels):
        value = quick(model, levels)
        model.reml, model.use_sqrt, model.cov_pen, model.fe_pen = True, True, None, None
        for seed in range(8):
            at = np.random.default_rng(seed).uniform(1e-3, 2, len(model.exog_vc.names))
            compared.append((value(at), type(model).loglike(model, at)))
        return value

    monkeypatch.setattr(mixed, "_likelihood", both)
    short = mixed.fit(ratings, "d", "A")
    assert len(compared) == 8
    for own, library in compared:
        assert own == pytest.approx(library, rel=1e-9)
    monkeypatch.setattr(mixed, "_likelihood", lambda model, _: model.loglike)
    whole = mixed.fit(ratings, "d", "A")
    columns = ["estimate", "deviation", "low", "high", "p"]
    np.testing.assert_allclose(short.effects[columns], whole.effects[columns], atol=5e-4)
    assert short.components == pytest.approx(whole.components, abs=2e-3)


def test_mixed_model_recovers_what_was_planted() -> None:
    """A swapped sign of side, a position in pages instead of from first to last, a wrong mean."""
    script = Script(
        quality=MIDDLE,
        dimensions=("Overall",),
        items=6,
        honest=16,
        bad=(),
        left_bias=0.4,
        drift=-0.5,
        clip=0.0,
        rater_clip=0.0,
        residual=0.6,
    )
    ratings, _ = scripted_ratings(script, 11)
    model = fit(ratings, "Overall", "A")
    effects = model.effects.set_index("term")
    planted = {"B": -0.3, "C": -0.6, "D": -1.2, "left side": 0.4, "position": -0.5}
    for term, truth in planted.items():
        estimate, deviation = effects.loc[term, ["estimate", "deviation"]]
        assert abs(estimate - truth) < 3 * deviation
        assert deviation < 0.15
    assert model.components["rater"] == pytest.approx(0.4, abs=0.2)
    # Rounding to whole scores adds 1/12 to the variance.
    assert model.components["residual"] == pytest.approx(np.sqrt(0.36 + 1 / 12), abs=0.06)
    assert model.freedom == 3
    assert model.p < 1e-6


def test_mixed_model_counts_clips_as_drawn() -> None:
    """Without a clip effect, differences of clips would pass as sure differences of methods."""
    script = Script(
        quality={"A": 3.0, "B": 3.0}, dimensions=("d",), items=4, honest=12, bad=(), clip=0.8
    )
    ratings, _ = scripted_ratings(script, 2)
    with_clips = fit(ratings, "d", "A")
    without = fit(ratings.assign(item="one", clip=ratings["method"]), "d", "A")
    deviation = [
        model.effects.set_index("term").loc["B", "deviation"] for model in (with_clips, without)
    ]
    assert with_clips.components["clip"] > 0.25
    assert deviation[0] > 1.5 * deviation[1]


def test_mixed_model_names_what_it_leaves_out() -> None:
    script = Script(quality=MIDDLE, dimensions=("d",), items=1, honest=6, bad=())
    ratings, _ = scripted_ratings(script, 0)
    single = check_ratings(ratings.assign(side="single", position=range(len(ratings))))
    notes = " ".join(fit(single, "d", "A").notes)
    assert "no term for left side: clips were not shown on two sides" in notes
    assert "there is one item" in notes
    assert "each method has one clip" in notes


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"score": 3}, "all scores are equal"),
        ({"rater": "r1"}, "there is one"),
        ({"method": "A"}, "compares methods"),
    ],
)
def test_mixed_model_says_why_not(change: dict[str, object], reason: str) -> None:
    ratings, _ = scripted_ratings(Script(quality=MIDDLE, dimensions=("d",), honest=3, bad=()), 0)
    changed = ratings.assign(**change)
    with pytest.raises(NotComputableError, match=reason):
        fit(changed, "d", "A")


def test_side_and_order_recover_what_was_planted() -> None:
    """Over 20 studies, 95 % intervals hold the planted side bias and drift."""
    inside = {"left side": 0, "last page": 0}
    script = Script(
        quality=MIDDLE, dimensions=("d",), items=3, honest=14, bad=(), left_bias=0.4, drift=0.3
    )
    for seed in range(20):
        found = side_and_order(scripted_ratings(script, seed)[0]).set_index("effect")
        for effect, truth in (("left side", 0.4), ("last page", 0.3)):
            inside[effect] += found.loc[effect, "low"] < truth < found.loc[effect, "high"]
            assert found.loc[effect, "high"] - found.loc[effect, "low"] < 0.8
    assert min(inside.values()) >= 17


def test_no_bias_is_seldom_called_one() -> None:
    """Standard errors that ignore the raters would call chance a bias."""
    script = Script(quality=MIDDLE, dimensions=("d",), items=2, honest=12, bad=(), left_bias=0)
    p = [
        side_and_order(scripted_ratings(script, seed)[0]).set_index("effect").loc["left side", "p"]
        for seed in range(30)
    ]
    assert sum(value < 0.05 for value in p) <= 5


def test_biases_that_cannot_be_known_say_why() -> None:
    """A clip always on one side says nothing of sides; two raters give no interval."""
    ratings, _ = scripted_ratings(Script(quality=MIDDLE, honest=6, bad=()), 1)
    fixed = ratings.assign(side=np.where(ratings["method"].isin(["A", "B"]), "left", "right"))
    found = side_and_order(fixed).set_index(["effect", "dimension"])
    assert np.isnan(found.loc[("left side", ALL_DIMENSIONS), "estimate"])
    assert "cannot" in found.loc[("left side", ALL_DIMENSIONS), "note"] or (
        "does not let" in found.loc[("left side", ALL_DIMENSIONS), "note"]
    )
    few = side_and_order(ratings[ratings["rater"].isin(["r01", "r02"])])
    assert few["note"].str.contains("three raters").all()


def test_bootstrap_counts_items_as_drawn() -> None:
    """Resampling raters alone would hide that the items differ."""
    rng = np.random.default_rng(0)
    item = rng.normal(3, 1, 12)
    scores = pd.DataFrame(
        [
            (f"r{r}", f"i{i}", "A", item[i] + rng.normal(0, 0.1))
            for r in range(30)
            for i in range(12)
        ],
        columns=["rater", "item", "method", "score"],
    )
    draws = crossed_bootstrap(scores, resamples=4000, seed=1)["A"]
    assert draws.std() == pytest.approx(item.std() / np.sqrt(12), rel=0.1)
    assert draws.mean() == pytest.approx(scores["score"].mean(), abs=0.03)
    again = crossed_bootstrap(scores, resamples=4000, seed=1)["A"]
    assert (draws == again).all()


def test_crossed_intervals_hold_the_truth_with_enough_items() -> None:
    """Intervals of a difference, with 10 raters and 6 items: a formula that is off by a root."""
    script = Script(quality={"A": 3.4, "B": 2.8}, dimensions=("d",), items=6, honest=10, bad=())
    inside = 0
    for seed in range(20):
        row = against_others(scripted_ratings(script, seed)[0], "A", resamples=400).iloc[0]
        inside += row["low"] < 0.6 < row["high"]
    assert inside >= 16


def test_comparison_family_and_direction() -> None:
    """Holm within a dimension only, or the difference the wrong way round."""
    ratings, _ = scripted_ratings(Script(quality=MIDDLE | {"D": 1.8}, honest=12, bad=()), 6)
    found = against_others(ratings, "D", resamples=50)
    assert len(found) == 3 * 4
    assert (found["difference"] < 0).all()
    assert (found["effect"] < 0).all()
    smallest = found.loc[found["p"].idxmin()]
    assert smallest["p_holm"] == pytest.approx(12 * smallest["p"])


def test_untested_comparisons_stay_in_the_family() -> None:
    """A method that nobody told apart must not make the other tests easier."""
    ratings, _ = scripted_ratings(Script(quality=MIDDLE, dimensions=("d",), honest=9, bad=()), 6)
    copy = ratings[ratings["method"] == "A"].assign(method="twin", clip="x", item="i")
    both = pd.concat([ratings, copy.assign(position=copy["position"] + 1000)])
    found = against_others(check_ratings(both), "A", resamples=50).set_index("other")
    assert found.loc["twin", "note"].startswith("not tested")
    assert found.loc["twin", "p"] == 1.0
    smallest = found.loc[found["p"].idxmin()]
    assert smallest["p_holm"] == pytest.approx(min(1, 4 * smallest["p"]))


def test_few_raters_are_told_what_p_they_can_reach() -> None:
    ratings, _ = scripted_ratings(Script(quality=MIDDLE, dimensions=("d",), honest=3, bad=()), 6)
    notes = against_others(ratings, "A", resamples=50)["note"]
    assert notes.str.contains("p cannot fall below 0.25").any()


def test_unknown_method_is_named() -> None:
    ratings, _ = scripted_ratings(Script(quality=MIDDLE, dimensions=("d",), honest=3, bad=()), 6)
    with pytest.raises(NotComputableError, match="no score was given to 'ours'; the methods are"):
        against_others(ratings, "ours")


@pytest.mark.parametrize(
    ("means", "reason"),
    [
        (np.ones((5, 2)), "three methods"),
        (np.array([[1.0, 2, 3]]), "two raters"),
        (np.full((4, 3), 2.0), "the same mean"),
    ],
)
def test_friedman_says_why_not(means: np.ndarray, reason: str) -> None:
    with pytest.raises(NotComputableError, match=reason):
        friedman(pd.DataFrame(means))


def test_opinion_scores_count_what_they_are_over() -> None:
    """Attention items or repetitions among the scores."""
    ratings, _ = scripted_ratings(Script(honest=5, bad=(), dimensions=("d",)), 0)
    table = opinion_scores(ratings, resamples=50).set_index("method")
    assert (table["scores"] == 5 * 2 * 2).all()
    assert (table["raters"] == 5).all()
    assert (table["items"] == 2).all()
    scores = main_scores(ratings)
    assert table.loc["C", "mos"] == pytest.approx(scores[scores["method"] == "C"]["score"].mean())
    assert clip_matrix(scores, "d").shape == (5, 14)


def test_attention_pages_have_no_say_on_bias() -> None:
    """Attention clips come at fixed places and would look like a drift."""
    ratings, _ = scripted_ratings(Script(quality=MIDDLE, dimensions=("d",), honest=5, bad=()), 1)
    without = ratings[ratings["gold"].isna()]
    pd.testing.assert_frame_equal(side_and_order(ratings), side_and_order(without))


def test_raters_with_opposite_preferences_of_side_are_no_common_bias() -> None:
    """Errors taken as independent between scores would call a chance mean of raters a bias."""
    script = Script(quality=MIDDLE, dimensions=("d",), honest=10, bad=(), left_bias=0)
    common = 0
    for seed in range(10):
        ratings, _ = scripted_ratings(script, seed)
        liking = pd.Series(
            np.random.default_rng(seed).normal(0, 1.5, 10), ratings["rater"].unique()
        )
        side = ratings["side"].map({"left": 0.5, "right": -0.5, "single": 0.0})
        ratings["score"] = ratings["score"] + side * ratings["rater"].map(liking)
        found = side_and_order(ratings).set_index("effect")
        common += found.loc["left side", "p"] < 0.05
    assert common <= 2
