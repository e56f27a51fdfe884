"""Build a study from clips of several methods, so that only the picture tells them apart."""

import logging
import os
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
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
)
from study.encoding import Form, Frames, Measure
from study.errors import DefinitionError, StudyError
from study.faults import faults
from study.files import digest, write_atomically
from study.folder import (
    Clip,
    Clips,
    ExtraClips,
    Folder,
    Reference,
    need_phase,
    write_clips,
)
from study.reading import dump
from study.sources import Sources, measured

logger = logging.getLogger(__name__)

FIXED_TIME = 1_000_000_000
"""Time stamp of every media file, seconds since 1970."""

LARGEST_FILE = 600_000
"""Bytes of a clip: two of them and their references load within 3 s at 10 Mbit/s."""

SIDE = 512
"""Pixels of the longer side that clips are scaled down to when the definition fixes no size."""

COARSER, COARSEST = 3, 40
"""Step of x264's crf, and the value beyond which clips are refused rather than made coarser."""

LONGEST_REFERENCE, FASTEST_REFERENCE, REFERENCE_CRF = 10, 30, 22
"""Seconds and frames per second of a reference video that are shown, and its least crf."""


@dataclass(frozen=True)
class Video:
    """A video to encode.

    Attributes:
        path: where its picture comes from.
        form: the common form.
        made: the treatment of its frames (see `definition.Shown`).
        begin: seconds from its first frame to the first one taken.
    """

    path: Path
    form: Form
    made: str = "as_is"
    begin: float = 0.0


def build(folder: Folder, definition: Definition, sources: Sources) -> Definition:
    """Make the media, the list of clips, the blinding map and study.yaml of a draft.

    Names are random, times fixed, and files are written in random order, so that no name,
    time or place on the disk goes with a method. Which arm stands for which method is random too,
    and so is the order of clips.json.

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
    keys = sources.keys
    definition = _with_items(definition, sources, keys)
    wanted = _common_size(definition.encoding, [found[path] for path in sources.clips.values()])
    forms = {item: _form(wanted, sources, key, found) for item, key in keys.items()}

    chance = secrets.SystemRandom()
    methods = chance.sample(sources.methods, len(sources.methods))
    videos: dict[str, Video] = {}

    def add(video: Video) -> str:
        name = secrets.token_hex(12)
        videos[name] = video
        return name

    clips = [
        Clip(add(Video(sources.clips[method, key], forms[item])), item, arm)
        for item, key in keys.items()
        for arm, method in enumerate(methods)
    ]
    extras = tuple(
        ExtraClips(
            extra.id,
            extra.left.item,
            *(
                add(_extra_video(shown, sources, forms[extra.left.item], found))
                for shown in _sides(extra)
            ),
        )
        for extra in (*definition.training, *definition.gold)
    )
    folder.media.mkdir(parents=True, exist_ok=True)
    for old in folder.media.iterdir():
        old.unlink()
    crf = _write_videos(folder, videos, wanted.crf, chance)
    references = tuple(
        _write_reference(folder, item, path, replace(forms[item], crf=crf), found[path])
        for item, key in keys.items()
        for path in sources.references.get(key, ())
    )
    seconds = max(form.seconds for form in forms.values())
    shuffled = tuple(chance.sample(clips, len(clips)))
    hashes = {path.name: digest(path) for path in sorted(folder.media.iterdir())}
    write_clips(folder, Clips(len(methods), seconds, shuffled, references, extras, hashes))
    origins = {}
    for clip in shuffled:
        path = videos[clip.id].path
        file, was = str(path.relative_to(sources.root)), found[path]
        origins[clip.id] = Origin(
            *(methods[clip.arm], clip.item, file, was.fps, was.width, was.height, was.seconds),
            shown_fps=float(forms[clip.item].rate),
        )
    write_map(folder, BlindingMap(tuple(methods), keys, origins, new_salt()))
    definition = replace(definition, encoding=replace(wanted, crf=crf))
    write_atomically(folder.definition, dump(definition))
    return definition


def _with_items(definition: Definition, sources: Sources, keys: Mapping[str, str]) -> Definition:
    """The definition with the items of the clips, its training and gold pages pointing at them."""
    items = []
    for item, key in keys.items():
        wording = sources.wording(key, definition)
        assert wording is not None  # noqa: S101  (`measured` refuses an item without)
        items.append(Item(item, *wording))
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
    shown: Shown, sources: Sources, form: Form, found: Mapping[Path, Measure]
) -> Video:
    """A video of a training or gold page; of a longer reference its middle."""
    if shown.video:
        return Video(sources.root / shown.video, form)
    path = sources.references[sources.keys[shown.item]][0]
    return Video(path, form, shown.made, max(0.0, (found[path].seconds - form.seconds) / 2))


def _common_size(wanted: Encoding, clips: Sequence[Measure]) -> Encoding:
    """The picture's size, unless the definition fixes it: the largest, scaled down to `SIDE`."""
    width, height = max(each.width for each in clips), max(each.height for each in clips)
    scale = min(1.0, SIDE / max(width, height))
    return replace(
        wanted,
        width=wanted.width or max(64, 2 * round(width * scale / 2)),
        height=wanted.height or max(64, 2 * round(height * scale / 2)),
    )


