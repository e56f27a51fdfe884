"""A whole grid of videos: every method on every action and seed, resumable and shared out.

    DIR/METHOD/CLASS_SEED.mp4      the videos, 16 frames each
    DIR/references/CLASS_SEED.mp4  what really happened: the clip given, or the rendered simulation
    DIR/poses/CLASS_SEED.npz       every pose stage, computed once for all methods
    DIR/captions.yaml              label and text of each class
    DIR/manifest.jsonl             a line a video, see `manifest`

`python -m study new --videos DIR` reads this layout.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finephys.actions import ACTIONS, action_by_id
from finephys.errors import ClipError, NoPersonError, RequestError, StoppedError
from finephys.files import sha256, whole_file
from finephys.manifest import BatchError, Row, append, commit, merge, read_manifest
from finephys.methods import METHODS, method_by_name
from finephys.types import Poses, Request, Stage, VideoClip

if TYPE_CHECKING:
    from finephys.pipeline import Pipeline

REFERENCES, POSES, CAPTIONS = "references", "poses", "captions.yaml"


@dataclass(frozen=True)
class Grid:
    """What a batch makes.

    Attributes:
        methods: names of `methods.METHODS` or `methods.OTHERS`.
        actions: FineGym classes.
        seeds: each 0 to 2**31 - 1.
        out: folder of everything.
        request: all that is equal for every video: tier, steps, guidance, fusion, dynamics.
        clips: folder of CLASS_SEED.mp4 or CLASS.mp4 to start from; None: simulate each class.
        exact: S_detect is the simulation's own truth; otherwise the detector looks for the body
            in the rendered reference, as it would in a clip.
        again: make videos anew that were made with other settings; otherwise they are an error.
    """

    methods: tuple[str, ...]
    actions: tuple[int, ...]
    seeds: tuple[int, ...]
    out: Path
    request: Request
    clips: Path | None = None
    exact: bool = False
    again: bool = False

    def __post_init__(self) -> None:
        for name in self.methods:
            method_by_name(name)
        for number in self.actions:
            action_by_id(number)
        for seed in self.seeds:
            replace(self.request, seed=seed)  # RequestError when outside its range
        if not (self.methods and self.actions and self.seeds):
            raise RequestError("a grid needs at least one method, one action and one seed.")
        if self.clips is not None and (self.exact or not self.clips.is_dir()):
            raise RequestError(
                f"--clips {self.clips} with --exact has no simulation to take poses from; drop one."
                if self.exact
                else f"{self.clips} is no folder; give the folder that holds CLASS_SEED.mp4."
            )

    @property
    def items(self) -> list[tuple[int, int]]:
        """Every (action, seed) pair, in order."""
        return [(action, seed) for action in self.actions for seed in self.seeds]


@dataclass(frozen=True)
class Share:
    """Which part of a grid this process makes.

    Attributes:
        index: number of this process among all of all machines, from 0.
        count: processes in all.
        local: number of this process on its machine, which is that of its GPU.
    """

    index: int = 0
    count: int = 1
    local: int = 0


def share_from_environment() -> Share:
    """The part that `accelerate launch` (or torchrun) gives this process; all of it without one.

    Design choice: the variables are read and no process group is made; parts of a grid need no
    exchange, and a group would time out while one process waits for a slower one.
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
        said = ", ".join(f"{name}={value}" for name, value in given.items())
        raise RequestError(
            f"{said} in the environment is no part of a launch; unset them, or use "
            "accelerate launch."
        )
    return Share(index, count, local)


def numbers(words: Sequence[str], whole: Sequence[int], name: str) -> tuple[int, ...]:
    """Numbers from words such as "6", "9-12", "1,4" and, where `whole` has any, "all".

    Raises:
        RequestError: when a word is none of these.
    """
    found: list[int] = []
    for word in (part for given in words for part in given.split(",") if part):
        first, dash, last = word.partition("-")
        if word == "all" and whole:
            found += whole
        elif first.isdecimal() and (last.isdecimal() or not dash):
            found += range(int(first), int(last or first) + 1)
        else:
            accepted = "numbers such as 6 9-12 1,4" + (' or "all"' if whole else "")
            raise RequestError(f"{name} has {word!r}; give {accepted}.")
    return tuple(dict.fromkeys(found))


