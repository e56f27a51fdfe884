"""The other systems of the paper's comparison, by name. A new one is one line of the table."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from finephys.checkpoints import checkpoints_root
from finephys.errors import WeightsMissingError
from finephys.fetch_lock import FOLDER_VARIABLE, LOCK, read_lock, weights_folder
from finephys.fetch_parts import FETCHABLE

if TYPE_CHECKING:
    from finephys.generator.protocol import VideoGenerator

INDEX = "videos.json"
"""What an import wrote: the file and SHA-256 of each class and seed."""


@dataclass(frozen=True)
class System:
    """One system.

    Attributes:
        name: how it is asked for.
        line: what it is, for people.
        load: onto a device.
        fetched: whether its weights are fetched; otherwise its videos are imported.
        steps: denoising steps that its authors' code takes; 1 where videos are imported, which
            nothing denoises here.
        guidance: classifier-free guidance scale, likewise.
    """

    name: str
    line: str
    load: Callable[[str], "VideoGenerator"]
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
                    "CLASS_SEED.mp4, such as 12_0.mp4)"
                )
            return path
        return fetched_lock(self.name, self.name, self.command)


def fetched_lock(name: str, weights: str, command: str) -> Path:
    """The lock of weights that `name` needs, a key of `FETCHABLE`.

    Raises:
        WeightsMissingError: they were not fetched, or not wholly.
    """
    folder = weights_folder(weights)
    missing = {part.name for part in FETCHABLE[weights]} - read_lock(folder).keys()
    if missing:
        raise WeightsMissingError(
            f"The weights of {name} are missing, or were not wholly fetched "
            f"({', '.join(sorted(missing))}); run: {command} (fetched elsewhere with "
            f"--dir? set {FOLDER_VARIABLE} to that folder)"
        )
    return folder / LOCK


def import_folder(name: str) -> Path:
    """Where the imported videos of a system lie."""
    return checkpoints_root() / "imported" / name


def _pipeline(name: str) -> Callable[[str], "VideoGenerator"]:
    def load(device: str) -> "VideoGenerator":
        from finephys.generator.public_pipelines import PublicPipeline

        return PublicPipeline.load(name, device)

    return load


def _videos(name: str) -> Callable[[str], "VideoGenerator"]:
    def load(_: str) -> "VideoGenerator":
        from finephys.generator.imported import ImportedVideos

        return ImportedVideos.load(name)

    return load


SYSTEMS = {
    system.name: system
    for system in (
        System(
            "animatediff", "AnimateDiff v1.5-2: the prompt alone", _pipeline("animatediff"), True
        ),
        System("latte", "Latte-1, a video transformer: the prompt alone", _pipeline("latte"), True),
        System(
            "t2v-zero",
            "Text2Video-Zero, Stable Diffusion warped over time: the prompt alone",
            _pipeline("t2v-zero"),
            True,
        ),
        System(
            "follow-your-pose",
            "Follow-Your-Pose, videos made elsewhere",
            _videos("follow-your-pose"),
            False,
            1,
            1.0,
        ),
        System(
            "videocrafter",
            "VideoCrafter, videos made elsewhere",
            _videos("videocrafter"),
            False,
            1,
            1.0,
        ),
    )
}
"""The systems by name."""
