"""The Generate page: controls on the left, status and results on the right."""

import html
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr

from finephys.errors import ClipError, FinePhysError, StoppedError, WeightsMissingError
from finephys.methods import DEFAULT_METHOD, METHODS
from finephys.pipeline import Pipeline
from finephys.skeleton import JOINTS, LIMBS
from finephys.types import Request, Result, Stage, Update
from finephys.ui import controls, payload, scene
from finephys.ui.access import REQUEST_ID
from finephys.ui.choices import Choices
from finephys.ui.jobs import Job, Jobs
from finephys.ui.preview_budget import PreviewBudget
from finephys.ui.server import CACHE_AGE, STATIC, Readiness
from finephys.ui.settings import QUICK
from finephys.ui.words import sentence
from finephys.video import probe

logger = logging.getLogger(__name__)

WORKING = {
    Stage.CLIP: "Detecting the body in every frame",
    Stage.DETECTED: "Lifting the body to 3D",
    Stage.DATA_DRIVEN: "Applying mechanics forward and backward in time",
    Stage.PHYSICS: "Fusing and projecting back to 2D",
    Stage.REPROJECTED: "Preparing the video",
    Stage.HEATMAPS: "Denoising the video",
    Stage.PREVIEW: "Denoising the video",
    Stage.VIDEO: "Writing the files",
    Stage.RESULT: "Preparing the next video",
}
"""Stage that has arrived -> what is done now."""

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
    "head": '<meta name="viewport" content="width=device-width, initial-scale=1">'
    f"<script>{(STATIC / 'head.js').read_text(encoding='utf-8')}</script>",
}
"""Theme and style for `launch`; nothing is fetched from another host."""

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


def build(pipeline: Pipeline, jobs: Jobs, readiness: Readiness) -> gr.Blocks:
    """Build the whole page.

    Args:
        pipeline: generates.
        jobs: keeps the results.
        readiness: of the models that are loaded at the start.
    """

    def missing(tier: str) -> WeightsMissingError | None:
        try:
            pipeline.models.checkpoints(tier)
        except WeightsMissingError as error:
            return error
        return None

    with gr.Blocks(title="FinePhys", delete_cache=CACHE_AGE, analytics_enabled=False) as page:
        gr.HTML(
            "<h1>FinePhys</h1><p>Generated videos of gymnasts whose bodies obey mechanics.</p>",
            elem_id="fp-title",
        )
        with gr.Row(equal_height=False, elem_id="fp-columns"):
            with gr.Column(scale=3, min_width=320, elem_id="fp-controls"):
                column = controls.build(pipeline.models.tier, missing)
            with gr.Column(scale=7, min_width=340, elem_id="fp-results"):
                status = gr.HTML(status_line("Ready."), elem_id="fp-status")
                viewer = _viewer()

        # The browser counts presses of Generate, so that Stop also ends a job that is still on
        # its way to the server.
        press = gr.Number(0, precision=0, visible=False)

        # Gradio passes the values by position.
        def generate(request: gr.Request, *values: Any) -> Iterator[Shown]:  # noqa: ANN401
            choices, number = Choices(*values[:-1]), int(values[-1] or 0)
            request_id = request.headers.get(REQUEST_ID, "none")
            with jobs.run(request.session_hash or "", number) as job:
                yield from run(pipeline, jobs, readiness, choices, job, request_id)

        def stop(press: float, request: gr.Request) -> Shown:
            if not press:
                return gr.skip(), status_line("You have no running job.")
            stopped = jobs.stop(request.session_hash or "", int(press))
            return _ended(stopped[-1]) if stopped else gr.skip(), status_line("Stopped.")

        def close(request: gr.Request) -> None:
            jobs.close_session(request.session_hash or "")

        # Done by the browser at once: while the job waits in the queue the server sends nothing,
        # and on a phone the status and the results are below all the controls.
        waiting = json.dumps(status_line("Waiting for your turn; one job runs at a time.", 0.01))
        column.generate.click(None, None, [status], js=SHOW_STATUS.replace("SENTENCE", waiting))
        column.generate.click(
            generate,
            [*column.values, press],
            [viewer, status],
            js=COUNT_PRESS,
            show_progress="minimal",
            show_progress_on=[status],
            concurrency_limit=1,
            trigger_mode="multiple",  # also while the last job is still ending
            api_visibility="private",
        )
        # The job ends itself at its next step, or as soon as its turn comes. Gradio's cancelling
        # would leave an "Error" on the page and could keep the pipeline's lock.
        column.stop.click(
            stop,
            [press],
            [viewer, status],
            js="() => [window.fpPress ?? 0]",
            **QUICK,
        )
        column.upload.upload(judge_upload, [column.upload], [status], **QUICK)
        column.upload.clear(lambda: status_line("Ready."), None, [status], **QUICK)
        page.unload(close)
        page.queue(default_concurrency_limit=1, max_size=50)
    return page


