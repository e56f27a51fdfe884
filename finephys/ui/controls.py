"""The left column: everything a person chooses, and the Request it makes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from finephys.actions import ACTIONS, PLAIN_CAPTION, action_by_id
from finephys.config import CONFIGS, DYNAMICS_TITLES
from finephys.errors import ClipError, RequestError
from finephys.fusion import DEFAULT_FUSION, FUSIONS
from finephys.motion.examples import EXAMPLES, Example
from finephys.motion.looks import BACKGROUNDS, FLOORS, LEOTARDS, describe
from finephys.types import Request
from finephys.ui.server import ASSETS
from finephys.video import LONGEST_SPAN, probe

UPLOAD, EXAMPLE, ACTION = "Upload", "Example", "Action only"

SUBSETS = {"FX-JUMP": "Jump", "FX-TURN": "Turn", "FX-SALTO": "Salto"}

FIRST_ACTION = 38
"""Class chosen when a person starts from an action: a double back somersault, tucked."""

CLIPS = {clip.name.replace("_", " ").capitalize(): clip for clip in EXAMPLES}
"""Rendered clips that come with the repository, by the words shown for them."""

FIRST_CLIP = next(iter(CLIPS))

ACTION_INFO = {
    UPLOAD: "Optional: what is performed in the clip.",
    EXAMPLE: "What is performed in the clip.",
    ACTION: "Its motion is simulated, then drawn as a video.",
}

LONGEST_PROMPT = 10_000
"""Characters; the text encoder reads far fewer and the result says where it stopped."""

LARGEST_SEED = 2**31 - 1

QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""How small events of the controls are answered: at once, and for this page only."""


@dataclass(frozen=True)
class Choices:
    """Values of every control, in the order in which they are given to Gradio."""

    source: str
    upload: str | None
    example: str | None
    action: int | None
    prompt: str | None
    seed: float | None
    steps: float
    guidance_scale: float
    use_prior: bool
    own_moment: bool
    start: float
    span: float
    real_speed: float | None
    body_height: float
    fusion: str
    dynamics: str | None

    def request(self, tier: str) -> Request:
        """What is asked for; RequestError when a value is missing or out of range."""
        if self.source == ACTION and self.action is None:
            raise RequestError("No action is chosen; pick one of the 35, or upload a clip.")
        if self.seed is None or self.real_speed is None:
            empty = "seed" if self.seed is None else "real speed"
            raise RequestError(f"{empty} is empty; give a number.")
        prompt = self.prompt or ""
        if len(prompt) > LONGEST_PROMPT:
            raise RequestError(
                f"the prompt has {len(prompt)} characters; give at most {LONGEST_PROMPT}."
            )
        moment = self.own_moment and self.source != ACTION
        return Request(
            prompt=prompt,
            action=self.action,
            seed=int(self.seed),
            steps=int(self.steps),
            guidance_scale=float(self.guidance_scale),
            tier=tier,
            fusion=self.fusion,
            dynamics=self.dynamics or None,
            start=float(self.start) if moment else None,
            span=float(self.span) if moment else None,
            real_speed=float(self.real_speed),
            body_height=float(self.body_height),
            use_prior=bool(self.use_prior),
        )

    def clip(self) -> Path | None:
        """The video file to start from, or None for an action; ClipError when none is chosen."""
        if self.source == ACTION:
            return None
        path = _chosen_clip(self.source, self.upload, self.example)
        if path is None:
            raise ClipError("No clip is chosen; upload one, or start from an action only.")
        return path


@dataclass(frozen=True)
class Controls:
    """The built column.

    Attributes:
        values: components whose values make Choices, in its order.
        generate: starts a run.
        stop: ends it.
    """

    values: list[gr.components.Component]
    generate: gr.Button
    stop: gr.Button


