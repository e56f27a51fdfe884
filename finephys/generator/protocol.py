"""What a video generator is; `registry` lists and loads them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from finephys.guidance.framing import Framing
from finephys.types import Guidance, Pose2D, VideoClip


def never() -> bool:
    """Never stop."""
    return False


@dataclass(frozen=True)
class Sampling:
    """What one clip is generated from, and how.

    Attributes:
        guide: a skeleton as `VideoGenerator.draw` gives it; None: text alone.
        prompt: any text, also empty.
        seed: 0 to 2**31 - 1; the same request and seed give the same frames on one machine.
        steps: denoising steps, 1 to 100.
        guidance_scale: 1 (off) to 20.
        fps: frame rate written on the clip.
        stop: looked at before each step.
        motion: whether the motion modules run; without them every frame is generated alone.
        action: FineGym class of the clip, when known; imported videos are looked up by it.
    """

    guide: Guidance | None
    prompt: str
    seed: int
    steps: int
    guidance_scale: float
    fps: float
    stop: Callable[[], bool] = never
    motion: bool = True
    action: int | None = None


class VideoGenerator(Protocol):
    """Anything that turns text and a skeleton into 16 frames."""

    @property
    def size(self) -> int:
        """Width and height of the generated frames in pixels."""

    @property
    def default_steps(self) -> int:
        """Denoising steps it was made for."""

    @property
    def default_guidance(self) -> float:
        """Classifier-free guidance scale it was made for."""

    def cut_prompt(self, prompt: str) -> str | None:
        """The end of a prompt that the text encoder cannot take, or None when all fits."""

    def draw(self, pose: Pose2D, canvas: Framing) -> Guidance:
        """A skeleton as this generator reads it.

        Args:
            pose: 2D joints in pixels of a clip.
            canvas: the square of that clip which is generated.
        """

    def denoise(self, asked: Sampling) -> Iterator[VideoClip]:
        """Generate one clip, yielding it as it stands after each denoising step.

        Yields:
            `asked.steps` clips, the last of them finished; imported videos are not denoised here,
            so of them there is the finished clip alone.

        Raises:
            StoppedError: when `asked.stop` says so.
            RequestError: when a value asked for is outside its range.
        """
