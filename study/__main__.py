"""Command line of a study, from its clips to its report: python -m study COMMAND --help."""

import argparse
import getpass
import json
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from study.definition import TEMPLATES, template
from study.errors import StudyError
from study.folder import Folder, read_clips, read_definition, read_milestones

if TYPE_CHECKING:
    import pandas as pd

Run = Callable[[argparse.Namespace], None]
Options = Callable[[argparse.ArgumentParser], None]

DEMO_CLIPS = Path(__file__).parent.parent / "assets" / "study_demo"


@dataclass(frozen=True)
class Command:
    """One word of the command line.

    Attributes:
        run: what it does.
        help: one line.
        options: adds its arguments.
        named: whether it is about one study, given by NAME.
    """

    run: Run
    help: str
    options: Options = lambda parser: None
    named: bool = True


def new(given: argparse.Namespace) -> None:
    """Build a draft from clips."""
    from study import acts

    folder = _folder(given)
    if given.template or not folder.definition.is_file():
        definition = replace(template(given.template or "fig16"), name=given.name)
    else:
        definition = read_definition(folder)  # an edited draft keeps its wording
    made = acts.new(folder, definition, given.videos, given.manifest, _actor())
    check(given)
    _print(
        f"Read and edit {folder.definition} ({len(made.items)} items), then\n"
        f"  python -m study open {given.name}"
    )


def check(given: argparse.Namespace) -> None:
    """Read a study as it stands and say what a rater will go through."""
    from study.design import pages, sequences

    folder = _study(given)
    definition, clips = read_definition(folder), read_clips(folder)
    count = sequences(definition, clips)
    shown = pages(definition, clips, 0, 0)
    seconds = definition.watch_seconds or clips.seconds
    scores = sum(page.kind == "rating" for page in shown) * len(definition.dimensions)
    kinds = {kind: sum(page.kind == kind for page in shown) for kind in ("training", "gold")}
    _print(
        f"{definition.name} ({read_milestones(folder).phase}): {clips.arms} methods, "
        f"{len(definition.items)} items, kind {definition.kind}; a rater sees {len(shown)} pages "
        f"({kinds['training']} training, {kinds['gold']} gold, "
        f"{sum(page.repeat for page in shown)} repeated) and gives "
        f"{scores * (2 if definition.kind == 'pairs' else 1)} scores; at least "
        f"{len(shown) * seconds / 60:.1f} minutes of watching. {count} sequences: recruit "
        f"{count} raters or a multiple of it."
    )


def open_study(given: argparse.Namespace) -> None:
    """Freeze a draft and let raters in."""
    from study import acts

    made = acts.open_for_raters(_folder(given), _actor())
    _print(f"{given.name} is open since {made.opened}. Publish these SHA-256 now:")
    _print(f"  study.yaml       {made.definition_sha256}")
    _print(f"  clips.json       {made.clips_sha256}")
    _print(f"  secret/map.json  {made.map_sha256}")


def close(given: argparse.Namespace) -> None:
    """Let no more answers in."""
    from study import acts

    _print(f"{given.name} is closed since {acts.close(_folder(given), _actor()).closed}.")


def unblind(given: argparse.Namespace) -> None:
    """Say for the first time which method is which."""
    from study import acts

    found = acts.unblind(_folder(given), _actor())
    _print(f"The map is the one published. Methods of {given.name}: {', '.join(found.methods)}.")


def invite(given: argparse.Namespace) -> None:
    """Print personal links; they are shown only now."""
    from study import identities
    from study.server import identity_key
    from study.store import Store

    folder = _study(given)
    if not read_definition(folder).recruiting.invites:
        raise StudyError("recruiting.invites is false in study.yaml; raters come by other links.")
    keys = identities.keyring(identity_key(folder))
    with Store(folder.database) as store:
        codes = identities.invite(store, keys, given.count, _actor())
    for code in codes:
        _print(f"{given.address.rstrip('/')}/?invite={code}")


def serve(given: argparse.Namespace) -> None:
    """Serve one study to raters, alone."""
    from study.server import serve as serve_study

    _print(f"{given.name} on http://{given.host}:{given.port}/ (end with Ctrl-C)")
    serve_study(_study(given).root, given.host, given.port)


