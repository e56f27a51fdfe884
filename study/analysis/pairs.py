"""Pairwise choices: how often each method is preferred, and what the left side adds."""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from study.analysis.libraries import known_deprecations_ignored
from study.analysis.table import NotComputableError


@dataclass(frozen=True)
class BradleyTerry:
    """Strengths of methods in pairwise choices, with a term for the left side.

    Attributes:
        strengths: A row for each method, strongest first: method, strength (log odds against the
            reference, or against the mean of all methods), low, high, wins, losses, ties.
        side: Log odds that the left one of two equal methods is chosen; NaN when left out.
        side_low: Lower end of its interval.
        side_high: Upper end.
        choices: Choices fitted.
        raters: Raters who made them.
        ties: Choices that were ties; each counts as half a win for both.
        notes: What was left out, and what the intervals are over.
    """

    strengths: pd.DataFrame
    side: float
    side_low: float
    side_high: float
    choices: int
    raters: int
    ties: int
    notes: tuple[str, ...]


def bradley_terry(
    choices: pd.DataFrame, reference: str | None = None, *, with_side: bool = True
) -> BradleyTerry:
    """Returns the Bradley-Terry model with a side term (Davidson and Beaver 1977).

    logit P(left chosen) = strength[left] - strength[right] + side, a binomial regression by
    statsmodels' GLM. Intervals are 95 %: standard errors clustered by rater with Student's t when
    there are more raters than parameters, else as if all choices were independent.

    Args:
        choices: Rows of one dimension of a checked table of choices.
        reference: The method whose strength is 0; the mean of all strengths is 0 when None.
        with_side: Whether to fit the side term.

    Raises:
        NotComputableError: If there are no choices, some methods were never compared with the
            rest, or some won every choice against the rest, so that no finite strengths exist.
        ValueError: If the reference is not among the methods.
    """
    methods = sorted({*choices["left"], *choices["right"]})
    if not methods:
        raise NotComputableError("there are no choices")
    if reference is not None and reference not in methods:
        raise ValueError(f"No choice shows {reference!r}; methods are {', '.join(methods)}.")
    design = _design(choices, methods)
    won = choices["choice"].map({"left": 1.0, "tie": 0.5, "right": 0.0}).to_numpy(float)
    if np.linalg.matrix_rank(design[:, :-1]) < len(methods) - 1:
        raise NotComputableError("some methods were never compared with the rest")
    separated = _one_way(design[:, :-1], won)
    if separated is not None:
        high = [name for name, value in zip(methods[1:], separated, strict=True) if value > 1e-9]
        low = [name for name, value in zip(methods[1:], separated, strict=True) if value < -1e-9]
        raise NotComputableError(
            f"every choice between {', '.join(high or low)} and the other methods went one way, so "
            "that no finite strengths exist; the counts of wins say all there is to say"
        )
    notes: list[str] = []
    if with_side and np.linalg.matrix_rank(design) < design.shape[1]:
        notes.append("no side term: the methods' sides were not exchanged")
        with_side = False
    elif with_side and _one_way(design, won) is not None:
        notes.append("no side term: it has no finite estimate in these choices")
        with_side = False
    elif with_side and len(choices) <= design.shape[1]:
        notes.append("no side term: there are too few choices")
        with_side = False
    if not with_side:
        design = design[:, :-1]
    if len(choices) <= design.shape[1]:
        raise NotComputableError(
            f"{len(choices)} choices are too few for the strengths of {len(methods)} methods"
        )
    estimate, covariance, quantile = _fit(design, won, choices["rater"], notes)
    ties = int((choices["choice"] == "tie").sum())
    if ties:
        notes.append(f"{ties} ties count as half a win for both methods")
    # From strengths against the first method to strengths against the reference or the mean.
    count = len(methods)
    basis = np.zeros((count, design.shape[1]))
    basis[1:, : count - 1] = np.eye(count - 1)
    basis -= basis.mean(0) if reference is None else basis[methods.index(reference)]
    strength = basis @ estimate
    half = quantile * np.sqrt(np.maximum(np.diag(basis @ covariance @ basis.T), 0.0))
    table = pd.DataFrame(
        {"method": methods, "strength": strength, "low": strength - half, "high": strength + half}
    ).join(_counts(choices, methods))
    side = float(estimate[-1]) if with_side else float("nan")
    spread = quantile * float(np.sqrt(covariance[-1, -1])) if with_side else float("nan")
    return BradleyTerry(
        table.sort_values("strength", ascending=False, ignore_index=True),
        side,
        side - spread,
        side + spread,
        len(choices),
        choices["rater"].nunique(),
        ties,
        tuple(notes),
    )


