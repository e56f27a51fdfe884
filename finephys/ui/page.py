"""The Generate page: what a person chooses on the left, what comes of it on the right."""

import html
import json
import threading
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import gradio as gr

from finephys.errors import FinePhysError, StoppedError
from finephys.methods import DEFAULT_METHOD, METHODS
from finephys.pipeline import Pipeline
from finephys.skeleton import JOINTS, LIMBS
from finephys.types import Request, Result, Stage, Update
from finephys.ui import controls, payload, scene
from finephys.ui.choices import Choices
from finephys.ui.previews import PreviewBudget
from finephys.ui.runs import Job, Runs
from finephys.ui.server import CACHE_AGE, STATIC
from finephys.ui.settings import QUICK

WORKING = {
    Stage.CLIP: "Looking for the body in every frame",
    Stage.DETECTED: "Lifting the body to 3D",
    Stage.DATA_DRIVEN: "Applying mechanics forward and backward in time",
    Stage.PHYSICS: "Fusing, and projecting back to 2D",
    Stage.REPROJECTED: "Preparing the video",
    Stage.HEATMAPS: "Denoising the video",
    Stage.PREVIEW: "Denoising the video",
    Stage.VIDEO: "Writing the files",
    Stage.RESULT: "Preparing the next video",
}
"""Stage that has arrived -> what is being done now."""

STAGE_NAMES = {
    Stage.CLIP: "frames",
    Stage.DETECTED: "S_detect",
    Stage.DATA_DRIVEN: "S_dd",
    Stage.PHYSICS: "S_pp",
    Stage.REPROJECTED: "S_re-proj",
    Stage.HEATMAPS: "heatmaps",
    Stage.PREVIEW: "denoising",
    Stage.VIDEO: "video",
}

LOOK: dict[str, Any] = {
    "theme": gr.themes.Soft(
        primary_hue="indigo",
        secondary_hue="indigo",
        neutral_hue="slate",
        font=("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"),
        font_mono=("ui-monospace", "Consolas", "monospace"),
    ).set(
        # Grey text that can be read; the fill is Soft's own, which `set` would drop.
        body_text_color_subdued="*neutral_500",
        block_info_text_color="*neutral_500",
        background_fill_primary="*neutral_50",
    ),
    "css_paths": STATIC / "page.css",
    "head": '<meta name="viewport" content="width=device-width, initial-scale=1">',
}
"""How the page looks, for `launch`: nothing of it is fetched from elsewhere."""

SHOW_STATUS = """() => {
    const status = document.querySelector("#fp-status");
    const low = status.getBoundingClientRect().top > window.innerHeight * 0.8;
    if (low) status.scrollIntoView({ behavior: "smooth" });
    return SENTENCE;
}"""

COUNT_PRESS = """(...values) => {
    window.fpPress = (window.fpPress ?? 0) + 1;
    return [...values.slice(0, -1), window.fpPress];
}"""

Shown = tuple[dict[str, Any], str]
"""What each event sends: the viewer's value (or an update that leaves it) and the status line."""


def build(pipeline: Pipeline, runs: Runs, ready: threading.Event) -> gr.Blocks:
    """The whole page.

    Args:
        pipeline: what runs.
        runs: where results are kept.
        ready: set once the loading of models has ended.
    """
    with gr.Blocks(title="FinePhys", delete_cache=CACHE_AGE, analytics_enabled=False) as page:
        gr.HTML(
            "<h1>FinePhys</h1><p>Generated videos of gymnasts whose bodies obey mechanics.</p>",
            elem_id="fp-title",
        )
        with gr.Row(equal_height=False, elem_id="fp-columns"):
            with gr.Column(scale=3, min_width=320, elem_id="fp-controls"):
                chosen = controls.build(pipeline.models.tier, pipeline.models.missing)
            with gr.Column(scale=7, min_width=340, elem_id="fp-results"):
                status = gr.HTML(status_line("Ready."), elem_id="fp-status")
                viewer = _viewer()

        # The browser counts presses of Generate, so that Stop also ends one still on its way here.
        press = gr.Number(0, visible=False)

        # Gradio hands the values over by position.
        def generate(request: gr.Request, *values: Any) -> Iterator[Shown]:  # noqa: ANN401
            this = runs.begin(request.session_hash or "", int(values[-1]))
            yield from run(pipeline, runs, ready, Choices(*values[:-1]), this)

        def stop(press: float, request: gr.Request) -> Shown:
            if not press:
                return gr.skip(), status_line("Nothing of yours is running or waiting.")
            asked = runs.stop(request.session_hash or "", int(press))
            return _ended(asked[-1]) if asked else gr.skip(), status_line("Stopped.")

        def close(request: gr.Request) -> None:
            runs.forget(request.session_hash or "")

        # Done by the browser at once: in the queue nothing of the server's is shown yet, and on a
        # phone the status and the results lie below all the controls.
        waiting = json.dumps(status_line("Waiting for your turn; one job runs at a time.", 0.01))
        chosen.generate.click(None, None, [status], js=SHOW_STATUS.replace("SENTENCE", waiting))
        chosen.generate.click(
            generate,
            [*chosen.values, press],
            [viewer, status],
            js=COUNT_PRESS,
            show_progress="minimal",
            show_progress_on=[status],
            concurrency_limit=1,
            trigger_mode="multiple",  # also while the last run still ends
            api_visibility="private",
        )
        # The run ends itself at its next step, or as soon as its turn comes. Gradio's cancelling
        # would leave an "Error" on the page and could hold on to the run's lock.
        chosen.stop.click(
            stop,
            [press],
            [viewer, status],
            js="() => [window.fpPress ?? 0]",
            **QUICK,
        )
        page.unload(close)
        page.queue(default_concurrency_limit=1, max_size=50)
    return page


