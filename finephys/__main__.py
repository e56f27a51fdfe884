"""Command line: generate, batch, poses, lift, import, actions, fetch, train.

Exit status 0, or 1 with one clear line on stderr. Progress goes to stderr, results to files.
"""

import argparse
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from finephys.config import DEFAULT_TIER, DYNAMICS_TITLES, TIERS
from finephys.errors import FinePhysError, RequestError
from finephys.generator.systems import SYSTEMS
from finephys.methods import METHODS, method_by_name
from finephys.training.stages import STAGES
from finephys.types import Request, Result, Stage, Update, VideoClip
from finephys.weights.catalogue import FETCHABLE

if TYPE_CHECKING:
    from finephys.pipeline import Pipeline

DYNAMICS_HELP = "default: the one the weights were found best with"

_SAY = {
    Stage.CLIP: "frames read",
    Stage.DETECTED: "S_detect: 2D poses",
    Stage.DATA_DRIVEN: "S_dd: lifted to 3D",
    Stage.PHYSICS: "S_pp: physics",
    Stage.REPROJECTED: "S_re-proj: back to 2D",
    Stage.HEATMAPS: "limb heatmaps",
    Stage.PREVIEW: "denoising",
    Stage.VIDEO: "video",
    Stage.RESULT: "done",
}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _follow(updates: Iterator[Update]) -> Iterator[Update]:
    """Print each update's stage, share and seconds to stderr as it passes."""
    for update in updates:
        _say(f"[{update.fraction:4.0%} {update.seconds:5.1f} s] {_SAY[update.stage]}")
        yield update


def _pipeline(tier: str | None, device: str) -> "Pipeline":
    from finephys.pipeline import Pipeline

    _say("loading models ...")
    return Pipeline(tier or DEFAULT_TIER, device)


def _request(arguments: argparse.Namespace) -> Request:
    """The Request of a command's arguments; what the command does not have keeps its default."""
    chosen = {
        name: value
        for name, value in vars(arguments).items()
        if name in Request.__dataclass_fields__ and value is not None
    }
    return Request(**chosen)


def generate(arguments: argparse.Namespace) -> None:
    """Write the generated video, and the poses and request when asked for."""
    from finephys.outputs import (
        read_reprojected,
        write_pose_video,
        write_poses,
        write_request,
    )
    from finephys.video import write_video

    source: Path | None = arguments.clip
    out: Path = arguments.out
    if out.suffix.lower() != ".mp4":
        raise RequestError(f"--out is {out.name}; give a file name that ends in .mp4.")
    if arguments.pose_video is not None and arguments.pose_video.suffix.lower() != ".mp4":
        raise RequestError(f"--pose-video is {arguments.pose_video.name}; it must end in .mp4.")
    request = _request(arguments)
    if source is None and request.action is None:
        if arguments.poses is None:
            raise RequestError("give --clip FILE, --action ID, or --poses FILE.npz to start from.")
        if request.method != "ours" and method_by_name(request.method).guide is not None:
            raise RequestError(
                f"--method {request.method} needs every stage; give --clip or --action with it."
            )
        reprojected, times = read_reprojected(arguments.poses)
        pipeline = _pipeline(request.generator, arguments.device)
        for update in _follow(pipeline.stream_video(reprojected, times, request)):
            if update.stage is Stage.VIDEO and isinstance(update.value, VideoClip):
                write_video(out, update.value)
        for note in pipeline.prompt_notes(pipeline.resolved(request)):
            _say(f"note: {note}")
        if arguments.pose_video is not None:
            write_pose_video(arguments.pose_video, reprojected, times)
        return
    pipeline = _pipeline(request.generator, arguments.device)
    for update in _follow(pipeline.stream(source, request)):
        if isinstance(update.value, Result):
            write_video(out, update.value.video)
            write_request(out.with_suffix(".json"), update.value)
            if arguments.poses is not None:
                write_poses(arguments.poses, update.value.poses)
            if arguments.pose_video is not None:
                found = update.value.poses
                write_pose_video(arguments.pose_video, found.reprojected, found.frame_times)
            for note in update.notes:
                _say(f"note: {note}")


def batch(arguments: argparse.Namespace) -> None:
    """Make every method's video of every action and seed."""
    from finephys.actions import ACTIONS
    from finephys.batch import Grid, names, numbers, run_batch, share_from_environment

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
    )
    device = f"cuda:{share.local}" if _several_gpus(arguments.device) else arguments.device
    rows = run_batch(grid, _pipeline(grid.request.generator, device), _say, share)
    _say(f"{len(rows)} videos lie in {grid.out}; manifest.jsonl says how each was made.")


def _several_gpus(device: str) -> bool:
    import torch

    return device in ("auto", "cuda") and torch.cuda.device_count() > 1


