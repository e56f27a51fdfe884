"""All tables of a study's results, each with its reasons where something cannot be computed."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from study.analysis import agreement, bias, comparison, mixed, mos, p910, pairs
from study.analysis.info import StudyInfo
from study.analysis.power import Components, smallest_difference
from study.analysis.raters import rater_table, screened
from study.analysis.screening import without_bias
from study.analysis.table import NotComputableError, check_choices, check_ratings, main_scores

logger = logging.getLogger(__name__)

FEW = 5
"""Below so many items or raters, resampled intervals are too narrow."""

ALL, SCREENED, BIAS_REMOVED = "all raters", "screened", "screened, bias removed (P.913)"


Gap = tuple[str, str, str]
"""What cannot be computed, where, and why."""


@dataclass(frozen=True)
class StudyResults:
    """Every table of the results.

    Attributes:
        counts: Numbers of raters, items and so on, by name.
        tables: By name; a column `panel` says whose scores a row is of, `note` why numbers are
            missing.
        missing: What cannot be computed, as sentences; empty when all can.
    """

    counts: dict[str, int]
    tables: dict[str, pd.DataFrame]
    missing: tuple[str, ...]


def analyse(ratings: pd.DataFrame, choices: pd.DataFrame, info: StudyInfo) -> StudyResults:
    """Returns every result that the data can give, and says which it cannot.

    Args:
        ratings: A row for each score, as in `table.RATING_COLUMNS`; may have no rows.
        choices: A row for each pairwise choice, as in `table.CHOICE_COLUMNS`; may have no rows.
        info: Names and settings.

    Raises:
        ValueError: If a table is not as it must be.
    """
    ratings = _in_order(check_ratings(ratings), info)
    choices = check_choices(choices)
    missing: list[Gap] = []
    people = rater_table(ratings, info.rules)
    kept = screened(ratings, people)
    panels = {ALL: ratings} | ({SCREENED: kept} if len(kept) < len(ratings) else {})
    tables = {"raters": people}
    for name, make in (
        ("mos", _mos),
        ("p910", _p910),
        ("friedman", _friedman),
        ("comparisons", _comparisons),
        ("agreement", _agreement),
        ("bias", _bias),
    ):
        parts = [make(panel, info, missing, who).assign(panel=who) for who, panel in panels.items()]
        tables[name] = _labelled(parts)
    effects, components = [], []
    for who, panel in panels.items():
        logger.info("fitting mixed models of %s", who)
        fixed, random = _mixed(panel, info, missing, who)
        effects.append(fixed.assign(panel=who))
        components.append(random.assign(panel=who))
    tables["mixed_effects"], tables["mixed_components"] = _labelled(effects), _labelled(components)
    tables["mos"] = pd.concat([tables["mos"], _bias_removed(kept)], ignore_index=True)
    tables["score_counts"] = _score_counts(ratings)
    tables["found"] = _what_could_be_found(tables["mixed_components"], kept, panels)
    tables |= _pairs(choices, missing)
    tables["people"] = pd.DataFrame([dict(row) for row in info.people])
    return StudyResults(_counts(ratings, choices, people), tables, _sentences(missing))


def _sentences(missing: list[Gap]) -> tuple[str, ...]:
    """Returns one sentence for each thing that is missing for one reason, wherever it is."""
    where: dict[tuple[str, str], list[str]] = {}
    for what, place, reason in missing:
        where.setdefault((what, reason), []).append(place)
    return tuple(
        f"{what} ({'; '.join(dict.fromkeys(places))}): {reason}."
        for (what, reason), places in where.items()
    )


def _none() -> pd.DataFrame:
    return pd.DataFrame()


def _in_order(ratings: pd.DataFrame, info: StudyInfo) -> pd.DataFrame:
    """Returns the ratings with dimensions in the order to show."""
    order = list(dict.fromkeys([*info.dimensions, *ratings["dimension"]]))
    rank = ratings["dimension"].map(order.index).to_numpy(int)
    return ratings.iloc[np.argsort(rank, kind="stable")].reset_index(drop=True)


def _labelled(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Returns the parts as one table that begins with whose scores they are."""
    filled = [part for part in parts if len(part)]
    if not filled:
        return _none()
    table = pd.concat(filled, ignore_index=True)
    return table[["panel", *(name for name in table.columns if name != "panel")]]


def _try(
    what: str, where: str, missing: list[Gap], compute: Callable[[], pd.DataFrame]
) -> tuple[pd.DataFrame | None, str]:
    """Returns a table, or None with the reason, which is also added to what is missing."""
    try:
        return compute(), ""
    except NotComputableError as reason:
        missing.append((what, where, str(reason)))
        return None, str(reason)


def _dimensions(panel: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(main_scores(panel)["dimension"]))


