"""Clips of unlike methods become files that differ in the coded picture alone."""

import json
import re
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from study_clips import METHODS, make_clips, picture, write
from study_secrets import leaks, secret_words

from study.definition import Definition, Shown
from study.encoding import Form, common_sizes, encode, measure, read_frames, write_mp4
from study.errors import PhaseError, StimuliError
from study.folder import Folder, Milestones, read_clips, read_definition, write_milestones
from study.reading import template
from study.sources import find
from study.stimuli import FIXED_TIME, build


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def built(clips, tmp_path_factory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp("study") / "blind")
    build(folder, template("fig16"), find(clips))
    return folder


@pytest.fixture
def own(clips, tmp_path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(clips, tmp_path / "own")


def problems(videos: Path, definition: Definition | None = None, manifest: Path | None = None):
    with pytest.raises(StimuliError) as caught:
        build(Folder(videos / "study"), definition or template("fig16"), find(videos, manifest))
    assert not (videos / "study" / "clips.json").exists()  # nothing half-made is left
    return caught.value.problems


def rated(folder: Folder) -> list[Path]:
    return [folder.media / f"{clip.id}.mp4" for clip in read_clips(folder).clips]


def extras(folder: Folder) -> list[Path]:
    pages = read_clips(folder).extras
    return [folder.media / f"{name}.mp4" for page in pages for name in (page.left, page.right)]


def outside_the_picture(path: Path) -> bytes:
    content = path.read_bytes()
    return content[: content.index(b"mdat") + 4]


def test_every_byte_outside_the_coded_picture_is_the_same(built):
    """A free box would still leave sample sizes and box lengths that tell methods apart."""
    files = [*rated(built), *extras(built)]
    assert len({path.stat().st_size for path in files}) == 1
    assert len({outside_the_picture(path) for path in files}) == 1


def test_items_keep_their_own_speed_and_duration_and_files_stay_equally_long(clips, tmp_path):
    """A leap lasts half as long as a somersault; forcing both to one rate would slow one down."""
    videos = shutil.copytree(clips, tmp_path / "clips")
    rng = np.random.default_rng(0)
    for method, (side, fps, suffix) in METHODS.items():
        write(videos / method / f"8_20.{suffix}", picture(rng, side), 2 * fps, 0.5)
        write(videos / method / f"8_30.{suffix}", picture(rng, side), fps, 2.0)
    folder = Folder(tmp_path / "s")
    build(folder, template("fig16"), find(videos))
    clips_of: dict[str, list[Path]] = {}
    for clip in read_clips(folder).clips:
        clips_of.setdefault(clip.item, []).append(folder.media / f"{clip.id}.mp4")
    found = {item: {measure(path) for path in paths} for item, paths in clips_of.items()}
    assert all(len(each) == 1 for each in found.values())
    rates = [next(iter(found[item])).fps for item in sorted(found)]
    lasts = [next(iter(found[item])).seconds for item in sorted(found)]
    np.testing.assert_allclose(rates, [8, 8, 16, 8])
    np.testing.assert_allclose(lasts, [1, 1, 0.5, 2])
    assert read_clips(folder).seconds == 2.0  # what a rater must watch at most
    assert len({path.stat().st_size for paths in clips_of.values() for path in paths}) == 1
    for paths in clips_of.values():
        assert len({outside_the_picture(path) for path in paths}) == 1


def test_nothing_on_the_disk_tells_methods_apart(built):
    for path in built.media.iterdir():
        assert path.stat().st_mtime == FIXED_TIME
        assert re.fullmatch(r"[0-9a-f]{24}\.(mp4|jpg)", path.name)
    assert len({path.stat().st_mode for path in rated(built)}) == 1


def test_clips_decode_to_the_same_shape_without_sound_or_metadata(built):
    for path in rated(built):
        with av.open(str(path)) as container:
            assert [stream.type for stream in container.streams] == ["video"]
            assert set(container.metadata) <= {"major_brand", "minor_version", "compatible_brands"}
            stream = container.streams.video[0]
            assert (stream.width, stream.height, stream.average_rate) == (96, 96, 8)
            assert stream.codec_context.pix_fmt == "yuv420p"
            assert sum(1 for _ in container.decode(stream)) == 8


def test_encoder_remarks_are_left_out(built):
    """x264 writes its settings, and with other presets its version, into the first frame."""
    assert all(b"x264" not in path.read_bytes() for path in rated(built))


def test_the_order_of_the_list_and_the_arms_are_drawn_by_lot(clips, tmp_path):
    """A list in the order of the folder gives the methods away to whoever reads it."""
    sources = find(clips)
    definition = replace(template("fig16"), training=(), gold=())
    maps = []
    for number in range(6):
        folder = Folder(tmp_path / str(number))
        build(folder, definition, sources)
        listed = read_clips(folder).clips
        maps.append((tuple(clip.arm for clip in listed), tuple(clip.item for clip in listed)))
        methods = json.loads(folder.map.read_text())["methods"]
        assert sorted(methods) == sorted(METHODS)
        maps[-1] += (tuple(methods),)
    assert len({arms for arms, _, _ in maps}) > 1
    assert len({methods for _, _, methods in maps}) > 1


def test_everything_that_is_not_secret_names_no_method_file_or_seed(built):
    from study.blinding import BlindingMap, Origin

    data = json.loads(built.map.read_text())
    origins = {clip: Origin(**each) for clip, each in data["clips"].items()}
    words = secret_words(BlindingMap(tuple(data["methods"]), data["items"], origins, data["salt"]))
    assert {"alphanet", "8_11", "alphanet/8_11.mp4"} <= words
    open_files = [built.definition, built.clips, *built.media.iterdir()]
    for path in open_files:
        assert leaks(path.read_bytes() + path.name.encode(), words) == (), path.name


def test_the_map_can_be_read_by_its_owner_alone(built):
    assert built.map.stat().st_mode & 0o777 == 0o600
    assert built.secret.stat().st_mode & 0o777 == 0o700


def test_pictures_are_kept(clips, built):
    """Re-encoding must not change what is judged."""
    data = json.loads(built.map.read_text())
    form = Form(96, 96, 8, Fraction(8))
    for clip, origin in data["clips"].items():
        before = read_frames(clips / origin["file"], form).astype(int)
        after = read_frames(built.media / f"{clip}.mp4", form).astype(int)
        assert np.abs(before - after).mean() < 6
        assert len(before) == 8


def test_references_keep_their_length_and_give_their_middle_frame(clips, built):
    found = read_clips(built).references
    assert {reference.item for reference in found} == {"item01", "item02"}
    for reference in found:
        video = built.media / f"{reference.video}.mp4"
        assert measure(video).seconds == pytest.approx(1.5)
        middle = read_frames(video, Form(96, 96, 12, Fraction(8)))[6].astype(int)
        with av.open(str(built.media / f"{reference.image}.jpg")) as container:
            image = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
        assert np.abs(image - middle).mean() < 8


def test_items_take_their_wording_from_the_template_by_class_and_sort_by_seed(built):
    items = read_definition(built).items
    assert [item.id for item in items] == ["item01", "item02"]
    assert all(item.label["en"] == "Class 8: split leap with 1 turn" for item in items)
    assert json.loads(built.map.read_text())["items"] == {"item01": "8_3", "item02": "8_11"}


def test_made_videos_are_what_they_are_called(clips, tmp_path):
    def page(number: int, made: str):
        return replace(template("fig16").gold[0], id=f"g{number}", left=Shown(made=made))

    kinds = ("as_is", "frozen", "scrambled", "noise")
    definition = replace(
        template("fig16"), training=(), gold=tuple(page(n, kind) for n, kind in enumerate(kinds))
    )
    folder = Folder(tmp_path / "made")
    build(folder, definition, find(clips))
    form = Form(96, 96, 8, Fraction(8))
    found = {
        kind: read_frames(folder.media / f"{each.left}.mp4", form).astype(int)
        for kind, each in zip(kinds, read_clips(folder).extras, strict=True)
    }
    original = found["as_is"]
    assert np.abs(np.diff(found["frozen"], axis=0)).mean() < 1
    assert np.abs(np.diff(original, axis=0)).mean() > 10
    assert np.abs(found["noise"] - original).mean() > 40
    nearest = [np.abs(original - frame).mean((1, 2, 3)).argmin() for frame in found["scrambled"]]
    assert sorted(nearest) == list(range(8))
    assert nearest != sorted(nearest)


def test_all_faults_of_a_folder_are_told_at_once(own):
    (own / "alphanet" / "8_3.mp4").unlink()
    (own / "betaflow" / "8_11.mkv").write_bytes(b"no video")
    for method in METHODS:
        seconds = 3.0 if method == "gammawarp" else 1.0
        write(own / method / "8_5.mp4", picture(np.random.default_rng(0), 64), 8, seconds)
    write(own / "gammawarp" / "9_1.mp4", picture(np.random.default_rng(0), 64), 8, 1.0)
    told = problems(own)
    for sentence in (
        "alphanet has no clip of 8_3; add alphanet/8_3.mp4",
        "alphanet has no clip of 9_1",
        "betaflow/8_11.mkv cannot be decoded",
        "gammawarp/8_5.mp4 lasts 3.00 s and clips of 8_5 last 1.00 s",
        "9_1 has no label and text",
    ):
        assert sum(sentence in line for line in told) == 1, (sentence, told)


def test_the_same_file_under_two_methods_is_refused(own):
    """A copied folder would make two methods equal, and the study worthless."""
    shutil.copy(own / "alphanet" / "8_3.mp4", own / "gammawarp" / "8_3.mp4")
    assert "are the same file" in problems(own)[0]


def test_training_without_a_reference_says_what_to_add(own):
    shutil.rmtree(own / "references")
    assert any("add references/8.mp4" in line for line in problems(own))


def test_an_empty_folder_says_how_to_fill_it(tmp_path):
    with pytest.raises(StimuliError, match="METHOD/ITEM"):
        find(tmp_path)
    with pytest.raises(StimuliError, match="is not a directory"):
        find(tmp_path / "nothing")


def test_a_manifest_names_files_captions_and_references(own, tmp_path):
    rows = ["method,item,file,label,caption,caption_zh,reference"]
    rows += [
        f"{method},{item},{method}/{item}.{suffix},a leap,legs apart,劈叉,references/8.mp4"
        for method, (_, _, suffix) in METHODS.items()
        for item in ("8_3", "8_11")
    ]
    manifest = tmp_path / "clips.csv"
    manifest.write_text("\n".join(rows), "utf-8")
    definition = replace(template("fig16"), training=(), gold=())
    made = build(Folder(tmp_path / "s"), definition, find(own, manifest, ("en", "zh")))
    assert made.items[0].text == {"en": "legs apart", "zh": "劈叉"}
    assert made.items[0].label == {"en": "a leap"}
    assert len(read_clips(Folder(tmp_path / "s")).references) == 2
    assert find(own, manifest).items == ("8_3", "8_11")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("method,file\na,b.mp4\n", "it needs method, item, file"),
        ("method,item,file\na,,b.mp4\n", "row 2 has no item"),
        ("method,item,file\na,1,b.mp4\na,1,c.mp4\n", "row 3 is a second clip of 1 by a"),
        ("", "has no rows"),
    ],
)
def test_a_faulty_manifest_is_told_by_its_row(own, tmp_path, content, sentence):
    manifest = tmp_path / "clips.csv"
    manifest.write_text(content)
    with pytest.raises(StimuliError, match=sentence):
        find(own, manifest)


