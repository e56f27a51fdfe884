"""Acts of the administrator; each is recorded in the audit log."""

from pathlib import Path

from study import audit, blinding, identities, withdrawal
from study.blinding import BlindingMap
from study.definition import Definition
from study.errors import DefinitionError, StudyError
from study.files import digest, write_atomically
from study.folder import Folder, Milestones, need_phase, read_definition
from study.reading import parse
from study.sources import find
from study.stimuli import build
from study.store import Store
from study.withdrawal import Receipt


def new(
    folder: Folder, definition: Definition, videos: Path, manifest: Path | None, actor: str
) -> Definition:
    """Make a draft from clips; an earlier draft's clips are replaced.

    Args:
        folder: where; made if need be.
        definition: the template, or the draft's own definition after it was edited.
        videos: folder of the clips (see `sources`).
        manifest: CSV or JSON naming them, or None.
        actor: who does it.

    Raises:
        StudyError: the clips or the definition have faults, or the study is open already.
    """
    sources = find(videos, manifest, definition.languages)
    made = build(folder, definition, sources)
    with Store(folder.database) as store, store.transaction() as database:
        audit.record(
            database, store.clock.now(), actor, "new", items=len(made.items), kind=made.kind
        )
    return made


def edit(folder: Folder, source: str, actor: str) -> Definition:
    """Replace a draft's study.yaml, if the new text has no faults.

    Args:
        folder: of the draft.
        source: the YAML.
        actor: who does it.

    Raises:
        DefinitionError: all its faults; the file is as it was.
        StudyError: the study is not a draft.
    """
    need_study(folder)
    made = parse(source)
    if made.name != folder.root.name:
        raise DefinitionError(
            [f"name is {made.name!r} and the study's folder is {folder.root.name}; keep its name."]
        )
    with Store(folder.database) as store, store.transaction() as database:
        need_phase(folder, ("draft",), "edit")
        write_atomically(folder.definition, source)
        sha256 = digest(folder.definition)
        audit.record(database, store.clock.now(), actor, "edit", definition_sha256=sha256)
    return made


def open_for_raters(folder: Folder, actor: str) -> Milestones:
    """Freeze the definition and the map by their hashes and let raters in.

    Raises:
        StudyError: it is not a draft, or not complete; nothing was recorded.
    """
    need_study(folder)
    with Store(folder.database) as store, store.transaction() as database:
        made = blinding.open_study(folder)
        audit.record(
            database,
            store.clock.now(),
            actor,
            "open",
            definition_sha256=made.definition_sha256,
            clips_sha256=made.clips_sha256,
            map_sha256=made.map_sha256,
        )
    return made


def close(folder: Folder, actor: str) -> Milestones:
    """Accept no more answers.

    Raises:
        StudyError: it is not open.
    """
    need_study(folder)
    with Store(folder.database) as store, store.transaction() as database:
        made = blinding.close_study(folder)
        audit.record(database, store.clock.now(), actor, "close")
    return made


def unblind(folder: Folder, actor: str) -> BlindingMap:
    """Reveal which method made which clip, for the first time.

    Raises:
        StudyError: it is not closed, or the map is not the one whose hash was published.
    """
    need_study(folder)
    with Store(folder.database) as store, store.transaction() as database:
        found = blinding.unblind(folder)
        audit.record(
            database, store.clock.now(), actor, "unblind", methods=", ".join(found.methods)
        )
    return found


def invite(folder: Folder, count: int, actor: str) -> list[str]:
    """Make personal invitations; the codes are shown now and never again.

    Returns:
        One code each, for the end of a link: `?invite=CODE`.

    Raises:
        StudyError: the study takes no invitations, or the count is not 1 to 1000.
    """
    if not read_definition(folder).recruiting.invites:
        raise StudyError("recruiting.invites is false in study.yaml; raters come by other links.")
    keys = identities.keyring(folder.identity_key)
    with Store(folder.database) as store:
        return identities.invite(store, keys, count, actor)


def withdraw(folder: Folder, rater: str, actor: str) -> Receipt:
    """Delete all that a rater gave (see `withdrawal`).

    Raises:
        StudyError: there is no such rater.
    """
    keys = identities.keyring(folder.identity_key)
    with Store(folder.database) as store:
        return withdrawal.withdraw(folder, store, keys, rater, actor)


def need_study(folder: Folder) -> None:
    """Refuse a folder that holds no study.

    Raises:
        StudyError: there is no study.yaml in it.
    """
    if not folder.definition.is_file():
        raise StudyError(
            f"{folder.root} holds no study; make one with "
            f"`python -m study new {folder.root.name} --videos DIR`."
        )
