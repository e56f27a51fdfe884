"""From clips of several methods to a study in which nothing but the picture tells them apart."""

import logging
import os
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from study import encoding as encodings
from study.blinding import BlindingMap, Origin, new_salt, write_map
from study.definition import (
    Definition,
    Encoding,
    Extra,
    Item,
    Shown,
    digest,
    dump,
)
from study.encoding import Frames, Measure
from study.errors import DefinitionError, StudyError
from study.faults import faults
from study.folder import (
    Clip,
    Clips,
    ExtraClips,
    Folder,
    Reference,
    need_phase,
    write_clips,
    write_whole,
)
from study.sources import Sources, action, measured

logger = logging.getLogger(__name__)

FIXED_TIME = 1_000_000_000
"""Time stamp of every media file, seconds since 1970."""

LARGEST_FILE = 600_000
"""Bytes of a clip: two of them and their references load within 3 s at 10 Mbit/s."""

SIDE = 512
"""Pixels of the longer side that clips are scaled down to when the definition fixes no size."""

COARSER, COARSEST = 3, 40
"""Step of x264's crf, and the value beyond which clips are refused rather than made coarser."""


LONGEST_REFERENCE = 10
"""Seconds of a reference video that are shown."""


@dataclass(frozen=True)
class Video:
    """A video to encode.

    Attributes:
        path: where its picture comes from.
        frames: how many of its frames, at the common rate, are read.
        made: what becomes of them (see `definition.Shown`).
    """

    path: Path
    frames: int
    made: str = "as_is"


def build(folder: Folder, definition: Definition, sources: Sources) -> Definition:
    """Make the media, the list of clips, the blinding map and study.yaml of a draft.

    Names are random, times fixed, and files are written in an order drawn by lot, so that no name,
    time or place on the disk goes with a method. Which arm stands for which method is drawn by lot
    too, and so is the order of clips.json.

    Args:
        folder: of the study; made if need be.
        definition: of the template or an edited one; its items are replaced.
        sources: of `sources.find`.

    Returns:
        The definition with its items and its encoding fixed.

    Raises:
        StimuliError: the clips do not make a complete, comparable set.
        DefinitionError: the definition with these items contradicts itself.
        PhaseError: the study is open already.
    """
    need_phase(folder, ("draft",), "make the clips of")
    found = measured(sources, definition)
    fixed = _fixed_encoding(definition.encoding, [found[path] for path in sources.clips.values()])
    keys = sources.keys
    definition = _with_items(replace(definition, encoding=fixed), sources, keys)

    lot = secrets.SystemRandom()
    methods = lot.sample(sources.methods, len(sources.methods))
    videos: dict[str, Video] = {}

    def add(video: Video) -> str:
        name = secrets.token_hex(12)
        videos[name] = video
        return name

    clips = [
        Clip(add(Video(sources.clips[method, key], fixed.frames)), item, arm)
        for item, key in keys.items()
        for arm, method in enumerate(methods)
    ]
    whole = {
        path: min(round(found[path].seconds * fixed.fps), LONGEST_REFERENCE * fixed.fps)
        for files in sources.references.values()
        for path in files
    }
    extras = [
        ExtraClips(
            extra.id,
            extra.left.item,
            *(add(_extra_video(shown, sources, keys, whole, fixed)) for shown in _sides(extra)),
        )
        for extra in (*definition.training, *definition.gold)
    ]
    folder.media.mkdir(parents=True, exist_ok=True)
    for old in folder.media.iterdir():
        old.unlink()
    definition = replace(definition, encoding=_write_videos(folder, videos, fixed, lot))
    references = tuple(
        _write_reference(folder, item, path, replace(definition.encoding, frames=whole[path]))
        for item, key in keys.items()
        for path in sources.references.get(key, ())
    )
    seconds = fixed.frames / fixed.fps
    shuffled = tuple(lot.sample(clips, len(clips)))
    hashes = {path.name: digest(path) for path in sorted(folder.media.iterdir())}
    write_clips(folder, Clips(len(methods), seconds, shuffled, references, tuple(extras), hashes))
    origins = {}
    for clip in shuffled:
        path = videos[clip.id].path
        file, was = str(path.relative_to(sources.root)), found[path]
        origins[clip.id] = Origin(
            *(methods[clip.arm], clip.item, file, was.fps, was.width, was.height, was.seconds)
        )
    write_map(folder, BlindingMap(tuple(methods), keys, origins, new_salt()))
    write_whole(folder.definition, dump(definition))
    return definition


def _with_items(definition: Definition, sources: Sources, keys: Mapping[str, str]) -> Definition:
    """The definition with the items of the clips, its training and gold pages pointing at them."""
    by_action = {each.action: (each.label, each.text) for each in definition.captions}
    items = []
    for item, key in keys.items():
        label, text = sources.caption(key) or by_action.get(key) or by_action[action(key)]
        items.append(Item(item, label, text))
    names = {key: item for item, key in keys.items()}

    def placed(shown: Shown) -> Shown:
        return replace(shown, item=names[sources.shown(shown.item)])

    def renamed(extra: Extra) -> Extra:
        right = None if extra.right is None else placed(extra.right)
        return replace(extra, left=placed(extra.left), right=right)

    made = replace(
        definition,
        items=tuple(items),
        training=tuple(map(renamed, definition.training)),
        gold=tuple(map(renamed, definition.gold)),
    )
    if problems := faults(made):
        raise DefinitionError(problems)
    return made


