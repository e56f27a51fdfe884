"""A study's folder on disk: its files, its phase, and which clips it shows.

NAME/
  study.yaml       the definition (`definition`), frozen with its hash when the study opens
  clips.json       which clip shows which item and arm, no method (`Clips`)
  phase.json       when it was opened, closed, unblinded, and the hashes published at opening
  media/           every video and picture under a random name
  secret/map.json  arm -> method, clip -> source file (`blinding`); mode 0600, never served
  secret/identity.key   of the raters' identities (`identities`); mode 0600, never served
  study.sqlite     sessions, answers, audit log (`store`)
  snapshots/       copies of it (`backup`)
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from study.definition import Definition
from study.errors import FrozenError, PhaseError, StudyError
from study.files import digest, write_atomically
from study.reading import load

Phase = Literal["draft", "open", "closed", "unblinded"]


@dataclass(frozen=True)
class Clip:
    """A rated clip: `id` names its file media/<id>.mp4; `arm` stands for its method, unnamed."""

    id: str
    item: str
    arm: int


@dataclass(frozen=True)
class Reference:
    """A real video of an item, media/<video>.mp4, and its middle frame, media/<image>.jpg."""

    item: str
    video: str
    image: str


@dataclass(frozen=True)
class ExtraClips:
    """The videos of a training or gold page, by their names in media/; `right` empty if single."""

    id: str
    item: str
    left: str
    right: str = ""


@dataclass(frozen=True)
class Clips:
    """Everything a rater may be shown.

    Attributes:
        arms: number of methods; clips carry arms 0 to arms - 1 in random order.
        seconds: duration of every clip.
        clips: in random order; each item has one clip of each arm.
        references: of the items, none or several each.
        extras: of the training and gold pages.
        hashes: name of each file in media/ -> SHA-256 of its bytes, so that the hash of this list
            fixes what was shown.
    """

    arms: int
    seconds: float
    clips: tuple[Clip, ...]
    references: tuple[Reference, ...] = ()
    extras: tuple[ExtraClips, ...] = ()
    hashes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Milestones:
    """The milestones of a study, ISO times in UTC, empty until they happen.

    Attributes:
        opened: when raters could begin.
        definition_sha256: of study.yaml as it was then.
        clips_sha256: of clips.json as it was then.
        map_sha256: of secret/map.json (which begins with a salt), published then.
        closed: when the last answer could be given.
        unblinded: when the map was first read.
    """

    opened: str = ""
    definition_sha256: str = ""
    clips_sha256: str = ""
    map_sha256: str = ""
    closed: str = ""
    unblinded: str = ""

    @property
    def phase(self) -> Phase:
        """Where the study stands; acts follow one another in one order only."""
        if self.unblinded:
            return "unblinded"
        if self.closed:
            return "closed"
        return "open" if self.opened else "draft"


@dataclass(frozen=True)
class Folder:
    """Paths of one study's folder.

    Attributes:
        root: the folder itself.
    """

    root: Path

    @property
    def definition(self) -> Path:
        """The YAML."""
        return self.root / "study.yaml"

    @property
    def clips(self) -> Path:
        """Which clip shows what."""
        return self.root / "clips.json"

    @property
    def milestones(self) -> Path:
        """The recorded acts."""
        return self.root / "phase.json"

    @property
    def media(self) -> Path:
        """Videos and pictures."""
        return self.root / "media"

    @property
    def secret(self) -> Path:
        """Files that must not be read before the close."""
        return self.root / "secret"

    @property
    def map(self) -> Path:
        """Arm to method."""
        return self.secret / "map.json"

    @property
    def identity_key(self) -> Path:
        """Key of the raters' identities: never in the database, never in a snapshot."""
        return self.secret / "identity.key"

    @property
    def database(self) -> Path:
        """The answers."""
        return self.root / "study.sqlite"

    @property
    def snapshots(self) -> Path:
        """Copies of the database."""
        return self.root / "snapshots"


