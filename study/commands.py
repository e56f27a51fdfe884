"""What each command of `python -m study` does; what it needs is imported when it is called."""

import argparse
import getpass
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from study.definition import template
from study.errors import StudyError
from study.folder import Folder, check_media, read_clips, read_definition, read_milestones

if TYPE_CHECKING:
    import pandas as pd

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
    from study.design import pages, sequences

    folder = _study(given)
    definition, clips = read_definition(folder), read_clips(folder)
    check_media(folder)
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
    from study.hub import pull

    if bool(given.snapshot) == bool(given.repository):
        raise StudyError("give the FILE of a snapshot or --repository OWNER/NAME, one of them.")
    folder = _study(given)
    snapshot = given.snapshot or pull(given.repository, folder.snapshots)
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
    from study.analysis.table import write_table

    folder = _study(given)
    given.out.mkdir(parents=True, exist_ok=True)
    both = _tables(folder, unfinished=given.unfinished)
    for name, table in zip(("ratings", "choices"), both, strict=True):
        if not len(table):
            continue
        for suffix in (".csv", ".json"):
            write_table(table, given.out / f"{name}{suffix}")
        _print(f"{given.out / name}.csv and .json: {len(table)} rows")


def report(given: argparse.Namespace) -> None:
    """Write the results of an unblinded study on one page."""
    from study import export as exports
    from study.analysis.report import report as write_report
    from study.analysis.results import StudyInfo
    from study.blinding import read_map

    folder = _study(given)
    definition, methods = read_definition(folder), read_map(folder).methods
    if given.ours and given.ours not in methods:
        raise StudyError(f"--ours is {given.ours!r}; choose one of {', '.join(methods)}.")
    milestones = read_milestones(folder)
    language = definition.languages[0]
    info = StudyInfo(
        title=definition.title[language],
        ours=given.ours,
        cannot_hide=exports.cannot_hide(folder),
        dimensions={each.id: each.title[language] for each in definition.dimensions},
        facts=tuple(
            (name.replace("_", " "), text) for name, text in asdict(milestones).items() if text
        ),
        invented=exports.is_simulated(folder),
    )
    _print(f"{write_report(*_tables(folder, unfinished=False), info, given.out)}")


def import_table(given: argparse.Namespace) -> None:
    """Check a finished table from anywhere and write its report."""
    from study.analysis import table as tables
    from study.analysis.report import report as write_report
    from study.analysis.results import StudyInfo

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


def _folder(given: argparse.Namespace) -> Folder:
    return Folder(given.studies / given.name)


def _study(given: argparse.Namespace) -> Folder:
    """The folder of a study that is there."""
    from study.acts import need_study

    need_study(_folder(given))
    return _folder(given)


def _tables(folder: Folder, *, unfinished: bool) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """The answers as checked tables of ratings and of choices, one of them without rows."""
    import pandas as pd

    from study import export as exports
    from study.analysis import table as tables

    choices = read_definition(folder).kind == "choice"
    rows = (exports.choices if choices else exports.ratings)(folder, unfinished=unfinished)
    if not rows:
        raise StudyError(
            f"{folder.root.name} has no finished rater; wait for one, or export with --unfinished."
        )
    if choices:
        return tables.empty_ratings(), tables.check_choices(pd.DataFrame(rows))
    return tables.check_ratings(pd.DataFrame(rows)), tables.empty_choices()


def _actor() -> str:
    """Who acts, as the audit log names them: the account's name."""
    return getpass.getuser()


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
