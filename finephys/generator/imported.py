"""Videos of systems that run elsewhere, checked and imported from a folder.

Each file is named by class and seed, such as `12_0.mp4`. If any file is wrong, all faults are
listed and nothing is imported.
"""

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from finephys.actions import ACTIONS
from finephys.errors import ClipError, FinePhysError, RequestError, StoppedError, WeightsError
from finephys.files import sha256, whole_file
from finephys.generator.protocol import Sampling
from finephys.generator.systems import INDEX, SYSTEMS, import_folder
from finephys.guidance.framing import Framing
from finephys.skeleton import FRAMES
from finephys.types import Pose2D, VideoClip
from finephys.video import VideoFile, probe, read_span

_NAME = re.compile(r"([1-9]\d?)_(0|[1-9]\d{0,9})\.(mp4|mov|mkv|webm|gif)", re.IGNORECASE)

_SHOWN = 20
"""Faults that are listed; the rest are counted."""


class ImportRefusedError(FinePhysError):
    """A folder of videos was not imported."""


def import_videos(name: str, source: Path) -> dict[str, str]:
    """Check every video of a folder and copy all of them, or none.

    A video has 16 frames or more; a longer one is sampled evenly.

    Args:
        name: key of `systems.SYSTEMS`, of an imported system.
        source: folder of CLASS_SEED.mp4.

    Returns:
        SHA-256 by file name, of all imported videos of the system.

    Raises:
        RequestError: there is no such system, its videos are not imported, or `source` is not a
            directory.
        ImportRefusedError: no video was found, or some are unusable; the text names each.
    """
    importable = [each.name for each in SYSTEMS.values() if not each.fetched]
    if name not in importable:
        raise RequestError(f"{name!r} cannot be imported; choose {', '.join(importable)}.")
    if not source.is_dir():
        raise RequestError(f"{source} is not a directory; give the one that holds CLASS_SEED.mp4.")
    files = sorted(path for path in source.iterdir() if not path.name.startswith("."))
    faults = [fault for path in files if (fault := _fault(path))]
    counts = Counter(path.stem for path in files)
    faults += [f"{stem} appears {count} times" for stem, count in counts.items() if count > 1]
    if not files:
        raise ImportRefusedError(
            f"{source} holds no video; give files named CLASS_SEED.mp4 such as 12_0.mp4."
        )
    if faults:
        shown = "; ".join(faults[:_SHOWN])
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise ImportRefusedError(
            f"{source} was not imported, {len(faults)} of {len(files)} files are wrong: "
            f"{shown}{more}. Give files named CLASS_SEED.mp4 such as 12_0.mp4, of {FRAMES} frames "
            "or more, and nothing else."
        )
    folder = import_folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    index: dict[str, str] = _read_index(folder) if (folder / INDEX).is_file() else {}
    for path in files:
        with whole_file(folder / path.name) as partial:
            shutil.copyfile(path, partial)
        for other in [known for known in index if Path(known).stem == path.stem]:
            del index[other]  # the same class and seed in another format
        index[path.name] = sha256(folder / path.name)
    with whole_file(folder / INDEX) as partial:
        partial.write_text(json.dumps(index, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return index


def _fault(path: Path) -> str | None:
    """Describe what is wrong with a file; None: nothing."""
    named = _NAME.fullmatch(path.name)
    if not named or not path.is_file():
        return f"{path.name} is not named CLASS_SEED.mp4 (numbers as they are: 6_0, not 06_00)"
    if int(named[1]) not in {action.id for action in ACTIONS}:
        return f"{path.name}: class {named[1]} is not one of {ACTIONS[0].id} to {ACTIONS[-1].id}"
    if int(named[2]) >= 2**31:
        return f"{path.name}: seed {named[2]} is above {2**31 - 1}"
    try:
        clip = _frames(path)
    except ClipError as error:
        return f"{path.name} cannot be read ({str(error).rstrip('.')})"
    if len(clip.frames) < FRAMES:
        return f"{path.name} has {len(clip.frames)} frames that can be read"
    return None


def _frames(path: Path) -> VideoClip:
    with VideoFile(path) as file:
        return read_span(file, 0.0, max(file.info.last, 1e-3), keep_repeats=True)


def _read_index(folder: Path) -> dict[str, str]:
    try:
        found = json.loads((folder / INDEX).read_text("utf-8"))
        return {str(name): str(value) for name, value in found.items()}
    except (json.JSONDecodeError, AttributeError) as error:
        raise WeightsError(
            f"{folder.name}/{INDEX} is damaged ({error}); remove that folder and import again."
        ) from error


class ImportedVideos:
    """Imported videos as a video generator; class and seed select one.

    Args:
        name: key of `systems.SYSTEMS`.
        folder: of its videos.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self._name, self._folder = name, folder
        self._index = _read_index(folder)

    @classmethod
    def load(cls, name: str) -> "ImportedVideos":
        """Load the index of a system's videos.

        Raises:
            WeightsMissingError: none were imported; the text names the command.
            WeightsError: their index is damaged.
        """
        SYSTEMS[name].file()
        return cls(name, import_folder(name))

    @property
    def size(self) -> int:
        """Height in pixels of the first video; others may differ."""
        return probe(self._folder / min(self._index)).height

    def cut_prompt(self, prompt: str) -> str | None:
        """Return None: an imported video ignores the prompt."""
        return None

    def draw(self, pose: Pose2D, canvas: Framing) -> VideoClip:
        """Raise RequestError: imported videos take no skeleton."""
        raise RequestError(f"videos of {self._name} are imported; they take no skeleton.")

    def denoise(self, params: Sampling) -> Iterator[VideoClip]:
        """Yield the imported video of a class and seed, at its own frame rate.

        Raises:
            RequestError: there is none of that class and seed.
            WeightsError: the file is not the one that was imported.
            StoppedError: `params.stop` returned True.
        """
        if params.stop():
            raise StoppedError("Stopped before the video was read.")
        if params.action is None:
            raise RequestError(
                f"the videos of {self._name} are selected by class and seed, and no class was "
                "given; choose an action (--action ID)."
            )
        name, command = f"{params.action}_{params.seed}", SYSTEMS[self._name].command
        file = next((file for file in self._index if Path(file).stem == name), None)
        if file is None:
            raise RequestError(
                f"no video of {self._name} was imported for class {params.action} and seed "
                f"{params.seed} ({len(self._index)} others were); add {name}.mp4 to its folder and "
                f"run: {command}",
                command,
            )
        path = self._folder / file
        if not path.is_file() or sha256(path) != self._index[file]:
            raise WeightsError(
                f"{self._name}/{file} is not what was imported; run: {command}", command
            )
        clip = _frames(path)
        yield VideoClip(clip.frames, clip.fps)