def read_definition(folder: Folder) -> Definition:
    """The study's definition, refused if it changed after the study opened.

    Raises:
        DefinitionError: the YAML has faults.
        FrozenError: it is not what the study was opened with.
    """
    check_frozen(folder)
    return load(folder.definition, frozen=bool(read_milestones(folder).definition_sha256))


def read_clips(folder: Folder) -> Clips:
    """The study's clips, refused if the list changed after the study opened.

    Raises:
        StudyError: there is no list; the study was not made by `new`.
        FrozenError: it is not what the study was opened with.
    """
    check_frozen(folder)
    if not folder.clips.is_file():
        raise StudyError(
            f"{folder.root} has no clips.json; make the study with "
            "`python -m study new NAME --videos DIR`."
        )
    with _undamaged(folder.clips):
        data = json.loads(folder.clips.read_text("utf-8"))
        return Clips(
            arms=data["arms"],
            seconds=data["seconds"],
            clips=tuple(Clip(**each) for each in data["clips"]),
            references=tuple(Reference(**each) for each in data["references"]),
            extras=tuple(ExtraClips(**each) for each in data["extras"]),
            hashes=data["hashes"],
        )


def write_clips(folder: Folder, clips: Clips) -> None:
    """Write the list of clips of a draft."""
    write_atomically(folder.clips, json.dumps(dataclasses.asdict(clips), indent=1) + "\n")


def read_milestones(folder: Folder) -> Milestones:
    """Read the milestones so far; a folder without them is a draft.

    Raises:
        StudyError: the file is damaged.
    """
    if not folder.milestones.is_file():
        return Milestones()
    with _undamaged(folder.milestones):
        data = json.loads(folder.milestones.read_text("utf-8"))
        odd = [name for name, text in data.items() if not isinstance(text, str)]
        if odd:
            raise ValueError(f"{', '.join(odd)} must be text")
        return Milestones(**data)


@contextlib.contextmanager
def _undamaged(path: Path) -> Iterator[None]:
    """Turn what is wrong with a JSON file of the study into one sentence."""
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise StudyError(
            f"{path} is damaged ({reason}); put it back from your copy of the study's folder."
        ) from error


def write_milestones(folder: Folder, milestones: Milestones) -> None:
    """Record an act."""
    write_atomically(folder.milestones, json.dumps(dataclasses.asdict(milestones), indent=1) + "\n")


def check_frozen(folder: Folder) -> None:
    """Refuse a study whose definition or list of clips changed after it opened.

    Raises:
        FrozenError: a hash differs.
    """
    fixed = read_milestones(folder)
    for path, published in (
        (folder.definition, fixed.definition_sha256),
        (folder.clips, fixed.clips_sha256),
    ):
        if published and (not path.is_file() or digest(path) != published):
            raise FrozenError(
                f"{path.name} was changed after the study opened on {fixed.opened}; put back the "
                f"file with SHA-256 {published} or make a new study for the change."
            )


def check_media(folder: Folder) -> None:
    """Refuse a study whose videos or pictures are not those it was made with.

    Raises:
        FrozenError: one is missing or was changed; all are listed.
    """
    odd = [
        name
        for name, published in read_clips(folder).hashes.items()
        if not (folder.media / name).is_file() or digest(folder.media / name) != published
    ]
    if odd:
        raise FrozenError(
            f"{', '.join(sorted(odd)[:5])} in {folder.media} ({len(odd)} files in all) are missing "
            "or changed since the study was made; put them back from your copy."
        )


def need_phase(folder: Folder, accepted: tuple[Phase, ...], act: str) -> Milestones:
    """The milestones, if an act is allowed now.

    Args:
        folder: of the study.
        accepted: phases in which the act is allowed.
        act: what is asked for, as a verb ("unblind").

    Raises:
        PhaseError: the study is in another phase.
    """
    milestones = read_milestones(folder)
    if milestones.phase not in accepted:
        raise PhaseError(
            f"cannot {act} {folder.root.name}: it is {milestones.phase} and must be "
            f"{' or '.join(accepted)}."
        )
    return milestones