def build(tier: str) -> Controls:
    """Build every control inside the column that is open.

    Args:
        tier: key of `config.CONFIGS`; gives the steps and guidance to begin with.
    """
    clip = CLIPS[FIRST_CLIP]
    source = gr.Radio(
        [UPLOAD, EXAMPLE, ACTION], value=EXAMPLE, label="Start from", elem_id="fp-source"
    )
    upload = gr.Video(
        label="Clip of one person",
        sources=["upload"],
        include_audio=True,  # without it every clip would go through an ffmpeg program
        height=220,
        buttons=[],
        visible=False,
        elem_id="fp-upload",
    )
    with gr.Group() as example_group:
        example = gr.Radio(list(CLIPS), value=FIRST_CLIP, label="Example", elem_id="fp-example")
        preview = gr.HTML(_preview(clip), padding=True)
    with gr.Group():
        action = gr.Dropdown(
            [
                ("Not said", None),
                *(
                    (f"{SUBSETS[known.subset]} {known.id}: {known.label}", known.id)
                    for known in ACTIONS
                ),
            ],
            value=clip.action,
            label="Action",
            info=ACTION_INFO[EXAMPLE],
            elem_id="fp-action",
        )
        written = _prompt_parts(clip.action, *_look_names(clip))
        prompt = gr.Textbox(
            " ".join(written),
            label="Prompt",
            lines=3,
            max_lines=8,
            max_length=LONGEST_PROMPT,
            elem_id="fp-prompt",
        )
    with gr.Row(elem_id="fp-buttons"):
        generate = gr.Button(
            "Generate", variant="primary", elem_id="fp-generate", scale=3, min_width=150
        )
        stop = gr.Button("Stop", variant="secondary", elem_id="fp-stop", scale=1, min_width=80)
    use_prior = gr.Checkbox(
        Request().use_prior,
        label="Use the pose prior when nobody is found",
        elem_id="fp-prior",
    )
    seed, steps, guidance = _sampling(tier)
    with gr.Accordion("Look", open=False, elem_id="fp-look"):
        look = [
            gr.Dropdown(list(names), value=value, label=label)
            for names, value, label in zip(
                (LEOTARDS, BACKGROUNDS, FLOORS),
                _look_names(clip),
                ("Leotard", "Place", "Floor"),
                strict=True,
            )
        ]
    own_moment, start, span, real_speed, body_height, fusion, dynamics = _advanced(tier)

    before = gr.State(written)
    rewrite = {
        "fn": _rewrite,
        "inputs": [prompt, before, action, *look],
        "outputs": [prompt, before],
        **QUICK,
    }
    moment = {
        "fn": _moment,
        "inputs": [own_moment, source, upload, example],
        "outputs": [start, span],
        **QUICK,
    }
    source.change(
        _switch, [source, example], [upload, example_group, use_prior, own_moment, action], **QUICK
    )
    example.change(_show_example, example, [preview, action, *look], **QUICK)
    for part in (action, *look):
        part.change(**rewrite)
    for part in (own_moment, source, upload, example):
        part.change(**moment)
    values = [
        source, upload, example, action, prompt, seed, steps, guidance, use_prior,
        own_moment, start, span, real_speed, body_height, fusion, dynamics,
    ]  # fmt: skip
    return Controls(values, generate, stop)


def _sampling(tier: str) -> tuple[gr.Number, gr.Slider, gr.Slider]:
    config = CONFIGS[tier].generator
    dice = gr.Button("Random", size="sm", elem_id="fp-dice")
    with gr.Group():
        seed = gr.Number(
            Request().seed,
            label="Seed",
            precision=0,
            minimum=0,
            maximum=LARGEST_SEED,
            buttons=[dice],
            elem_id="fp-seed",
        )
        steps = gr.Slider(
            1,
            100,
            value=config.default_steps,
            step=1,
            label="Steps",
            info="More is slower and cleaner.",
            elem_id="fp-steps",
        )
        guidance = gr.Slider(
            1,
            20,
            value=config.default_guidance,
            step=0.1,
            label="Guidance scale",
            info="How strictly the prompt is followed; 1 is off.",
            elem_id="fp-guidance",
        )
    dice.click(lambda: int(np.random.default_rng().integers(2**31)), None, seed, **QUICK)
    return seed, steps, guidance


