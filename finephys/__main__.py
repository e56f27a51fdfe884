"""FinePhys: from a clip of a gymnast, or the name of an action, to a generated video.

A clip or a simulated action becomes 2D poses, a 3D body that obeys mechanics, and poses again,
which guide a video generator.
"""

import argparse
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from finephys import commands
from finephys.config import DEFAULT_TIER, DYNAMICS_TITLES, TIERS
from finephys.crash import write_log
from finephys.errors import FinePhysError, RequestError
from finephys.generator.systems import SYSTEMS
from finephys.methods import METHODS
from finephys.pose3d.fusion import FUSIONS
from finephys.terminal import flush_stdout, print_result, say
from finephys.training.stages import STAGES
from finephys.types import Request
from finephys.weights.catalogue import FETCHABLE

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

_DEFAULTS = Request()

_STATUS = """\
Exit status: 0, or 1 after one line on stderr that begins with "error: ". Progress and notes
("note: ...") also go to stderr. A file that FinePhys did not write is never replaced unless
--overwrite is given, and an input never.
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line and exit status 1, like all others."""

    def print_help(self, file: "SupportsWrite[str] | None" = None) -> None:
        """Print the help, or raise OutputError where argparse would say nothing."""
        print_result(self.format_help().rstrip())

    def error(self, message: str) -> NoReturn:
        raise RequestError(f"{message}; `{self.prog} --help` shows what is accepted.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m finephys",
        description=__doc__,
        epilog=_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    group = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(
        name: str, execute: Callable[[argparse.Namespace], None], text: str
    ) -> argparse.ArgumentParser:
        made = group.add_parser(name, help=text, description=text)
        made.set_defaults(execute=execute)
        return made

    _add_generate(command("generate", commands.generate, "Generate a video of an action."))
    _add_batch(
        command("batch", commands.batch, "Generate a video for every method, action and seed.")
    )
    _add_poses(command("poses", commands.poses, "Estimate the poses in a clip, in 2D and 3D."))
    _add_lift(command("lift", commands.lift, "Lift 2D poses in a file to 3D."))
    command("actions", commands.actions, "List the 35 FineGym classes: id, subset, label, caption.")
    _add_import(command("import", commands.import_command, "Import videos made by other systems."))
    _add_fetch(
        command("fetch", commands.fetch, "Fetch public weights; shows sizes and licences first.")
    )
    _add_train(command("train", commands.train, "Train one checkpoint, or resume its training."))
    return parser


def _add_generate(made: argparse.ArgumentParser) -> None:
    source = made.add_argument_group("motion, one of")
    source.add_argument("--clip", type=Path, metavar="FILE", help="a video of one person")
    source.add_argument(
        "--action",
        type=int,
        metavar="ID",
        help="FineGym class 6-40 (see `actions`): simulated, or what the person in --clip does",
    )
    source.add_argument(
        "--from-poses",
        type=Path,
        metavar="FILE.npz",
        help="poses that --poses-out or `poses` wrote",
    )
    written = made.add_argument_group("output")
    written.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE.mp4",
        help="the video; with --clip or --action all settings go to FILE.json beside it",
    )
    written.add_argument(
        "--poses-out", type=Path, metavar="FILE.npz", help="also write the poses of every stage"
    )
    written.add_argument(
        "--poses",
        type=Path,
        metavar="FILE.npz",
        help="with --clip or --action the same as --poses-out, otherwise as --from-poses",
    )
    written.add_argument(
        "--pose-video",
        type=Path,
        metavar="FILE.mp4",
        help="also write the final 2D pose as an OpenPose video, for pose-driven generators",
    )
    _add_overwrite(written)
    made.add_argument(
        "--method",
        metavar="NAME",
        help=f"what guides the video: {', '.join(METHODS)}; or another system: "
        f"{', '.join(SYSTEMS)} (default: {_DEFAULTS.method})",
    )
    made.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help=f"random seed of noise and scene (default: {_DEFAULTS.seed})",
    )
    _add_generator(made)
    _add_clip(made)


def _add_batch(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--methods",
        nargs="+",
        default=["all"],
        metavar="NAME",
        help=f"all ({', '.join(METHODS)}), or names of these and of other systems "
        f"({', '.join(SYSTEMS)}); default: all",
    )
    made.add_argument(
        "--actions",
        nargs="+",
        default=["all"],
        metavar="ID",
        help="FineGym classes, such as 6 9-12 (default: all)",
    )
    made.add_argument(
        "--seeds", nargs="+", default=["0"], metavar="N", help="such as 0 4-6 (default: 0)"
    )
    made.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for all output"
    )
    made.add_argument(
        "--clips",
        type=Path,
        metavar="DIR",
        help="start from the clips CLASS_SEED.mp4 or CLASS.mp4 there, not from simulations",
    )
    made.add_argument(
        "--exact",
        action="store_true",
        help="take the 2D poses from the simulation, not from a detector on its rendering",
    )
    made.add_argument(
        "--again", action="store_true", help="remake videos that were made with other settings"
    )
    _add_overwrite(made)
    _add_generator(made)
    _add_clip(made)


def _add_poses(made: argparse.ArgumentParser) -> None:
    made.add_argument("clip", type=Path, metavar="CLIP", help="a video of one person")
    made.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for poses.npz (every stage) and poses.mp4 (all stages side by side)",
    )
    _add_overwrite(made)
    _add_clip(made)


def _add_lift(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "windows",
        type=Path,
        metavar="IN.npz",
        help="arrays xy (N,16,17,2) for windows of 16 frames or (T,17,2) for a sequence, in "
        "pixels; score in [0,1], 0 where unknown; size (2,) of the image in pixels; fps",
    )
    made.add_argument("--out", type=Path, required=True, metavar="OUT.npz", help="3D and 2D poses")
    _add_overwrite(made)
    _add_body(made)


