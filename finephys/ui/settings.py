"""The lower half of the left column: how the video is generated."""

import html
from collections.abc import Callable
from typing import Any

import gradio as gr
import numpy as np

from finephys.config import DYNAMICS_TITLES, TIERS
from finephys.errors import FinePhysError
from finephys.methods import DEFAULT_METHOD, METHODS
from finephys.pose3d.fusion import DEFAULT_FUSION, FUSIONS
from finephys.types import Request
from finephys.ui.words import LENGTH, MODEL, OWN_MOMENT, REAL_SPEED, START, sentence_html
from finephys.video import LONGEST_SPAN

QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""Options of small events: answered outside the queue, and for this page only."""

TIER_TITLES = {
    "tiny": "Small demonstration networks: seconds on any computer.",
    "sd15-controlnet": "Stable Diffusion 1.5 with AnimateDiff and the OpenPose ControlNet, "
    "unchanged public weights. Meant for a GPU.",
    "sd15": "Stable Diffusion 1.5 trained as in the paper. Meant for a GPU.",
}
"""What each tier's model is."""

Missing = Callable[[str], FinePhysError | None]
"""The error that says what a tier lacks and how to get it; None when it is complete."""


def build_method_and_model(tier: str, missing: Missing) -> tuple[gr.CheckboxGroup, gr.Radio]:
    """Build the choice of the methods to compare and of the model.

    Args:
        tier: chosen at first, a key of `config.TIERS`.
        missing: the error that says what a tier lacks.
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
            model = gr.Radio(list(TIER_TITLES), value=tier, label=MODEL, elem_id="fp-tier")
            # Read again at each visit: weights may have been fetched meanwhile.
            tiers = gr.HTML(describe_tiers(missing), padding=True, elem_id="fp-tiers")
            gr.on(None, lambda: describe_tiers(missing), None, tiers, **QUICK)
    return methods, model


def describe_tiers(missing: Missing) -> str:
    """Describe each tier in HTML, with the command that fetches its weights where they are missing.

    Args:
        missing: the error that says what a tier lacks.
    """
    rows = []
    for tier, words in TIER_TITLES.items():
        size = TIERS[tier].size
        row = f"<dt>{tier}</dt><dd>{html.escape(words)} {size} × {size} pixels."
        if lack := missing(tier):
            row += f'<p class="fp-missing">{sentence_html(lack)}</p>'
        rows.append(f"{row}</dd>")
    return f"<dl>{''.join(rows)}</dl>"


def build_sampling(tier: str, model: gr.Radio) -> tuple[gr.Number, gr.Slider, gr.Slider]:
    """Build seed, steps and guidance scale; the latter two follow the model."""
    config = TIERS[tier]
    # No bounds: Gradio would report them in a passing message; Request says them in the status.
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
            info="More steps are slower and cleaner.",
            elem_id="fp-steps",
        )
        guidance = gr.Slider(
            1,
            20,
            value=config.default_guidance,
            step=0.1,
            label="Guidance scale",
            info="How strictly the prompt is followed; 1 turns it off.",
            elem_id="fp-guidance",
        )
    dice.click(lambda: int(np.random.default_rng().integers(2**31)), None, seed, **QUICK)
    model.change(_defaults, model, [steps, guidance], **QUICK)
    return seed, steps, guidance


def _defaults(tier: str) -> tuple[int, float]:
    config = TIERS[tier]
    return config.default_steps, config.default_guidance


def build_advanced() -> tuple[
    gr.Checkbox, gr.Slider, gr.Slider, gr.Number, gr.Slider, gr.Dropdown, gr.Dropdown
]:
    """Build the span, real speed, body height, fusion and dynamics."""
    default = Request()
    with gr.Accordion("Advanced", open=False, elem_id="fp-advanced"):
        own_moment = gr.Checkbox(
            False,
            label=OWN_MOMENT,
            info=f"Otherwise the span of at most {LONGEST_SPAN} s with most body motion.",
            elem_id="fp-own-moment",
        )
        start = gr.Slider(0, 60, value=0, step=0.05, label=START, visible=False, elem_id="fp-start")
        span = gr.Slider(
            0.2,
            10,
            value=LONGEST_SPAN,
            step=0.05,
            label=LENGTH,
            info=f"16 frames are sampled; beyond {LONGEST_SPAN} s they are too far apart.",
            visible=False,
            elem_id="fp-span",
        )
        real_speed = gr.Number(
            default.real_speed,
            label=REAL_SPEED,
            info="4 for a clip in 4× slow motion.",
            elem_id="fp-real-speed",
        )
        body_height = gr.Slider(
            0.8,
            2.2,
            value=default.body_height,
            step=0.01,
            label="Body height (m)",
            info="Sets the metric scale.",
            elem_id="fp-height",
        )
        fusion = gr.Dropdown(
            [(f"{name} (the paper's)" if name == "average" else name, name) for name in FUSIONS],
            value=DEFAULT_FUSION,
            label="Fusion of S_dd and S_pp",
            elem_id="fp-fusion",
        )
        dynamics = gr.Dropdown(
            [("default (best on validation)", "")]
            + [(f"{name}: {title}", name) for name, title in DYNAMICS_TITLES.items()],
            value="",
            label="Dynamics of PhysNet",
            elem_id="fp-dynamics",
        )
    return own_moment, start, span, real_speed, body_height, fusion, dynamics