def poses(arguments: argparse.Namespace) -> None:
    """Write poses.npz and poses.mp4 of one clip."""
    from finephys.outputs import write_poses, write_poses_video

    request = _request(arguments)
    pipeline = _pipeline(request.generator, arguments.device)
    updates = pipeline.stream_poses(arguments.clip, request)
    while True:
        try:
            update = next(updates)
        except StopIteration as end:
            found = end.value
            break
        _say(f"[{update.seconds:5.1f} s] {_SAY[update.stage]}")
    write_poses(arguments.out / "poses.npz", found)
    write_poses_video(arguments.out / "poses.mp4", found)
    for note in found.notes:
        _say(f"note: {note}")


def lift(arguments: argparse.Namespace) -> None:
    """Lift 2D windows (N, 16, 17, 2), or a sequence (T, 17, 2), of an npz to 3D and back."""
    from finephys.files import whole_file
    from finephys.lifting_files import lift_file

    pipeline = _pipeline(None, arguments.device)
    began = time.monotonic()
    count, lifted = lift_file(
        pipeline,
        arguments.windows,
        arguments.body_height,
        arguments.fusion,
        arguments.dynamics,
    )
    _say(f"{count} lifted in {time.monotonic() - began:.2f} s")
    with whole_file(arguments.out) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **dict[str, Any](lifted), fusion=np.array(arguments.fusion))


def import_command(arguments: argparse.Namespace) -> None:
    """Take videos of a system that runs elsewhere."""
    from finephys.generator.imported import import_videos

    found = import_videos(arguments.name, arguments.folder)
    _say(f"{len(found)} videos of {arguments.name} are there now")


def actions(_: argparse.Namespace) -> None:
    """Print the 35 classes."""
    from finephys.actions import ACTIONS

    for action in ACTIONS:
        print(f"{action.id}\t{action.subset}\t{action.label}\t{action.caption}")


def fetch(arguments: argparse.Namespace) -> None:
    """Bring public weights from the Hugging Face Hub, a mirror or a folder."""
    from finephys.weights import fetch as fetching
    from finephys.weights.catalogue import Licence
    from finephys.weights.lock import FOLDER_VARIABLE, weights_folder
    from finephys.weights.sources import Folder, Hub

    def agree(licence: Licence, title: str) -> bool:
        _say(f"\n{title}: licence {licence.name} (whole text: {licence.where})\n{licence.text}")
        if arguments.accept_licences:
            _say("agreed to by --accept-licences")
            return True
        if not sys.stdin.isatty():
            raise RequestError(
                "nobody is there to agree to the licence; read it, then add --accept-licences."
            )
        return input("Type yes to agree: ").strip().lower() == "yes"

    folder = arguments.dir or weights_folder(arguments.name)
    source = Folder(arguments.source) if arguments.source else Hub()
    fetching.fetch(arguments.name, folder, source, agree, _say, arguments.update)
    _say(f"ready in {folder}")
    if folder != weights_folder(arguments.name):
        _say(f"set {FOLDER_VARIABLE}={folder} so that they are found")


