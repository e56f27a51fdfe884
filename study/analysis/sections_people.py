"""Section of the report on who the raters are: their answers about themselves and how they came."""

from html import escape

from study.analysis.info import Asked, Names, StudyInfo
from study.analysis.page import table
from study.analysis.results import StudyResults

_HOW = {
    "source": Asked("How they came"),
    "language": Asked("Language of the page"),
    "playback": Asked("Playback check"),
    "state": Asked("How far they came"),
}


def people(results: StudyResults, info: StudyInfo, names: Names) -> str:
    """Returns counts of each answer and all remarks; may be empty."""
    frame = results.tables["people"]
    if frame.empty:
        return ""
    counted, listed = [], []
    for column, asked in {**_HOW, **info.questions}.items():
        answers = frame[column].astype(str)
        given = answers[answers != ""]
        if column in info.questions and not asked.options:
            said = "".join(
                f"<li>{escape(text)} <span class='soft'>({escape(rater)})</span></li>"
                for rater, text in zip(frame.loc[given.index, "rater"], given, strict=True)
            )
            listed.append(f"<h3>{escape(asked.title)}</h3><ul>{said or '<li>–</li>'}</ul>")
            continue
        rows = [
            [asked.options.get(str(answer), str(answer)), str(count)]
            for answer, count in given.value_counts().items()
        ]
        if len(given) < len(answers):
            rows.append(["no answer", str(len(answers) - len(given))])
        counted.append(table(asked.title, ["answer", "raters"], rows))
    return (
        f"<p>Answers of {len(frame)} raters who came to the end about themselves; no result above "
        "depends on it. The rows are in raters.csv of the export.</p>"
        f"<div class='figures'>{''.join(counted)}</div>{''.join(listed)}"
    )
