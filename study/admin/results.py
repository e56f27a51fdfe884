"""Tabs before and after a study: the power planner, unblinding and the report, the audit log."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from study import acts
from study.admin import fragments
from study.admin.parts import ADMINISTRATOR, QUICK, SLOW, result_html
from study.admin.running import need_typed
from study.audit import acts as recorded
from study.audit import first_broken
from study.blinding import read_map
from study.errors import StudyError
from study.folder import Folder, Milestones
from study.outcome import RESULTS, result_files
from study.planning import FIG16, size
from study.store import Store

if TYPE_CHECKING:
    from study.site import Site

NO_METHOD = "none"

_NUMBER = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True)
class ResultsTab:
    """Outputs of the results tab."""

    standing: tuple[Any, ...]
    message: gr.HTML
    events: tuple[Any, ...]


def plan(site: "Site", chosen: gr.Dropdown) -> None:
    """How small a difference a study can find; begins with the chosen study's size."""
    gr.Markdown(
        "How small a difference of two methods' mean scores will a study find? "
        "Points of the 1 to 5 scale; Holm's first step over the family of comparisons."
    )
    with gr.Row():
        raters = gr.Textbox(_text(FIG16.raters), label="Numbers of raters")
        clips = gr.Textbox(_text(FIG16.clips), label="Clips of each method")
        methods = gr.Number(FIG16.methods, precision=0, minimum=2, label="Methods")
        dimensions = gr.Number(FIG16.dimensions, precision=0, minimum=1, label="Dimensions")
    with gr.Row():
        power = gr.Slider(0.5, 0.99, 0.8, step=0.01, label="Power")
        clip = gr.Number(0.5, minimum=0, label="SD of clips")
        rater_method = gr.Number(0.3, minimum=0, label="SD of rater × method")
        residual = gr.Number(0.8, minimum=0, label="SD of the rest")
    button = gr.Button("Plan", variant="primary")
    shown = gr.HTML("", elem_id="st-plan", apply_default_css=False)

    def act(*values: Any) -> str:  # noqa: ANN401
        return result_html(lambda: planned(*values))

    def begin(name: str | None) -> tuple[Any, ...]:
        try:
            own = size(site.folder(name or ""))
        except StudyError:  # no clips yet, or none chosen: the fields stay
            return (gr.skip(),) * 4
        return _text(own.raters), _text(own.clips), own.methods, own.dimensions

    chosen.change(begin, [chosen], [raters, clips, methods, dimensions], **QUICK)
    inputs = [raters, clips, methods, dimensions, power, clip, rater_method, residual]
    button.click(act, inputs, [shown], show_progress_on=[shown], **SLOW)


def planned(
    raters: str,
    clips: str,
    methods: float,
    dimensions: float,
    power: float,
    clip: float,
    rater_method: float,
    residual: float,
) -> str:
    """The planner's table.

    Raises:
        StudyError: a list is not a list of whole numbers.
        ValueError: a number is out of range.
    """
    from study.analysis.power import Components
    from study.analysis.power import plan as find

    if None in (methods, dimensions, clip, rater_method, residual):
        raise StudyError("a field is empty; fill in every number.")
    table = find(
        _numbers("Numbers of raters", raters),
        _numbers("Clips of each method", clips),
        int(methods),
        Components(clip, rater_method, residual),
        dimensions=int(dimensions),
        power=power,
    )
    head = (
        *("raters", "clips", "scores a rater", "these clips", "new clips"),
        *("these, whole family", "new, whole family"),
    )
    rows = [
        [f"{value:.0f}" if number < 3 else f"{value:.2f}" for number, value in enumerate(row)]
        for row in table.itertuples(index=False)
    ]
    return fragments.table(head, rows, "")


