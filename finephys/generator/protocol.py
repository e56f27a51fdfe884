"""The interface of video generators; `registry` lists and loads them."""

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
    """Parameters of one clip.

    Attributes:
        guide: a skeleton drawn by `VideoGenerator.draw`; None: text alone.
        prompt: any text, also empty.
        seed: 0 to 2**31 - 1; the same request and seed give the same frames on one machine.
        steps: denoising steps, 1 to 100.
        guidance_scale: 1 (off) to 20.
        fps: frame rate of the clip.
        stop: called before each step; True ends the run.
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
    """Generates 16 frames from text and a skeleton."""

    @property
    def size(self) -> int:
        """Width and height of the generated frames in pixels."""

    def cut_prompt(self, prompt: str) -> str | None:
        """Return the part of a prompt beyond the text encoder's length, or None."""

    def draw(self, pose: Pose2D, canvas: Framing) -> Guidance:
        """Draw a skeleton in the form that this generator reads.

        Args:
            pose: 2D joints in pixels of a clip.
            canvas: the square of that clip that is generated.

        Raises:
            RequestError: this generator reads no skeleton.
        """

    def denoise(self, params: Sampling) -> Iterator[VideoClip]:
        """Generate one clip, yielding a preview of it after each denoising step.

        Yields:
            `params.steps` clips, the last of them finished; an imported video is not denoised, so
            it is yielded once.

        Raises:
            StoppedError: `params.stop` returned True.
            RequestError: a parameter is out of range.
        """
