"""The left column: the source and prompt of the video, then how it is generated."""

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
    UNSPECIFIED,
    UPLOAD,
    address,
    chosen_clip,
)
from finephys.ui.settings import QUICK
from finephys.ui.words import ACTION_LABEL, PRIOR
from finephys.video import LONGEST_SPAN, probe

SUBSETS = {"FX-JUMP": "Jump", "FX-TURN": "Turn", "FX-SALTO": "Salto"}

FIRST_ACTION = 38
"""The action chosen at first without a clip: a double back somersault, tucked."""

FIRST_CLIP = next(iter(CLIPS))

ACTION_INFO = {
    UPLOAD: "Optional: the action performed in the clip.",
    EXAMPLE: "The action performed in the clip.",
    ACTION: "Its motion is simulated, then a video is generated.",
}


@dataclass(frozen=True)
class Controls:
    """The built column.

    Attributes:
        values: components whose values make Choices, in its order.
        upload: the uploaded clip.
        generate: starts a job.
        stop: ends it.
    """

    values: list[gr.components.Component]
    upload: gr.Video
    generate: gr.Button
    stop: gr.Button


def build(tier: str, missing: settings.Missing) -> Controls:
    """Build every control inside the column that is open.

    Args:
        tier: chosen at first, a key of `config.TIERS`.
        missing: the error that says what a tier lacks.
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
                ("Not specified", UNSPECIFIED),
                *(
                    (f"{SUBSETS[known.subset]} {known.id}: {known.label}", known.id)
                    for known in ACTIONS
                ),
            ],
            value=clip.action,
            label=ACTION_LABEL,
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
        label=PRIOR,
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
    return Controls(values, upload, generate, stop)


def _moment(on: bool, kind: str, upload: str | None, example: str | None) -> list[dict[str, Any]]:
    """Show the sliders of start and length when wanted; their range is the clip's."""
    path = chosen_clip(kind, upload, example)
    hidden = [gr.update(visible=False)] * 2
    if not on or path is None:
        return hidden
    try:
        last = probe(path).last
    except ClipError:
        return hidden  # the status line says why
    longest = max(round(last, 2), 0.25)
    return [
        gr.update(visible=True, maximum=max(round(longest - 0.2, 2), 0.05), value=0),
        gr.update(visible=True, maximum=longest, value=min(LONGEST_SPAN, longest)),
    ]


def _switch(kind: str, example: str | None) -> list[dict[str, Any]]:
    """Show the controls of a kind of source, with its first action."""
    known = CLIPS[example].action if example else UNSPECIFIED
    action = {UPLOAD: UNSPECIFIED, EXAMPLE: known, ACTION: FIRST_ACTION}[kind]
    return [
        gr.update(visible=kind == UPLOAD),
        gr.update(visible=kind == EXAMPLE),
        gr.update(visible=kind != ACTION),
        gr.update(visible=kind != ACTION),
        gr.update(info=ACTION_INFO[kind], value=action),
    ]


def _show_example(title: str) -> list[Any]:
    """Play an example, and choose the action and the look it was rendered with."""
    clip = CLIPS[title]
    return [_preview(clip), clip.action, *_look_names(clip)]


def _look_names(clip: Example) -> tuple[str, str, str]:
    return clip.look.leotard, clip.look.background, clip.look.floor


def _prompt_parts(action: int, leotard: str, place: str, floor: str) -> list[str]:
    """The two sentences of a prompt: what the person does, and what is visible."""
    words = describe(leotard, place, floor)
    caption = PLAIN_CAPTION if action == UNSPECIFIED else action_by_id(action).caption
    return [caption, f"{words[0].upper()}{words[1:]}."]


def _rewrite(
    text: str | None,
    written: list[str],
    action: int,
    leotard: str,
    place: str,
    floor: str,
) -> tuple[str, list[str]]:
    """Replace the sentences this page wrote before; the person's own text is kept."""
    fresh = _prompt_parts(action, leotard, place, floor)
    if not (text or "").strip():
        return " ".join(fresh), fresh
    caption, look = written
    out = (text or "").replace(caption, fresh[0], 1)
    if look in out:
        out = out.replace(look, fresh[1], 1)
    elif look != fresh[1]:  # a look was chosen, and the person's own text does not name the old one
        out = f"{out.rstrip()} {fresh[1]}"
    return out, fresh


def _preview(clip: Example) -> str:
    return (
        f'<video class="fp-preview" src="files/assets/{address(clip)}" '
        "autoplay loop muted playsinline></video>"
    )
