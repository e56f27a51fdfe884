"""Sections of the report on methods: how good, how sure, how compared."""

from html import escape

import numpy as np
import pandas as pd

from study.analysis.figures import Row, axis_range, interval_chart, share_chart
from study.analysis.info import Names, StudyInfo
from study.analysis.page import (
    between,
    figure,
    grid,
    number,
    probability,
    rows_of,
    table,
    whole,
)
from study.analysis.results import ALL, FEW, SCREENED, StudyResults


def main_panel(frame: pd.DataFrame) -> str:
    """Returns whose scores are shown first: the screened ones, unless the screening keeps none."""
    return SCREENED if SCREENED in set(frame["panel"]) else ALL


def _order(mos: pd.DataFrame) -> list[str]:
    """Returns methods by their mean over dimensions, best first."""
    means = mos[mos["panel"] == main_panel(mos)].groupby("method")["mos"].mean()
    return list(means.sort_values(ascending=False, kind="stable").index)


def scores(results: StudyResults, info: StudyInfo, names: Names) -> str:
    """Returns the section on means, intervals and the share of each score; may be empty."""
    mos = results.tables["mos"]
    if mos.empty:
        return ""
    order, panel = _order(mos), main_panel(mos)
    shown = mos[mos["panel"] == panel].set_index(["dimension", "method"])
    few = shown["note"].str.startswith("fewer").any()
    charts, shares = [], []
    counts = results.tables["score_counts"].set_index(["dimension", "method"])
    for dimension in dict.fromkeys(mos["dimension"]):
        rows = []
        for method in order:
            if (dimension, method) not in shown.index:
                rows.append(Row(names.method(method), np.nan))
                continue
            cell = shown.loc[(dimension, method)]
            rows.append(
                Row(
                    names.method(method),
                    cell["mos"],
                    (cell["t_low"], cell["t_high"]),
                    (cell["low"], cell["high"]),
                    method == info.ours,
                )
            )
        title = names.dimension(dimension)
        charts.append(figure(title, interval_chart(f"Mean opinion scores, {title}", rows, 1, 5)))
        bars = [
            (names.method(method), [int(n) for n in counts.loc[(dimension, method)]])
            for method in order
            if (dimension, method) in counts.index
        ]
        shares.append(figure(title, share_chart(f"Share of each score, {title}", bars)))
    key = "".join(
        f'<span><i style="background:var(--s{score})"></i>{score}</span>' for score in range(1, 6)
    )
    caution = (
        f'<p class="warn">There are fewer than {FEW} items or raters. Resampling so few makes the '
        "thin intervals too narrow; do not read them as 95 %.</p>"
        if few
        else ""
    )
    return (
        f"<p>Mean opinion score (MOS) on the scale from 1 to 5, {escape(panel)}. The thin line is "
        "the headline: a 95 % bootstrap interval over raters and items together, which asks what "
        "other raters would say of other items. The thick line is Student's t interval over the "
        "raters' means, which holds for these clips only. Overlapping intervals do not show that "
        "two methods are alike: the raters and items are the same for both, and the comparison "
        "below uses that.</p>"
        f"{caution}<div class='figures'>{''.join(charts)}</div>"
        + "".join(_mos_table(mos, who, order, info, names) for who in dict.fromkeys(mos["panel"]))
        + "<h3>All scores given</h3><p>Share of each score, all raters, attention items and "
        f"repetitions left out.</p><p class='key'>{key}</p>"
        f"<div class='figures'>{''.join(shares)}</div>"
    )


def _mos_table(mos: pd.DataFrame, who: str, order: list[str], info: StudyInfo, names: Names) -> str:
    def cell(row: pd.Series) -> str:
        interval = between(row["low"], row["high"])
        return number(row["mos"]) + ("" if interval == "–" else " " + interval)

    known = mos[mos["panel"] == who]["low"].notna().any()
    what = ", with the interval over raters and items" if known else ", without intervals"
    return grid(
        f"Mean opinion scores, {who}{what}",
        mos[mos["panel"] == who],
        ("method", "dimension"),
        (order, list(dict.fromkeys(mos["dimension"]))),
        (names.method, names.dimension),
        cell,
        strong=info.ours,
    )


def comparison(results: StudyResults, info: StudyInfo, names: Names) -> str:
    """Returns the section on Friedman's and Wilcoxon's tests; may be empty."""
    tests, overall = results.tables["comparisons"], results.tables["friedman"]
    parts = []
    if not overall.empty and "statistic" in overall:
        done = overall.dropna(subset="statistic")
        heads, rows = rows_of(
            done,
            {
                "dimension": lambda row: names.dimension(row["dimension"]),
                "raters": lambda row: row["panel"],
                "chi-square": lambda row: number(row["statistic"]),
                "df": lambda row: whole(row["freedom"]),
                "p": lambda row: probability(row["p"]),
                "Kendall's W": lambda row: number(row["concordance"]),
                "raters compared": lambda row: whole(row["complete_raters"]),
            },
        )
        parts.append(
            "<p>Friedman's test asks whether the methods differ at all. It compares the raters' "
            "means; a rater who lacks a method is left out. Kendall's W is 1 when all raters order "
            "the methods alike and 0 when there is no common order.</p>"
            + table("Friedman's test", heads, rows, text=2)
        )
    if not tests.empty:
        parts.append((_tests if info.ours else _every_pair)(tests, info, names))
    return "".join(parts)


