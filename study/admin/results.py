"""Tabs before and after a study: the power planner, unblinding and the report, the audit log."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from study import acts
from study.admin import fragments
from study.admin.parts import RUNNER, SLOW, told
from study.admin.running import need_typed
from study.audit import acts as recorded
from study.audit import first_broken
from study.blinding import read_map
from study.errors import StudyError
from study.folder import Folder, Milestones
from study.outcome import RESULTS, result_files
from study.store import Store

if TYPE_CHECKING:
    from study.site import Site

NO_METHOD = "none"


@dataclass(frozen=True)
class Found:
    """What the rest of the page needs of the results."""

    standing: tuple[Any, ...]
    said: gr.HTML
    events: tuple[Any, ...]


def plan() -> None:
    """How small a difference a study of a size can find."""
    gr.Markdown(
        "How small a difference of two methods' mean scores will a study find? "
        "Points of the 1 to 5 scale; Holm's first step over the family of comparisons."
    )
    with gr.Row():
        raters = gr.Textbox("14, 20, 28", label="Numbers of raters")
        clips = gr.Textbox("2, 4, 14", label="Clips of each method")
        methods = gr.Number(7, precision=0, minimum=2, maximum=40, label="Methods")
        dimensions = gr.Number(4, precision=0, minimum=1, maximum=20, label="Dimensions")
    with gr.Row():
        power = gr.Slider(0.5, 0.99, 0.8, step=0.01, label="Power")
        clip = gr.Number(0.5, minimum=0, label="SD of clips")
        rater_method = gr.Number(0.3, minimum=0, label="SD of rater × method")
        residual = gr.Number(0.8, minimum=0, label="SD of the rest")
    button = gr.Button("Plan", variant="primary")
    shown = gr.HTML("", elem_id="st-plan", apply_default_css=False)

    def act(*values: Any) -> str:  # noqa: ANN401
        return told(lambda: planned(*values))

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
        StudyError: a list is no list of whole numbers.
        ValueError: a number is out of range.
    """
    from study.analysis.power import Components
    from study.analysis.power import plan as find

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


def build(site: "Site", chosen: gr.Dropdown) -> Found:
    """Unblinding, which is said and recorded, and what comes of it."""
    said = gr.HTML("", elem_id="st-results-said")
    with gr.Row():
        with gr.Column(min_width=280):
            gr.Markdown(
                "### 1. Unblind\nOnly a closed study can be unblinded. It is recorded with its "
                "time and cannot be undone."
            )
            typed = gr.Textbox(label="Type the study's name to unblind it", elem_id="st-unblind")
            unblind = gr.Button("Say which method is which", variant="stop")
        with gr.Column(min_width=280):
            gr.Markdown("### 2. Report\nAll results on one page, with every number as a file.")
            ours = gr.Dropdown(
                [NO_METHOD],
                value=NO_METHOD,
                label="Your method",
                info="compared with every other one",
                interactive=True,
                elem_id="st-ours",
            )
            report = gr.Button("Write the report", variant="primary")
    files = gr.HTML("", elem_id="st-results-files")

    def unblind_act(name: str, typed: str) -> str:
        def go() -> str:
            need_typed(name, typed, "unblind")
            found = acts.unblind(site.folder(name), RUNNER)
            listed = ", ".join(found.methods)
            return fragments.note(f"The map is the one published. Methods: {listed}.", "good")

        return told(go)

    def report_act(name: str, ours: str) -> str:
        def go() -> str:
            from study import outcome

            folder = site.folder(name)
            out = folder.root / RESULTS
            outcome.write_report(folder, "" if ours == NO_METHOD else ours, out)
            outcome.write_tables(folder, out)
            return fragments.note("The report is written.", "good")

        return told(go)

    acted = (
        unblind.click(unblind_act, [chosen, typed], [said], show_progress_on=[said], **SLOW),
        report.click(report_act, [chosen, ours], [said], show_progress_on=[said], **SLOW),
    )
    return Found((ours, files), said, acted)


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
        withdraw = gr.Button("Delete all that this rater gave", variant="stop", scale=0)
    said = gr.HTML("", elem_id="st-withdrawn")

    def act(name: str, rater: str) -> tuple[str, Any]:
        def go() -> str:
            receipt = acts.withdraw(site.folder(name), rater.strip(), RUNNER)
            return fragments.note(
                f"Receipt {receipt['number']}: {receipt['answers']} answers were deleted.", "good"
            )

        sentence = told(go)
        return sentence, log_of(site.folder(name)) if name in site.names() else ""

    withdraw.click(act, [chosen, rater], [said, shown], show_progress_on=[said], **SLOW)
    return shown


def log_of(folder: Folder) -> str:
    """The audit log of a study."""
    with Store(folder.database) as store:
        return fragments.log(recorded(store), first_broken(store))


def _numbers(label: str, text: str) -> list[int]:
    parts = [part for part in text.replace(",", " ").split() if part]
    if not parts or not all(part.isdecimal() for part in parts):
        raise StudyError(f"{label} is {text!r}; give whole numbers such as 14, 20, 28.")
    return [int(part) for part in parts[:20]]
