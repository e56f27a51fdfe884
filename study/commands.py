"""What each command of `python -m study` does; what it needs is imported when it is called."""

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
    from study.summary import summary

    _print(summary(_study(given)))


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
    from study import acts

    for code in acts.invite(_study(given), given.count, _actor()):
        _print(f"{given.address.rstrip('/')}/?invite={code}")


def serve(given: argparse.Namespace) -> None:
    """Serve one study to raters, alone."""
    from study.serving import serve as serve_study

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
    from study.backup import check, check_same_study
    from study.backup import restore as put_back
    from study.hub import pull

    if bool(given.snapshot) == bool(given.repository):
        raise StudyError("give the FILE of a snapshot or --repository OWNER/NAME, one of them.")
    folder = _study(given)
    with tempfile.TemporaryDirectory() as place:
        snapshot = given.snapshot or pull(given.repository, given.name, Path(place))
        if snapshot is None:
            raise StudyError(f"{given.repository} holds no snapshot of {given.name}.")
        check(snapshot)
        check_same_study(snapshot, folder)
        made = put_back(snapshot, folder.database, _actor())
    counts = ", ".join(f"{count} {table}" for table, count in made.rows.items())
    _print(f"{given.name} is as it was on {made.taken_at}: {counts}.")


def withdraw(given: argparse.Namespace) -> None:
    """Delete all that a rater gave, who asked for it outside the page."""
    from study import acts

    receipt = acts.withdraw(_study(given), given.rater, _actor())
    _print(f"Receipt {receipt['number']}: {receipt['answers']} answers were deleted.")


def export(given: argparse.Namespace) -> None:
    """Write the answers of an unblinded study as CSV and JSON."""
    from study.outcome import write_tables

    written = write_tables(_study(given), given.out, unfinished=given.unfinished)
    for name, count in written.items():
        _print(f"{given.out / name}.csv and .json: {count} rows")


def report(given: argparse.Namespace) -> None:
    """Write the results of an unblinded study on one page."""
    from study.outcome import write_report

    _print(f"{write_report(_study(given), given.ours, given.out)}")


def import_table(given: argparse.Namespace) -> None:
    """Check a finished table from anywhere and write its report."""
    from study.analysis import table as tables
    from study.analysis.info import StudyInfo
    from study.analysis.report import report as write_report

    try:
        read = (
            (tables.empty_ratings(), tables.read_choices(given.table))
            if given.choices
            else (tables.read_ratings(given.table), tables.empty_choices())
        )
    except (ValueError, OSError) as error:
        raise StudyError(str(error)) from error
    _print(f"{write_report(*read, StudyInfo(given.table.stem, given.ours), given.out)}")


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
        definition = replace(definition, name=given.name, recruiting=ways)
        acts.new(folder, definition, DEMO_CLIPS, None, _actor())
    if read_milestones(folder).phase == "draft":
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


def _folder(given: argparse.Namespace) -> Folder:
    return Folder(given.studies / given.name)


def _study(given: argparse.Namespace) -> Folder:
    """The folder of a study that is there."""
    from study.acts import need_study

    need_study(_folder(given))
    return _folder(given)


def _actor() -> str:
    """Who acts, as the audit log names them: the account's name."""
    return getpass.getuser()


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