def _add_import(made: argparse.ArgumentParser) -> None:
    elsewhere = [each.name for each in SYSTEMS.values() if not each.fetched]
    made.add_argument("name", metavar="SYSTEM", help=" or ".join(elsewhere))
    made.add_argument(
        "folder", type=Path, metavar="FOLDER", help="its videos, named CLASS_SEED.mp4 (12_0.mp4)"
    )


def _add_fetch(made: argparse.ArgumentParser) -> None:
    made.add_argument("name", metavar="NAME", help=", ".join(FETCHABLE))
    made.add_argument(
        "--dir",
        type=Path,
        help="where to keep them (default: under HF_HOME, or checkpoints/NAME/public)",
    )
    made.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="DIR",
        help="work offline: copy from a folder laid out like the Hub",
    )
    made.add_argument(
        "--accept-licences", action="store_true", help="agree to every licence without being asked"
    )
    made.add_argument(
        "--update", action="store_true", help="take the newest revisions, not the locked ones"
    )


def _add_train(made: argparse.ArgumentParser) -> None:
    made.add_argument("stage", metavar="STAGE", help=", ".join(STAGES))
    made.add_argument(
        "--run", type=Path, metavar="DIR", help="state and log of the run (default: runs/STAGE)"
    )
    made.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the checkpoint to write (default: the stage's own under checkpoints/)",
    )
    made.add_argument(
        "--capture", type=Path, metavar="DIR", help="folder of motion capture npz files"
    )
    made.add_argument(
        "--start", type=Path, metavar="FILE", help="checkpoint whose weights a new run starts from"
    )
    made.add_argument(
        "--steps", type=int, metavar="N", help="steps in all (default: the stage's own)"
    )
    _add_overwrite(made)


def _add_overwrite(made: argparse._ActionsContainer) -> None:
    made.add_argument(
        "--overwrite", action="store_true", help="replace files that FinePhys did not write"
    )


def _add_generator(made: argparse.ArgumentParser) -> None:
    made.add_argument("--prompt", metavar="TEXT", help="default: the action's caption")
    made.add_argument(
        "--steps", type=int, metavar="N", help="denoising steps (default: the tier's)"
    )
    made.add_argument(
        "--guidance",
        dest="guidance_scale",
        type=float,
        metavar="X",
        help="classifier-free guidance scale, 1 to 20 (default: the tier's)",
    )
    made.add_argument(
        "--tier",
        dest="generator",
        metavar="NAME",
        help=f"video generator: {' or '.join(TIERS)} (default: {DEFAULT_TIER})",
    )


def _add_clip(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--start",
        type=float,
        metavar="S",
        help="second of the clip to start at (default: where the body moves most)",
    )
    made.add_argument(
        "--span", type=float, metavar="S", help="seconds that the 16 frames cover (at most 2.5)"
    )
    made.add_argument(
        "--prior",
        dest="use_prior",
        action="store_true",
        help="if no person is detected, go on with a still body, marked as such",
    )
    made.add_argument(
        "--real-speed",
        type=float,
        metavar="X",
        help=f"real over clip speed: 4 for 4x slow motion (default: {_DEFAULTS.real_speed:g})",
    )
    _add_body(made)


def _add_body(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--body-height",
        type=float,
        metavar="M",
        help=f"the person's height in metres, sets the scale (default: {_DEFAULTS.body_height:g})",
    )
    made.add_argument(
        "--fusion",
        metavar="NAME",
        help=f"how the lifted and the physical body are fused: {', '.join(FUSIONS)}; the paper's "
        f"is average (default: {_DEFAULTS.fusion})",
    )
    titles = "; ".join(f"{name} ({title})" for name, title in DYNAMICS_TITLES.items())
    made.add_argument(
        "--dynamics",
        choices=DYNAMICS_TITLES,
        metavar="NAME",
        help=f"equations of motion: {titles} (default: best on validation)",
    )
    made.add_argument(
        "--device", default="auto", help="auto, cpu or cuda (default: a GPU if there is one)"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0, or 1 after one line on stderr.

    Args:
        argv: the words after `python -m finephys`; None: those of this process.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle threads leave the cores to others
    os.environ.setdefault("GLOG_minloglevel", "3")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore")
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(message)s")
    try:
        try:
            arguments = _parser().parse_args(argv)
            arguments.execute(arguments)
        except SystemExit as end:  # --help
            if end.code:
                raise
        flush_stdout()
    except BrokenPipeError:  # the reader has seen enough, as in `| head`
        return 0
    except FinePhysError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _fail("stopped; files that were finished, or begun by fetch, stay.")
    except MemoryError as error:
        return _fail(_internal("there is not enough memory", error))
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _fail(_internal(f"{place}{error.strerror or error}", error))
    except Exception as error:  # noqa: BLE001 -- whatever is left becomes a sentence and a log file
        return _fail(_internal(f"internal error ({type(error).__name__}: {error})", error))
    return 0


def _fail(text: str) -> int:
    say(f"error: {' '.join(text.split())}")
    return 1


def _internal(text: str, error: BaseException) -> str:
    """Return a sentence on an unexpected error and where its traceback is."""
    path = write_log(error)
    if path is None:
        return f"{text}; no log could be written."
    return f"{text}; the traceback is in {path}, please add it if you report this."


def _stop_on_signals() -> None:
    """Let `kill` and a closed terminal end a command as Ctrl-C does, without temporary files."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(number, stop)


if __name__ == "__main__":
    _stop_on_signals()
    sys.exit(main())
