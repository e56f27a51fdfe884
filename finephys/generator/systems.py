"""The other systems of the paper's comparison, by name. A new one is one line of the table."""

from dataclasses import dataclass
from pathlib import Path

from finephys.errors import WeightsMissingError
from finephys.weights.checkpoints import checkpoints_root
from finephys.weights.lock import fetched_lock

INDEX = "videos.json"
"""What an import wrote: the file and SHA-256 of each class and seed."""


@dataclass(frozen=True)
class System:
    """One system.

    Attributes:
        name: how it is asked for.
        line: what it is, for people.
        fetched: whether its weights are fetched; otherwise its videos are imported.
        steps: denoising steps that its authors' code takes; 1 where videos are imported, which
            nothing denoises here.
        guidance: classifier-free guidance scale, likewise.
    """

    name: str
    line: str
    fetched: bool
    steps: int = 50
    guidance: float = 7.5

    @property
    def command(self) -> str:
        """What brings it onto this machine."""
        words = f"fetch {self.name}" if self.fetched else f"import {self.name} FOLDER"
        return f"python -m finephys {words}"

    def file(self) -> Path:
        """The file that tells its weights or videos: a lock, or the index of an import.

        Raises:
            WeightsMissingError: it was not fetched, not wholly, or not imported.
        """
        if not self.fetched:
            path = import_folder(self.name) / INDEX
            if not path.is_file():
                raise WeightsMissingError(
                    f"No videos of {self.name} were imported; run: {self.command} (files named "
                    "CLASS_SEED.mp4, such as 12_0.mp4)",
                    self.command,
                )
            return path
        return fetched_lock(self.name, self.name, self.command)


def import_folder(name: str) -> Path:
    """Where the imported videos of a system lie."""
    return checkpoints_root() / "imported" / name


SYSTEMS = {
    system.name: system
    for system in (
        System("animatediff", "AnimateDiff v1.5-2: the prompt alone", True),
        System("latte", "Latte-1, a video transformer: the prompt alone", True),
        System(
            "t2v-zero",
            "Text2Video-Zero, Stable Diffusion warped over time: the prompt alone",
            True,
        ),
        System(
            "follow-your-pose",
            "Follow-Your-Pose, videos made elsewhere",
            False,
            1,
            1.0,
        ),
        System(
            "videocrafter",
            "VideoCrafter, videos made elsewhere",
            False,
            1,
            1.0,
        ),
    )
}
"""The systems by name."""