def judge_upload(path: str | None) -> str:
    """Status line about a clip as soon as it is uploaded: what it is, or why it cannot be read."""
    if path is None:
        return status_line("Ready.")
    try:
        info = probe(Path(path))
    except ClipError as error:
        return status_line(sentence(error), kind="error")
    return status_line(f"{Path(path).name} can be read: {info.last:.1f} s. Press Generate.")


def run(
    pipeline: Pipeline,
    jobs: Jobs,
    readiness: Readiness,
    choices: Choices,
    job: Job,
    request_id: str,
) -> Iterator[Shown]:
    """Answer one press of Generate, from the choices to the files.

    Args:
        pipeline: generates.
        jobs: keeps the results.
        readiness: of the models that are loaded at the start.
        choices: the values of the controls.
        job: holds the results; it belongs to one browser session.
        request_id: of the HTTP request, for the log.

    Yields:
        The viewer's value and the status line, each time something arrives.
    """
    outcome, seconds = "failed", dict[str, float]()
    try:
        request, methods, clip = choices.request(), choices.compared(), choices.clip()
        origin = "action" if clip is None else "clip"
        job.shown = payload.empty(job.folder.name[:8], origin, methods, request.fusion)
        begin = "Simulating the action" if clip is None else "Reading the clip"
        loading = "" if readiness.settled.is_set() else " (the models are still being loaded)"
        yield job.shown, status_line(begin + loading, 0.02)
        budget = PreviewBudget()
        results: list[Result] = []
        for update in pipeline.stream(clip, request, job.stop, methods):
            if update.stage is Stage.PREVIEW:
                if update.step and update.step[0] == 1:
                    budget.begin()
                if not budget.allows():
                    continue
                with budget.spending():
                    job.shown = payload.with_update(job.shown, update)
                    yield job.shown, _working(pipeline, update, request, methods)
                continue
            job.shown = payload.with_update(job.shown, update)
            if isinstance(update.value, Result):
                seconds = dict(job.shown["seconds"])
                results.append(update.value)
                made = jobs.write(job, update.value, len(methods) == 1)
                if len(results) == len(methods) > 1:
                    made += jobs.write_comparison(job, results)
                job.shown["downloads"] = job.shown["downloads"] + [asdict(each) for each in made]
            if job.shown["done"]:
                outcome = "done"
                yield job.shown, status_line(f"Done in {update.seconds:.1f} s.", 1.0, "done")
            else:
                yield job.shown, _working(pipeline, update, request, methods)
    except StoppedError as error:
        outcome = "stopped"
        yield _ended(job), status_line(str(error))
    except FinePhysError as error:
        outcome = type(error).__name__
        yield _ended(job), status_line(sentence(error), kind="error")
    except Exception:
        text = f"Internal error; the server's log has the details under {request_id}. Try again."
        yield _ended(job), status_line(text, kind="error")
        raise
    except GeneratorExit:
        outcome = "abandoned"
        raise
    finally:
        spent = " ".join(f"{stage}={value:.2f}" for stage, value in seconds.items())
        logger.info(
            "request=%s job=%s %s model=%s methods=%s seconds: %s",
            request_id,
            job.folder.name[:8],
            outcome,
            choices.tier,
            ",".join(choices.methods),
            spent or "none",
        )


def status_line(sentence: str, fraction: float = 0.0, kind: str = "") -> str:
    """Return the HTML of the status line: a sentence and a progress bar.

    Args:
        sentence: plain text.
        fraction: of the job that is done, 0 (nothing runs) to 1.
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


def _ended(job: Job) -> dict[str, Any]:
    skipped: dict[str, Any] = gr.skip()
    return skipped if job.shown is None else {**job.shown, "ended": True}


def _viewer() -> gr.HTML:
    return gr.HTML(
        None,
        html_template=(STATIC / "viewer.html").read_text(encoding="utf-8"),
        # Gradio runs this as a plain script, which can still import a module.
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
