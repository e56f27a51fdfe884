"""The lower half of the left column: how the video is made."""

import html
import re
from collections.abc import Callable
from typing import Any

import gradio as gr
import numpy as np

from finephys.config import DYNAMICS_TITLES, TIERS
from finephys.methods import DEFAULT_METHOD, METHODS
from finephys.pose3d.fusion import DEFAULT_FUSION, FUSIONS
from finephys.types import Request
from finephys.video import LONGEST_SPAN

QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""How small events of the controls are answered: at once, and for this page only."""

TIER_TITLES = {
    "tiny": "Small demonstration networks: seconds on any computer.",
    "sd15-controlnet": "Stable Diffusion 1.5 with AnimateDiff and the OpenPose ControlNet, public "
    "weights as they are. Meant for a GPU.",
    "sd15": "Stable Diffusion 1.5 trained as in the paper. Meant for a GPU.",
}
"""The models by tier, in words."""

_COMMAND = re.compile(r"python -m finephys [a-z]+ [a-z0-9]+(?: --[a-z]+ [A-Z]+)?")
_AS_CODE = r"<code>\g<0></code>"

Missing = Callable[[str], str | None]
"""What a tier lacks and the command that brings it; None when all is there."""


def build_method_and_model(tier: str, missing: Missing) -> tuple[gr.CheckboxGroup, gr.Radio]:
    """The methods to compare, and the model that makes their videos.

    Args:
        tier: to begin with, a key of `config.TIERS`.
        missing: says what a tier lacks.
    """
    with gr.Accordion("Methods and model", open=False, elem_id="fp-methods-and-model"):
        methods = gr.CheckboxGroup(
            [(f"{name}: {method.line}", name) for name, method in METHODS.items()],
            value=[DEFAULT_METHOD],
            label="What guides the video",
            info="Tick several to see them side by side: same clip, prompt, seed and noise.",
            show_select_all=True,
            elem_id="fp-methods",
        )
        with gr.Group():
            model = gr.Radio(list(TIER_TITLES), value=tier, label="Model", elem_id="fp-tier")
            # Asked again whenever the page is opened: weights may have come.
            tiers = gr.HTML(describe_tiers(missing), padding=True, elem_id="fp-tiers")
            gr.on(None, lambda: describe_tiers(missing), None, tiers, **QUICK)  # at each visit
    return methods, model


def describe_tiers(missing: Missing) -> str:
    """HTML of what each tier is, and of the command that brings its weights where they are absent.

    Args:
        missing: says what a tier lacks.
    """
    rows = []
    for tier, words in TIER_TITLES.items():
        size = TIERS[tier].size
        row = f"<dt>{tier}</dt><dd>{html.escape(words)} {size} × {size} pixels."
        if lack := missing(tier):
            row += f'<p class="fp-missing">{_COMMAND.sub(_AS_CODE, html.escape(lack))}</p>'
        rows.append(f"{row}</dd>")
    return f"<dl>{''.join(rows)}</dl>"


def build_sampling(tier: str, model: gr.Radio) -> tuple[gr.Number, gr.Slider, gr.Slider]:
    """Seed, steps and guidance scale; the latter two follow the model."""
    config = TIERS[tier]
    # Without bounds of Gradio's own, which it would say in a passing message only.
    dice = gr.Button("Random", size="sm", elem_id="fp-dice")
    with gr.Group():
        seed = gr.Number(
            Request().seed,
            label="Seed",
            precision=0,
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
    model.change(_usual, model, [steps, guidance], **QUICK)
    return seed, steps, guidance


def _usual(tier: str) -> tuple[int, float]:
    config = TIERS[tier]
    return config.default_steps, config.default_guidance


def build_advanced() -> tuple[
    gr.Checkbox, gr.Slider, gr.Slider, gr.Number, gr.Slider, gr.Dropdown, gr.Dropdown
]:
    """Moment, real speed, body height, fusion and dynamics."""
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
    return own_moment, start, span, real_speed, body_height, fusion, dynamics
