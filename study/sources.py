"""The clips that a study is made from: found in a folder or a manifest, checked all at once.

    DIR/METHOD/ITEM.mp4       ITEM is the action class and, after "_", the seed: 8_3.mp4
    DIR/references/ITEM.mp4   real videos of an item or of its class, or several in a folder ITEM/
    DIR/captions.yaml         ITEM or class -> label and text, each a text or one per language

A manifest (CSV or JSON rows) says the same in columns: method, item, file, and if wanted label,
caption, label_zh, caption_zh, reference (several separated by ";").
"""

import csv
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from study.definition import Definition, Text
from study.encoding import Measure, measure
from study.errors import StimuliError

VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif")
REFERENCES = "references"
TRAINING = ("training", "gold")
"""Folders of DIR that hold no method: videos named in the definition's training and gold pages."""

COLUMNS = ("method", "item", "file")


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
    """

    root: Path
    methods: tuple[str, ...]
    items: tuple[str, ...]
    clips: Mapping[tuple[str, str], Path]
    references: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    captions: Mapping[str, tuple[Text, Text]] = field(default_factory=dict)

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


def action(item: str) -> str:
    """The action class in an item's key: what stands before the last "_"."""
    return item.rpartition("_")[0] or item


def find(
    videos: Path, manifest: Path | None = None, languages: tuple[str, ...] = ("en",)
) -> Sources:
    """Look for clips, references and captions; nothing is decoded yet.

    Args:
        videos: folder of the clips.
        manifest: CSV or JSON naming them; without it the folder's layout says what is what.
        languages: codes; a caption without one is in the first.

    Raises:
        StimuliError: no folder, no clips, two files for one method and item, a manifest or captions
            that cannot be read; all listed at once.
    """
    if not videos.is_dir():
        raise StimuliError([f"{videos} is no folder; give the folder that holds the clips."])
    rows = _manifest_rows(manifest) if manifest else _folder_rows(videos)
    problems: list[str] = []
    clips: dict[tuple[str, str], Path] = {}
    references: dict[str, tuple[Path, ...]] = {}
    captions = _captions(videos, languages, problems)
    for place, row in rows:
        missing = [name for name in COLUMNS if not row.get(name)]
        if missing:
            problems.append(f"{place} has no {' and no '.join(missing)}; fill it in.")
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
        label, text = _texts(row, "label", languages), _texts(row, "caption", languages)
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
    wording = {caption.action for caption in definition.captions}
    problems += [
        f"{item} has no label and text; add {item} or {action(item)} to captions.yaml, or columns "
        "label and caption to the manifest."
        for item in sources.items
        if sources.caption(item) is None and not wording & {item, action(item)}
    ]
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


def _folder_rows(videos: Path) -> list[tuple[str, dict[str, str]]]:
    return [
        (
            f"{folder.name}/{path.name}",
            {"method": folder.name, "item": path.stem, "file": f"{folder.name}/{path.name}"},
        )
        for folder in sorted(videos.iterdir())
        if folder.is_dir() and folder.name not in (REFERENCES, *TRAINING)
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in VIDEOS
    ]


def _manifest_rows(manifest: Path) -> list[tuple[str, dict[str, str]]]:
    if not manifest.is_file():
        raise StimuliError([f"{manifest} does not exist; give a CSV or JSON of the clips."])
    try:
        content = manifest.read_text("utf-8-sig")
        if manifest.suffix.lower() == ".json":
            data = json.loads(content)
        else:
            data = list(csv.DictReader(content.splitlines()))
    except (UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        raise StimuliError([f"{manifest.name} is no CSV or JSON: {error}."]) from error
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise StimuliError([f"{manifest.name} must be a list of rows with names and values."])
    if data and not set(COLUMNS) <= set(data[0]):
        raise StimuliError(
            [
                f"{manifest.name} has columns {', '.join(map(str, data[0]))}; it needs "
                f"{', '.join(COLUMNS)}."
            ]
        )
    return [
        (
            f"{manifest.name} row {number}",
            {str(name): str(value).strip() for name, value in row.items() if value is not None},
        )
        for number, row in enumerate(data, 2 if manifest.suffix.lower() != ".json" else 1)
    ]


def _references(videos: Path, item: str) -> tuple[Path, ...]:
    """Real videos of an item, or else of its action class."""
    for key in dict.fromkeys((item, action(item))):
        folder = videos / REFERENCES / key
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        files += [folder.with_name(f"{key}{suffix}") for suffix in VIDEOS]
        files = [path for path in files if path.is_file() and path.suffix.lower() in VIDEOS]
        if files:
            return tuple(files)
    return ()


def _captions(
    videos: Path, languages: tuple[str, ...], problems: list[str]
) -> dict[str, tuple[Text, Text]]:
    path = videos / "captions.yaml"
    if not path.is_file():
        return {}
    try:
        # Everything is text here: plain YAML reads the key 8_3 as the number 83.
        data = yaml.load(path.read_text("utf-8"), yaml.BaseLoader)  # noqa: S506  (makes no objects)
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        problems.append(f"captions.yaml is no YAML: {' '.join(str(error).split())}.")
        return {}
    found: dict[str, tuple[Text, Text]] = {}
    for key, each in (data if isinstance(data, dict) else {"captions.yaml": None}).items():
        both = each if isinstance(each, dict) else {}
        label, text = (_text(both.get(part), languages[0]) for part in ("label", "text"))
        if label and text:
            found[str(key)] = (label, text)
        else:
            problems.append(f"captions.yaml: {key} needs a label and a text.")
    return found


def _text(part: Any, first_language: str) -> Text:  # noqa: ANN401
    """A text, or a mapping of languages to texts, as the latter; empty if it is neither."""
    words = {first_language: part} if isinstance(part, str) else part
    if not isinstance(words, dict):
        return {}
    return {str(code): str(word) for code, word in words.items() if word}


def _texts(row: Mapping[str, str], column: str, languages: tuple[str, ...]) -> Text:
    """A wording out of the columns `caption` (first language), `caption_zh` and so on."""
    found = {code: row.get(f"{column}_{code}", "") for code in languages}
    found[languages[0]] = found[languages[0]] or row.get(column, "")
    return {code: text for code, text in found.items() if text}


def _natural(key: str) -> tuple[Any, ...]:
    """Sorts 8_2 before 8_10 and 9 before 10."""
    return tuple((int(part), "") if part.isdigit() else (10**9, part) for part in key.split("_"))


def _all(groups: Mapping[str, tuple[Path, ...]]) -> tuple[Path, ...]:
    return tuple(path for group in groups.values() for path in group)
