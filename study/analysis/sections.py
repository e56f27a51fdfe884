"""The report's sections in order; each says beside a number what it means."""

from html import escape

from study.analysis import sections_methods, sections_people, sections_raters
from study.analysis.info import Names, StudyInfo
from study.analysis.page import paragraphs
from study.analysis.results import StudyResults

_SECTIONS = (
    ("scores", "How good is each method?", sections_methods.scores),
    ("comparison", "Is one method better than the others?", sections_methods.comparison),
    ("model", "The confirmatory model", sections_methods.model),
    ("recovered", "Scores corrected for careless raters", sections_methods.recovered),
    ("pairs", "Pairwise choices", sections_methods.choices),
    ("bias", "Did side or order matter?", sections_raters.bias),
    ("agreement", "Do the raters agree?", sections_raters.agreement_of_raters),
    ("raters", "Raters and screening", sections_raters.raters),
    ("people", "Who the raters are", sections_people.people),
    ("power", "What a study of this size can find", sections_raters.power),
)


def sections(results: StudyResults, info: StudyInfo) -> list[tuple[str, str, str]]:
    """Returns (anchor, heading, HTML) of the sections that have something to say, in order."""
    names = Names(info)
    written = [(anchor, head, write(results, info, names)) for anchor, head, write in _SECTIONS]
    written.append(("hide", "What re-encoding cannot hide", paragraphs(info.cannot_hide)))
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in results.missing)
    written.append(("missing", "What could not be computed", reasons and f"<ul>{reasons}</ul>"))
    return [section for section in written if section[2]]