def run(
    pipeline: Pipeline,
    runs: Runs,
    ready: threading.Event,
    choices: Choices,
    this: Job,
) -> Iterator[Shown]:
    """One press of Generate, from the choices to the files.

    Args:
        pipeline: what runs.
        runs: where the results are kept.
        ready: set once the loading of models has ended.
        choices: what the person chose.
        this: the run, begun for the browser session that the results belong to.

    Yields:
        The viewer's value and the status line, each time something arrives.
    """
    try:
        request, methods, clip = choices.request(), choices.compared(), choices.clip()
        origin = "action" if clip is None else "clip"
        this.shown = payload.fresh(this.folder.name[:8], origin, methods)
        begin = "Simulating the action" if clip is None else "Reading the clip"
        loading = "" if ready.is_set() else " (the models are still being loaded)"
        yield this.shown, status_line(begin + loading, 0.02)
        budget = PreviewBudget()
        results: list[Result] = []
        for update in pipeline.stream(clip, request, this.stop, methods):
            if update.stage is Stage.PREVIEW:
                if update.step and update.step[0] == 1:
                    budget.begin()
                if not budget.allows():
                    continue
                with budget.spending():
                    this.shown = payload.with_update(this.shown, update)
                    yield this.shown, _working(pipeline, update, request, methods)
                continue
            this.shown = payload.with_update(this.shown, update)
            if isinstance(update.value, Result):
                results.append(update.value)
                made = runs.write(this, update.value, len(methods) == 1)
                if len(results) == len(methods) > 1:
                    made += runs.write_comparison(this, results)
                this.shown["downloads"] = this.shown["downloads"] + [asdict(each) for each in made]
            if this.shown["done"]:
                yield this.shown, status_line(f"Done in {update.seconds:.1f} s.", 1.0, "done")
            else:
                yield this.shown, _working(pipeline, update, request, methods)
    except StoppedError as error:
        yield _ended(this), status_line(str(error))
    except FinePhysError as error:
        yield _ended(this), status_line(str(error), kind="error")
    except Exception:
        sentence = "Something inside failed; the server's log says what. Please try again."
        yield _ended(this), status_line(sentence, kind="error")
        raise
    finally:
        this.stop.set()


def status_line(sentence: str, fraction: float = 0.0, kind: str = "") -> str:
    """HTML of the status line: a sentence and how far the run is.

    Args:
        sentence: plain text.
        fraction: 0 (nothing runs) to 1.
        kind: "", "done" or "error".
    """
    shown = "working" if 0 < fraction < 1 else kind
    return (
        f'<div class="fp-line {shown}" role="status" aria-live="polite">'
        f"<span>{html.escape(sentence)}</span>"
        f'<div class="fp-bar"><div style="width:{100 * fraction:.0f}%"></div></div></div>'
    )


def _working(pipeline: Pipeline, update: Update, request: Request, methods: tuple[str, ...]) -> str:
    sentence = WORKING[update.stage]
    if update.stage is Stage.REPROJECTED and not pipeline.models.holds(request.generator):
        sentence = f"Loading the {request.generator} model, which takes a while"
    if update.step:
        sentence += f", step {update.step[0]} of {update.step[1]}"
    if update.method and len(methods) > 1:
        place = methods.index(update.method) + 1
        sentence += f" ({update.method}, {place} of {len(methods)})"
    return status_line(sentence, update.fraction)


def _ended(run: Job) -> dict[str, Any]:
    skipped: dict[str, Any] = gr.skip()
    return skipped if run.shown is None else {**run.shown, "ended": True}


def _viewer() -> gr.HTML:
    return gr.HTML(
        None,
        html_template=(STATIC / "viewer.html").read_text(encoding="utf-8"),
        # Gradio runs this as plain script, which can still load a module.
        js_on_load=(
            'import(new URL("files/viewer/viewer.js", document.baseURI))'
            ".then((viewer) => viewer.attach(element, props, watch))"
        ),
        apply_default_css=False,
        elem_id="fp-viewer",
        limbs=[[*limb, _side(JOINTS[limb[1]])] for limb in LIMBS],
        stages={
            name: {"name": shown, "color": color, "shown": on}
            for name, (shown, color, on) in scene.STAGES.items()
        },
        names={stage.value: name for stage, name in STAGE_NAMES.items()},
        methods={name: method.line for name, method in METHODS.items()},
        usual=DEFAULT_METHOD,
        figures={
            "together": scene.together(),
            "four": scene.side_by_side(4),
            "two": scene.side_by_side(2),
        },
    )


def _side(joint: str) -> str:
    side = joint.partition("_")[0]
    return side if side in ("left", "right") else "middle"