def train(arguments: argparse.Namespace) -> None:
    """Train one checkpoint, resuming an interrupted run."""
    from finephys.training.stages import train_stage

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    paths = (arguments.run, arguments.out, arguments.capture, arguments.start)
    train_stage(arguments.stage, *paths, arguments.steps)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line and exit status 1, like every other."""

    def error(self, message: str) -> NoReturn:
        raise RequestError(f"{message}; `{self.prog} --help` shows what is accepted.")


def _parser() -> argparse.ArgumentParser:
    defaults = Request()
    parser = _Parser(prog="python -m finephys", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(execute=run)
        return made

    def tier_option(made: argparse.ArgumentParser) -> None:
        tiers = f"{' or '.join(TIERS)}, default {DEFAULT_TIER}"
        made.add_argument("--tier", dest="generator", metavar="TIER", help=tiers)

    def clip_options(made: argparse.ArgumentParser) -> None:
        made.add_argument("--start", type=float, metavar="S", help="seconds into the clip")
        made.add_argument("--span", type=float, metavar="S", help="seconds the 16 frames cover")
        made.add_argument(
            "--prior",
            dest="use_prior",
            action="store_true",
            help="use the pose prior when nobody is found (a still body, marked as such)",
        )
        made.add_argument(
            "--real-speed", type=float, metavar="X", help="4 for a clip in 4x slow motion"
        )
        made.add_argument(
            "--body-height", type=float, metavar="M", help=f"metres, default {defaults.body_height}"
        )
        made.add_argument("--fusion", help=f"default: {defaults.fusion}; the paper's: average")
        made.add_argument("--dynamics", choices=DYNAMICS_TITLES, help=DYNAMICS_HELP)
        made.add_argument("--device", default="auto", help="auto, cpu or cuda")

    made = command("generate", generate, "Generate a video from a clip or an action.")
    made.add_argument("--clip", type=Path, help="video of one person")
    made.add_argument(
        "--action",
        type=int,
        metavar="ID",
        help="FineGym class 6-40, simulated when there is no clip",
    )
    made.add_argument("--prompt", help="text; default: the action's caption")
    made.add_argument("--seed", type=int, help=f"default {defaults.seed}")
    made.add_argument("--steps", type=int, help="denoising steps; default: the tier's own")
    made.add_argument(
        "--guidance",
        dest="guidance_scale",
        type=float,
        help="classifier-free guidance; default: the tier's own",
    )
    made.add_argument("--out", type=Path, required=True, metavar="FILE.mp4")
    made.add_argument(
        "--poses",
        type=Path,
        metavar="FILE.npz",
        help="with --clip or --action: write the poses there; alone: generate from these poses",
    )
    made.add_argument(
        "--tier", dest="generator", help=f"{' or '.join(TIERS)}, default {DEFAULT_TIER}"
    )
    made.add_argument(
        "--method", help=f"{', '.join((*METHODS, *SYSTEMS))}; default {defaults.method}"
    )
    made.add_argument(
        "--pose-video",
        type=Path,
        metavar="FILE.mp4",
        help="also write S_re-proj in the OpenPose convention, for pose-driven generators",
    )
    clip_options(made)

    made = command("batch", batch, "Make every method's video of every action and seed.")
    made.add_argument(
        "--methods",
        nargs="+",
        default=["all"],
        metavar="NAME",
        help=f"all (of {', '.join(METHODS)}), or these and {', '.join(SYSTEMS)}",
    )
    made.add_argument(
        "--actions", nargs="+", default=["all"], metavar="ID", help="all, or such as 6 9-12"
    )
    made.add_argument("--seeds", nargs="+", default=["0"], metavar="N", help="such as 0 4-6")
    made.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the videos")
    made.add_argument(
        "--clips", type=Path, metavar="DIR", help="start from CLASS_SEED.mp4 or CLASS.mp4 there"
    )
    made.add_argument(
        "--exact",
        action="store_true",
        help="take S_detect from the simulation, not from the detector on its rendering",
    )
    made.add_argument(
        "--again", action="store_true", help="make anew what was made with other settings"
    )
    made.add_argument("--prompt", help="text of all videos; default: each action's caption")
    made.add_argument("--steps", type=int, help="denoising steps; default: the tier's own")
    made.add_argument("--guidance", dest="guidance_scale", type=float, help="as of generate")
    made.add_argument(
        "--tier", dest="generator", help=f"{' or '.join(TIERS)}, default {DEFAULT_TIER}"
    )
    clip_options(made)

    made = command("poses", poses, "Estimate the four pose stages of a clip.")
    made.add_argument("clip", type=Path)
    made.add_argument("--out", type=Path, required=True, metavar="DIR")
    clip_options(made)

    made = command("lift", lift, "Lift 2D windows, or one long sequence, to 3D and back.")
    made.add_argument("windows", type=Path, metavar="IN.npz")
    made.add_argument("--out", type=Path, required=True, metavar="OUT.npz")
    made.add_argument("--fusion", default=defaults.fusion, help="default: %(default)s")
    made.add_argument("--dynamics", choices=DYNAMICS_TITLES, help=DYNAMICS_HELP)
    made.add_argument("--body-height", type=float, default=defaults.body_height, metavar="M")
    made.add_argument("--device", default="auto", help="auto, cpu or cuda")

    elsewhere = [each.name for each in SYSTEMS.values() if not each.fetched]
    made = command("import", import_command, "Take videos of a system that runs elsewhere.")
    made.add_argument("name", help=" or ".join(elsewhere))
    made.add_argument("folder", type=Path, metavar="FOLDER", help="of CLASS_SEED.mp4")

    command("actions", actions, "List the 35 FineGym classes: id, subset, label, caption.")

    made = command("fetch", fetch, "Bring public weights: sizes and licences are shown first.")
    made.add_argument("name", help=", ".join(FETCHABLE))
    made.add_argument("--dir", type=Path, help="default: under HF_HOME, or checkpoints/NAME/public")
    made.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="DIR",
        help="offline: a folder laid out like the Hub",
    )
    made.add_argument("--accept-licences", action="store_true", help="for scripts: agree to all")
    made.add_argument("--update", action="store_true", help="leave the locked revisions behind")

    made = command("train", train, "Train one checkpoint, resuming an interrupted run.")
    made.add_argument("stage", help=", ".join(STAGES))
    made.add_argument("--run", type=Path, help="folder of the run; default runs/STAGE")
    made.add_argument("--out", type=Path, help="default: the stage's own under checkpoints/")
    made.add_argument("--capture", type=Path, help="folder of motion capture npz files")
    made.add_argument("--start", type=Path, help="checkpoint that a new run begins with")
    made.add_argument("--steps", type=int, metavar="N", help="in all; default: the stage's own")
    return parser


def main() -> int:
    """Run one command; 0, or 1 after one line on stderr."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads leave the cores to others
    os.environ.setdefault("GLOG_minloglevel", "3")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore")
    logging.basicConfig(level=logging.ERROR)
    try:
        arguments = _parser().parse_args()
        arguments.execute(arguments)
    except FinePhysError as error:
        _say(f"error: {' '.join(str(error).split())}")
        return 1
    except KeyboardInterrupt:
        _say("error: stopped by the keyboard; files that were finished, or begun by fetch, stay.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
