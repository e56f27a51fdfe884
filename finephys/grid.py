"""A grid of videos, and the part of it that one process makes."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from finephys.actions import action_by_id
from finephys.errors import RequestError
from finephys.methods import method_by_name
from finephys.types import Request


@dataclass(frozen=True)
class Grid:
    """The videos of a batch and how to make them.

    Attributes:
        methods: names of `methods.METHODS` or `methods.OTHERS`.
        actions: FineGym classes.
        seeds: each 0 to 2**31 - 1.
        out: folder of all output.
        request: what all videos share: generator, steps, guidance, fusion, dynamics.
        clips: folder of CLASS_SEED.mp4 or CLASS.mp4 to start from; None: simulate each class.
        exact: take S_detect from the simulation; otherwise the detector runs on the rendered
            reference, as it would on a clip.
        again: remake videos that were made with other settings; otherwise they are an error.
        overwrite: replace files that no batch wrote.
    """

    methods: tuple[str, ...]
    actions: tuple[int, ...]
    seeds: tuple[int, ...]
    out: Path
    request: Request
    clips: Path | None = None
    exact: bool = False
    again: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name in self.methods:
            method_by_name(name)
        for number in self.actions:
            action_by_id(number)
        for seed in self.seeds:
            replace(self.request, seed=seed)  # RequestError when outside its range
        if not (self.methods and self.actions and self.seeds):
            raise RequestError("a grid needs at least one method, one action and one seed.")
        if self.clips is None and (self.request.start, self.request.span) != (None, None):
            raise RequestError(
                "--start and --span choose a part of a clip, and there is none; give --clips, or "
                "leave them out."
            )
        if self.clips is not None and self.exact:
            raise RequestError(
                f"--clips {self.clips} with --exact has no simulation to take poses from; drop one."
            )
        if self.clips is not None and not self.clips.is_dir():
            raise RequestError(
                f"{self.clips} is not a directory; give the folder that holds CLASS_SEED.mp4."
            )

    @property
    def items(self) -> list[tuple[int, int]]:
        """Every (action, seed) pair, in order."""
        return [(action, seed) for action in self.actions for seed in self.seeds]


@dataclass(frozen=True)
class Share:
    """The part of a grid that this process makes.

    Attributes:
        index: rank of this process over all machines, from 0.
        count: number of processes.
        local: rank of this process on its machine, also the index of its GPU.
    """

    index: int = 0
    count: int = 1
    local: int = 0


def share_from_environment() -> Share:
    """Return the part that `accelerate launch` or torchrun gives this process; else all of it.

    Design choice: only the variables are read. The parts exchange nothing, and a process group
    would time out while one process waits for a slower one.
    """
    given = {name: os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    if not given["WORLD_SIZE"]:
        return Share()
    try:
        index, count, local = (
            int(given[name] or 0) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        )
    except ValueError:
        index, count, local = -1, 0, 0
    if not 0 <= index < count:
        shown = ", ".join(f"{name}={value}" for name, value in given.items())
        raise RequestError(
            f"{shown} in the environment is not a valid rank; unset them, or use accelerate launch."
        )
    return Share(index, count, local)
