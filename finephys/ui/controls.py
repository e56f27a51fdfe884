"""The left column: what the video starts from and shows, then how it is made."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from finephys.actions import ACTIONS, PLAIN_CAPTION, action_by_id
from finephys.errors import ClipError
from finephys.motion.examples import Example
from finephys.motion.looks import BACKGROUNDS, FLOORS, LEOTARDS, describe
from finephys.types import Request
from finephys.ui import settings
from finephys.ui.choices import (
    ACTION,
    CLIPS,
    EXAMPLE,
    LONGEST_PROMPT,
    NOT_SAID,
    UPLOAD,
    address,
    chosen_clip,
)
from finephys.ui.settings import QUICK
from finephys.video import LONGEST_SPAN, probe

SUBSETS = {"FX-JUMP": "Jump", "FX-TURN": "Turn", "FX-SALTO": "Salto"}

FIRST_ACTION = 38
"""Class chosen when a person starts from an action: a double back somersault, tucked."""

FIRST_CLIP = next(iter(CLIPS))

ACTION_INFO = {
    UPLOAD: "Optional: what is performed in the clip.",
    EXAMPLE: "What is performed in the clip.",
    ACTION: "Its motion is simulated, then drawn as a video.",
}


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


def build(tier: str, missing: settings.Missing) -> Controls:
    """Build every control inside the column that is open.

    Args:
        tier: to begin with, a key of `config.TIERS`.
        missing: says what a tier lacks.
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
                ("Not said", NOT_SAID),
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
    methods, model = settings.build_method_and_model(tier, missing)
    seed, steps, guidance = settings.build_sampling(tier, model)
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
    advanced = settings.build_advanced()
    own_moment, start, span = advanced[:3]

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
        source, upload, example, action, prompt, use_prior, methods, model,
        seed, steps, guidance, *advanced,
    ]  # fmt: skip
    return Controls(values, generate, stop)


def _moment(on: bool, kind: str, upload: str | None, example: str | None) -> list[dict[str, Any]]:
    """Show the sliders of start and length when asked for; they end where the clip ends."""
    path = chosen_clip(kind, upload, example)
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
    known = CLIPS[example].action if example else NOT_SAID
    action = {UPLOAD: NOT_SAID, EXAMPLE: known, ACTION: FIRST_ACTION}[kind]
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


def _prompt_parts(action: int, leotard: str, place: str, floor: str) -> list[str]:
    """The two sentences of a prompt: what the person does, and what can be seen."""
    words = describe(leotard, place, floor)
    caption = PLAIN_CAPTION if action == NOT_SAID else action_by_id(action).caption
    return [caption, f"{words[0].upper()}{words[1:]}."]


def _rewrite(
    text: str | None,
    written: list[str],
    action: int,
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
        f'<video class="fp-preview" src="files/assets/{address(clip)}" '
        "autoplay loop muted playsinline></video>"
    )
