"""Videos of a system that runs elsewhere, imported from a folder and checked on the way in.

Each file is named by class and seed, `12_0.mp4`. All that is wrong with a folder is said at once,
and then nothing of it is taken.
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
"""Faults that are spelled out; of more, the number is said."""


class ImportRefusedError(FinePhysError):
    """A folder of videos was not imported."""


def import_videos(name: str, source: Path) -> dict[str, str]:
    """Check every video of a folder and copy all of them, or none.

    A video has 16 frames or more; 16, spread evenly, are taken of a longer one.

    Args:
        name: key of `systems.SYSTEMS`, of a system that is imported.
        source: folder of CLASS_SEED.mp4.

    Returns:
        SHA-256 by file name, of all videos of the system that are now there.

    Raises:
        RequestError: the system is unknown, or is not one that is imported.
        ImportRefusedError: no video is there, or some are wrong; the text names each.
    """
    importable = [each.name for each in SYSTEMS.values() if not each.fetched]
    if name not in importable:
        raise RequestError(f"{name!r} cannot be imported; choose {', '.join(importable)}.")
    if not source.is_dir():
        raise RequestError(f"{source} is no folder; give the one that holds CLASS_SEED.mp4.")
    files = sorted(path for path in source.iterdir() if not path.name.startswith("."))
    faults = [fault for path in files if (fault := _fault(path))]
    counts = Counter(path.stem for path in files)
    faults += [f"{stem} is there {count} times" for stem, count in counts.items() if count > 1]
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
    """What is wrong with a file, or None."""
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
    """Imported videos as a video generator: what a class and a seed ask for is looked up.

    Args:
        name: of the system.
        folder: of its videos.
    """

    default_steps = 1
    default_guidance = 1.0

    def __init__(self, name: str, folder: Path) -> None:
        self._name, self._folder = name, folder
        self._index = _read_index(folder)

    @classmethod
    def load(cls, name: str) -> "ImportedVideos":
        """The videos of a system.

        Raises:
            WeightsMissingError: none were imported; the text names the command.
            WeightsError: their index is damaged.
        """
        SYSTEMS[name].file()
        return cls(name, import_folder(name))

    @property
    def size(self) -> int:
        """Height in pixels of the first video; each has its own size."""
        return probe(self._folder / min(self._index)).height

    def cut_prompt(self, prompt: str) -> str | None:
        """None: nothing reads the prompt here."""
        return None

    def draw(self, pose: Pose2D, canvas: Framing) -> VideoClip:
        """Nothing: these were made elsewhere, and RequestError says so."""
        raise RequestError(f"{self._name} was run elsewhere; it cannot be given a skeleton.")

    def denoise(self, asked: Sampling) -> Iterator[VideoClip]:
        """The imported video of a class and seed, once, at its own frame rate.

        Raises:
            RequestError: there is none of that class and seed.
            WeightsError: the file is not the one that was imported.
            StoppedError: `stop` says so.
        """
        if asked.stop():
            raise StoppedError("Stopped before the video was read.")
        if asked.action is None:
            raise RequestError(
                f"the videos of {self._name} are looked up by class and seed, and no class was "
                "named; choose an action (--action ID)."
            )
        name, command = f"{asked.action}_{asked.seed}", SYSTEMS[self._name].command
        file = next((file for file in self._index if Path(file).stem == name), None)
        if file is None:
            raise RequestError(
                f"no video of {self._name} was imported for class {asked.action} and seed "
                f"{asked.seed} ({len(self._index)} others were); add {name}.mp4 to its folder and "
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
