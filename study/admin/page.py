"""The administrator's page: all its tabs. Gradio is imported here and in the tabs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from fastapi import FastAPI
from starlette.applications import Starlette

from study import folder as folders
from study.admin import fragments, making, results, running
from study.admin.parts import QUICK, island
from study.errors import StudyError

if TYPE_CHECKING:
    from study.site import Site

STATIC = Path(__file__).parent / "static"

LOOK: dict[str, Any] = {
    "theme": gr.themes.Soft(
        primary_hue="indigo",
        secondary_hue="indigo",
        neutral_hue="slate",
        font=("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"),
        font_mono=("ui-monospace", "Consolas", "monospace"),
    ).set(
        body_text_color_subdued="*neutral_500",
        block_info_text_color="*neutral_500",
        background_fill_primary="*neutral_50",
    ),
    "css_paths": STATIC / "page.css",
    "head": '<meta name="viewport" content="width=device-width, initial-scale=1">',
}
"""How the page looks; nothing is loaded from other hosts."""


def application(site: "Site") -> Starlette:
    """The page as an application that expects requests under the administrator's address."""
    from study.site import ADMIN

    blocks = build(site)
    app: Starlette = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    gr.mount_gradio_app(
        app,
        blocks,
        ADMIN,
        **LOOK,
        allowed_paths=[],
        max_file_size=1,  # nothing is sent through Gradio: clips have a route of their own
        ssr_mode=False,
        run_history=False,
        footer_links=[],
        enable_monitoring=False,
        show_error=False,
    )
    # Gradio checks which files an event may name only for pages it has launched itself; a mounted
    # page would copy any file of the server that a browser names into its cache.
    blocks.has_launched = True
    return app


def phase_of(site: "Site", name: str) -> str:
    """Where a study stands; "damaged" when its files do not tell."""
    try:
        return folders.read_milestones(site.folder(name)).phase
    except StudyError:
        return "damaged"


def build(site: "Site") -> gr.Blocks:
    """Every tab of the page."""
    with gr.Blocks(title="Studies", analytics_enabled=False) as page:
        with gr.Row(equal_height=True, elem_id="st-head"):
            gr.HTML("<h1>Studies</h1>", elem_id="st-title")
            chosen = gr.Dropdown(
                [], label="Study", value=None, elem_id="st-chosen", interactive=True, min_width=200
            )
            gr.HTML(
                '<form method="post" action="logout"><button class="st-button quiet">Log out'
                "</button></form>",
                elem_id="st-leave",
            )
        steps = gr.HTML("", elem_id="st-where")
        with gr.Tabs(elem_id="st-tabs"):
            with gr.Tab("Make", id="make"):
                made = making.make(site)
            with gr.Tab("Check and edit", id="edit"):
                edited = making.edit(site, chosen)
            with gr.Tab("Plan", id="plan"):
                results.plan(site, chosen)
            with gr.Tab("Run", id="run"):
                run = running.build(site, chosen)
            with gr.Tab("Board", id="board"):
                board = island("board", {"name": ""}, "st-board")
            with gr.Tab("Results", id="results"):
                found = results.build(site, chosen)
            with gr.Tab("Log", id="log"):
                log = results.log(site, chosen)

        def names(wanted: str | None) -> Any:  # noqa: ANN401
            there = site.names()
            running = [name for name in there if phase_of(site, name) == "open"]
            first = next(iter([*running, *there]), None)
            return gr.Dropdown(there, value=wanted if wanted in there else first)

        def where(name: str | None) -> tuple[Any, ...]:
            if name not in site.names():
                empty = fragments.note("There is no study yet: make one.")
                return empty, {"name": ""}, "", *results.nothing()
            folder = site.folder(str(name))
            try:
                done = folders.read_milestones(folder)
                return (
                    fragments.milestones(folder.root.name, done),
                    {"name": folder.root.name},
                    fragments.hashes(done),
                    *results.standing(folder, done),
                )
            except StudyError as error:  # one damaged study must not hide the others
                problem = fragments.problems(error)
                return problem, {"name": folder.root.name}, "", *results.nothing()

        def text(name: str | None) -> str:
            if name not in site.names():
                return ""
            try:
                return site.folder(str(name)).definition.read_text("utf-8")
            except (StudyError, UnicodeDecodeError, OSError) as error:
                return f"# study.yaml cannot be shown: {error}\n"

        shown = [steps, board, run.hashes, *found.standing, log]
        # By hand or by the page itself, never both: a second, later answer would overwrite what
        # was typed meanwhile.
        messages = [edited.message, edited.view, run.message, run.links, found.message]
        chosen.input(where, [chosen], shown, **QUICK)
        chosen.input(text, [chosen], [edited.source], **QUICK)
        chosen.input(lambda: ("",) * len(messages), None, messages, **QUICK)
        for event in (
            page.load(names, [chosen], [chosen], **QUICK),
            made.event.then(names, [made.name], [chosen], **QUICK),
        ):
            event.then(text, [chosen], [edited.source], **QUICK)
            event.then(where, [chosen], shown, **QUICK)
            event.then(lambda: ("",) * len(messages), None, messages, **QUICK)
        for event in (*edited.events, *run.events, *found.events):
            event.then(where, [chosen], shown, **QUICK)
        page.queue(default_concurrency_limit=1, max_size=20)
    return page
