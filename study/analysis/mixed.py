"""The confirmatory model: score by method, side and position, with crossed random effects."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from study.analysis.libraries import known_deprecations_ignored
from study.analysis.table import NotComputableError, main_scores

_SIDE = {"left": 0.5, "right": -0.5, "single": 0.0}
_LEAST_VARIANCE = 1e-6  # points squared
_LEAST_SHARE = 1e-10  # of the residual's variance; below it statsmodels cannot invert a component
# Random effects by the column that names their levels.
_RANDOM = {
    "rater": "between raters",
    "item": "between items",
    "clip": "between clips of one method and item",
    "rater_method": "between raters' likings of one method",
}


@dataclass(frozen=True)
class MixedModel:
    """A fitted linear mixed model of one dimension.

    Attributes:
        effects: A row for each fixed effect: term, estimate, deviation (standard error), low, high,
            p (two-sided, normal); points of the scale. A method's estimate is its mean less the
            reference's; `left side` is left less right; `position` is last page less first.
        components: Standard deviation of each random effect and of the residual, points.
        reference: The method that the others are compared with.
        statistic: Wald chi-square that all methods are alike.
        freedom: Methods - 1.
        p: Of that statistic.
        scores: Rows fitted.
        notes: What was left out, and which random effects were estimated as nearly zero.
    """

    effects: pd.DataFrame
    components: dict[str, float]
    reference: str
    statistic: float
    freedom: int
    p: float
    scores: int
    notes: tuple[str, ...]


def fit(ratings: pd.DataFrame, dimension: str, reference: str) -> MixedModel:
    """Returns the model score ~ method + side + position + (rater, item, clip, rater x method).

    Restricted maximum likelihood by statsmodels' MixedLM, crossed effects as variance components
    of one group. Random parts that the design cannot tell apart are left out and named: items need
    two or more, clips more than one a method and several scores, likings several scores of a
    method by a rater. Tests are normal approximations; with few clips they are too sure.

    Args:
        ratings: A checked ratings table; attention items and repetitions are left out.
        dimension: The dimension to model.
        reference: The method to compare the others with.

    Raises:
        NotComputableError: If there are fewer than two methods or raters, no scores of the
            reference, no spread, or no convergence.
    """
    rows = main_scores(ratings)
    rows = rows[rows["dimension"] == dimension].reset_index(drop=True)
    methods = sorted(set(rows["method"]))
    if len(methods) < 2 or reference not in methods:
        raise NotComputableError(
            f"the model compares methods with {reference!r}, and the methods scored are "
            f"{', '.join(methods) or 'none'}"
        )
    if rows["rater"].nunique() < 2:
        raise NotComputableError("a model of raters needs two raters or more, and there is one")
    if rows["score"].nunique() < 2:
        raise NotComputableError("all scores are equal")
    others = [method for method in methods if method != reference]
    design, notes = _fixed(rows, others)
    rows["rater_method"] = rows["rater"] + "\n" + rows["method"]
    random = _random(rows, notes)
    result = _optimise(rows["score"].to_numpy(float), design, rows, random)
    names = list(design.columns)
    estimates = np.asarray(result.fe_params)
    covariance = np.asarray(result.cov_params())[: len(names), : len(names)]
    if not np.isfinite(covariance).all() or (np.diag(covariance) <= 0).any():
        raise NotComputableError("the mixed model has no finite standard errors")
    deviations = np.sqrt(np.diag(covariance))
    statistic, p = _all_alike(estimates, covariance, names, others)
    effects = _effects(names, estimates, deviations)
    variances = dict(zip(result.model.exog_vc.names, result.vcomp, strict=True))
    components = {name: float(np.sqrt(max(variances[name], 0.0))) for name in random}
    notes += [f"{_RANDOM[name]}: nearly zero" for name, size in components.items() if size < 0.02]
    components["residual"] = float(np.sqrt(result.scale))
    return MixedModel(
        effects, components, reference, statistic, len(others), p, len(rows), tuple(notes)
    )


def _fixed(rows: pd.DataFrame, others: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """Returns the fixed part's columns and what was left out of it."""
    columns = {"mean of reference": np.ones(len(rows))}
    for method in others:
        columns[method] = (rows["method"] == method).to_numpy(float)
    notes = []
    side = rows["side"].map(_SIDE).to_numpy(float)
    last = max(int(rows["position"].max()), 1)
    position = rows["position"].to_numpy(float) / last - 0.5
    for name, values, why in (
        ("left side", side, "clips were not shown on two sides"),
        ("position", position, "every score is of one page"),
    ):
        if np.ptp(values) == 0:
            notes.append(f"no term for {name}: {why}")
            continue
        wider = np.column_stack([*columns.values(), values])
        if np.linalg.matrix_rank(wider) < wider.shape[1]:
            notes.append(f"no term for {name}: it cannot be told apart from the methods")
            continue
        columns[name] = values
    return pd.DataFrame(columns), notes


