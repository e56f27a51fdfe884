"""The Generate page: what a person chooses on the left, what comes of it on the right."""

import html
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from finephys.actions import ACTIONS, action_by_id
from finephys.errors import ClipError, FinePhysError, NoPersonError, RequestError, StoppedError
from finephys.fusion import FUSIONS
from finephys.pipeline import Pipeline
from finephys.skeleton import JOINTS, LIMBS
from finephys.types import Request, Result, Stage, Update
from finephys.ui import payload, scene
from finephys.ui.runs import FILES, Runs
from finephys.ui.server import ASSETS, CACHE_AGE, STATIC
from finephys.video import LONGEST_SPAN, probe

UPLOAD, EXAMPLE, ACTION = "Upload a clip", "Rendered example", "Action only"

SUBSETS = {"FX-JUMP": "Jump", "FX-TURN": "Turn", "FX-SALTO": "Salto"}

LARGEST_SEED = 2**31 - 1

WORKING = {
    None: "Reading the clip",
    Stage.CLIP: "Looking for the body in every frame",
    Stage.DETECTED: "Lifting the body to 3D",
    Stage.DATA_DRIVEN: "Applying mechanics forward and backward in time",
    Stage.PHYSICS: "Fusing, and projecting back to 2D",
    Stage.REPROJECTED: "Drawing limb heatmaps",
    Stage.HEATMAPS: "Denoising the video",
    Stage.PREVIEW: "Denoising the video",
    Stage.VIDEO: "Writing the files",
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


SYSTEM_FONTS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")

LOOK: dict[str, Any] = {
    "theme": gr.themes.Soft(
        primary_hue="indigo",
        secondary_hue="indigo",
        neutral_hue="slate",
        font=SYSTEM_FONTS,
        font_mono=("ui-monospace", "Consolas", "monospace"),
    ),
    "css_paths": STATIC / "page.css",
    "head": '<meta name="viewport" content="width=device-width, initial-scale=1">',
}
"""How the page looks, for `launch`: nothing of it is fetched from elsewhere."""


@dataclass(frozen=True)
class Choices:
    """Values of every control, in the order in which they are given to Gradio."""

    source: str
    upload: str | None
    example: str | None
    action: int | None
    prompt: str
    seed: float | None
    steps: float
    guidance_scale: float
    use_prior: bool
    own_moment: bool
    start: float
    span: float
    real_speed: float
    body_height: float
    fusion: str


def build(pipeline: Pipeline, runs: Runs, ready: Any) -> gr.Blocks:
    """The whole page.

    Args:
        pipeline: what runs.
        runs: where results are kept.
        ready: threading.Event, set once the models are loaded.
    """
    examples = {_title(path): path for path in sorted((ASSETS / "examples").glob("*.mp4"))}
    with gr.Blocks(title="FinePhys", delete_cache=CACHE_AGE, analytics_enabled=False) as page:
        gr.HTML(
            "<h1>FinePhys</h1><p>Generated videos of gymnasts whose bodies obey mechanics.</p>",
            elem_id="fp-title",
        )
        with gr.Row(equal_height=False, elem_id="fp-columns"):
            with gr.Column(scale=3, min_width=320, elem_id="fp-controls"):
                controls, generate, stop = _controls(pipeline.tier, examples)
            with gr.Column(scale=7, min_width=340, elem_id="fp-results"):
                status = gr.HTML(_status("Ready."), elem_id="fp-status")
                viewer = _viewer()

        def run(request: gr.Request, *values: Any) -> Iterator[tuple[Any, Any]]:
            yield from _run(pipeline, runs, ready, examples, Choices(*values), request)

        running = generate.click(
            run,
            controls,
            [viewer, status],
            show_progress="minimal",
            show_progress_on=[status],
            concurrency_limit=1,
            concurrency_id="generate",
            api_visibility="private",
        )

        def ask_to_stop(request: gr.Request) -> str:
            asked = runs.stop(request.session_hash or "")
            return _status("Stopped." if asked else "Nothing was running.")

        stop.click(
            ask_to_stop,
            None,
            [status],
            cancels=[running],
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )

        def closed(request: gr.Request) -> None:
            runs.forget(request.session_hash or "")

        page.unload(closed)
        page.queue(default_concurrency_limit=1, max_size=50)
    return page


def _controls(
    tier: str, examples: dict[str, Path]
) -> tuple[list[gr.components.Component], gr.Button, gr.Button]:
    """Everything a person chooses, in the order of Choices, and the two buttons."""
    usual = Request()
    kinds = [UPLOAD, EXAMPLE, ACTION] if examples else [UPLOAD, ACTION]
    first = EXAMPLE if examples else ACTION
    source = gr.Radio(kinds, value=first, label="Start from", elem_id="fp-source")
    with gr.Group(visible=first == UPLOAD) as upload_group:
        upload = gr.Video(
            label="Clip of one person (mp4, mov, webm)",
            sources=["upload"],
            include_audio=True,  # without it every clip would go through an ffmpeg program
            height=220,
            buttons=[],
            elem_id="fp-upload",
        )
    with gr.Group(visible=first == EXAMPLE) as example_group:
        example = gr.Radio(
            list(examples), value=next(iter(examples), None), label="Example", elem_id="fp-example"
        )
        preview = gr.HTML(_preview(examples.get(next(iter(examples), ""))), padding=False)
    action = gr.Dropdown(
        [
            (f"{SUBSETS[action.subset]} {action.id}: {action.label}", action.id)
            for action in ACTIONS
        ],
        value=None if first != ACTION else ACTIONS[-3].id,
        label="Action",
        info=_action_info(first),
        filterable=True,
        elem_id="fp-action",
    )
    prompt = gr.Textbox(
        "" if first != ACTION else ACTIONS[-3].caption,
        label="Prompt",
        placeholder="Empty: the caption of the action, or a plain sentence.",
        lines=3,
        max_lines=6,
        max_length=10_000,
        elem_id="fp-prompt",
    )
    with gr.Row(elem_id="fp-buttons"):
        generate = gr.Button("Generate", variant="primary", elem_id="fp-generate", scale=3)
        stop = gr.Button("Stop", variant="secondary", elem_id="fp-stop", scale=1, min_width=80)
    with gr.Group(visible=first != ACTION) as prior_group:
        use_prior = gr.Checkbox(
            usual.use_prior,
            label="Use the pose prior when nobody is found",
            info="Goes on with a typical body of the chosen action, marked as such.",
            elem_id="fp-prior",
        )
    with gr.Group(), gr.Row():
        seed = gr.Number(
            usual.seed,
            label="Seed",
            precision=0,
            minimum=0,
            maximum=LARGEST_SEED,
            scale=2,
            min_width=120,
            elem_id="fp-seed",
        )
        dice = gr.Button("Random seed", size="sm", scale=1, min_width=90, elem_id="fp-dice")
    with gr.Group():
        steps = gr.Slider(
            1,
            100,
            value=usual.steps,
            step=1,
            label="Steps",
            info="More is slower and cleaner.",
            elem_id="fp-steps",
        )
        guidance = gr.Slider(
            1,
            20,
            value=usual.guidance_scale,
            step=0.1,
            label="Guidance scale",
            info="How strictly the prompt is followed; 1 is off.",
            elem_id="fp-guidance",
        )
    with gr.Accordion("Advanced", open=False, elem_id="fp-advanced"):
        own_moment = gr.Checkbox(
            False,
            label="Choose the moment myself",
            info=f"Otherwise the {LONGEST_SPAN} s or less with the most body motion.",
            elem_id="fp-own-moment",
        )
        start = gr.Slider(
            0,
            60,
            value=0,
            step=0.05,
            label="Start (s)",
            interactive=True,
            visible=False,
            elem_id="fp-start",
        )
        span = gr.Slider(
            0.2,
            10,
            value=LONGEST_SPAN,
            step=0.05,
            label="Length (s)",
            interactive=True,
            visible=False,
            elem_id="fp-span",
            info=f"16 frames are taken from it; beyond {LONGEST_SPAN} s fast moves fall between.",
        )
        real_speed = gr.Number(
            usual.real_speed,
            label="Real speed",
            minimum=0.05,
            maximum=50,
            info="4 for a clip in 4x slow motion.",
            elem_id="fp-real-speed",
        )
        body_height = gr.Slider(
            0.8,
            2.2,
            value=usual.body_height,
            step=0.01,
            label="Body height (m)",
            info="The only source of metres.",
            elem_id="fp-height",
        )
        fusion = gr.Dropdown(
            [(f"{name} (the paper's)" if name == "average" else name, name) for name in FUSIONS],
            value=usual.fusion,
            label="Fusion of S_dd and S_pp",
            elem_id="fp-fusion",
        )
        gr.Markdown(f"Tier: `{tier}`")

    def switch(kind: str) -> list[Any]:
        return [
            gr.update(visible=kind == UPLOAD),
            gr.update(visible=kind == EXAMPLE),
            gr.update(visible=kind != ACTION),
            gr.update(info=_action_info(kind)),
        ]

    quick: dict[str, Any] = {
        "queue": False,
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    source.change(switch, source, [upload_group, example_group, prior_group, action], **quick)
    example.change(lambda name: _preview(examples.get(name)), example, preview, **quick)
    action.change(_fill_prompt, [action, prompt], prompt, **quick)
    dice.click(lambda: random.randint(0, LARGEST_SEED), None, seed, **quick)  # noqa: S311
    own_moment.change(lambda on: [gr.update(visible=on)] * 2, own_moment, [start, span], **quick)
    for changed in (source, upload, example):
        changed.change(
            lambda kind, clip, name: _moment_limits(_source(kind, clip, name, examples)),
            [source, upload, example],
            [start, span],
            **quick,
        )
    controls = [
        source,
        upload,
        example,
        action,
        prompt,
        seed,
        steps,
        guidance,
        use_prior,
        own_moment,
        start,
        span,
        real_speed,
        body_height,
        fusion,
    ]
    return controls, generate, stop


def _viewer() -> gr.HTML:
    right = {index for index, name in enumerate(JOINTS) if name.startswith("right")}
    left = {index for index, name in enumerate(JOINTS) if name.startswith("left")}
    return gr.HTML(
        None,
        html_template=(STATIC / "viewer.html").read_text(encoding="utf-8"),
        js_on_load="FinePhysViewer.attach(element, props, watch)",
        head='<script src="files/viewer/viewer.js"></script>',
        apply_default_css=False,
        elem_id="fp-viewer",
        limbs=[
            [parent, child, "right" if child in right else "left" if child in left else "middle"]
            for parent, child in LIMBS
        ],
        stages={
            name: {"name": shown, "color": color, "shown": on}
            for name, (shown, color, on) in scene.STAGES.items()
        },
        names={stage.value: name for stage, name in STAGE_NAMES.items()},
        files={key: text for key, (_, _, text) in FILES.items()},
        figures={
            "together": scene.together(),
            "four": scene.side_by_side(4),
            "two": scene.side_by_side(2),
        },
    )


def _run(
    pipeline: Pipeline,
    runs: Runs,
    ready: Any,
    examples: dict[str, Path],
    choices: Choices,
    http: gr.Request,
) -> Iterator[tuple[Any, Any]]:
    """One press of Generate: (viewer, status) each time something arrives."""
    run = runs.begin(http.session_hash or "")
    value: dict[str, Any] | None = None
    try:
        request = to_request(choices, pipeline.tier)
        source = _source(choices.source, choices.upload, choices.example, examples)
        if source is None and choices.source != ACTION:
            raise ClipError("No clip was chosen; upload one, or start from an action only.")
        if source is None and request.action is None:
            raise RequestError("No action was chosen; pick one of the 35, or upload a clip.")
        value = payload.fresh(run.folder.name[:8], "action" if source is None else "clip")
        loading = "" if ready.is_set() else " (the models are still being loaded)"
        yield value, _status(WORKING[None] + loading, 0.02)
        for update in pipeline.stream(source, request, run.stop):
            value = payload.with_update(value, update)
            if isinstance(update.value, Result):
                value["downloads"] = runs.write(run, update.value)
                yield value, _status(f"Done in {update.seconds:.1f} s.", 1.0, "done")
            else:
                yield value, _progress(update)
    except StoppedError as error:
        yield _ended(value), _status(str(error))
    except FinePhysError as error:
        hint = (
            ' Or tick "Use the pose prior when nobody is found" and press Generate again.'
            if isinstance(error, NoPersonError)
            else ""
        )
        yield _ended(value), _status(str(error) + hint, kind="error")
    except Exception:
        sentence = "Something inside failed; the server's log says what. Please try again."
        yield _ended(value), _status(sentence, kind="error")
        raise
    finally:
        run.stop.set()


def to_request(choices: Choices, tier: str) -> Request:
    """What the controls ask for; RequestError when one of them is out of range."""
    seed = choices.seed
    if seed is None or not 0 <= seed <= LARGEST_SEED:
        raise RequestError(f"seed is {seed}; give a whole number from 0 to {LARGEST_SEED}.")
    if not choices.real_speed or not 0.05 <= choices.real_speed <= 50:
        raise RequestError(f"real speed is {choices.real_speed}; give a number from 0.05 to 50.")
    return Request(
        prompt=choices.prompt or "",
        action=choices.action,
        seed=int(seed),
        steps=int(choices.steps),
        guidance_scale=float(choices.guidance_scale),
        tier=tier,
        fusion=choices.fusion,
        start=float(choices.start) if choices.own_moment else None,
        span=float(choices.span) if choices.own_moment else None,
        real_speed=float(choices.real_speed),
        body_height=float(choices.body_height),
        use_prior=bool(choices.use_prior),
    )


def _ended(value: dict[str, Any] | None) -> Any:
    return gr.skip() if value is None else {**value, "ended": True}


def _progress(update: Update) -> str:
    return _status(WORKING[update.stage], update.fraction)


def _status(sentence: str, fraction: float = 0.0, kind: str = "") -> str:
    """The status line: a sentence and how far the run is."""
    working = 0 < fraction < 1
    return (
        f'<div class="fp-line {"working" if working else kind}" role="status" aria-live="polite">'
        f"<span>{html.escape(sentence)}</span>"
        f'<div class="fp-bar"><div style="width:{100 * fraction:.0f}%"></div></div></div>'
    )


def _source(
    kind: str, upload: str | None, example: str | None, examples: dict[str, Path]
) -> Path | None:
    if kind == UPLOAD:
        return Path(upload) if upload else None
    return examples.get(example or "") if kind == EXAMPLE else None


def _moment_limits(source: Path | None) -> list[Any]:
    """Sliders that end where the clip ends."""
    if source is None:
        return [gr.skip(), gr.skip()]
    try:
        info = probe(source)
    except ClipError:
        return [gr.skip(), gr.skip()]  # said in full when Generate is pressed
    longest = max(round(info.last, 2), 0.25)
    return [
        gr.update(maximum=max(longest - 0.2, 0.05), value=0),
        gr.update(maximum=longest, value=min(LONGEST_SPAN, longest)),
    ]


def _action_info(kind: str) -> str:
    if kind == ACTION:
        return "Its motion is simulated, then drawn as a video."
    return "Optional: what is performed in the clip."


def _fill_prompt(action: int | None, prompt: str) -> Any:
    """The caption of the chosen action, unless the person wrote a prompt of their own."""
    captions = {known.caption for known in ACTIONS}
    if prompt.strip() and prompt not in captions:
        return gr.skip()
    return "" if action is None else action_by_id(action).caption


def _preview(path: Path | None) -> str:
    if path is None:
        return ""
    address = html.escape(f"files/assets/{path.relative_to(ASSETS).as_posix()}")
    return f'<video class="fp-preview" src="{address}" autoplay loop muted playsinline></video>'


def _title(path: Path) -> str:
    return path.stem.replace("_", " ").replace("-", " ").capitalize()