def _form(wanted: Encoding, sources: Sources, key: str, found: Mapping[Path, Measure]) -> Form:
    """Return the common form of the clips of an item.

    Design choice: unless the definition fixes it, the commonest frame rate of the item's clips (the
    lower of equals) and their median duration, so that most methods are shown frame by frame as
    they are. Items may differ, methods within an item cannot.
    """
    clips = [found[sources.clips[method, key]] for method in sources.methods]
    rates = Counter(max(1.0, round(each.fps, 1)) for each in clips)  # mkv has times in whole ms
    rate = wanted.fps or min(rates, key=lambda each: (-rates[each], each))
    seconds = sorted(each.seconds for each in clips)[len(clips) // 2]
    frames = wanted.frames or max(2, round(seconds * rate))
    return Form(
        wanted.width, wanted.height, frames, Fraction(rate).limit_denominator(100), wanted.crf
    )


def _write_videos(
    folder: Folder, videos: Mapping[str, Video], crf: int, chance: secrets.SystemRandom
) -> int:
    """Encode all alike, as coarsely as the largest clip requires; return the crf used."""
    while True:
        units = {
            name: encodings.encode(_frames(video), replace(video.form, crf=crf))
            for name, video in videos.items()
        }
        sizes = {
            frames: encodings.common_sizes([each for each in units.values() if len(each) == frames])
            for frames in {len(each) for each in units.values()}
        }
        largest = max(sum(each) for each in sizes.values())
        if largest <= LARGEST_FILE:
            break
        if crf + COARSER > COARSEST:
            raise StudyError(
                f"clips need {largest // 1000} kB each and {LARGEST_FILE // 1000} kB load in time; "
                "give a smaller encoding.width and height, or fewer encoding.frames."
            )
        logger.info("crf %d gives %d bytes, coarser is tried", crf, largest)
        crf += COARSER
    paths = {name: folder.media / f"{name}.mp4" for name in chance.sample(list(units), len(units))}
    for name, path in paths.items():
        form = replace(videos[name].form, crf=crf)
        encodings.write_mp4(path, units[name], sizes[form.frames], form)
    encodings.make_equally_long(list(paths.values()))
    for path in paths.values():
        os.utime(path, (FIXED_TIME, FIXED_TIME))
    return crf


def _write_reference(folder: Folder, item: str, path: Path, form: Form, was: Measure) -> Reference:
    """A real video, whole and at its own speed, and its middle frame.

    It belongs to no method, so it is not padded.
    """
    rate = Fraction(min(was.fps, FASTEST_REFERENCE)).limit_denominator(100)
    frames = max(2, round(min(was.seconds, LONGEST_REFERENCE) * rate))
    form = replace(form, rate=rate, frames=frames, crf=max(form.crf, REFERENCE_CRF))
    reference = Reference(item, secrets.token_hex(12), secrets.token_hex(12))
    pictures = encodings.read_frames(path, form)
    units = encodings.encode(pictures, form)
    video = folder.media / f"{reference.video}.mp4"
    image = folder.media / f"{reference.image}.jpg"
    encodings.write_mp4(video, units, encodings.common_sizes([units]), form)
    encodings.write_picture(image, pictures[len(pictures) // 2])
    for written in (video, image):
        os.utime(written, (FIXED_TIME, FIXED_TIME))
    return reference


def _frames(video: Video) -> Frames:
    return TREATMENTS[video.made](encodings.read_frames(video.path, video.form, video.begin))


def _scrambled(frames: Frames) -> Frames:
    """Every frame once, in one random order, the same for every clip."""
    scrambled: Frames = frames[np.random.default_rng(1).permutation(len(frames))]
    return scrambled


def _noisy(frames: Frames) -> Frames:
    """The picture under heavy coarse noise, which is plain to see and small to store."""
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