def _sides(extra: Extra) -> tuple[Shown, ...]:
    return (extra.left,) if extra.right is None else (extra.left, extra.right)


def _extra_video(
    shown: Shown,
    sources: Sources,
    keys: Mapping[str, str],
    whole: Mapping[Path, int],
    encoding: Encoding,
) -> Video:
    if shown.video:
        return Video(sources.root / shown.video, encoding.frames)
    path = sources.references[keys[shown.item]][0]
    return Video(path, whole[path], shown.made)


def _fixed_encoding(wanted: Encoding, clips: Sequence[Measure]) -> Encoding:
    """What the definition leaves open, taken from the clips.

    Design choice: the commonest frame rate (the lower of equals), the median duration, and the
    largest width and height, scaled down to `SIDE`: most methods are then shown as they are.
    """
    rates = Counter(max(1, round(each.fps)) for each in clips)
    fps = wanted.fps or min(rates, key=lambda rate: (-rates[rate], rate))
    usual = sorted(each.seconds for each in clips)[len(clips) // 2]
    width, height = max(each.width for each in clips), max(each.height for each in clips)
    scale = min(1.0, SIDE / max(width, height))
    return replace(
        wanted,
        fps=fps,
        frames=wanted.frames or max(2, round(usual * fps)),
        width=wanted.width or max(64, 2 * round(width * scale / 2)),
        height=wanted.height or max(64, 2 * round(height * scale / 2)),
    )


def _write_videos(
    folder: Folder, videos: Mapping[str, Video], encoding: Encoding, lot: secrets.SystemRandom
) -> Encoding:
    """Encode all alike, as coarsely as their common size asks for; the encoding that was used."""
    while True:
        units = {
            name: encodings.encode(_frames(video, encoding), encoding)
            for name, video in videos.items()
        }
        sizes = encodings.common_sizes(list(units.values()))
        if sum(sizes) <= LARGEST_FILE:
            break
        if encoding.crf + COARSER > COARSEST:
            raise StudyError(
                f"clips of {encoding.width} x {encoding.height} with {encoding.frames} frames need "
                f"{sum(sizes) // 1000} kB each and {LARGEST_FILE // 1000} kB load in time; give a "
                "smaller encoding.width and height, or fewer frames."
            )
        logger.info("crf %d gives %d bytes, coarser is tried", encoding.crf, sum(sizes))
        encoding = replace(encoding, crf=encoding.crf + COARSER)
    for name in lot.sample(list(units), len(units)):
        path = folder.media / f"{name}.mp4"
        encodings.write_mp4(path, units[name], sizes, encoding)
        os.utime(path, (FIXED_TIME, FIXED_TIME))
    return encoding


def _write_reference(folder: Folder, item: str, path: Path, encoding: Encoding) -> Reference:
    """A real video, whole, and its middle frame. It belongs to no method, so it is not padded."""
    reference = Reference(item, secrets.token_hex(12), secrets.token_hex(12))
    frames = encodings.read_frames(path, encoding)
    units = encodings.encode(frames, encoding)
    video = folder.media / f"{reference.video}.mp4"
    image = folder.media / f"{reference.image}.jpg"
    encodings.write_mp4(video, units, encodings.common_sizes([units]), encoding)
    encodings.write_picture(image, frames[len(frames) // 2])
    for written in (video, image):
        os.utime(written, (FIXED_TIME, FIXED_TIME))
    return reference


def _frames(video: Video, encoding: Encoding) -> Frames:
    frames = encodings.read_frames(video.path, replace(encoding, frames=video.frames))
    first = max(0, (len(frames) - encoding.frames) // 2)  # the middle of a longer reference
    places = np.minimum(np.arange(first, first + encoding.frames), len(frames) - 1)
    return TREATMENTS[video.made](frames[places])


def _scrambled(frames: Frames) -> Frames:
    """Every frame once, in an order drawn by lot (the same lot for every clip)."""
    scrambled: Frames = frames[np.random.default_rng(1).permutation(len(frames))]
    return scrambled


def _noisy(frames: Frames) -> Frames:
    """The picture drowned in coarse noise, which is plain to see and small to store."""
    count, height, width, _ = frames.shape
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, height // NOISE + 1, width // NOISE + 1, 1))
    noise = coarse.repeat(NOISE, 1).repeat(NOISE, 2)[:, :height, :width]
    return (0.3 * frames + 0.7 * noise).astype(np.uint8)


NOISE = 16
"""Side of a grain of noise in pixels."""

TREATMENTS: Mapping[str, Callable[[Frames], Frames]] = {
    "as_is": lambda frames: frames,
    "frozen": lambda frames: np.repeat(frames[len(frames) // 2 :][:1], len(frames), 0),
    "scrambled": _scrambled,
    "noise": _noisy,
}