def win_counts(choices: pd.DataFrame) -> pd.DataFrame:
    """Returns how often each method (row) was preferred to each other (column); ties count half."""
    methods = sorted({*choices["left"], *choices["right"]})
    table = pd.DataFrame(0.0, index=methods, columns=methods)
    for left, right, choice in choices[["left", "right", "choice"]].itertuples(index=False):
        share = {"left": 1.0, "tie": 0.5, "right": 0.0}[choice]
        table.loc[left, right] += share
        table.loc[right, left] += 1 - share
    return table


def _design(choices: pd.DataFrame, methods: list[str]) -> np.ndarray:
    """Returns +1 for the left method, -1 for the right one, without the first method; the side."""
    columns = [
        (choices["left"] == method).to_numpy(float) - (choices["right"] == method).to_numpy(float)
        for method in methods[1:]
    ]
    return np.column_stack([*columns, np.ones(len(choices))])


def _one_way(design: np.ndarray, won: np.ndarray) -> np.ndarray | None:
    """Returns a direction in which every choice went, or None (Albert and Anderson 1984).

    Along such a direction the likelihood grows for ever. It is found by a linear programme.
    """
    from scipy.optimize import linprog

    towards = np.concatenate([design[won > 0], -design[won < 1]])
    found = linprog(-towards.sum(0), A_ub=-towards, b_ub=np.zeros(len(towards)), bounds=(-1, 1))
    if not found.success:
        raise NotComputableError(f"the search for one-way choices failed: {found.message}")
    return np.asarray(found.x) if -found.fun > 1e-7 else None


def _fit(
    design: np.ndarray, won: np.ndarray, raters: pd.Series, notes: list[str]
) -> tuple[np.ndarray, np.ndarray, float]:
    """Returns estimates, their covariance and the quantile of a 95 % interval."""
    with known_deprecations_ignored():
        from statsmodels.genmod.families import Binomial
        from statsmodels.genmod.generalized_linear_model import GLM
    from scipy import stats
    from statsmodels.tools.sm_exceptions import PerfectSeparationWarning

    groups = raters.astype("category").cat.codes.to_numpy()
    count = int(raters.nunique())
    model = GLM(won, design, family=Binomial())
    clustered = count > design.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error", PerfectSeparationWarning)
        try:
            result = (
                model.fit(cov_type="cluster", cov_kwds={"groups": groups})
                if clustered
                else model.fit()
            )
        except PerfectSeparationWarning as warning:  # all choices are ties, for example
            raise NotComputableError(
                "the choices leave no spread to judge strengths by; the counts of wins say all "
                "there is to say"
            ) from warning
    if clustered:
        notes.append("intervals are over raters")
        quantile = float(stats.t.ppf(0.975, count - 1))
    else:
        notes.append(
            "intervals take all choices as independent: there are too few raters "
            f"({count}) for {design.shape[1]} parameters"
        )
        quantile = float(stats.norm.ppf(0.975))
    return np.asarray(result.params), np.asarray(result.cov_params()), quantile


def _counts(choices: pd.DataFrame, methods: list[str]) -> pd.DataFrame:
    rows = []
    for method in methods:
        left, right = choices["left"] == method, choices["right"] == method
        chosen = choices["choice"]
        rows.append(
            {
                "wins": int((left & (chosen == "left") | right & (chosen == "right")).sum()),
                "losses": int((left & (chosen == "right") | right & (chosen == "left")).sum()),
                "ties": int(((left | right) & (chosen == "tie")).sum()),
            }
        )
    return pd.DataFrame(rows)
