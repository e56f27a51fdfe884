"""Values of the controls, and the Request they make; without Gradio."""

from dataclasses import dataclass
from pathlib import Path

from finephys.errors import ClipError, RequestError
from finephys.methods import METHODS
from finephys.motion.examples import EXAMPLES, Example
from finephys.types import Request
from finephys.ui.server import ASSETS

UPLOAD, EXAMPLE, ACTION = "Upload", "Example", "Action only"

CLIPS = {clip.name.replace("_", " ").capitalize(): clip for clip in EXAMPLES}
"""Rendered clips of the repository, by the title shown for each."""

LONGEST_PROMPT = 10_000
"""Characters; the text encoder reads far fewer, and a note says where it stopped."""

UNSPECIFIED = 0
"""The action's number when none is specified; Gradio shows nothing for None."""


@dataclass(frozen=True)
class Choices:
    """Values of every control, in the order in which Gradio passes them."""

    source: str
    upload: str | None
    example: str | None
    action: int
    prompt: str | None
    use_prior: bool
    methods: list[str]
    tier: str
    seed: float | None
    steps: float
    guidance_scale: float
    own_moment: bool
    start: float
    span: float
    real_speed: float | None
    body_height: float
    fusion: str
    dynamics: str | None

    def request(self) -> Request:
        """The request they make; RequestError when a value is missing or out of range."""
        action = self.action or None
        if self.source == ACTION and action is None:
            raise RequestError("No action is chosen; pick one of the 35, or upload a clip.")
        if self.seed is None or self.real_speed is None:
            empty = "seed" if self.seed is None else "real speed"
            raise RequestError(f"The {empty} is empty; enter a number.")
        prompt = self.prompt or ""
        if len(prompt) > LONGEST_PROMPT:
            raise RequestError(
                f"The prompt has {len(prompt)} characters; enter at most {LONGEST_PROMPT}."
            )
        own_span = self.own_moment and self.source != ACTION
        return Request(
            prompt=prompt,
            action=action,
            seed=int(self.seed),
            steps=int(self.steps),
            guidance_scale=float(self.guidance_scale),
            generator=self.tier,
            method=self.compared()[0],
            fusion=self.fusion,
            dynamics=self.dynamics or None,
            start=float(self.start) if own_span else None,
            span=float(self.span) if own_span else None,
            real_speed=float(self.real_speed),
            body_height=float(self.body_height),
            use_prior=bool(self.use_prior),
        )

    def compared(self) -> tuple[str, ...]:
        """The chosen methods, from least to most guidance; RequestError when none is chosen."""
        chosen = tuple(name for name in METHODS if name in self.methods)
        if not chosen:
            raise RequestError(f"No method is chosen; tick at least one of {', '.join(METHODS)}.")
        return chosen

    def clip(self) -> Path | None:
        """The video file to start from, or None for an action; ClipError when none is chosen."""
        if self.source == ACTION:
            return None
        path = chosen_clip(self.source, self.upload, self.example)
        if path is None:
            raise ClipError("No clip is chosen; upload one, or start from an action only.")
        if self.source == UPLOAD and not path.is_file():
            raise ClipError(
                f"{path.name} was deleted, as every upload is after an hour; upload it again."
            )
        return path


def chosen_clip(kind: str, upload: str | None, example: str | None) -> Path | None:
    """The clip to start from; None without one."""
    if kind == UPLOAD:
        return Path(upload) if upload else None
    return ASSETS / address(CLIPS[example]) if kind == EXAMPLE and example else None


def address(clip: Example) -> str:
    """Path of an example below the assets."""
    return f"examples/{clip.name}.mp4"
