"""What each command does with its arguments. Results go to files, progress to stderr."""

import argparse
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from finephys.config import DEFAULT_TIER
from finephys.errors import RequestError
from finephys.marks import Kind
from finephys.methods import method_by_name
from finephys.preflight import Input, Output, check_files, check_folder, check_outside
from finephys.terminal import print_result, say
from finephys.types import Request, Result, Stage, Update, VideoClip

if TYPE_CHECKING:
    from finephys.pipeline import Pipeline

_STAGE_NAMES = {
    Stage.CLIP: "frames read",
    Stage.DETECTED: "S_detect: 2D poses",
    Stage.DATA_DRIVEN: "S_dd: lifted to 3D",
    Stage.PHYSICS: "S_pp: physics",
    Stage.REPROJECTED: "S_re-proj: projected back to 2D",
    Stage.HEATMAPS: "limb heatmaps",
    Stage.PREVIEW: "denoising",
    Stage.VIDEO: "video",
    Stage.RESULT: "done",
}

_OF_A_CLIP = {"start": "--start", "span": "--span", "use_prior": "--prior"}
"""Options that only a clip obeys, by their field of a Request."""

_OF_POSE_STAGES = _OF_A_CLIP | {
    "real_speed": "--real-speed",
    "body_height": "--body-height",
    "fusion": "--fusion",
    "dynamics": "--dynamics",
}
"""Options that only the pose stages obey."""


# -- generate --------------------------------------------------------------------------------------


def generate(arguments: argparse.Namespace) -> None:
    """Write the generated video, and the poses and request when asked for."""
    request = _request(arguments)
    from_poses, poses_out = _pose_files(arguments)
    for option, path in (("--out", arguments.out), ("--pose-video", arguments.pose_video)):
        if path is not None and path.suffix.lower() != ".mp4":
            raise RequestError(f"{option} is {path.name!r}; give a file name that ends in .mp4.")
    if request.generator is not None and method_by_name(request.method).system:
        raise RequestError(
            f"--tier {request.generator} has no effect with --method {request.method}, which has "
            "its own generator; leave --tier out."
        )
    outputs = [Output("--out", arguments.out, Kind.VIDEO)]
    if poses_out is not None:
        outputs.append(Output("--poses-out", poses_out, Kind.POSES))
    if arguments.pose_video is not None:
        outputs.append(Output("--pose-video", arguments.pose_video, Kind.POSE_VIDEO))
    if from_poses is not None:
        _refuse_ignored(arguments, _OF_POSE_STAGES, "finished poses")
        check_files([Input("--from-poses", from_poses)], outputs, overwrite=arguments.overwrite)
        _generate_from_poses(arguments, request, from_poses)
        return
    if arguments.clip is None:
        _refuse_ignored(arguments, _OF_A_CLIP, "--action without --clip")
    record = arguments.out.with_suffix(".json")
    outputs.append(Output("the request beside --out,", record, Kind.REQUEST))
    inputs = [] if arguments.clip is None else [Input("--clip", arguments.clip)]
    check_files(inputs, outputs, overwrite=arguments.overwrite)
    pipeline = _pipeline(request, arguments.device)
    resolved = pipeline.resolved(request)
    pipeline.models.checkpoints(str(resolved.generator))  # raises when weights are missing
    for update in _follow(pipeline.stream(arguments.clip, request)):
        if isinstance(update.value, Result):
            _write_result(arguments, update.value, poses_out)
            _say_notes(update.notes)


def _pose_files(arguments: argparse.Namespace) -> tuple[Path | None, Path | None]:
    """Return the poses to generate from, and the file to write poses to; at least one is None.

    `--poses` is an older spelling of both: it writes beside --clip or --action, and reads without.
    """
    source, target = arguments.from_poses, arguments.poses_out
    has_motion = arguments.clip is not None or arguments.action is not None
    if arguments.poses is not None:
        if source is not None or target is not None:
            raise RequestError(
                "--poses is another spelling of --poses-out (with --clip or --action) and of "
                "--from-poses (without); give only one of the three."
            )
        source, target = (None, arguments.poses) if has_motion else (arguments.poses, None)
    if source is None and not has_motion:
        raise RequestError("give --clip FILE, --action ID or --from-poses FILE.npz to start from.")
    if source is not None and arguments.clip is not None:
        raise RequestError("--clip and --from-poses are two sources of motion; give one.")
    if source is not None and target is not None:
        raise RequestError(
            "--poses-out writes estimated poses, and --from-poses estimates none; leave one out."
        )
    return source, target


