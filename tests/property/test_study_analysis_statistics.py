"""What must hold of the study's statistics whatever the scores are."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from study.analysis.agreement import krippendorff_alpha
from study.analysis.comparison import holm, signed_rank
from study.analysis.mos import t_interval
from study.analysis.p910 import recover
from study.analysis.page import between, number, probability
from study.analysis.power import Components, smallest_difference
from study.analysis.screening import STIMULUS, bt500, without_bias
from study.analysis.table import NotComputableError, check_ratings, read_ratings, write_table

UNTIMED = settings(deadline=None)
SCORES = st.integers(1, 5)
NAMES = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=12
).filter(lambda text: text.strip() != "")


def grids(low: int = 2, high: int = 7) -> st.SearchStrategy[np.ndarray]:
    """Complete matrices of whole scores, shape (clips, raters)."""
    sizes = st.tuples(st.integers(low, high), st.integers(low, high))
    return sizes.flatmap(lambda shape: arrays(float, shape, elements=SCORES.map(float)))


def panel(matrix: np.ndarray) -> pd.DataFrame:
    clip, rater = np.indices(matrix.shape)
    return pd.DataFrame(
        {
            "clip": [f"c{one}" for one in clip.ravel()],
            "rater": [f"r{one}" for one in rater.ravel()],
            "dimension": "d",
            "score": matrix.ravel(),
        }
    )


@st.composite
def ratings(draw: st.DrawFn) -> pd.DataFrame:
    rows = []
    for position in range(draw(st.integers(1, 5))):
        rows.append(
            {
                "rater": draw(NAMES),
                "item": draw(NAMES),
                "clip": draw(NAMES),
                "method": draw(NAMES),
                "dimension": draw(NAMES),
                "score": draw(SCORES),
                "side": draw(st.sampled_from(["left", "right", "single"])),
                "position": position,
                "seconds": draw(st.one_of(st.just(np.nan), st.floats(0, 1e5))),
                "repeat": draw(st.booleans()),
                "gold": draw(st.one_of(st.just(np.nan), st.floats(1, 5))),
            }
        )
    return pd.DataFrame(rows)


@settings(max_examples=40, deadline=None)
@given(ratings(), st.sampled_from([".csv", ".json"]))
def test_any_ratings_survive_a_file(
    tmp_path_factory: pytest.TempPathFactory, table: pd.DataFrame, suffix: str
) -> None:
    """Quotes, commas, names like NA or 007, and the last digit of a number."""
    checked = check_ratings(table)
    path = tmp_path_factory.mktemp("tables") / f"ratings{suffix}"
    write_table(checked, path)
    again = read_ratings(path)
    numbers = ["seconds", "gold"]
    pd.testing.assert_frame_equal(again.drop(columns=numbers), checked.drop(columns=numbers))
    for name in numbers:
        assert again[name].to_numpy() == pytest.approx(
            checked[name].to_numpy(), rel=1e-13, abs=1e-13, nan_ok=True
        )


@UNTIMED
@given(arrays(float, st.integers(2, 30), elements=SCORES.map(float)), st.floats(0.1, 10))
def test_intervals_follow_the_scale(values: np.ndarray, factor: float) -> None:
    """An interval of scaled scores is the scaled interval."""
    assume(np.ptp(values) > 0)
    plain, scaled = t_interval(values), t_interval(values * factor + 1)
    assert scaled.mean == pytest.approx(plain.mean * factor + 1)
    assert scaled.low == pytest.approx(plain.low * factor + 1, abs=1e-9)
    assert plain.low <= plain.mean <= plain.high


@UNTIMED
@given(arrays(float, st.integers(1, 25), elements=st.integers(-8, 8).map(float)))
def test_exchanging_two_methods_turns_the_sign(differences: np.ndarray) -> None:
    """The same p, the opposite effect; p is a probability that n pairs can give."""
    assume((differences != 0).sum() > 1)
    one, other = signed_rank(differences), signed_rank(-differences)
    assert one.p == pytest.approx(other.p)
    assert one.effect == pytest.approx(-other.effect)
    assert -1 <= one.effect <= 1
    assert 2.0 ** (1 - one.pairs) <= one.p * (1 + 1e-9) <= 1 + 1e-9


@settings(max_examples=25, deadline=None)
@given(arrays(float, st.integers(1, 12), elements=st.floats(0, 1)))
def test_holm_lies_between_p_and_bonferroni_and_keeps_the_order(p: np.ndarray) -> None:
    adjusted = holm(p)
    assert (adjusted >= p - 1e-12).all()
    assert (adjusted <= np.minimum(1, p * p.size) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= -1e-12).all()


@UNTIMED
@given(grids(4, 9), st.integers(0, 2**31))
def test_recovery_does_not_depend_on_names_or_order(matrix: np.ndarray, seed: int) -> None:
    """Biases sum to zero; shuffled rows and a shifted scale change nothing else."""
    table = panel(matrix)
    try:
        plain = recover(table)
    except NotComputableError:
        assume(False)
    shuffled = table.sample(frac=1, random_state=np.random.default_rng(seed))
    moved = recover(shuffled.assign(score=shuffled["score"] + 2))
    assert plain.bias.sum() == pytest.approx(0, abs=1e-6)
    assert moved.score.to_numpy() == pytest.approx(plain.score.to_numpy() + 2, abs=1e-5)
    assert moved.bias.to_numpy() == pytest.approx(plain.bias.to_numpy(), abs=1e-5)


@UNTIMED
@given(grids())
def test_removing_bias_twice_changes_nothing(matrix: np.ndarray) -> None:
    once = without_bias(panel(matrix))
    twice = without_bias(once)
    assert twice["score"].to_numpy() == pytest.approx(once["score"].to_numpy())
    kept = once.groupby(STIMULUS)["score"].mean().to_numpy()
    assert kept == pytest.approx(panel(matrix).groupby(STIMULUS)["score"].mean().to_numpy())


@UNTIMED
@given(grids(3, 8))
def test_outliers_turn_with_the_scale(matrix: np.ndarray) -> None:
    """On a scale turned upside down the same scores are outlying, on the other side."""
    plain, turned = bt500(panel(matrix)), bt500(panel(6 - matrix))
    assert (plain["above"] == turned["below"]).all()
    assert (plain["rejected"] == turned["rejected"]).all()


@UNTIMED
@given(grids(), st.integers(0, 2**31))
def test_alpha_does_not_depend_on_order(matrix: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    try:
        plain = krippendorff_alpha(matrix.T)
    except NotComputableError:
        assume(False)
    mixed = matrix[rng.permutation(matrix.shape[0])][:, rng.permutation(matrix.shape[1])]
    assert krippendorff_alpha(mixed.T) == pytest.approx(plain)
    assert plain <= 1


SIZES = st.integers(1, 60)
DEVIATIONS = st.floats(0.05, 2)


@UNTIMED
@given(SIZES, SIZES, DEVIATIONS, DEVIATIONS, DEVIATIONS)
def test_more_of_anything_never_needs_a_larger_difference(
    raters: int, clips: int, clip: float, liking: float, residual: float
) -> None:
    """New clips are harder than these, and a family harder than one comparison."""
    parts = Components(clip, liking, residual)
    here = smallest_difference(raters, clips, parts, new_clips=True)
    assert smallest_difference(raters + 1, clips, parts, new_clips=True) < here
    assert smallest_difference(raters, clips + 1, parts, new_clips=True) < here
    assert smallest_difference(raters, clips, parts, new_clips=False) < here
    assert smallest_difference(raters, clips, parts, new_clips=True, comparisons=6) > here
    # Raters without end do not help against the few clips that were shown.
    floor = smallest_difference(10**9, clips, parts, new_clips=True)
    assert floor == pytest.approx(2.8016 * np.sqrt(2 / clips) * clip, rel=1e-3)


@UNTIMED
@given(st.floats(allow_nan=True, allow_infinity=True, width=32), st.floats(width=32))
def test_no_number_is_printed_that_is_none(value: float, other: float) -> None:
    for text in (number(value), between(value, other), probability(abs(value))):
        assert "nan" not in text
        assert "inf" not in text
