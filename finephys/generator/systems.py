"""The other systems of the paper's comparison, by name; a new one is one line of the table."""

from dataclasses import dataclass
from pathlib import Path

from finephys.errors import WeightsMissingError
from finephys.weights.checkpoints import checkpoints_root
from finephys.weights.lock import fetched_lock

INDEX = "videos.json"
"""Written by an import: the file and SHA-256 of each class and seed."""


@dataclass(frozen=True)
class System:
    """One system.

    Attributes:
        name: its key in `SYSTEMS`.
        line: description for people.
        fetched: whether its weights are fetched; otherwise its videos are imported.
        steps: default denoising steps, from its authors' code; 1 for imported videos.
        guidance: default classifier-free guidance scale, likewise.
    """

    name: str
    line: str
    fetched: bool
    steps: int = 50
    guidance: float = 7.5

    @property
    def command(self) -> str:
        """The command that fetches or imports it."""
        words = f"fetch {self.name}" if self.fetched else f"import {self.name} FOLDER"
        return f"python -m finephys {words}"

    def file(self) -> Path:
        """Return the file that identifies its weights or videos: a lock, or the index of an import.

        Raises:
            WeightsMissingError: it is not, or incompletely, downloaded, or not imported.
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
    """Return the folder of a system's imported videos."""
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