def _every_pair(tests: pd.DataFrame, info: StudyInfo, names: Names) -> str:
    """Returns the tests of a report in which no method was named as one's own."""
    heads, rows = rows_of(
        tests,
        {
            "pair": lambda row: f"{names.method(row['method'])} less {names.method(row['other'])}",
            "dimension": lambda row: names.dimension(row["dimension"]),
            "raters": lambda row: row["panel"],
            "difference": lambda row: number(row["difference"]),
            "interval": lambda row: between(row["low"], row["high"]),
            "p": lambda row: probability(row["p"] if row["pairs"] else np.nan),
            "Holm": lambda row: probability(row["p_holm"] if row["pairs"] else np.nan),
            "effect": lambda row: number(row["effect"]),
            "raters who differ": lambda row: whole(row["pairs"]),
            "note": lambda row: row["note"],
        },
    )
    return (
        "<h3>Every pair of methods</h3><p>No method was named as one's own, so that every method "
        "is compared with every other: Wilcoxon's signed-rank test over raters, Holm's adjustment "
        "over all pairs times all dimensions. Naming one method makes the family smaller and its "
        "tests more powerful. The interval is a 95 % bootstrap over raters and items; effect is "
        "the matched-pairs rank-biserial correlation.</p>"
        + table("Every pair of methods", heads, rows, text=3)
    )


def _tests(tests: pd.DataFrame, info: StudyInfo, names: Names) -> str:
    panel, ours = main_panel(tests), names.method(info.ours)
    shown = tests[tests["panel"] == panel]
    ends = [*shown["low"], *shown["high"], *shown["difference"]]
    low, high = axis_range(ends, around_zero=True)
    charts = []
    for dimension, part in shown.groupby("dimension", sort=False):
        rows = [
            Row(
                names.method(row.other),
                row.difference,
                outer=(row.low, row.high),
                strong=bool(row.p_holm < 0.05),
            )
            for row in part.sort_values("difference").itertuples()
        ]
        title = names.dimension(str(dimension))
        chart = interval_chart(f"{ours} less each other, {title}", rows, low, high, mark=0.0)
        charts.append(figure(title, chart))
    by_difference = shown.groupby("other")["difference"].mean().sort_values()

    def cell(row: pd.Series) -> str:
        if row["pairs"] == 0:
            return f"{number(row['difference'])}\nnot tested"
        return (
            f"{number(row['difference'])} {between(row['low'], row['high'])}\n"
            f"p {probability(row['p'])}, Holm {probability(row['p_holm'])}\n"
            f"effect {number(row['effect'])}, {whole(row['pairs'])} differ"
        )

    grids = "".join(
        grid(
            f"{ours} less each other method, {who}",
            tests[tests["panel"] == who],
            ("other", "dimension"),
            (list(by_difference.index), list(dict.fromkeys(tests["dimension"]))),
            (names.method, names.dimension),
            cell,
            corner="other method",
        )
        for who in dict.fromkeys(tests["panel"])
    )
    notes = [
        f"{names.method(row.other)}, {names.dimension(row.dimension)}, {row.panel}: {row.note}."
        for row in tests[tests["note"] != ""].itertuples()
    ]
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return (
        f"<h3>{escape(ours)} against each other method</h3><p>Difference of means in points, "
        f"{escape(panel)}: right of zero {escape(ours)} is rated higher. The line is the 95 % "
        "bootstrap interval over raters and items. A filled point has a Holm-adjusted p below .05 "
        "in Wilcoxon's signed-rank test over raters; the family is all methods times all "
        "dimensions. The test speaks of new raters but of these clips only, so that it can be sure "
        "where the interval still holds zero. Effect is the matched-pairs rank-biserial "
        "correlation: 1 when every rater prefers "
        f"{escape(ours)}, −1 when none does; raters who gave both the same mean do not count.</p>"
        f"<div class='figures'>{''.join(charts)}</div>{grids}"
        + (f"<ul>{listed}</ul>" if notes else "")
    )


