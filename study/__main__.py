"""Command line of a study, from its clips to its report: python -m study COMMAND --help."""

import argparse
import logging
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from study import commands
from study.errors import StudyError
from study.reading import TEMPLATES

Action = Callable[[argparse.Namespace], None]
Options = Callable[[argparse.ArgumentParser], None]


@dataclass(frozen=True)
class Command:
    """A command of the command line.

    Attributes:
        run: what it does.
        help: one line.
        options: adds its options.
        named: whether it takes the NAME of one study.
    """

    run: Action
    help: str
    options: Options = lambda parser: None
    named: bool = True


def _clip_options(parser: argparse.ArgumentParser) -> None:
    names = sorted(path.stem for path in TEMPLATES.glob("*.yaml"))
    parser.add_argument("--videos", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--manifest",
        type=Path,
        metavar="FILE",
        help="CSV, JSON or a batch's JSON lines; a batch's own is found in DIR automatically",
    )
    parser.add_argument(
        "--template", choices=names, help="default: fig16, or the wording of an existing draft"
    )


def _server_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=_port, default=7861, help="default: %(default)s")


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; choose 1 to 65535")
    return int(text)


def _invite_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=1, help="links, default: %(default)s")
    parser.add_argument(
        "--address",
        default="http://127.0.0.1:7861",
        metavar="URL",
        help="where raters reach the study, default: %(default)s",
    )


def _out_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")


def _report_options(parser: argparse.ArgumentParser) -> None:
    _out_option(parser)
    parser.add_argument(
        "--ours", default="", metavar="METHOD", help="compared with every other method"
    )


def _export_options(parser: argparse.ArgumentParser) -> None:
    _out_option(parser)
    parser.add_argument(
        "--unfinished", action="store_true", help="include raters who have not finished"
    )


def _import_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", type=Path, metavar="FILE", help="CSV or JSON as export writes it")
    parser.add_argument("--choices", action="store_true", help="the table holds choices")
    _report_options(parser)


def _plan_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="a study whose size is the default; without it that of Fig. 16",
    )
    parser.add_argument("--raters", type=int, nargs="+", metavar="N")
    parser.add_argument("--clips", type=int, nargs="+", metavar="N", help="of each method")
    parser.add_argument("--methods", type=int, metavar="N")
    parser.add_argument("--dimensions", type=int, metavar="N")
    parser.add_argument("--power", type=float, default=0.8, help="default: %(default)s")
    parser.add_argument("--clip-sd", type=float, default=0.5, help="default: %(default)s")
    parser.add_argument("--rater-method-sd", type=float, default=0.3, help="default: %(default)s")
    parser.add_argument("--residual-sd", type=float, default=0.8, help="default: %(default)s")


def _backup_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", type=Path, metavar="DIR", help="default: snapshots of the study")


def _restore_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("snapshot", type=Path, nargs="?", metavar="FILE", help="a .sqlite snapshot")
    parser.add_argument("--repository", metavar="OWNER/NAME", help="take the newest one from there")


def _withdraw_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rater", metavar="RATER", help="id of the rater, as on the board")


def _codes_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "codes", nargs="*", metavar="CODE", help="codes to check; without one all are listed"
    )


def _raters_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="FILE", help="a .csv; default: print them")


def _simulate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--raters", type=int, default=28, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--drop-out", type=float, default=0.0, help="share, default: %(default)s")


COMMANDS = {
    "new": Command(commands.new, "Build a study from clips of several methods.", _clip_options),
    "check": Command(commands.check, "Check a study and print what a rater goes through."),
    "open": Command(commands.open_study, "Freeze a study with its hashes and let raters in."),
    "invite": Command(commands.invite, "Make personal links.", _invite_options),
    "serve": Command(commands.serve, "Serve a study to raters.", _server_options),
    "close": Command(commands.close, "Accept no more answers."),
    "unblind": Command(commands.unblind, "Reveal the methods, after the close."),
    "report": Command(commands.report, "Write all results on one page.", _report_options),
    "export": Command(commands.export, "Write the answers as CSV and JSON.", _export_options),
    "raters": Command(
        commands.raters,
        "List the raters: language, playback, answers about themselves.",
        _raters_options,
    ),
    "codes": Command(commands.codes, "List or check completion codes.", _codes_options),
    "import": Command(
        commands.import_table, "Report any finished table.", _import_options, named=False
    ),
    "plan": Command(
        commands.plan,
        "Estimate what a study of a given size can find.",
        _plan_options,
        named=False,
    ),
    "backup": Command(commands.backup, "Copy the answers while the study runs.", _backup_options),
    "restore": Command(commands.restore, "Put a checked copy back.", _restore_options),
    "withdraw": Command(
        commands.withdraw, "Delete everything that a rater gave.", _withdraw_options
    ),
    "log": Command(commands.log, "Print the audit log and check it."),
    "demo": Command(
        commands.demo, "Serve the Fig. 16 study of shipped clips.", _server_options, named=False
    ),
    "simulate": Command(commands.simulate, "Fill a study with scripted raters.", _simulate_options),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m study", description=__doc__)
    parser.add_argument(
        "--studies",
        type=Path,
        default=Path("studies"),
        metavar="DIR",
        help="folder of all studies, default: %(default)s",
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        made = subparsers.add_parser(name, help=command.help, description=command.help)
        if command.named:
            made.add_argument("name", metavar="NAME")
        command.options(made)
        made.set_defaults(run=command.run)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status; errors go to stderr."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except StudyError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"error: {error}; check that the path is right and may be used.\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