def _random(rows: pd.DataFrame, notes: list[str]) -> list[str]:
    """Returns the random effects that the design can tell apart, and notes the others."""
    levels = {name: rows[name].nunique() for name in _RANDOM}
    methods = rows["method"].nunique()
    why: dict[str, str] = {}
    if levels["item"] < 2:
        why["item"] = "there is one item"
    elif levels["item"] == len(rows[["item", "clip"]].drop_duplicates()):
        why["item"] = "no two methods share an item"
    if levels["clip"] <= methods:
        why["clip"] = "each method has one clip"
    elif levels["clip"] == len(rows):
        why["clip"] = "each clip has one score"
    if levels["rater_method"] == len(rows):
        why["rater_method"] = "each rater has one score of a method"
    notes += [f"no random effect {_RANDOM[name]}: {reason}" for name, reason in why.items()]
    return [name for name in _RANDOM if name not in why]


def _optimise(
    scores: np.ndarray, design: pd.DataFrame, rows: pd.DataFrame, random: list[str]
) -> Any:  # noqa: ANN401  (statsmodels has no types)
    """Returns statsmodels' result."""
    with known_deprecations_ignored():
        from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec
        from statsmodels.tools.sm_exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    indicators = [pd.get_dummies(rows[name], dtype=float) for name in random]
    spec = VCSpec(
        list(random),
        [[list(map(str, one.columns))] for one in indicators],
        [[one.to_numpy()] for one in indicators],
    )
    model = MixedLM(scores, design, groups=np.zeros(len(rows)), exog_re=None, exog_vc=spec)
    model.loglike = _likelihood(model, np.hstack([one.to_numpy() for one in indicators]))
    # Many small solves: threads that wait for each other make them tens of times slower.
    # Powell's search tries variances at which logarithms fail; the result is checked to be finite.
    quiet = np.errstate(divide="ignore", invalid="ignore", over="ignore")
    with warnings.catch_warnings(record=True) as caught, threadpool_limits(1), quiet:
        warnings.simplefilter("always")
        try:
            result = model.fit(reml=True, method="powell")
        except (np.linalg.LinAlgError, ValueError) as error:
            raise NotComputableError(f"the mixed model could not be fitted: {error}") from error
    # Its own warnings show in the result: a boundary in the components, no convergence below, and
    # a singular covariance was passed through by the search. Any other warning is passed on.
    for warning in caught:
        if not (
            issubclass(warning.category, ConvergenceWarning)
            or "covariance matrix is singular" in str(warning.message)
        ):
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    if not result.converged:
        raise NotComputableError("the mixed model's likelihood did not converge")
    if not result.scale > _LEAST_VARIANCE:
        raise NotComputableError("nothing is left of the scores once methods and raters are known")
    return result


def _likelihood(model: Any, levels: np.ndarray) -> Callable[..., float]:  # noqa: ANN401
    """Returns the model's profiled restricted likelihood, the same number in a sixth of the time.

    statsmodels solves three systems of the size of all levels for every value; this takes one
    Cholesky factor. With D the variances over the residual's, V = 1 + Z D Z' has the determinant of
    L L' = 1 + sqrt(D) Z'Z sqrt(D), and E' V^-1 E = E'E - |L^-1 sqrt(D) Z'E|^2 (Woodbury) gives the
    fixed effects and the residual sum of squares for E = [X y].

    Args:
        model: statsmodels' MixedLM of one group, by restricted likelihood.
        levels: Z, shape (scores, levels of all random effects), 0 or 1.
    """
    from scipy.linalg import cholesky, solve_triangular
    from statsmodels.regression.mixed_linear_model import MixedLMParams

    both = np.column_stack([model.exog, model.endog])
    own, cross, squares = levels.T @ levels, levels.T @ both, both.T @ both
    freedom = len(both) - model.exog.shape[1]

    def value(params: Any, profile_fe: bool = True) -> float:  # noqa: ANN401
        if not isinstance(params, MixedLMParams):
            params = MixedLMParams.from_packed(params, model.k_fe, 0, model.use_sqrt, has_fe=False)
        if not params.vcomp.min() > _LEAST_SHARE:
            return -np.inf
        root = np.sqrt(model._expand_vcomp(params.vcomp, 0))
        factor = cholesky(np.eye(len(root)) + root[:, None] * own * root, lower=True)
        half = solve_triangular(factor, root[:, None] * cross, lower=True)
        kept = squares - half.T @ half
        fixed, joint = kept[:-1, :-1], kept[:-1, -1]
        rest = kept[-1, -1] - joint @ np.linalg.solve(fixed, joint)
        return float(
            -np.log(np.diag(factor)).sum()
            - np.linalg.slogdet(fixed)[1] / 2
            - freedom / 2 * (np.log(2 * np.pi * rest / freedom) + 1)
        )

    return value


def _all_alike(
    estimates: np.ndarray, covariance: np.ndarray, names: list[str], others: list[str]
) -> tuple[float, float]:
    """Returns the Wald chi-square and p that the methods' effects are all zero."""
    from scipy import stats

    at = [names.index(method) for method in others]
    part = estimates[at]
    statistic = float(part @ np.linalg.solve(covariance[np.ix_(at, at)], part))
    return statistic, float(stats.chi2.sf(statistic, len(at)))


def _effects(names: list[str], estimates: np.ndarray, deviations: np.ndarray) -> pd.DataFrame:
    from scipy import stats

    half = stats.norm.ppf(0.975) * deviations
    return pd.DataFrame(
        {
            "term": names,
            "estimate": estimates,
            "deviation": deviations,
            "low": estimates - half,
            "high": estimates + half,
            "p": 2 * stats.norm.sf(np.abs(estimates / deviations)),
        }
    )