def model(results: StudyResults, info: StudyInfo, names: Names) -> str:
    """Returns the section on the mixed model; may be empty."""
    effects = results.tables["mixed_effects"]
    if effects.empty:
        return ""
    parts = results.tables["mixed_components"]
    reference = names.method(str(effects["reference"].iloc[0]))

    def term(name: str) -> str:
        fixed = {
            "mean of reference": f"mean of {reference}",
            "left side": "left side less right side",
            "position": "last page less first page",
        }
        return fixed.get(name, f"{names.method(name)} less {reference}")

    def cell(row: pd.Series) -> str:
        p = "" if row["term"] == "mean of reference" else f"\np {probability(row['p'])}"
        return f"{number(row['estimate'])} {between(row['low'], row['high'])}{p}"

    grids = "".join(
        grid(
            f"Fixed effects, {who}",
            effects[effects["panel"] == who],
            ("term", "dimension"),
            (list(dict.fromkeys(effects["term"])), list(dict.fromkeys(effects["dimension"]))),
            (term, names.dimension),
            cell,
            corner="effect",
        )
        for who in dict.fromkeys(effects["panel"])
    )
    more_heads, more = rows_of(
        parts,
        {
            "dimension": lambda row: names.dimension(row["dimension"]),
            "raters": lambda row: row["panel"],
            "rater": lambda row: number(row.get("rater", np.nan)),
            "item": lambda row: number(row.get("item", np.nan)),
            "clip": lambda row: number(row.get("clip", np.nan)),
            "rater × method": lambda row: number(row.get("rater_method", np.nan)),
            "residual": lambda row: number(row["residual"]),
            "methods alike: chi-square": lambda row: number(row["statistic"], 1),
            "p": lambda row: probability(row["p"]),
            "note": lambda row: row["note"],
        },
    )
    return (
        "<p>A linear mixed model of single scores: method, side and position are fixed; raters, "
        "items, clips and raters' likings of methods are crossed random effects (restricted "
        "maximum likelihood). Its intervals are for new raters and new clips as far as these "
        "random effects were estimated; they are normal approximations, and with few clips they "
        "are too narrow. Points of the scale.</p>"
        + grids
        + table("Standard deviations of the random effects", more_heads, more, text=2)
    )


def recovered(results: StudyResults, info: StudyInfo, names: Names) -> str:
    """Returns the section on the P.910 scores; may be empty."""
    scores = results.tables["p910"]
    if scores.empty or "score" not in scores or scores["score"].isna().all():
        return ""
    done = scores.dropna(subset="score")
    order = list(done.groupby("method")["score"].mean().sort_values(ascending=False).index)
    grids = "".join(
        grid(
            f"Maximum-likelihood scores by P.910, mean of a method's clips, {who}",
            done[done["panel"] == who],
            ("method", "dimension"),
            (order, list(dict.fromkeys(scores["dimension"]))),
            (names.method, names.dimension),
            lambda row: f"{number(row['score'])} {between(row['low'], row['high'])}",
            strong=info.ours,
        )
        for who in dict.fromkeys(done["panel"])
    )
    return (
        "<p>ITU-T P.910 (Annex E) finds the clip scores, rater biases and rater inconsistencies "
        "that explain the scores best; careless raters weigh less, and none is thrown out. The "
        "95 % interval is for these clips and says nothing of others.</p>" + grids
    )


def choices(results: StudyResults, info: StudyInfo, names: Names) -> str:
    """Returns the section on Bradley-Terry strengths and counts of wins; may be empty."""
    wins = results.tables["pair_wins"]
    if wins.empty:
        return ""
    strengths, sides = results.tables["pair_strengths"], results.tables["pair_sides"]
    charts, tables = [], []
    for dimension in dict.fromkeys(wins["dimension"]):
        title = names.dimension(dimension)
        if not strengths.empty and dimension in set(strengths["dimension"]):
            part = strengths[strengths["dimension"] == dimension]
            rows = [
                Row(
                    names.method(row.method),
                    row.strength,
                    outer=(row.low, row.high),
                    strong=row.method == info.ours,
                )
                for row in part.itertuples()
            ]
            low, high = axis_range([*part["low"], *part["high"]])
            charts.append(
                figure(title, interval_chart(f"Strengths, {title}", rows, low, high, mark=0.0))
            )
        part = wins[wins["dimension"] == dimension]
        total = part.set_index("preferred")[list(part["preferred"])].sum(axis=1)
        methods = list(total.sort_values(ascending=False, kind="stable").index)
        by_method = part.set_index("preferred")
        heads = ["preferred to →", *(names.method(name) for name in methods)]
        cells = [
            [
                names.method(one),
                *("" if one == other else f"{by_method.loc[one, other]:g}" for other in methods),
            ]
            for one in methods
        ]
        tables.append(table(f"How often each was preferred, {title}", heads, cells))
    heads, rows_ = rows_of(
        sides,
        {
            "dimension": lambda row: names.dimension(row["dimension"]),
            "left side, log odds": lambda row: number(row["side"]),
            "interval": lambda row: between(row["low"], row["high"]),
            "left chosen of two equals": lambda row: (
                "–" if np.isnan(row["side"]) else f"{1 / (1 + np.exp(-row['side'])):.0%}"
            ),
            "choices": lambda row: whole(row["choices"]),
            "raters": lambda row: whole(row["raters"]),
            "ties": lambda row: whole(row["ties"]),
            "note": lambda row: row["note"],
        },
    )
    return (
        "<p>Bradley-Terry strengths: the log odds that a method is preferred to an average one, "
        "with a term for the left side. A difference of 1 means being preferred in 73 % of "
        "choices. A tie counts as half a win for both. All raters; choices are not screened.</p>"
        f"<div class='figures'>{''.join(charts)}</div>"
        + (table("Side term", heads, rows_) if len(sides) else "")
        + "".join(tables)
    )