def _advanced(
    tier: str,
) -> tuple[gr.Checkbox, gr.Slider, gr.Slider, gr.Number, gr.Slider, gr.Dropdown, gr.Dropdown]:
    usual = Request()
    with gr.Accordion("Advanced", open=False, elem_id="fp-advanced"):
        own_moment = gr.Checkbox(
            False,
            label="Choose the moment myself",
            info=f"Otherwise at most {LONGEST_SPAN} s, where most body motion is.",
            elem_id="fp-own-moment",
        )
        start = gr.Slider(
            0, 60, value=0, step=0.05, label="Start (s)", visible=False, elem_id="fp-start"
        )
        span = gr.Slider(
            0.2,
            10,
            value=LONGEST_SPAN,
            step=0.05,
            label="Length (s)",
            info=f"16 frames are taken; beyond {LONGEST_SPAN} s they lie too far apart.",
            visible=False,
            elem_id="fp-span",
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
            value=DEFAULT_FUSION,
            label="Fusion of S_dd and S_pp",
            elem_id="fp-fusion",
        )
        dynamics = gr.Dropdown(
            [("what the weights were found best with", "")]
            + [(f"{name}: {said}", name) for name, said in DYNAMICS_TITLES.items()],
            value="",
            label="Dynamics of PhysNet",
            elem_id="fp-dynamics",
        )
        gr.Markdown(f"Models of the `{tier}` tier.", elem_id="fp-tier")
    return own_moment, start, span, real_speed, body_height, fusion, dynamics


def _chosen_clip(kind: str, upload: str | None, example: str | None) -> Path | None:
    if kind == UPLOAD:
        return Path(upload) if upload else None
    return ASSETS / _address(CLIPS[example]) if kind == EXAMPLE and example else None


def _address(clip: Example) -> str:
    return f"examples/{clip.name}.mp4"


def _moment(on: bool, kind: str, upload: str | None, example: str | None) -> list[dict[str, Any]]:
    """Show the sliders of start and length when asked for; they end where the clip ends."""
    path = _chosen_clip(kind, upload, example)
    hidden = [gr.update(visible=False)] * 2
    if not on or path is None:
        return hidden
    try:
        last = probe(path).last
    except ClipError:
        return hidden  # said in full when Generate is pressed
    longest = max(round(last, 2), 0.25)
    return [
        gr.update(visible=True, maximum=max(round(longest - 0.2, 2), 0.05), value=0),
        gr.update(visible=True, maximum=longest, value=min(LONGEST_SPAN, longest)),
    ]


def _switch(kind: str, example: str | None) -> list[dict[str, Any]]:
    """Show what belongs to a way of starting, with the action it starts with."""
    known = CLIPS[example].action if example else None
    action = {UPLOAD: None, EXAMPLE: known, ACTION: FIRST_ACTION}[kind]
    return [
        gr.update(visible=kind == UPLOAD),
        gr.update(visible=kind == EXAMPLE),
        gr.update(visible=kind != ACTION),
        gr.update(visible=kind != ACTION),
        gr.update(info=ACTION_INFO[kind], value=action),
    ]


def _show_example(title: str) -> list[Any]:
    """Play an example, and take over the action and the look it was rendered with."""
    clip = CLIPS[title]
    return [_preview(clip), clip.action, *_look_names(clip)]


def _look_names(clip: Example) -> tuple[str, str, str]:
    return clip.look.leotard, clip.look.background, clip.look.floor


def _prompt_parts(action: int | None, leotard: str, place: str, floor: str) -> list[str]:
    """The two sentences of a prompt: what the person does, and what can be seen."""
    words = describe(leotard, place, floor)
    caption = PLAIN_CAPTION if action is None else action_by_id(action).caption
    return [caption, f"{words[0].upper()}{words[1:]}."]


def _rewrite(
    text: str | None,
    written: list[str],
    action: int | None,
    leotard: str,
    place: str,
    floor: str,
) -> tuple[str, list[str]]:
    """Replace the sentences this page wrote before; what a person wrote is left alone."""
    fresh = _prompt_parts(action, leotard, place, floor)
    if not (text or "").strip():
        return " ".join(fresh), fresh
    caption, look = written
    out = (text or "").replace(caption, fresh[0], 1)
    if look in out:
        out = out.replace(look, fresh[1], 1)
    elif look != fresh[1]:  # a look was chosen, and the person's own text does not hold the old one
        out = f"{out.rstrip()} {fresh[1]}"
    return out, fresh


def _preview(clip: Example) -> str:
    return (
        f'<video class="fp-preview" src="files/assets/{_address(clip)}" '
        "autoplay loop muted playsinline></video>"
    )
