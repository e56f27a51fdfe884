"""A grid of videos: every method on every action and seed, resumable and sharded across processes.

    DIR/METHOD/CLASS_SEED.mp4      the videos, 16 frames each
    DIR/references/CLASS_SEED.mp4  the true motion: the given clip, or the rendered simulation
    DIR/poses/CLASS_SEED.npz       every pose stage, computed once for all methods
    DIR/captions.yaml              label and text of each class
    DIR/manifest.jsonl             one line per video, see `manifest`

`python -m study new --videos DIR` reads this layout.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from finephys.actions import ACTIONS
from finephys.errors import ClipError, NoPersonError, RequestError, StoppedError
from finephys.files import sha256, whole_file
from finephys.grid import Grid, Share
from finephys.manifest import BatchError, Row, append, commit, merge, read_manifest
from finephys.marks import Kind
from finephys.methods import METHODS, method_by_name
from finephys.preflight import Input, Output, check_files, check_outside
from finephys.progress import returned
from finephys.types import Poses, Request, Stage, VideoClip

if TYPE_CHECKING:
    from finephys.pipeline import Pipeline

REFERENCES, POSES, CAPTIONS = "references", "poses", "captions.yaml"


MOST_NUMBERS = 100_000
"""Numbers that one option may give."""


def numbers(words: Sequence[str], whole: Sequence[int], name: str) -> tuple[int, ...]:
    """Parse numbers from words such as "6", "9-12", "1,4" and, if `whole` has any, "all".

    Args:
        words: of the command line.
        whole: the numbers that "all" stands for.
        name: of the option, for errors.

    Raises:
        RequestError: a word is none of these, or a range is empty or too long.
    """
    found: list[int] = []
    for word in _split(words):
        first, dash, last = word.partition("-")
        if word == "all" and whole:
            found += whole
            continue
        if not first.isdecimal() or (dash and not last.isdecimal()) or len(word) > 40:
            accepted = "numbers such as 6 9-12 1,4" + (' or "all"' if whole else "")
            raise RequestError(f"{name} has {word[:40]!r}; give {accepted}.")
        begin, end = int(first), int(last or first)
        if not 0 <= end - begin < MOST_NUMBERS:
            raise RequestError(
                f"{name} has {word!r}; give a range from its lowest to its highest number, of at "
                f"most {MOST_NUMBERS} numbers."
            )
        found += range(begin, end + 1)
    return tuple(dict.fromkeys(found))


def names(words: Sequence[str]) -> tuple[str, ...]:
    """Parse method names from words such as "text,ours"; "all" stands for every one of METHODS."""
    found = [name for word in _split(words) for name in (METHODS if word == "all" else [word])]
    return tuple(dict.fromkeys(found))


def _split(words: Sequence[str]) -> list[str]:
    """Split words at commas."""
    return [part.strip() for word in words for part in word.split(",") if part.strip()]


def run_batch(
    grid: Grid,
    pipeline: "Pipeline",
    say: Callable[[str], None],
    share: Share | None = None,
) -> list[Row]:
    """Make this process's part of a grid; finished videos are verified and skipped.

    Args:
        grid: the videos to make.
        pipeline: of the grid's generator.
        say: takes one line of progress at a time.
        share: this process's part; None: all of it.

    Returns:
        The rows of this part, made now or before.

    Raises:
        RequestError: a file would be overwritten, see `preflight`.
        WeightsMissingError: a method's weights are missing.
        BatchError: some videos could not be made (all others are), or the folder holds videos made
            with other settings.
        StoppedError: the keyboard ended it; what is finished stays.
    """
    share = share or Share()
    settings = _settings(grid, pipeline)
    for method in grid.methods:
        if system := method_by_name(method).system:
            pipeline.models.weights(system)  # raises before any work
    before = read_manifest(grid.out)
    _refuse_others(grid, settings, before)
    _check_files(grid, before)
    if share.index == 0:
        _write_captions(grid)
    mine = grid.items[share.index :: share.count]
    rows: list[Row] = []
    failed: dict[str, str] = {}
    noted: set[str] = set()
    poses: dict[str, Poses] = {}
    without_poses: set[str] = set()
    progress = _Progress(len(mine) * len(grid.methods), say)
    try:
        for methods, (action, seed) in product(_by_generator(grid.methods), mine):
            item = f"{action}_{seed}"
            todo = []
            for method in methods:
                row = before.get(f"{method}/{item}.mp4")
                if row and _is_current(row, grid.out, settings, pipeline):
                    rows.append(row)
                    progress.skip()
                else:
                    todo.append(method)
            if not todo or item in without_poses:
                continue
            request = replace(grid.request, action=action, seed=seed)
            try:
                if item not in poses:
                    poses[item] = _poses(grid, pipeline, request, item)
                for row in _make(grid, pipeline, todo, request, poses[item], settings):
                    append(grid.out, share.index, row)
                    rows.append(row)
                    progress.done(row["file"])
                    for note in row["notes"]:
                        if note not in noted:
                            say(f"note: {note}")
                            noted.add(note)
            except (ClipError, NoPersonError, RequestError) as error:
                if item not in poses:
                    without_poses.add(item)
                failed.setdefault(item, str(error))
                say(f"failed: {item}: {error}")
    except KeyboardInterrupt as error:
        raise StoppedError(
            f"Stopped; {len(rows)} videos are finished. Run the same command to continue."
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
    """Group methods that share a generator, so that each is loaded once."""
    groups: dict[str, list[str]] = {}
    for method in methods:
        groups.setdefault(method_by_name(method).system, []).append(method)
    return list(groups.values())


# -- one item --------------------------------------------------------------------------------------


def _make(
    grid: Grid,
    pipeline: "Pipeline",
    methods: list[str],
    request: Request,
    poses: Poses,
    settings: Row,
) -> Iterator[Row]:
    """Make the videos of one action and seed by some methods."""
    from finephys.outputs import write_marked_video

    item = f"{request.action}_{request.seed}"
    for method in methods:
        began = time.monotonic()
        file = f"{method}/{item}.mp4"
        resolved, video = _video(pipeline, poses, replace(request, method=method))
        truncated = pipeline.prompt_notes(resolved)
        write_marked_video(grid.out / file, video)
        yield {
            "file": file,
            "method": method,
            "class": request.action,
            "seed": request.seed,
            "prompt": resolved.prompt,
            "reference": f"{REFERENCES}/{item}.mp4",
            "sha256": sha256(grid.out / file),
            "commit": commit(),
            "config": {
                **pipeline.models.describe(str(resolved.generator), poses),
                "request": asdict(resolved),
            },
            "settings": settings,
            "notes": [*poses.notes, *truncated],
            "seconds": round(time.monotonic() - began, 2),
            "made": time.time(),
        }


def _poses(grid: Grid, pipeline: "Pipeline", request: Request, item: str) -> Poses:
    """Estimate an item's poses, and write them and its reference video.

    The frames are dropped afterwards: the poses of all items stay in memory until the last
    generator has drawn them.
    """
    from finephys.observe import film
    from finephys.outputs import write_marked_video, write_poses

    assert request.action is not None  # noqa: S101 -- for the type checker
    source = _clip_of(grid, item)
    reference = grid.out / REFERENCES / f"{item}.mp4"
    if source is None:
        clip = film(request.action, request.seed)
        write_marked_video(reference, clip)
        if not grid.exact:
            source = reference
            request = replace(request, start=0.0, span=(len(clip.frames) - 1) / clip.fps)
    poses = returned(pipeline.stream_poses(source, request))
    if grid.clips is not None and poses.clip is not None:
        write_marked_video(reference, poses.clip)
    write_poses(grid.out / POSES / f"{item}.npz", poses)
    return replace(poses, clip=None)


def _clip_of(grid: Grid, item: str) -> Path | None:
    """Return the clip an item starts from; None without a folder of clips."""
    if grid.clips is None:
        return None
    candidates = _candidates(grid.clips, item)
    for path in candidates:
        if path.is_file():
            return path
    raise ClipError(
        f"{grid.clips} holds neither {candidates[0].name} nor {candidates[1].name}; add one, or "
        "leave the class out of --actions."
    )


def _candidates(clips: Path, item: str) -> list[Path]:
    """Return where the clip of an item may be: CLASS_SEED.mp4, else CLASS.mp4."""
    return [clips / f"{name}.mp4" for name in (item, item.partition("_")[0])]


def _video(pipeline: "Pipeline", poses: Poses, request: Request) -> tuple[Request, VideoClip]:
    """Return the resolved request and its video."""
    made: list[VideoClip] = [
        update.value
        for update in pipeline.stream_from_poses(poses, request)
        if update.stage is Stage.VIDEO and isinstance(update.value, VideoClip)
    ]
    return pipeline.resolved(request), made[-1]


# -- what may be kept, replaced and compared -------------------------------------------------------


def _check_files(grid: Grid, before: dict[str, Row]) -> None:
    """Raise before any work if a file would be lost; what the manifest lists may be replaced."""
    known = set(before) | {str(row.get("reference")) for row in before.values()}
    items = [f"{action}_{seed}" for action, seed in grid.items]
    known |= {f"{POSES}/{Path(file).stem}.npz" for file in before}
    inputs = []
    if grid.clips is not None:
        check_outside(Input("--clips", grid.clips), "--out", grid.out)
        candidates = [path for item in items for path in _candidates(grid.clips, item)]
        inputs = [Input("--clips", path) for path in candidates if path.is_file()]
    outputs = [
        Output("--out", grid.out / file, kind, known=file in known)
        for item in items
        for file, kind in (
            (f"{REFERENCES}/{item}.mp4", Kind.VIDEO),
            (f"{POSES}/{item}.npz", Kind.POSES),
            *((f"{method}/{item}.mp4", Kind.VIDEO) for method in grid.methods),
        )
    ]
    check_files(inputs, outputs, overwrite=grid.overwrite)


def _settings(grid: Grid, pipeline: "Pipeline") -> Row:
    """Return what must be equal for all videos of a folder, as it comes back from JSON."""
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
    """Raise if the folder holds videos made with other settings, unless they are to be remade."""
    others = [row.get("settings") for row in before.values() if row.get("settings") != settings]
    if not others or grid.again:
        return
    other = others[0] or {}
    differing = sorted(name for name in settings | other if settings.get(name) != other.get(name))
    raise BatchError(
        f"{grid.out} holds {len(others)} videos made with other settings ({', '.join(differing)} "
        "differ), which cannot be compared with new ones; choose another --out, or add --again to "
        "remake those of this grid."
    )


def _is_current(row: Row, out: Path, settings: Row, pipeline: "Pipeline") -> bool:
    """Return whether a video and its reference are intact and would be made the same way again."""
    if row.get("settings") != settings:
        return False
    system = method_by_name(row["method"]).system
    if system and row["config"]["checkpoints"] != pipeline.models.weights(system):
        return False
    path = out / row["file"]
    there = path.is_file() and (out / row["reference"]).is_file()
    return there and sha256(path) == str(row["sha256"])


def _write_captions(grid: Grid) -> None:
    """Write label and text of all classes as YAML (JSON is YAML), unless there is such a file."""
    if (grid.out / CAPTIONS).is_file():
        return
    captions = {str(each.id): {"label": each.label, "text": each.caption} for each in ACTIONS}
    with whole_file(grid.out / CAPTIONS) as partial:
        partial.write_text(json.dumps(captions, indent=1) + "\n", encoding="utf-8")


class _Progress:
    """Reports how many videos are done and how long the rest will take."""

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