def _refuse_ignored(arguments: argparse.Namespace, options: dict[str, str], start: str) -> None:
    """Raise if an option was given that has no effect on this start."""
    given = [
        option
        for field, option in options.items()
        if getattr(arguments, field) is not None and getattr(arguments, field) is not False
    ]
    if given:
        raise RequestError(f"{', '.join(given)} has no effect on {start}; leave it out.")


def _generate_from_poses(arguments: argparse.Namespace, request: Request, path: Path) -> None:
    from finephys.generator.registry import weights_file
    from finephys.methods import DEFAULT_METHOD
    from finephys.outputs import write_marked_video, write_pose_video
    from finephys.pose_files import read_reprojected

    if request.method != DEFAULT_METHOD and method_by_name(request.method).guide is not None:
        raise RequestError(
            f"--method {request.method} needs every stage; give --clip or --action with it."
        )
    reprojected, times = read_reprojected(path)
    pipeline = _pipeline(request, arguments.device)
    resolved = pipeline.resolved(request)
    weights_file(str(resolved.generator))  # raises when they are missing
    for update in _follow(pipeline.stream_video(reprojected, times, request)):
        if update.stage is Stage.VIDEO and isinstance(update.value, VideoClip):
            write_marked_video(arguments.out, update.value)
    _say_notes(pipeline.prompt_notes(resolved))
    if arguments.pose_video is not None:
        write_pose_video(arguments.pose_video, reprojected, times)


def _write_result(arguments: argparse.Namespace, result: Result, poses_out: Path | None) -> None:
    from finephys.outputs import write_marked_video, write_pose_video, write_poses, write_request

    write_marked_video(arguments.out, result.video)
    write_request(arguments.out.with_suffix(".json"), result)
    if poses_out is not None:
        write_poses(poses_out, result.poses)
    if arguments.pose_video is not None:
        poses = result.poses
        write_pose_video(arguments.pose_video, poses.reprojected, poses.frame_times)


# -- the other commands ----------------------------------------------------------------------------


def batch(arguments: argparse.Namespace) -> None:
    """Make every method's video of every action and seed."""
    from finephys.actions import ACTIONS
    from finephys.batch import names, numbers, run_batch
    from finephys.grid import Grid, share_from_environment

    share = share_from_environment()
    grid = Grid(
        methods=names(arguments.methods),
        actions=numbers(arguments.actions, [action.id for action in ACTIONS], "--actions"),
        seeds=numbers(arguments.seeds, [], "--seeds"),
        out=arguments.out,
        request=_request(arguments),
        clips=arguments.clips,
        exact=arguments.exact,
        again=arguments.again,
        overwrite=arguments.overwrite,
    )
    check_folder("--out", grid.out)
    device = f"cuda:{share.local}" if _has_several_gpus(arguments.device) else arguments.device
    rows = run_batch(grid, _pipeline(grid.request, device), say, share)
    say(f"{len(rows)} videos are in {grid.out}; manifest.jsonl records how each was made.")


def _has_several_gpus(device: str) -> bool:
    import torch

    return device in ("auto", "cuda") and torch.cuda.device_count() > 1


def poses(arguments: argparse.Namespace) -> None:
    """Write poses.npz and poses.mp4 of one clip."""
    from finephys.outputs import write_poses, write_poses_video

    request = _request(arguments)
    arrays, video = arguments.out / "poses.npz", arguments.out / "poses.mp4"
    check_files(
        [Input("CLIP", arguments.clip)],
        [Output("--out", arrays, Kind.POSES), Output("--out", video, Kind.STAGES_VIDEO)],
        overwrite=arguments.overwrite,
    )
    pipeline = _pipeline(request, arguments.device)
    _check_pose_weights()
    updates = pipeline.stream_poses(arguments.clip, request)
    while True:
        try:
            update = next(updates)
        except StopIteration as end:
            found = end.value
            break
        say(f"[{update.seconds:5.1f} s] {_STAGE_NAMES[update.stage]}")
    write_poses(arrays, found)
    write_poses_video(video, found)
    _say_notes(found.notes)


def lift(arguments: argparse.Namespace) -> None:
    """Lift 2D windows (N, 16, 17, 2), or a sequence (T, 17, 2), of an npz to 3D and back."""
    from finephys.lifting_files import lift_file
    from finephys.outputs import write_lifted

    check_files(
        [Input("IN.npz", arguments.windows)],
        [Output("--out", arguments.out, Kind.LIFTED)],
        overwrite=arguments.overwrite,
    )
    request = _request(arguments)
    pipeline = _pipeline(request, arguments.device)
    _check_pose_weights()
    began = time.monotonic()
    count, lifted = lift_file(
        pipeline, arguments.windows, request.body_height, request.fusion, request.dynamics
    )
    say(f"{count} lifted in {time.monotonic() - began:.2f} s")
    write_lifted(arguments.out, lifted, request.fusion)


