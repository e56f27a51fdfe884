"""Who made which clip: kept apart until the study is closed, published as a hash before it opens.

The map is in its own file (mode 0600), outside the database and outside everything that is
served. It begins with a salt, so that its hash can be published without anybody being able to try
the few thousand orders of seven methods against it.
"""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from study.definition import Definition
from study.errors import FrozenError, PhaseError, StudyError
from study.files import write_atomically
from study.folder import (
    Clips,
    Folder,
    Milestones,
    check_media,
    need_phase,
    read_clips,
    read_definition,
    read_milestones,
    write_milestones,
)


@dataclass(frozen=True)
class Origin:
    """Where a clip came from.

    Attributes:
        method: who made it.
        item: id of the item in the study.
        file: as it was called in the folder of clips.
        fps: frames per second of that file.
        width: its pixels.
        height: as `width`.
        seconds: its duration.
        shown_fps: frames per second of the clip that raters saw.
    """

    method: str
    item: str
    file: str
    fps: float
    width: int
    height: int
    seconds: float
    shown_fps: float


@dataclass(frozen=True)
class BlindingMap:
    """What raters and the board must not know.

    Attributes:
        methods: names; `Clip.arm` is the place in this list.
        items: item id -> its key in the folder of clips (such as "8_3": class and seed).
        clips: clip id -> its origin.
        salt: random; makes the hash of the file say nothing.
    """

    methods: tuple[str, ...]
    items: Mapping[str, str]
    clips: Mapping[str, Origin]
    salt: str


def write_map(folder: Folder, blinding: BlindingMap) -> None:
    """Write the map of a draft, readable by its owner alone."""
    folder.secret.mkdir(mode=0o700, exist_ok=True)
    write_atomically(
        folder.map, json.dumps(asdict(blinding), indent=1, sort_keys=True) + "\n", 0o600
    )


def new_salt() -> str:
    """A fresh salt of 256 bits."""
    return secrets.token_hex(32)


def open_study(folder: Folder) -> Milestones:
    """Fix the definition, the list of clips and the map by their hashes, and let raters in.

    Returns:
        The milestones with the hashes to publish.

    Raises:
        PhaseError: the study is not a draft.
        StudyError: it has no clips, no items or no map yet.
    """
    need_phase(folder, ("draft",), "open")
    definition, clips = read_definition(folder), read_clips(folder)
    check_complete(definition, clips)
    check_media(folder)
    return _record(
        folder,
        Milestones(
            opened=_now(),
            definition_sha256=_sha256(folder.definition.read_bytes()),
            clips_sha256=_sha256(folder.clips.read_bytes()),
            map_sha256=_sha256(_map_bytes(folder)),
        ),
    )


def close_study(folder: Folder) -> Milestones:
    """Accept no more answers.

    Raises:
        PhaseError: the study is not open.
    """
    return _record(folder, replace(need_phase(folder, ("open",), "close"), closed=_now()))


def unblind(folder: Folder) -> BlindingMap:
    """Read who made what for the first time, and record that it was read.

    Raises:
        PhaseError: the study is not closed, or is unblinded already (`read_map` reads it then).
        FrozenError: the map or the clips are not those whose hashes were published.
    """
    milestones = need_phase(folder, ("closed",), "unblind")
    check_media(folder)
    found = _verified(folder, milestones)
    _record(folder, replace(milestones, unblinded=_now()))
    return found


def read_map(folder: Folder) -> BlindingMap:
    """Who made what, after the study was unblinded.

    Raises:
        PhaseError: it was not; the map is not read.
        FrozenError: the map is not the one whose hash was published.
    """
    milestones = read_milestones(folder)
    if milestones.phase != "unblinded":
        raise PhaseError(
            f"{folder.root.name} is {milestones.phase} and its methods are hidden; close it, then "
            f"`python -m study unblind {folder.root.name}`."
        )
    return _verified(folder, milestones)


def check_complete(definition: Definition, clips: Clips) -> None:
    """Refuse a definition that was edited into wanting other clips than there are.

    Raises:
        StudyError: items or pages without clips, or clips without items.
    """
    items = {item.id for item in definition.items}
    shown = {clip.item for clip in clips.clips}
    pages = {extra.id for extra in (*definition.training, *definition.gold)}
    odd = sorted(items ^ shown) + sorted(pages - {extra.id for extra in clips.extras})
    if odd or not items:
        raise StudyError(
            f"study.yaml and the clips do not fit ({', '.join(odd) or 'there are no items'}); run "
            "`python -m study new` again with the same clips, your wording is kept."
        )


def _verified(folder: Folder, milestones: Milestones) -> BlindingMap:
    content = _map_bytes(folder)
    if _sha256(content) != milestones.map_sha256:
        raise FrozenError(
            f"{folder.map.name} was changed after the study opened on {milestones.opened}; put "
            f"back the file with SHA-256 {milestones.map_sha256}, no result is shown without it."
        )
    data = json.loads(content)  # whole: its hash is the published one
    return BlindingMap(
        methods=tuple(data["methods"]),
        items=data["items"],
        clips={clip: Origin(**origin) for clip, origin in data["clips"].items()},
        salt=data["salt"],
    )


def _map_bytes(folder: Folder) -> bytes:
    if not folder.map.is_file():
        raise StudyError(
            f"{folder.map} is missing; it says which method made which clip. Put it back "
            "from your copy."
        )
    return folder.map.read_bytes()


def _record(folder: Folder, milestones: Milestones) -> Milestones:
    write_milestones(folder, milestones)
    return milestones


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