def backup(given: argparse.Namespace) -> None:
    """Copy the answers while the study runs."""
    from study.backup import take

    folder = _study(given)
    made = take(folder.database, given.to or folder.snapshots)
    counts = ", ".join(f"{count} {table}" for table, count in made.rows.items())
    _print(f"{(given.to or folder.snapshots) / made.file}: {counts}; SHA-256 {made.sha256}")


def restore(given: argparse.Namespace) -> None:
    """Put a snapshot in the place of the answers, after checking it."""
    from study.backup import restore as put_back

    folder = _study(given)
    made = put_back(given.snapshot, folder.database)
    counts = ", ".join(f"{count} {table}" for table, count in made.rows.items())
    _print(f"{given.name} is as it was on {made.taken_at}: {counts}.")


def export(given: argparse.Namespace) -> None:
    """Write the answers of an unblinded study as CSV and JSON."""
    from study.analysis.table import write_table

    folder = _study(given)
    given.out.mkdir(parents=True, exist_ok=True)
    for name, table in _tables(folder, unfinished=given.unfinished).items():
        for suffix in (".csv", ".json"):
            write_table(table, given.out / f"{name}{suffix}")
        _print(f"{given.out / name}.csv and .json: {len(table)} rows")


def report(given: argparse.Namespace) -> None:
    """Write the results of an unblinded study on one page."""
    from study import export as exports
    from study.analysis.report import write_report

    folder = _study(given)
    tables = _tables(folder, unfinished=False)
    definition = read_definition(folder)
    page = write_report(
        given.out,
        title=definition.title[definition.languages[0]],
        invented=exports.is_simulated(folder),
        **tables,
    )
    _print(f"{page}")


def import_table(given: argparse.Namespace) -> None:
    """Check a finished table from anywhere and write its report."""
    from study.analysis.report import write_report
    from study.analysis.table import read_choices, read_ratings

    try:
        tables = {"choices": read_choices} if given.choices else {"ratings": read_ratings}
        read = {name: reader(given.table) for name, reader in tables.items()}
    except ValueError as error:
        raise StudyError(str(error)) from error
    _print(f"{write_report(given.out, title=given.table.stem, **read)}")


def plan(given: argparse.Namespace) -> None:
    """Say how small a difference a study of a size can find."""
    from study.analysis.power import Components
    from study.analysis.power import plan as planned

    try:
        table = planned(
            given.raters,
            given.clips,
            given.methods,
            Components(given.clip_sd, given.rater_method_sd, given.residual_sd),
            dimensions=given.dimensions,
            power=given.power,
        )
    except ValueError as error:
        raise StudyError(str(error)) from error
    _print("Smallest difference of two MOS found, in points of the 1 to 5 scale:")
    _print(table.round(2).to_string(index=False))


def demo(given: argparse.Namespace) -> None:
    """Build the study of the supplement's Fig. 16 from the shipped clips and serve it."""
    from study import acts

    if not DEMO_CLIPS.is_dir():
        raise StudyError(
            f"{DEMO_CLIPS} is missing; get the whole repository, or make a study of your own clips "
            "with `python -m study new NAME --videos DIR`."
        )
    given.name = "demo"
    folder = _folder(given)
    if not folder.definition.is_file():
        definition = template("fig16")
        ways = replace(definition.recruiting, open_link=True)
        definition = replace(definition, name="demo", recruiting=ways)
        acts.new(folder, definition, DEMO_CLIPS, None, _actor())
        acts.open_for_raters(folder, _actor())
    serve(given)


def simulate(given: argparse.Namespace) -> None:
    """Fill an open study that nobody has rated with scripted raters, for trying things out."""
    from study.simulate import Tastes, even_quality, fill

    folder = _study(given)
    tastes = Tastes(
        quality=even_quality(read_clips(folder).arms),
        manners=("honest",) * 9 + ("random",),
        drop_out=given.drop_out,
    )
    came = fill(folder, given.raters, tastes, given.seed, _actor())
    _print(
        f"{len(came)} scripted raters have been through {given.name}; their answers are invented."
    )


def log(given: argparse.Namespace) -> None:
    """Print every recorded act and whether the log is whole."""
    from study.audit import acts, first_broken
    from study.store import Store

    with Store(_study(given).database) as store:
        for act in acts(store):
            _print(json.dumps(act, ensure_ascii=False))
        broken = first_broken(store)
    if broken is not None:
        raise StudyError(f"the audit log was changed: act {broken} does not follow from the rest.")