def import_command(arguments: argparse.Namespace) -> None:
    """Import videos of a system that runs elsewhere."""
    from finephys.generator.imported import import_videos
    from finephys.generator.systems import SYSTEMS, import_folder

    if arguments.name in SYSTEMS:
        folder = import_folder(arguments.name)
        check_outside(Input("FOLDER", arguments.folder), "the folder of imported videos", folder)
        check_folder("the folder of imported videos", folder)
    found = import_videos(arguments.name, arguments.folder)
    say(f"{len(found)} videos of {arguments.name} are imported")


def actions(_: argparse.Namespace) -> None:
    """Print the 35 classes."""
    from finephys.actions import ACTIONS

    print_result(
        "\n".join(f"{each.id}\t{each.subset}\t{each.label}\t{each.caption}" for each in ACTIONS)
    )


def fetch(arguments: argparse.Namespace) -> None:
    """Fetch public weights from the Hugging Face Hub, a mirror or a folder."""
    from finephys.weights import fetch as fetching
    from finephys.weights.catalogue import Licence
    from finephys.weights.lock import FOLDER_VARIABLE, weights_folder
    from finephys.weights.sources import Folder, Hub

    def agree(licence: Licence, title: str) -> bool:
        say(f"\n{title}: licence {licence.name} (whole text: {licence.where})\n{licence.text}")
        if arguments.accept_licences:
            say("accepted by --accept-licences")
            return True
        if sys.stdin is None or not sys.stdin.isatty():
            raise RequestError(
                "cannot ask for agreement to the licence: standard input is not a terminal; read "
                "the licence, then add --accept-licences."
            )
        try:
            return input("Type yes to agree: ").strip().lower() == "yes"
        except EOFError:
            return False

    folder = arguments.dir or weights_folder(arguments.name)
    source = Folder(arguments.source) if arguments.source else Hub()
    if arguments.source:
        check_outside(Input("--from", arguments.source), "--dir", folder)
    check_folder("--dir", folder)
    fetching.fetch(arguments.name, folder, source, agree, say, arguments.update)
    say(f"ready in {folder}")
    if folder != weights_folder(arguments.name):
        say(f"set {FOLDER_VARIABLE}={folder} so that they are found")


def train(arguments: argparse.Namespace) -> None:
    """Train one checkpoint, resuming an interrupted run."""
    from finephys.training.stages import train_stage

    logging.getLogger("finephys").setLevel(logging.INFO)
    train_stage(
        arguments.stage,
        arguments.run,
        arguments.out,
        arguments.capture,
        arguments.start,
        arguments.steps,
        overwrite=arguments.overwrite,
    )


# -- shared ----------------------------------------------------------------------------------------


def _request(arguments: argparse.Namespace) -> Request:
    """Return the Request of a command's arguments; what is not given keeps its default."""
    given = {
        name: value
        for name, value in vars(arguments).items()
        if name in Request.__dataclass_fields__ and value is not None
    }
    return Request(**given)


def _pipeline(request: Request, device: str) -> "Pipeline":
    """Return the pipeline of a request, after checks that need neither weights nor a clip.

    Raises:
        RequestError: there is no such tier, fusion or device.
    """
    from finephys.pipeline import Pipeline
    from finephys.pose3d.fusion import FUSIONS

    if request.fusion not in FUSIONS:
        raise RequestError(
            f"fusion {request.fusion!r} does not exist; choose {', '.join(FUSIONS)}."
        )
    pipeline = Pipeline(request.generator or DEFAULT_TIER, device)
    say(f"loading models on {pipeline.models.device} ...")
    return pipeline


def _check_pose_weights() -> None:
    """Raise WeightsMissingError unless lifting, PhysNet and projection are there."""
    from finephys.config import POSE_TIER
    from finephys.models import POSE_CHECKPOINTS
    from finephys.weights.checkpoints import checkpoint_path

    for name in POSE_CHECKPOINTS:
        checkpoint_path(POSE_TIER, name)


def _follow(updates: Iterator[Update]) -> Iterator[Update]:
    """Print each update's stage, share and seconds to stderr as it passes."""
    for update in updates:
        say(f"[{update.fraction:4.0%} {update.seconds:5.1f} s] {_STAGE_NAMES[update.stage]}")
        yield update


def _say_notes(notes: tuple[str, ...]) -> None:
    for note in notes:
        say(f"note: {note}")