def names(words: Sequence[str]) -> tuple[str, ...]:
    """Method names from words such as "text,ours" or "all"."""
    found = [part for given in words for part in given.split(",") if part]
    return tuple(METHODS) if "all" in found else tuple(dict.fromkeys(found))


def run_batch(
    grid: Grid,
    pipeline: "Pipeline",
    say: Callable[[str], None],
    share: Share | None = None,
) -> list[Row]:
    """Make this process's part of a grid; finished videos are verified and skipped.

    Args:
        grid: what is wanted.
        pipeline: of the grid's tier.
        say: takes a line of progress at a time.
        share: this process's part; None: all of it.

    Returns:
        The rows of this part, made now or before.

    Raises:
        BatchError: some videos could not be made (all others are), or videos with other settings
            lie in the folder.
        StoppedError: the keyboard ended it; what is finished stays.
    """
    share = share or Share()
    settings = _settings(grid, pipeline)
    for method in grid.methods:  # what is missing is said before any work
        if system := method_by_name(method).system:
            pipeline.models.weights(system)
    before = read_manifest(grid.out)
    _refuse_others(grid, settings, before)
    if share.index == 0:
        _write_captions(grid)
    mine = grid.items[share.index :: share.count]
    rows: list[Row] = []
    failed: dict[str, str] = {}
    told: set[str] = set()
    clock = _Progress(len(mine) * len(grid.methods), say)
    try:
        for methods, (action, seed) in product(_by_generator(grid.methods), mine):
            todo = []
            for method in methods:
                row = before.get(f"{method}/{action}_{seed}.mp4")
                same = row and row["settings"] == settings and _same_system(row, pipeline)
                if row and same and _intact(grid.out, row):
                    rows.append(row)
                    clock.skip()
                else:
                    todo.append(method)
            try:
                for row in _make(grid, pipeline, todo, action, seed, settings):
                    append(grid.out, share.index, row)
                    rows.append(row)
                    clock.done(row["file"])
                    for note in row["notes"]:
                        if note not in told:
                            say(f"note: {note}")
                            told.add(note)
            except (ClipError, NoPersonError, RequestError) as error:
                failed.setdefault(f"{action}_{seed}", str(error))
                say(f"failed: {action}_{seed}: {error}")
    except KeyboardInterrupt as error:
        raise StoppedError(
            f"Stopped; {len(rows)} videos are finished and stay. The same command goes on."
        ) from error
    finally:
        merge(grid.out)
    if failed:
        item, reason = next(iter(failed.items()))
        raise BatchError(
            f"{len(failed)} of {len(mine)} items could not be made; the first, {item}: {reason} "
            "The others are finished; the same command tries these again."
        )
    return rows


def _by_generator(methods: Sequence[str]) -> list[list[str]]:
    """Methods in groups that share a generator, so that each is loaded once."""
    groups: dict[str, list[str]] = {}
    for method in methods:
        groups.setdefault(method_by_name(method).system, []).append(method)
    return list(groups.values())


# -- one item --------------------------------------------------------------------------------------


def _make(
    grid: Grid, pipeline: "Pipeline", methods: list[str], action: int, seed: int, settings: Row
) -> Iterator[Row]:
    """Make the videos of one action and seed by the methods that are left."""
    if not methods:
        return
    from finephys.outputs import write_poses
    from finephys.video import write_video

    item = f"{action}_{seed}"
    request = replace(grid.request, action=action, seed=seed)
    poses = _poses(grid, pipeline, request, item)
    write_poses(grid.out / POSES / f"{item}.npz", poses)
    for method in methods:
        began = time.monotonic()
        file = f"{method}/{item}.mp4"
        resolved, video = _video(pipeline, poses, replace(request, method=method))
        cut = pipeline.prompt_notes(resolved)
        write_video(grid.out / file, video)
        yield {
            "file": file,
            "method": method,
            "class": action,
            "seed": seed,
            "prompt": resolved.prompt,
            "reference": f"{REFERENCES}/{item}.mp4",
            "sha256": sha256(grid.out / file),
            "commit": commit(),
            "config": {
                **pipeline.models.describe(str(resolved.generator), poses),
                "request": asdict(resolved),
            },
            "settings": settings,
            "notes": [*poses.notes, *cut],
            "seconds": round(time.monotonic() - began, 2),
            "made": time.time(),
        }


