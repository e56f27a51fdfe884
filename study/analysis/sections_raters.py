"""Sections of the report on raters: who they are, whether they agree, what biases them."""

from html import escape

import numpy as np

from study.analysis.bias import ALL_DIMENSIONS
from study.analysis.figures import Row, axis_range, interval_chart, rater_chart
from study.analysis.info import Names, StudyInfo
from study.analysis.page import between, figure, number, rows_of, table, whole
from study.analysis.results import StudyResults


def bias(results: StudyResults, info: StudyInfo, names: Names) -> str:
    """Returns the section on side and order bias; may be empty."""
    found = results.tables["bias"]
    if found.empty or found["estimate"].isna().all():
        return ""
    done = found.dropna(subset="estimate")

    def title(name: str) -> str:
        return name if name == ALL_DIMENSIONS else names.dimension(name)

    low, high = axis_range([*done["low"], *done["high"]], around_zero=True)
    charts = []
    for (who, effect), part in done.groupby(["panel", "effect"], sort=False):
        what = "left less right side" if effect == "left side" else "last less first page"
        rows = [
            Row(title(row.dimension), row.estimate, outer=(row.low, row.high))
            for row in part.itertuples()
        ]
        caption = f"{what}, points, {who}"
        charts.append(figure(caption, interval_chart(caption, rows, low, high, mark=0.0)))
    return (
        "<p>Each clip is compared with itself on the other side, and early pages with late ones, "
        "beside what raters and clips explain; 95 % intervals over raters. An interval "
        "that holds zero does not prove that there is no bias. Where sides are balanced, a side "
        "bias blurs the methods' means but favours none.</p>"
        f"<div class='figures'>{''.join(charts)}</div>"
    )


def agreement_of_raters(results: StudyResults, info: StudyInfo, names: Names) -> str:
    """Returns the section on alpha and the intraclass correlations; may be empty."""
    found = results.tables["agreement"]
    if found.empty or not {"alpha", "single"} & set(found.columns):
        return ""
    heads, rows = rows_of(
        found,
        {
            "dimension": lambda row: names.dimension(row["dimension"]),
            "raters": lambda row: row["panel"],
            "alpha, ordinal": lambda row: number(row.get("alpha", np.nan)),
            "ICC(A,1)": lambda row: number(row.get("single", np.nan)),
            "interval": lambda row: between(
                row.get("single_low", np.nan), row.get("single_high", np.nan)
            ),
            "ICC(A,k)": lambda row: number(row.get("average", np.nan)),
            "interval ": lambda row: between(
                row.get("average_low", np.nan), row.get("average_high", np.nan)
            ),
            "clips scored by all": lambda row: whole(row.get("clips", np.nan)),
        },
    )
    return (
        "<p>Krippendorff's alpha (ordinal) and ICC(A,1) say how far one rater's scores agree with "
        "another's: 1 is perfect, 0 is chance. A rater's scores of one clip on several pages are "
        "averaged first, which makes both higher than for a single look. ICC(A,k) is the "
        "reliability of the mean of all these raters. Low agreement of single raters is common for "
        "generated video and is no fault by itself; it is why the means need many raters.</p>"
        + table("Agreement", heads, rows, text=2)
    )


def raters(results: StudyResults, info: StudyInfo, names: Names) -> str:
    """Returns the section on the screening and a row for each rater; may be empty."""
    people = results.tables["raters"]
    if people.empty:
        return ""
    points = [(row.rater, row.correlation, row.mean, bool(row.kept)) for row in people.itertuples()]
    chart = figure(
        "Agreement with the others and mean score (filled: left out)",
        rater_chart("Raters", points, info.rules.least_correlation),
    )
    if people["correlation"].isna().all():
        chart = ""
    silent = people[people["correlation"].isna()]["rater"]
    undrawn = (
        f"<p>Not drawn, because there is no correlation: {escape(', '.join(silent))}.</p>"
        if len(silent)
        else ""
    )
    heads, rows = rows_of(
        people,
        {
            "rater": lambda row: row["rater"],
            "scores": lambda row: whole(row["scores"]),
            "mean": lambda row: number(row["mean"]),
            "spread": lambda row: number(row["spread"]),
            "bias": lambda row: number(row["bias"]),
            "seconds a page": lambda row: number(row["seconds"], 0),
            "correlation": lambda row: number(row["correlation"]),
            "outlying": lambda row: whole(row["above"] + row["below"]),
            "repeats": lambda row: whole(row["repeats"]),
            "same again": lambda row: (
                "–" if np.isnan(row["repeat_same"]) else f"{row['repeat_same']:.0%}"
            ),
            "attention failed": lambda row: (
                "–" if np.isnan(row["gold_failed"]) else f"{row['gold_failed']:.0%}"
            ),
            "note": lambda row: row["reasons"] or "kept",
        },
    )
    kept = int(people["kept"].sum())
    rules = "".join(f"<li>{escape(rule)}</li>" for rule in info.rules.sentences())
    return (
        f"<p>Raters who gave scores: {len(people)}. Raters who pass the screening: {kept}; left "
        f"out of the screened results: {len(people) - kept}. Every result is given with "
        "and without them. A rater is left out when</p>"
        f"<ul>{rules}</ul><p>Spread is the standard deviation of a rater's scores; bias is how far "
        "they score above the means of the same clips; correlation is with the mean of the other "
        "raters; outlying counts scores far from a clip's mean by BT.500.</p>"
        f"{chart}{undrawn}" + table("Raters", heads, rows)
    )


def power(results: StudyResults, info: StudyInfo, names: Names) -> str:
    """Returns the smallest differences that such a study finds; may be empty."""
    found = results.tables["found"]
    if found.empty:
        return ""
    raters, clips = int(found["raters"].iloc[0]), int(found["clips"].iloc[0])
    heads, rows = rows_of(
        found,
        {
            "dimension": lambda row: names.dimension(row["dimension"]),
            "these clips only": lambda row: number(row["these_clips"]),
            "new clips count": lambda row: number(row["new_clips"]),
            "new clips, 14 a method": lambda row: number(row["new_clips_14"]),
        },
    )
    return (
        f"<p>The smallest difference of two methods' means, in points, that {raters} raters and "
        f"{clips} clips of each method find with 80 % power at p &lt; .05 in one comparison, by "
        "the random effects estimated above. When the finding is to hold for clips that were not "
        "shown, more clips help more than more raters. With few clips the random effects "
        "themselves are uncertain, and so is this table.</p>"
        + table("Smallest difference found, points", heads, rows)
    )
