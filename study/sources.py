"""The clips of a study: found in a folder or a manifest, and checked together.

    DIR/METHOD/ITEM.mp4       ITEM is the action class and, after "_", the seed: 8_3.mp4
    DIR/references/ITEM.mp4   real videos of an item or of its class, or several in a folder ITEM/
    DIR/captions.yaml         ITEM or class -> label and text, each a text or one per language

A manifest gives the same in a table (see `manifest`). That of `python -m finephys batch` is found
automatically beside the videos: it names method, class and seed, the files must match its hashes,
and the prompt is the text of an item without a caption.
"""

import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PureWindowsPath

from study.captions import FORM, captions_file, row_texts
from study.definition import Definition, Text
from study.encoding import Measure, measure
from study.errors import StimuliError
from study.files import digest
from study.manifest import COLUMNS, Placed, Row, of_batch
from study.manifest import read as read_manifest

VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif")
REFERENCES = "references"
_PLAIN = re.compile(r"[^\x00-\x1f\x7f/\\]{1,200}")
TRAINING = ("training", "gold")
"""Folders of DIR that hold no method: videos named in the definition's training and gold pages."""


JUNK = (
    *("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "@eadir"),
    *("system volume information", "lost+found", "icon\r"),
)
"""Names, in small letters, that systems leave in folders."""


@dataclass(frozen=True)
class Sources:
    """Files and wording before anything is encoded.

    Attributes:
        root: folder that names of files are relative to.
        methods: names, sorted.
        items: keys, sorted.
        clips: (method, item) -> file.
        references: item -> real videos of it.
        captions: item or action class -> label and text.
        prompts: item -> what its clips were generated from, where that is known.
    """

    root: Path
    methods: tuple[str, ...]
    items: tuple[str, ...]
    clips: Mapping[tuple[str, str], Path]
    references: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    captions: Mapping[str, tuple[Text, Text]] = field(default_factory=dict)
    prompts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def keys(self) -> dict[str, str]:
        """Neutral id of each item (`Item.id`) -> its key here."""
        return {f"item{number:02d}": key for number, key in enumerate(self.items, 1)}

    def shown(self, item: str) -> str:
        """The key that a training or gold page means by an id, a key or nothing."""
        key = self.keys.get(item, item)
        return key if key in self.items else self.items[0]

    def caption(self, item: str) -> tuple[Text, Text] | None:
        """Label and text of an item: its own or those of its action class."""
        return self.captions.get(item) or self.captions.get(action(item))

    def wording(self, item: str, definition: Definition) -> tuple[Text, Text] | None:
        """Label and text that raters read, or None.

        They are the caption, else the definition's for the class, else the one prompt that all
        clips of the item were generated from.
        """
        shared = {each.action: (each.label, each.text) for each in definition.captions}
        written = self.caption(item) or shared.get(item) or shared.get(action(item))
        prompts = self.prompts.get(item, ())
        if written or len(prompts) != 1:
            return written
        language = definition.languages[0]
        return {language: f"Class {action(item)}"}, {language: prompts[0]}


def is_junk(name: str) -> bool:
    """Whether a file or folder was left by a system, not put there by a person.

    These are hidden files, among them the ._ files of macOS, and the folders and thumbnails of
    macOS, Windows and network disks. The names . and .. are not: they lead elsewhere.
    """
    hidden = name.startswith((".", "~$")) and name not in (".", "..")
    return hidden or name.lower() in JUNK


def holds_clips(folder: Path) -> bool:
    """Whether a folder has clips in the layout DIR/METHOD/ITEM."""
    return any(
        path.suffix.lower() in VIDEOS and not is_junk(path.name) for path in folder.glob("*/*")
    )


def manifests(folder: Path) -> list[Path]:
    """Tables in a folder that may name its clips, sorted."""
    return [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in (".csv", ".json") and path.is_file() and not is_junk(path.name)
    ]


def action(item: str) -> str:
    """The action class in an item's key: what stands before the last "_"."""
    return item.rpartition("_")[0] or item


def find(
    videos: Path, manifest: Path | None = None, languages: tuple[str, ...] = ("en",)
) -> Sources:
    """Look for clips, references and captions; nothing is decoded yet.

    Args:
        videos: folder of the clips.
        manifest: table naming them; without it the folder's layout says what is what, and a batch's
            own manifest in the folder how its files were made.
        languages: codes; a caption without one is in the first.

    Raises:
        StimuliError: no folder, no clips, two files for one method and item, a file that is not the
            one a batch made, a manifest or captions that cannot be read; all listed at once.
    """
    if not videos.is_dir():
        raise StimuliError([f"{videos} is not a directory; give the one that holds the clips."])
    problems: list[str] = []
    if manifest:
        rows = [(place, _with_slashes(row)) for place, row in read_manifest(manifest)]
    else:
        rows = _with_batch(_folder_rows(videos), videos, problems)
    clips: dict[tuple[str, str], Path] = {}
    references: dict[str, tuple[Path, ...]] = {}
    captions = captions_file(videos, languages, problems)
    prompts: dict[str, tuple[str, ...]] = {}
    for place, row in rows:
        missing = [name for name in COLUMNS if not row.get(name)]
        if missing:
            problems.append(f"{place} has no {' and no '.join(missing)}; fill it in.")
            continue
        if odd := _odd_names(row) or _odd_files(videos, row):
            problems.append(f"{place}: {odd}")
            continue
        cell = (row["method"], row["item"])
        if cell in clips:
            problems.append(
                f"{place} is a second clip of {cell[1]} by {cell[0]}; keep one, or give the other "
                "another item."
            )
        clips[cell] = videos / row["file"]
        if row.get("reference"):
            files = tuple(videos / name.strip() for name in row["reference"].split(";"))
            references[cell[1]] = tuple(dict.fromkeys((*references.get(cell[1], ()), *files)))
        if row.get("prompt"):
            known = prompts.get(cell[1], ())
            prompts[cell[1]] = tuple(dict.fromkeys((*known, row["prompt"])))
        label, text = row_texts(row, "label", languages), row_texts(row, "caption", languages)
        if label or text:
            captions[cell[1]] = (label or text, text or label)
    if not clips and not problems:
        problems.append(
            f"{videos} holds no clips; lay them out as {videos.name}/METHOD/ITEM.mp4 or give a "
            "manifest with columns method, item, file."
        )
    if problems:
        raise StimuliError(problems)
    items = tuple(sorted({item for _, item in clips}, key=_natural))
    for item in items:
        references.setdefault(item, _references(videos, item))
    return Sources(
        root=videos,
        methods=tuple(sorted({method for method, _ in clips})),
        items=items,
        clips=clips,
        references={item: files for item, files in references.items() if files},
        captions=captions,
        prompts=prompts,
    )


def measured(sources: Sources, definition: Definition) -> dict[Path, Measure]:
    """Decode every file once and refuse a set that cannot be compared.

    Args:
        sources: found before.
        definition: whose training and gold pages need references, and whose encoding may fix the
            duration.

    Returns:
        What each file holds, references included.

    Raises:
        StimuliError: clips are missing, cannot be decoded, are of another duration than the rest or
            identical to another method's; items lack captions or needed references; all at once.
    """
    problems = [
        f"{method} has no clip of {item}; add {method}/{item}.mp4 or take {item} out everywhere."
        for item in sources.items
        for method in sources.methods
        if (method, item) not in sources.clips
    ]
    problems += [
        f"{item} has no label and text"
        + (" and its clips come from different prompts" if sources.prompts.get(item) else "")
        + f"; add {' or '.join(dict.fromkeys((item, action(item))))} to captions.yaml, or columns "
        "label and caption to the manifest."
        for item in sources.items
        if sources.wording(item, definition) is None
    ]
    for place, problem in enumerate(problems):
        if "captions.yaml" in problem:  # the form is told once, with the first
            problems[place] = f"{problem} {FORM}."
            break
    problems += _missing_references(sources, definition)
    named = [
        sources.root / shown.video
        for extra in (*definition.training, *definition.gold)
        for shown in (extra.left, extra.right)
        if shown is not None and shown.video
    ]
    found: dict[Path, Measure] = {}
    for path in dict.fromkeys((*sources.clips.values(), *_all(sources.references), *named)):
        try:
            found[path] = measure(path)
        except StimuliError as error:
            problems += [f"{path.parent.name}/{problem}" for problem in error.problems]
    problems += _odd_durations(sources, definition, found)
    problems += _same_files(sources, found)
    if problems:
        raise StimuliError(problems)
    return found


def _odd_durations(
    sources: Sources, definition: Definition, found: Mapping[Path, Measure]
) -> list[str]:
    """Clips that last longer or shorter than the others of their item."""
    fixed = definition.encoding
    problems = []
    for item in sources.items:
        cells = [(method, item) for method in sources.methods if (method, item) in sources.clips]
        lasts = {
            cell: found[sources.clips[cell]].seconds
            for cell in cells
            if sources.clips[cell] in found
        }
        if not lasts:
            continue
        usual = sorted(lasts.values())[len(lasts) // 2]
        wanted = fixed.frames / fixed.fps if fixed.frames and fixed.fps else usual
        problems += [
            f"{sources.clips[cell].relative_to(sources.root)} lasts {seconds:.2f} s and clips of "
            f"{item} last {wanted:.2f} s; cut it, or raise encoding.seconds_tolerance "
            f"({fixed.seconds_tolerance:g} s)."
            for cell, seconds in lasts.items()
            if abs(seconds - wanted) > fixed.seconds_tolerance
        ]
    return problems


def _same_files(sources: Sources, found: Mapping[Path, Measure]) -> list[str]:
    seen: dict[str, tuple[str, str]] = {}
    problems = []
    for cell, path in sorted(sources.clips.items()):
        if path in found:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            if content in seen:
                problems.append(
                    f"{'/'.join(cell)} and {'/'.join(seen[content])} are the same file; every "
                    "method needs a clip of its own for every item."
                )
            seen.setdefault(content, cell)
    return problems


def _missing_references(sources: Sources, definition: Definition) -> list[str]:
    made = [
        (extra.id, sources.shown(shown.item))
        for extra in (*definition.training, *definition.gold)
        for shown in (extra.left, extra.right)
        if shown is not None and shown.made
    ]
    return [
        f"page {page} is made from a reference video of {item} and there is none; add "
        f"{REFERENCES}/{action(item)}.mp4, or take the page out of training and gold."
        for page, item in sorted(set(made))
        if not sources.references.get(item)
    ]


def _with_slashes(row: Row) -> Row:
    """A row whose file names are written with /, wherever the table was written."""
    return {
        name: text.replace("\\", "/") if name in ("file", "reference") else text
        for name, text in row.items()
    }


def _odd_names(row: Row) -> str:
    """What is wrong with the names of a row, which become names of files, or nothing."""
    for column in ("method", "item"):
        name = row[column]
        if not _PLAIN.fullmatch(name) or name in (".", ".."):
            return (
                f"{column} is {name[:40]!r}; use up to 200 characters, without slashes and control "
                "characters."
            )
    return ""


def _odd_files(videos: Path, row: Row) -> str:
    """What is wrong with the files of a row, or nothing."""
    for name in (row["file"], *filter(None, row.get("reference", "").split(";"))):
        parts = PurePath(name.strip())
        drive = PureWindowsPath(name.strip()).drive
        if parts.is_absolute() or drive or ".." in parts.parts:
            return f"{name.strip()} is outside of {videos}; name files relative to that folder."
    wanted, path = row.get("sha256"), videos / row["file"]
    if wanted and path.is_file() and digest(path) != wanted:
        return (
            f"{row['file']} is not the video that was made (its SHA-256 is another); run the batch "
            "again or take the line out."
        )
    return ""


def _folder_rows(videos: Path) -> list[Placed]:
    return [
        (
            f"{folder.name}/{path.name}",
            {"method": folder.name, "item": path.stem, "file": f"{folder.name}/{path.name}"},
        )
        for folder in sorted(videos.iterdir())
        if folder.is_dir() and folder.name not in (REFERENCES, *TRAINING)
        if not is_junk(folder.name)
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in VIDEOS and path.is_file() and not is_junk(path.name)
    ]


def _with_batch(rows: list[Placed], videos: Path, problems: list[str]) -> list[Placed]:
    """Rows of the folder's files, with what a batch says of those that it made."""
    batch = of_batch(videos)
    there = {row["file"] for _, row in rows}
    problems += [
        f"{place} names {file} and there is no such file; run the batch again or take the line out."
        for file, (place, _) in batch.items()
        if file not in there
    ]
    return [(place, {**row, **batch.get(row["file"], ("", {}))[1]}) for place, row in rows]


def _references(videos: Path, item: str) -> tuple[Path, ...]:
    """Real videos of an item, or else of its action class."""
    for key in dict.fromkeys((item, action(item))):
        folder = videos / REFERENCES / key
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        files += [folder.with_name(f"{key}{suffix}") for suffix in VIDEOS]
        files = [
            path
            for path in files
            if path.is_file() and path.suffix.lower() in VIDEOS and not is_junk(path.name)
        ]
        if files:
            return tuple(files)
    return ()


def _natural(key: str) -> tuple[tuple[int, str], ...]:
    """Sorts 8_2 before 8_10 and 9 before 10; numbers before words.

    Numbers are compared by their length and digits: int() takes neither any length nor every
    character that counts as a digit.
    """

    def place(part: str) -> tuple[int, str]:
        digits = part.lstrip("0")
        return (len(digits), digits) if re.fullmatch("[0-9]+", part) else (sys.maxsize, part)

    return tuple(map(place, key.split("_")))


def _all(groups: Mapping[str, tuple[Path, ...]]) -> tuple[Path, ...]:
    return tuple(path for group in groups.values() for path in group)
