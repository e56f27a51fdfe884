"""What a video generator is, and the table of all of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from finephys.checkpoints import checkpoint_path
from finephys.errors import RequestError
from finephys.framing import Framing
from finephys.generator.systems import SYSTEMS, fetched_lock
from finephys.types import Guide, Pose2D, VideoClip


def never() -> bool:
    """A stop button nobody presses."""
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
    """

    guide: Guide | None
    prompt: str
    seed: int
    steps: int
    guidance_scale: float
    fps: float
    stop: Callable[[], bool] = never
    motion: bool = True


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

    def draw(self, pose: Pose2D, canvas: Framing) -> Guide:
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


def _tier(name: str) -> Callable[[str], VideoGenerator]:
    def load(device: str) -> VideoGenerator:
        from finephys.generator.diffusion import Generator

        return Generator.load(name, device)

    return load


def _public(device: str) -> VideoGenerator:
    from finephys.generator.controlnet import PoseVideoGenerator

    return PoseVideoGenerator.load(device)


GENERATORS: dict[str, Callable[[str], VideoGenerator]] = {
    "tiny": _tier("tiny"),
    "sd15-controlnet": _public,
    "sd15": _tier("sd15"),
}
"""Name -> what loads that generator onto a device. A new generator is one line here."""


def weights_file(name: str) -> Path:
    """The file that tells a generator's weights: its checkpoint, or the lock of fetched ones.

    Args:
        name: key of `GENERATORS` or of `systems.SYSTEMS`.

    Raises:
        WeightsMissingError: when it is absent; the text names the command to run.
    """
    if name in SYSTEMS:
        return SYSTEMS[name].file()
    if name == "sd15-controlnet":
        return fetched_lock(name, "sd15", "python -m finephys fetch sd15")
    return checkpoint_path(name, "generator")


def load_generator(name: str, device: str = "cpu") -> VideoGenerator:
    """Load a generator by its name in `GENERATORS` or `systems.SYSTEMS`.

    Raises:
        RequestError: when there is none of that name.
        WeightsMissingError: when its weights are absent; the text names the command to run.
        GpuMemoryError: they do not fit onto the GPU; the text names the setting to lower.
    """
    from finephys.generator.memory import memory_guard

    loaders = GENERATORS | {system.name: system.load for system in SYSTEMS.values()}
    if name not in loaders:
        raise RequestError(f"generator {name!r} does not exist; choose {', '.join(loaders)}.")
    with memory_guard():
        return loaders[name](device)