def _mos(panel: pd.DataFrame, info: StudyInfo, missing: list[Gap], who: str) -> pd.DataFrame:
    table = mos.opinion_scores(panel, resamples=info.resamples, seed=info.seed)
    if table.empty:
        missing.append(("Mean opinion scores", who, "there are no scores"))
        return table
    one_rater, one_item = table["raters"] < 2, table["items"] < 2
    if one_rater.any():
        missing.append(("Intervals", who, "some methods have scores of one rater only"))
    elif one_item.any():
        reason = "some methods were scored on one item only, so nothing is known of other items"
        missing.append(("Intervals over raters and items", who, reason))
    smallest = int(min(table["items"].min(), table["raters"].min()))
    note = f"fewer than {FEW} items or raters: too narrow" if 2 <= smallest < FEW else ""
    return table.assign(note=np.where(table["low"].isna(), "no interval over items", note))


def _bias_removed(kept: pd.DataFrame) -> pd.DataFrame:
    """Returns the means of the screened scores less each rater's bias (P.913)."""
    scores = main_scores(kept)
    if scores.empty:
        return _none()
    by = without_bias(scores).groupby(["method", "dimension"], sort=False, as_index=False)
    table = by.agg(
        mos=("score", "mean"),
        scores=("score", "size"),
        items=("item", "nunique"),
    )
    return table.assign(panel=BIAS_REMOVED, note="no intervals")


def _p910(panel: pd.DataFrame, info: StudyInfo, missing: list[Gap], who: str) -> pd.DataFrame:
    scores, parts = main_scores(panel), []
    for name in _dimensions(panel):
        table, note = _try(
            "P.910 scores",
            f"{name}, {who}",
            missing,
            lambda name=name: p910.method_scores(scores, name),  # type: ignore[misc]
        )
        row = table if table is not None else pd.DataFrame({"method": [""]})
        parts.append(row.assign(dimension=name, note=note))
    return pd.concat(parts, ignore_index=True) if parts else _none()


def _friedman(panel: pd.DataFrame, info: StudyInfo, missing: list[Gap], who: str) -> pd.DataFrame:
    scores, rows = main_scores(panel), []
    for name in _dimensions(panel):
        table, note = _try(
            "Friedman's test",
            f"{name}, {who}",
            missing,
            lambda name=name: _row(comparison.friedman(mos.rater_means(scores, name))),  # type: ignore[misc]
        )
        row = table if table is not None else pd.DataFrame(index=[0])
        rows.append(
            row.rename(columns={"raters": "complete_raters"}).assign(dimension=name, note=note)
        )
    return pd.concat(rows, ignore_index=True) if rows else _none()


def _comparisons(
    panel: pd.DataFrame, info: StudyInfo, missing: list[Gap], who: str
) -> pd.DataFrame:
    sampling = {"resamples": info.resamples, "seed": info.seed}
    table, _ = _try(
        "Comparisons of methods",
        who,
        missing,
        lambda: (
            comparison.against_others(panel, info.ours, **sampling)
            if info.ours
            else comparison.every_pair(panel, **sampling)
        ),
    )
    return table if table is not None else _none()


def _agreement(panel: pd.DataFrame, info: StudyInfo, missing: list[Gap], who: str) -> pd.DataFrame:
    scores, rows = main_scores(panel), []
    for name in _dimensions(panel):
        matrix = agreement.clip_matrix(scores, name)
        alpha, alpha_note = _try(
            "Krippendorff's alpha",
            f"{name}, {who}",
            missing,
            lambda matrix=matrix: pd.DataFrame(  # type: ignore[misc]
                {"alpha": [agreement.krippendorff_alpha(matrix.to_numpy(float))]}
            ),
        )
        icc, icc_note = _try(
            "Intraclass correlations",
            f"{name}, {who}",
            missing,
            lambda matrix=matrix: _row(agreement.intraclass(matrix)),  # type: ignore[misc]
        )
        row = pd.DataFrame({"dimension": [name]})
        for part in (alpha, icc):
            if part is not None:
                row = row.join(part.rename(columns={"raters": "complete_raters"}))
        rows.append(row.assign(note="; ".join(filter(None, dict.fromkeys((alpha_note, icc_note))))))
    return pd.concat(rows, ignore_index=True) if rows else _none()