def build(site: "Site", chosen: gr.Dropdown) -> ResultsTab:
    """Unblinding, which is announced and recorded, and the report."""
    message = gr.HTML("", elem_id="st-results-said")
    with gr.Row():
        with gr.Column(min_width=280):
            gr.Markdown(
                "### 1. Unblind\nOnly a closed study can be unblinded. It is recorded with its "
                "time and cannot be undone."
            )
            typed = gr.Textbox(label="Type the study's name to unblind it", elem_id="st-unblind")
            unblind = gr.Button("Reveal the methods", variant="stop")
        with gr.Column(min_width=280):
            gr.Markdown("### 2. Report\nAll results on one page, with every number as a file.")
            ours = gr.Dropdown(
                [NO_METHOD],
                value=NO_METHOD,
                label="Your method",
                info="compared with every other one; with none, every pair is compared",
                interactive=True,
                elem_id="st-ours",
            )
            report = gr.Button("Write the report", variant="primary")
    files = gr.HTML("", elem_id="st-results-files")

    def unblind_act(name: str, typed: str) -> str:
        def go() -> str:
            need_typed(name, typed, "unblind")
            found = acts.unblind(site.folder(name), ADMINISTRATOR)
            listed = ", ".join(found.methods)
            return fragments.note(f"The map is the one published. Methods: {listed}.", "good")

        return result_html(go)

    def report_act(name: str, ours: str) -> str:
        def go() -> str:
            from study import outcome

            folder = site.folder(name)
            out = folder.root / RESULTS
            outcome.write_report(folder, "" if ours == NO_METHOD else ours, out)
            outcome.write_tables(folder, out)
            return fragments.note("The report is written.", "good")

        return result_html(go)

    acted = (
        unblind.click(unblind_act, [chosen, typed], [message], show_progress_on=[message], **SLOW),
        report.click(report_act, [chosen, ours], [message], show_progress_on=[message], **SLOW),
    )
    return ResultsTab((ours, files), message, acted)


def standing(folder: Folder, done: Milestones) -> tuple[Any, ...]:
    """The list of methods, the files of the report and the log, as they are now."""
    methods: tuple[str, ...] = ()
    files = ""
    if done.phase == "unblinded":
        methods = read_map(folder).methods
        files = fragments.downloads(folder.root.name, list(result_files(folder.root)))
    chosen = gr.Dropdown([NO_METHOD, *methods], value=NO_METHOD)
    return (chosen, files, log_of(folder))


def nothing() -> tuple[Any, ...]:
    """What is shown of these tabs without a study."""
    return (gr.Dropdown([NO_METHOD], value=NO_METHOD), "", "")


def log(site: "Site", chosen: gr.Dropdown) -> gr.HTML:
    """Every recorded act, and withdrawing a rater who asked for it outside the page."""
    shown = gr.HTML("", elem_id="st-log", apply_default_css=False)
    with gr.Row():
        rater = gr.Textbox(
            label="Withdraw a rater: the id, as on the board",
            info="deletes who it was and every answer, also from the snapshots here",
            elem_id="st-rater",
        )
        withdraw = gr.Button("Delete everything this rater gave", variant="stop", scale=0)
    message = gr.HTML("", elem_id="st-withdrawn")

    def act(name: str, rater: str) -> tuple[str, Any]:
        def go() -> str:
            receipt = acts.withdraw(site.folder(name), rater.strip(), ADMINISTRATOR)
            return fragments.note(str(receipt), "bad" if receipt.failed else "good")

        sentence = result_html(go)
        return sentence, log_of(site.folder(name)) if name in site.names() else ""

    withdraw.click(act, [chosen, rater], [message, shown], show_progress_on=[message], **SLOW)
    return shown


def log_of(folder: Folder) -> str:
    """The audit log of a study."""
    with Store(folder.database) as store:
        return fragments.log(recorded(store), first_broken(store))


def _text(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))


def _numbers(label: str, text: str) -> list[int]:
    parts = [part for part in text.replace(",", " ").split() if part]
    if not 1 <= len(parts) <= 20 or not all(_NUMBER.fullmatch(part) for part in parts):
        raise StudyError(
            f"{label} is {text[:60]!r}; give up to 20 whole numbers such as 14, 20, 28."
        )
    return [int(part) for part in parts]