def test_a_manifest_in_json_is_read_too(own, tmp_path):
    manifest = tmp_path / "clips.json"
    manifest.write_text(json.dumps([{"method": "a", "item": "1", "file": "alphanet/8_3.mp4"}]))
    assert find(own, manifest).methods == ("a",)
    manifest.write_text("{")
    with pytest.raises(StimuliError, match="not a CSV or JSON"):
        find(own, manifest)


def test_captions_file_wins_over_the_template(own):
    (own / "captions.yaml").write_text("8: {label: L, text: T}\n8_3: {label: own, text: mine}\n")
    sources = find(own)
    assert sources.caption("8_3") == ({"en": "own"}, {"en": "mine"})
    assert sources.caption("8_11") == ({"en": "L"}, {"en": "T"})


def test_clips_of_an_open_study_are_not_replaced(clips, tmp_path):
    folder = Folder(tmp_path)
    write_milestones(folder, Milestones(opened="today"))
    with pytest.raises(PhaseError, match="must be draft"):
        build(folder, template("fig16"), find(clips))


def test_clips_too_large_to_load_in_time_are_made_coarser_alike(clips, tmp_path, monkeypatch):
    fine, coarse = Folder(tmp_path / "fine"), Folder(tmp_path / "coarse")
    definition = replace(template("fig16"), training=(), gold=())
    build(fine, definition, find(clips))
    size = rated(fine)[0].stat().st_size
    monkeypatch.setattr("study.stimuli.LARGEST_FILE", size // 2)
    made = build(coarse, definition, find(clips))
    assert made.encoding.crf > definition.encoding.crf
    assert {path.stat().st_size for path in rated(coarse)} != {size}
    assert len({path.stat().st_size for path in rated(coarse)}) == 1


@pytest.mark.parametrize(("width", "height"), [(128, 64), (64, 128)])
def test_clips_of_another_shape_get_bars_and_keep_their_proportions(tmp_path, width, height):
    still = np.full((64, 64, 3), 200, np.uint8)
    write(tmp_path / "a.mp4", still, 8, 0.5)
    frames = read_frames(tmp_path / "a.mp4", Form(width, height, 4, Fraction(8)))
    bright = frames[0].mean(2) > 100
    assert frames.shape == (4, height, width, 3)
    assert bright.any(0).sum() == bright.any(1).sum() == 64


def test_frames_are_taken_at_their_time(tmp_path):
    """16 frames a second shown at 8 must keep the speed, not the number of frames."""
    stills = [np.full((64, 64, 3), 15 * n, np.uint8) for n in range(16)]
    with av.open(str(tmp_path / "ramp.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=16, options={"crf": "1", "threads": "1"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for still in stills:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(still, format="rgb24")))
        container.mux(stream.encode())
    levels = read_frames(tmp_path / "ramp.mp4", Form(64, 64, 8, Fraction(8))).mean((1, 2, 3)) / 15
    np.testing.assert_allclose(levels, np.arange(1, 17, 2), atol=0.3)
    longer = read_frames(tmp_path / "ramp.mp4", Form(64, 64, 10, Fraction(8))).mean((1, 2, 3)) / 15
    np.testing.assert_allclose(longer[8:], 15, atol=0.3)


def test_padding_has_every_length_and_equal_frames_give_equal_bytes(tmp_path):
    from study.encoding import _padding

    form = Form(64, 64, 4, Fraction(8))
    rng = np.random.default_rng(0)
    busy = rng.integers(0, 255, (4, 64, 64, 3), np.uint8)
    assert encode(busy, form) == encode(busy, form)
    assert all(len(_padding(size)) == size for size in range(24, 1100))
    for size in range(24, 1100):  # no start code inside a unit; a few sizes need two units
        units = _padding(size).split(b"\x00\x00\x00\x01")[1:]
        assert len(units) <= 2
        assert not any(b"\x00\x00" in unit for unit in units)
    calm = encode(np.zeros_like(busy), form)
    sizes = common_sizes([calm, encode(busy, form)])
    write_mp4(tmp_path / "padded.mp4", calm, sizes, form)
    write_mp4(tmp_path / "plain.mp4", calm, common_sizes([calm]), form)
    padded, plain = (read_frames(tmp_path / f"{name}.mp4", form) for name in ("padded", "plain"))
    assert (padded == plain).all()
    assert (tmp_path / "padded.mp4").stat().st_size > (tmp_path / "plain.mp4").stat().st_size