def _poses(grid: Grid, pipeline: "Pipeline", request: Request, item: str) -> Poses:
    """Every pose stage of one item, its reference video written on the way."""
    from finephys.observe import film
    from finephys.video import write_video

    assert request.action is not None  # noqa: S101 -- for the type checker
    source = _clip_of(grid, item)
    reference = grid.out / REFERENCES / f"{item}.mp4"
    if source is None:
        clip = film(request.action, request.seed)
        write_video(reference, clip)
        if not grid.exact:
            source = reference
            request = replace(request, start=0.0, span=(len(clip.frames) - 1) / clip.fps)
    poses = _last(pipeline.stream_poses(source, request))
    if grid.clips is not None and poses.clip is not None:
        write_video(reference, poses.clip)
    return poses


def _clip_of(grid: Grid, item: str) -> Path | None:
    """The clip an item starts from, None without a folder of clips."""
    if grid.clips is None:
        return None
    candidates = [grid.clips / f"{key}.mp4" for key in (item, item.partition("_")[0])]
    for path in candidates:
        if path.is_file():
            return path
    raise ClipError(
        f"{grid.clips} holds neither {candidates[0].name} nor {candidates[1].name}; add one, or "
        "leave the class out of --actions."
    )


def _last(updates: Any) -> Poses:  # noqa: ANN401
    """Run a generator of updates to its end and give what it returns."""
    while True:
        try:
            next(updates)
        except StopIteration as end:
            found: Poses = end.value
            return found


def _video(pipeline: "Pipeline", poses: Poses, request: Request) -> tuple[Request, VideoClip]:
    """The request as resolved and its video."""
    made: list[VideoClip] = [
        update.value
        for update in pipeline.stream_from_poses(poses, request)
        if update.stage is Stage.VIDEO and isinstance(update.value, VideoClip)
    ]
    return pipeline.resolved(request), made[-1]


# -- what makes videos comparable ------------------------------------------------------------------


def _settings(grid: Grid, pipeline: "Pipeline") -> Row:
    """What must be equal for all videos of a folder, as JSON gives it back."""
    resolved = asdict(pipeline.resolved(replace(grid.request, action=grid.actions[0])))
    for free in ("action", "seed", "method"):
        del resolved[free]
    resolved["prompt"] = grid.request.prompt
    source = "clips" if grid.clips else "simulation" if grid.exact else "rendered simulation"
    made_of = {
        **resolved,
        "from": source,
        "checkpoints": pipeline.models.weights(resolved["generator"]),
    }
    settings: Row = json.loads(json.dumps(made_of))
    return settings


def _refuse_others(grid: Grid, settings: Row, before: dict[str, Row]) -> None:
    others = [row for row in before.values() if row["settings"] != settings]
    if not others or grid.again:
        return
    differing = sorted(
        name
        for name in settings | others[0]["settings"]
        if settings.get(name) != others[0]["settings"].get(name)
    )
    raise BatchError(
        f"{grid.out} holds {len(others)} videos made with other settings ({', '.join(differing)} "
        "differ), which cannot be compared with new ones; choose another --out, or --again to make "
        "those of this grid anew."
    )


def _intact(out: Path, row: Row) -> bool:
    path = out / row["file"]
    reference = out / row["reference"]
    return reference.is_file() and path.is_file() and sha256(path) == str(row["sha256"])


def _same_system(row: Row, pipeline: "Pipeline") -> bool:
    """Whether a video of another system was made by the weights, or import, that it has now."""
    system = method_by_name(row["method"]).system
    return not system or row["config"]["checkpoints"] == pipeline.models.weights(system)


def _write_captions(grid: Grid) -> None:
    """Label and text of all classes, as YAML (of which JSON is a part), unless people edited it."""
    if (grid.out / CAPTIONS).is_file():
        return
    captions = {str(each.id): {"label": each.label, "text": each.caption} for each in ACTIONS}
    with whole_file(grid.out / CAPTIONS) as partial:
        partial.write_text(json.dumps(captions, indent=1) + "\n", encoding="utf-8")


class _Progress:
    """Says how many videos are done and how long the rest will take."""

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self._total, self._say = total, say
        self._skipped = self._made = 0
        self._began = time.monotonic()

    def skip(self) -> None:
        self._skipped += 1

    def done(self, file: str) -> None:
        self._made += 1
        finished = self._skipped + self._made
        each = (time.monotonic() - self._began) / self._made
        left = each * (self._total - finished)
        self._say(f"[{finished}/{self._total}] {file}, {each:.1f} s each, {left / 60:.0f} min left")
