"""Commands of `python -m study`; each imports what it needs when it is called."""

import argparse
import getpass
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from study.errors import StudyError
from study.folder import Folder, read_clips, read_definition, read_milestones
from study.reading import template

DEMO_CLIPS = Path(__file__).parent.parent / "assets" / "study_demo"


def new(options: argparse.Namespace) -> None:
    """Build a draft from clips."""
    from study import acts

    folder = _folder(options)
    if options.template or not folder.definition.is_file():
        definition = replace(template(options.template or "fig16"), name=options.name)
    else:
        definition = read_definition(folder)  # an edited draft keeps its wording
    made = acts.new(folder, definition, options.videos, options.manifest, _actor())
    check(options)
    _print(
        f"Read and edit {folder.definition} ({len(made.items)} items), then\n"
        f"  python -m study open {options.name}"
    )


def check(options: argparse.Namespace) -> None:
    """Check a study as it stands and print what a rater goes through."""
    from study.summary import summary

    _print(summary(_study(options)))


def open_study(options: argparse.Namespace) -> None:
    """Freeze a draft and let raters in."""
    from study import acts

    made = acts.open_for_raters(_folder(options), _actor())
    _print(f"{options.name} is open since {made.opened}. Publish these SHA-256 now:")
    _print(f"  study.yaml       {made.definition_sha256}")
    _print(f"  clips.json       {made.clips_sha256}")
    _print(f"  secret/map.json  {made.map_sha256}")


def close(options: argparse.Namespace) -> None:
    """Accept no more answers."""
    from study import acts

    _print(f"{options.name} is closed since {acts.close(_folder(options), _actor()).closed}.")


def unblind(options: argparse.Namespace) -> None:
    """Reveal the methods for the first time."""
    from study import acts

    found = acts.unblind(_folder(options), _actor())
    _print(f"The map is the one published. Methods of {options.name}: {', '.join(found.methods)}.")


def invite(options: argparse.Namespace) -> None:
    """Print personal links; they are shown only now."""
    from study import acts

    for code in acts.invite(_study(options), options.count, _actor()):
        _print(f"{options.address.rstrip('/')}/?invite={code}")


def serve(options: argparse.Namespace) -> None:
    """Serve one study to raters, alone."""
    from study.serving import serve as serve_study

    _print(f"{options.name} on http://{options.host}:{options.port}/ (end with Ctrl-C)")
    serve_study(_study(options).root, options.host, options.port)


def backup(options: argparse.Namespace) -> None:
    """Copy the answers while the study runs."""
    from study.backup import take

    folder = _study(options)
    made = take(folder.database, options.to or folder.snapshots)
    counts = ", ".join(f"{count} {table}" for table, count in made.rows.items())
    _print(f"{(options.to or folder.snapshots) / made.file}: {counts}; SHA-256 {made.sha256}")


def restore(options: argparse.Namespace) -> None:
    """Replace the answers by a snapshot, after checking it."""
    from study.backup import check, check_same_study
    from study.backup import restore as put_back
    from study.hub import pull

    if bool(options.snapshot) == bool(options.repository):
        raise StudyError("give the FILE of a snapshot or --repository OWNER/NAME, one of them.")
    folder = _study(options)
    with tempfile.TemporaryDirectory() as place:
        snapshot = options.snapshot or pull(options.repository, options.name, Path(place))
        if snapshot is None:
            raise StudyError(f"{options.repository} holds no snapshot of {options.name}.")
        check(snapshot)
        check_same_study(snapshot, folder)
        made = put_back(snapshot, folder.database, _actor())
    counts = ", ".join(f"{count} {table}" for table, count in made.rows.items())
    _print(f"{options.name} is as it was on {made.taken_at}: {counts}.")


def withdraw(options: argparse.Namespace) -> None:
    """Withdraw a rater who asked for it outside the page."""
    from study import acts

    _print(str(acts.withdraw(_study(options), options.rater, _actor())))


def raters(options: argparse.Namespace) -> None:
    """Write raters' answers about themselves, in any phase."""
    from study.outcome import raters_csv, write_raters

    folder = _study(options)
    if options.out is None:
        _print(raters_csv(folder, unfinished=True).rstrip("\n"))
    else:
        count = write_raters(folder, options.out, unfinished=True)
        _print(f"{options.out}: {count} raters")


