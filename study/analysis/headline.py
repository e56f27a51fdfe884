"""The first sentences of a report: its answer, or why there is none."""

import numpy as np
import pandas as pd

from study.analysis.info import Names, StudyInfo
from study.analysis.page import number
from study.analysis.results import ALL, StudyResults
from study.analysis.sections_methods import main_panel


def headline(results: StudyResults, info: StudyInfo) -> str:
    """Returns the study's answer in two or three sentences, or why there is none."""
    names = Names(info)
    mos = results.tables["mos"]
    if mos.empty:
        wins = results.tables["pair_wins"]
        return "This study has no scores." if wins.empty else _preferred(wins, names)
    if not results.counts["raters_kept"]:
        return (
            "No rater passes the screening, so no method is named as the best. The numbers below "
            "are of raters who were left out by its rules."
        )
    panel = main_panel(mos)
    who = "all raters" if panel == ALL else "the raters who pass the screening"
    if results.counts["raters" if panel == ALL else "raters_kept"] == 1:
        who = "one rater, from whom nothing follows for others"
    text = f"Scores of {who}: {_leaders(mos[mos['panel'] == panel], names)}."
    tests = results.tables["comparisons"]
    if tests.empty:
        return text
    tests = tests[tests["panel"] == panel]
    if not (tests["pairs"] > 1).any():
        return f"{text} Too few raters differ for any test."
    sure = tests["p_holm"] < 0.05
    family = f"{len(tests)} tests in one family"
    ending = "(Wilcoxon, Holm-adjusted p < .05; for these clips only)."
    if not info.ours:
        return (
            f"{text} Every pair of methods, {family}: a difference shown in {int(sure.sum())}, "
            f"none in {int((~sure).sum())} {ending}"
        )
    better = int((sure & (tests["effect"] > 0)).sum())
    worse = int((sure & (tests["effect"] < 0)).sum())
    return (
        f"{text} {names.method(info.ours)} against the others, {family}: better in {better}, worse "
        f"in {worse}, no difference shown in {len(tests) - better - worse} {ending}"
    )


def _leaders(rows: pd.DataFrame, names: Names) -> str:
    """Returns which methods lead in which dimensions; none does where all means are equal."""
    places_by_claim: dict[str, list[str]] = {}
    for dimension, part in rows.groupby("dimension", sort=False):
        best = part[np.isclose(part["mos"], part["mos"].max())]
        if len(part) == 1:
            claim = f"{names.method(part['method'].iloc[0])} is the only method scored in"
        elif len(best) == len(part):
            claim = "all methods have the same mean in"
        else:
            who = _listed([names.method(name) for name in best["method"]])
            claim = f"{who} {'have' if len(best) > 1 else 'has'} the highest mean in"
        place = f"{names.dimension(str(dimension))} ({number(part['mos'].max())})"
        places_by_claim.setdefault(claim, []).append(place)
    return "; ".join(f"{claim} {', '.join(places)}" for claim, places in places_by_claim.items())


def _preferred(wins: pd.DataFrame, names: Names) -> str:
    """Returns which method was preferred most often in which dimensions."""
    places_by_claim: dict[str, list[str]] = {}
    for dimension, part in wins.groupby("dimension", sort=False):
        table = part.set_index("preferred")[list(part["preferred"])].to_numpy(float)
        shown = table.sum(1) + table.sum(0)
        share = np.divide(table.sum(1), shown, out=np.zeros(len(table)), where=shown > 0)
        best = np.isclose(share, share.max())
        if best.all():
            claim = "no method is preferred to the others in"
        else:
            who = _listed([names.method(one) for one in part["preferred"][best]])
            claim = f"{who} {'are' if best.sum() > 1 else 'is'} preferred most often in"
        place = f"{names.dimension(str(dimension))} ({share.max():.0%} of its choices)"
        places_by_claim.setdefault(claim, []).append(place)
    text = "; ".join(f"{claim} {', '.join(places)}" for claim, places in places_by_claim.items())
    return f"Choices of all raters, a tie counting half: {text}."


def _listed(names: list[str]) -> str:
    """Returns names as a sentence lists them."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
