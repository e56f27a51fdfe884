"""Everything a person chooses, and the request it makes; without Gradio."""

from dataclasses import dataclass
from pathlib import Path

from finephys.errors import ClipError, RequestError
from finephys.methods import METHODS
from finephys.motion.examples import EXAMPLES, Example
from finephys.types import Request
from finephys.ui.server import ASSETS

UPLOAD, EXAMPLE, ACTION = "Upload", "Example", "Action only"

CLIPS = {clip.name.replace("_", " ").capitalize(): clip for clip in EXAMPLES}
"""Rendered clips that come with the repository, by the words shown for them."""

LONGEST_PROMPT = 10_000
"""Characters; the text encoder reads far fewer and the result says where it stopped."""


NOT_SAID = 0
"""The action's number when nobody said which it is; Gradio shows nothing for None."""


@dataclass(frozen=True)
class Choices:
    """Values of every control, in the order in which they are given to Gradio."""

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
        """What is asked for; RequestError when a value is missing or out of range."""
        action = self.action or None
        if self.source == ACTION and action is None:
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
            action=action,
            seed=int(self.seed),
            steps=int(self.steps),
            guidance_scale=float(self.guidance_scale),
            generator=self.tier,
            method=self.compared()[0],
            fusion=self.fusion,
            dynamics=self.dynamics or None,
            start=float(self.start) if moment else None,
            span=float(self.span) if moment else None,
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
                f"{path.name} was deleted, as uploads are after an hour; upload it again."
            )
        return path


def chosen_clip(kind: str, upload: str | None, example: str | None) -> Path | None:
    """The file of a way of starting; None without one."""
    if kind == UPLOAD:
        return Path(upload) if upload else None
    return ASSETS / address(CLIPS[example]) if kind == EXAMPLE and example else None


def address(clip: Example) -> str:
    """Where an example lies under the assets."""
    return f"examples/{clip.name}.mp4"