def codes(options: argparse.Namespace) -> None:
    """List the completion codes that raters were shown, or check those that they hand in."""
    from study.codes import as_csv, holders, read, verdict

    shown = read(_study(options))
    if not options.codes:
        _print(as_csv(shown).rstrip("\n"))
        return
    for code in options.codes:
        _print(verdict(shown, code))
    wrong = sum(not holders(shown, code) for code in options.codes)
    if wrong:
        raise StudyError(f"{wrong} of {len(options.codes)} codes are not valid.")


def export(options: argparse.Namespace) -> None:
    """Write the answers of an unblinded study as CSV and JSON."""
    from study.outcome import write_tables

    written = write_tables(_study(options), options.out, unfinished=options.unfinished)
    for name, count in written.items():
        _print(f"{options.out / name}.csv and .json: {count} rows")


def report(options: argparse.Namespace) -> None:
    """Write the results of an unblinded study on one page."""
    from study.outcome import write_report

    _print(f"{write_report(_study(options), options.ours, options.out)}")


def import_table(options: argparse.Namespace) -> None:
    """Check a finished table from anywhere and write its report."""
    from study.analysis import table as tables
    from study.analysis.info import StudyInfo
    from study.analysis.report import report as write_report

    try:
        read = (
            (tables.empty_ratings(), tables.read_choices(options.table))
            if options.choices
            else (tables.read_ratings(options.table), tables.empty_choices())
        )
    except (ValueError, OSError) as error:
        raise StudyError(str(error)) from error
    _print(f"{write_report(*read, StudyInfo(options.table.stem, options.ours), options.out)}")


def plan(options: argparse.Namespace) -> None:
    """Print how small a difference a study of a given size can find."""
    from study.analysis.power import Components
    from study.analysis.power import plan as planned
    from study.planning import FIG16, size

    own = size(_study(options)) if options.name else FIG16
    try:
        table = planned(
            options.raters or list(own.raters),
            options.clips or list(own.clips),
            own.methods if options.methods is None else options.methods,
            Components(options.clip_sd, options.rater_method_sd, options.residual_sd),
            dimensions=own.dimensions if options.dimensions is None else options.dimensions,
            power=options.power,
        )
    except ValueError as error:
        raise StudyError(str(error)) from error
    _print("Smallest difference of two MOS found, in points of the 1 to 5 scale:")
    _print(table.round(2).to_string(index=False))


def demo(options: argparse.Namespace) -> None:
    """Build the study of the supplement's Fig. 16 from the shipped clips and serve it."""
    from study import acts

    if not DEMO_CLIPS.is_dir():
        raise StudyError(
            f"{DEMO_CLIPS} is missing; get the whole repository, or make a study of your own clips "
            "with `python -m study new NAME --videos DIR`."
        )
    options.name = "demo"
    folder = _folder(options)
    if not folder.definition.is_file():
        definition = template("fig16")
        ways = replace(definition.recruiting, open_link=True)
        definition = replace(definition, name=options.name, recruiting=ways)
        acts.new(folder, definition, DEMO_CLIPS, None, _actor())
    if read_milestones(folder).phase == "draft":
        acts.open_for_raters(folder, _actor())
    serve(options)


def simulate(options: argparse.Namespace) -> None:
    """Fill an open, unrated study with scripted raters, for trying things out."""
    from study.simulate import Tastes, even_quality, fill

    folder = _study(options)
    tastes = Tastes(
        quality=even_quality(read_clips(folder).arms),
        manners=("honest",) * 9 + ("random",),
        drop_out=options.drop_out,
    )
    raters = fill(folder, options.raters, tastes, options.seed, _actor())
    _print(
        f"{len(raters)} scripted raters went through {options.name}; their answers are invented."
    )


def log(options: argparse.Namespace) -> None:
    """Print every recorded act and whether the log is intact."""
    from study.audit import acts, first_broken
    from study.store import Store

    with Store(_study(options).database) as store:
        for act in acts(store):
            _print(json.dumps(act, ensure_ascii=False))
        broken = first_broken(store)
    if broken is not None:
        raise StudyError(f"the audit log was changed: act {broken} does not follow from the rest.")


def _folder(options: argparse.Namespace) -> Folder:
    return Folder(options.studies / options.name)


def _study(options: argparse.Namespace) -> Folder:
    """The folder of a study that is there."""
    from study.acts import need_study

    need_study(_folder(options))
    return _folder(options)


def _actor() -> str:
    """Who acts, as the audit log names them: the account's name."""
    return getpass.getuser()


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