def _clip_options(parser: argparse.ArgumentParser) -> None:
    names = sorted(path.stem for path in TEMPLATES.glob("*.yaml"))
    parser.add_argument("--videos", type=Path, required=True, metavar="DIR")
    parser.add_argument("--manifest", type=Path, metavar="FILE", help="CSV or JSON of the clips")
    parser.add_argument(
        "--template", choices=names, help="default: fig16, or the wording of the draft there is"
    )


def _server_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=7861, help="default: %(default)s")


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


def _export_options(parser: argparse.ArgumentParser) -> None:
    _out_option(parser)
    parser.add_argument("--unfinished", action="store_true", help="also raters half-way")


def _import_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", type=Path, metavar="FILE", help="CSV or JSON as export writes it")
    parser.add_argument("--choices", action="store_true", help="the table holds choices")
    _out_option(parser)


def _plan_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--raters", type=int, nargs="+", default=[14, 20, 28], metavar="N")
    parser.add_argument("--clips", type=int, nargs="+", default=[2, 4, 14], metavar="N")
    parser.add_argument("--methods", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--dimensions", type=int, default=4, help="default: %(default)s")
    parser.add_argument("--power", type=float, default=0.8, help="default: %(default)s")
    parser.add_argument("--clip-sd", type=float, default=0.5, help="default: %(default)s")
    parser.add_argument("--rater-method-sd", type=float, default=0.3, help="default: %(default)s")
    parser.add_argument("--residual-sd", type=float, default=0.8, help="default: %(default)s")


def _backup_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", type=Path, metavar="DIR", help="default: snapshots of the study")


def _restore_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("snapshot", type=Path, metavar="FILE", help="the .sqlite of a snapshot")


def _simulate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--raters", type=int, default=28, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--drop-out", type=float, default=0.0, help="share, default: %(default)s")


COMMANDS = {
    "new": Command(new, "Build a study from clips of several methods.", _clip_options),
    "check": Command(check, "Check a study and say what a rater goes through."),
    "open": Command(open_study, "Freeze a study with its hashes and let raters in."),
    "invite": Command(invite, "Make personal links.", _invite_options),
    "serve": Command(serve, "Serve a study to raters.", _server_options),
    "close": Command(close, "Let no more answers in."),
    "unblind": Command(unblind, "After the close: say which method is which."),
    "report": Command(report, "Write all results on one page.", _out_option),
    "export": Command(export, "Write the answers as CSV and JSON.", _export_options),
    "import": Command(import_table, "Report a finished table.", _import_options, named=False),
    "plan": Command(plan, "What a study of a size can find.", _plan_options, named=False),
    "backup": Command(backup, "Copy the answers while the study runs.", _backup_options),
    "restore": Command(restore, "Put a checked copy back.", _restore_options),
    "log": Command(log, "Print the audit log and check it."),
    "demo": Command(
        demo, "Serve the Fig. 16 study of shipped clips.", _server_options, named=False
    ),
    "simulate": Command(simulate, "Fill a study with scripted raters.", _simulate_options),
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


def _folder(given: argparse.Namespace) -> Folder:
    return Folder(given.studies / given.name)


def _study(given: argparse.Namespace) -> Folder:
    """The folder of a study that is there."""
    from study.acts import need_study

    need_study(_folder(given))
    return _folder(given)


def _tables(folder: Folder, *, unfinished: bool) -> dict[str, "pd.DataFrame"]:
    """The answers as the checked table that suits the study's kind, by its name."""
    import pandas as pd

    from study import export as exports
    from study.analysis.table import check_choices, check_ratings

    choices = read_definition(folder).kind == "choice"
    rows = (exports.choices if choices else exports.ratings)(folder, unfinished=unfinished)
    if not rows:
        raise StudyError(
            f"{folder.root.name} has no finished rater; wait for one, or export with --unfinished."
        )
    check_table = check_choices if choices else check_ratings
    return {"choices" if choices else "ratings": check_table(pd.DataFrame(rows))}


def _actor() -> str:
    """Who acts, as the audit log names them: the account's name."""
    return getpass.getuser()


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0, or 1 after what went wrong on stderr."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    given = _parser().parse_args(arguments)
    try:
        given.run(given)
    except StudyError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