def _mixed(
    panel: pd.DataFrame, info: StudyInfo, missing: list[Gap], who: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns the fixed effects and the random parts of every dimension's model."""
    effects, components = [], []
    methods = sorted(set(main_scores(panel)["method"]))
    reference = info.ours if info.ours in methods else (methods or [""])[0]
    for name in _dimensions(panel):
        try:
            model = mixed.fit(panel, name, reference)
        except NotComputableError as reason:
            missing.append(("Mixed model", f"{name}, {who}", str(reason)))
            continue
        effects.append(model.effects.assign(dimension=name, reference=reference))
        components.append(
            pd.DataFrame([model.components]).assign(
                dimension=name,
                statistic=model.statistic,
                freedom=model.freedom,
                p=model.p,
                scores=model.scores,
                note="; ".join(dict.fromkeys(model.notes)),
            )
        )
    return (
        pd.concat(effects, ignore_index=True) if effects else _none(),
        pd.concat(components, ignore_index=True) if components else _none(),
    )


def _what_could_be_found(
    components: pd.DataFrame, kept: pd.DataFrame, panels: dict[str, pd.DataFrame]
) -> pd.DataFrame:
    """Returns the smallest differences that a study of this size finds, by its own components."""
    scores = main_scores(kept)
    if components.empty or scores.empty:
        return _none()
    raters = scores["rater"].nunique()
    clips = max(1, round(scores["clip"].nunique() / scores["method"].nunique()))
    rows = []
    for _, row in components[components["panel"] == list(panels)[-1]].iterrows():
        if not {"clip", "rater_method"} <= set(row.dropna().index):
            continue
        parts = Components(row["clip"], row["rater_method"], row["residual"])
        rows.append(
            {
                "dimension": row["dimension"],
                "raters": raters,
                "clips": clips,
                "these_clips": smallest_difference(raters, clips, parts, new_clips=False),
                "new_clips": smallest_difference(raters, clips, parts, new_clips=True),
                "new_clips_14": smallest_difference(raters, 14, parts, new_clips=True),
            }
        )
    return pd.DataFrame(rows)


def _score_counts(ratings: pd.DataFrame) -> pd.DataFrame:
    """Returns how often each method got each score, all raters."""
    scores = main_scores(ratings)
    if scores.empty:
        return _none()
    table = scores.groupby(["method", "dimension", "score"], sort=False).size()
    wide = table.unstack("score", fill_value=0).reindex(columns=range(1, 6), fill_value=0)
    return wide.rename(columns=str).reset_index()


def _pairs(choices: pd.DataFrame, missing: list[Gap]) -> dict[str, pd.DataFrame]:
    strengths, sides, wins = [], [], []
    for name in dict.fromkeys(choices["dimension"]):
        rows = choices[choices["dimension"] == name]
        counts = pairs.win_counts(rows)
        wins.append(counts.rename_axis("preferred").reset_index().assign(dimension=name))
        try:
            fit = pairs.bradley_terry(rows)
        except NotComputableError as reason:
            missing.append(("Bradley-Terry strengths", name, str(reason)))
            continue
        strengths.append(fit.strengths.assign(dimension=name))
        sides.append(
            {
                "dimension": name,
                "side": fit.side,
                "low": fit.side_low,
                "high": fit.side_high,
                "choices": fit.choices,
                "raters": fit.raters,
                "ties": fit.ties,
                "note": "; ".join(fit.notes),
            }
        )
    return {
        "pair_strengths": pd.concat(strengths, ignore_index=True) if strengths else _none(),
        "pair_sides": pd.DataFrame(sides),
        "pair_wins": pd.concat(wins, ignore_index=True) if wins else _none(),
    }


def _bias(panel: pd.DataFrame, info: StudyInfo, missing: list[Gap], who: str) -> pd.DataFrame:
    if panel.empty:
        return _none()
    table = bias.side_and_order(panel)
    if len(table):
        for row in table[table["note"] != ""].itertuples():
            missing.append(
                ("Side and order bias", f"{row.effect}, {row.dimension}, {who}", row.note)
            )
    return table


def _row(value: object) -> pd.DataFrame:
    """Returns a frozen dataclass as a table of one row."""
    return pd.DataFrame([vars(value)])


def _counts(ratings: pd.DataFrame, choices: pd.DataFrame, people: pd.DataFrame) -> dict[str, int]:
    scores = main_scores(ratings)
    cells = scores[["rater", "clip", "dimension"]].drop_duplicates()
    return {
        "raters": len(people) or int(choices["rater"].nunique()),
        "raters_kept": int(people["kept"].sum()) if len(people) else choices["rater"].nunique(),
        "methods": len({*scores["method"], *choices["left"], *choices["right"]}),
        "items": len({*scores["item"], *choices["item"]}),
        "clips": int(scores["clip"].nunique()),
        "dimensions": len({*scores["dimension"], *choices["dimension"]}),
        "scores": len(scores),
        "repeated_scores": int(ratings["repeat"].sum()),
        "attention_scores": int(ratings["gold"].notna().sum()),
        "choices": len(choices),
        "cells": len(cells),
        "cells_possible": int(
            scores["rater"].nunique() * scores["clip"].nunique() * scores["dimension"].nunique()
        ),
    }
