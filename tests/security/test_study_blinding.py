"""Nobody learns who made a clip before the close, and nobody can change the map afterwards."""

import base64
import gzip
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from study_secrets import leaks, secret_words

from study import acts, blinding
from study.audit import acts as audit_log
from study.blinding import BlindingMap, Origin, new_salt, read_map, write_map
from study.definition import Item
from study.errors import FrozenError, PhaseError, StudyError
from study.files import digest
from study.folder import (
    Clip,
    Clips,
    Folder,
    read_clips,
    read_definition,
    read_milestones,
    write_clips,
)
from study.reading import dump, template
from study.store import Store

WORDS = frozenset({"AnimateDiff", "8_3", "seed-42", "clips/ours/8_3.mp4", "7"})


@pytest.fixture
def draft(tmp_path) -> Folder:
    """A draft of two methods and one item; its media are not needed here."""
    folder = Folder(tmp_path / "hidden")
    folder.root.mkdir()
    items = (Item("item01", {"en": "label"}, {"en": "text"}),)
    definition = replace(template("fig16"), name="hidden", items=items, training=(), gold=())
    folder.definition.write_text(dump(definition), "utf-8")
    folder.media.mkdir()
    for name in ("aa", "bb"):
        (folder.media / f"{name}.mp4").write_bytes(name.encode())
    hashes = {path.name: digest(path) for path in folder.media.iterdir()}
    clips = (Clip("bb", "item01", 1), Clip("aa", "item01", 0))
    write_clips(folder, Clips(2, 1.0, clips, hashes=hashes))
    origins = {
        "aa": Origin("baseline", "item01", "baseline/8_3.mp4", 8.0, 64, 64, 1.0, 8.0),
        "bb": Origin("ours", "item01", "ours/8_3.mp4", 8.0, 64, 64, 1.0, 8.0),
    }
    write_map(folder, BlindingMap(("baseline", "ours"), {"item01": "8_3"}, origins, new_salt()))
    return folder


def test_the_published_hash_is_the_one_anybody_computes_from_the_file(draft):
    made = acts.open_for_raters(draft, "me")
    assert made.map_sha256 == hashlib.sha256(draft.map.read_bytes()).hexdigest()
    assert made.clips_sha256 == hashlib.sha256(draft.clips.read_bytes()).hexdigest()


def test_the_hash_cannot_be_guessed_from_the_methods(draft):
    """Without a salt 7! = 5,040 maps can be tried against the published hash."""
    data = json.loads(draft.map.read_text())
    assert len(bytes.fromhex(data["salt"])) == 32
    assert new_salt() != new_salt()


@pytest.mark.parametrize("phase", ["draft", "open", "closed"])
def test_the_map_is_not_read_before_unblinding(draft, phase, monkeypatch):
    if phase != "draft":
        acts.open_for_raters(draft, "me")
    if phase == "closed":
        acts.close(draft, "me")

    def touched(folder: Folder) -> bytes:
        pytest.fail("the map was read")

    monkeypatch.setattr(blinding, "_map_bytes", touched)
    with pytest.raises(PhaseError, match="methods are hidden"):
        read_map(draft)
    if phase != "closed":
        with pytest.raises(PhaseError, match="must be closed"):
            acts.unblind(draft, "me")


def test_acts_come_in_order_and_each_once(draft):
    with pytest.raises(PhaseError, match="it is draft and must be open"):
        acts.close(draft, "me")
    acts.open_for_raters(draft, "me")
    with pytest.raises(PhaseError, match="it is open and must be draft"):
        acts.open_for_raters(draft, "me")
    acts.close(draft, "me")
    assert acts.unblind(draft, "me").methods == ("baseline", "ours")
    with pytest.raises(PhaseError, match="it is unblinded and must be closed"):
        acts.unblind(draft, "me")
    assert read_map(draft).clips["aa"].method == "baseline"
    milestones = read_milestones(draft)
    assert milestones.opened <= milestones.closed <= milestones.unblinded


def test_every_act_is_in_the_audit_log_and_refused_acts_are_not(draft):
    acts.open_for_raters(draft, "me")
    with pytest.raises(PhaseError):
        acts.unblind(draft, "me")
    acts.close(draft, "me")
    acts.unblind(draft, "me")
    with Store(draft.database) as store:
        found = audit_log(store)
    assert [act["act"] for act in found] == ["open", "close", "unblind"]
    assert found[0]["detail"]["map_sha256"] == read_milestones(draft).map_sha256


def test_a_map_changed_after_the_opening_is_refused(draft):
    """Swapping two methods' names after the scores are in would turn the result round."""
    acts.open_for_raters(draft, "me")
    acts.close(draft, "me")
    kept = draft.map.read_text()
    draft.map.write_text(kept.replace("ours", "OURS").replace("baseline", "ours"))
    with pytest.raises(FrozenError, match=r"map\.json was changed"):
        acts.unblind(draft, "me")
    assert read_milestones(draft).phase == "closed"
    draft.map.write_text(kept)
    assert acts.unblind(draft, "me").methods == ("baseline", "ours")
    draft.map.write_text(kept + " ")
    with pytest.raises(FrozenError):
        read_map(draft)


def test_a_draft_is_edited_with_checks_and_an_open_study_is_not(draft):
    text = draft.definition.read_text("utf-8")
    with pytest.raises(StudyError, match="kind is 'both'"):
        acts.edit(draft, text.replace("kind: pairs", "kind: both"), "me")
    with pytest.raises(StudyError, match="keep its name"):
        acts.edit(draft, text.replace("name: hidden", "name: other"), "me")
    assert draft.definition.read_text("utf-8") == text
    edited = text.replace("repeat_share: 0.1", "repeat_share: 0.2")
    assert acts.edit(draft, edited, "me").repeat_share == 0.2
    acts.open_for_raters(draft, "me")
    with pytest.raises(PhaseError, match="cannot edit hidden"):
        acts.edit(draft, text, "me")
    with Store(draft.database) as store:
        assert [act["act"] for act in audit_log(store)] == ["edit", "open"]


def test_a_lost_map_is_noticed_at_the_opening(draft):
    draft.map.unlink()
    with pytest.raises(StudyError, match="Put it back"):
        acts.open_for_raters(draft, "me")
    assert read_milestones(draft).phase == "draft"


def test_clips_and_items_that_do_not_fit_are_noticed_at_the_opening(draft):
    text = draft.definition.read_text("utf-8").replace("item01", "item02")
    draft.definition.write_text(text, "utf-8")
    with pytest.raises(StudyError, match="item01, item02"):
        acts.open_for_raters(draft, "me")


def test_clips_exchanged_after_the_opening_are_refused(draft):
    acts.open_for_raters(draft, "me")
    read_definition(draft)
    draft.clips.write_text(draft.clips.read_text().replace('"arm": 1', '"arm": 0'))
    with pytest.raises(FrozenError, match=r"clips\.json was changed"):
        read_clips(draft)


@pytest.mark.parametrize("when", ["before the opening", "before unblinding"])
def test_an_exchanged_video_is_noticed(draft, when):
    """The list of clips may be untouched while another video lies under the same name."""
    if when == "before unblinding":
        acts.open_for_raters(draft, "me")
        acts.close(draft, "me")
    (draft.media / "aa.mp4").write_bytes(b"another video")
    with pytest.raises(FrozenError, match=r"aa\.mp4 .* changed since"):
        (acts.unblind if when == "before unblinding" else acts.open_for_raters)(draft, "me")


def test_a_folder_without_a_study_is_named(tmp_path):
    with pytest.raises(StudyError, match="holds no study"):
        acts.open_for_raters(Folder(tmp_path / "none"), "me")
    assert not (tmp_path / "none").exists()


def test_words_to_look_for_hold_names_files_folders_and_seeds(draft):
    data = json.loads(draft.map.read_text())
    origins = {clip: Origin(**each) for clip, each in data["clips"].items()}
    words = secret_words(BlindingMap(("baseline", "ours"), data["items"], origins, "salt"))
    assert {"baseline", "ours", "8_3", "ours/8_3.mp4"} <= words


@pytest.mark.parametrize(
    "seen",
    [
        b"<video src=animatediff.mp4>",
        b"title: Animate Diff",
        b"X-Model: animate-diff",
        "ANIMATEDIFF".encode("utf-16-le"),
        base64.b64encode(b"made by AnimateDiff v3"),
        base64.urlsafe_b64encode(b"made by AnimateDiff v3"),
        gzip.compress(b"animatediff", mtime=0),
        b"/media/%41nimateDiff",
        bytes(range(128, 256)) * 4 + b"\x00\x01AnimateDiff 1.0\x00" + bytes(range(256)),
    ],
)
def test_a_name_is_found_however_it_is_written(seen):
    assert leaks(seen, WORDS) == ("AnimateDiff",)


def test_paths_and_seeds_are_found():
    assert "clips/ours/8_3.mp4" in leaks(b'{"file": "/data/clips/ours/8_3.mp4"}', WORDS)
    assert leaks(b'{"seed": 7}', WORDS) == ("7",)
    assert leaks(b"seed42", WORDS) == ("seed-42",)
    assert leaks(b"from 8_3 on", WORDS) == ("8_3",)
    assert leaks(b"model: a1", {"A1"}) == ("A1",)
    assert leaks(b"width: 83", WORDS) == ()


def test_noise_and_ordinary_words_raise_no_alarm():
    """Short seeds occur in any noise and inside longer numbers; false alarms hide real ones."""
    import numpy as np

    noise = np.random.default_rng(0).integers(0, 256, 400_000, np.uint8).tobytes()
    assert leaks(noise, WORDS) == ()
    assert leaks(b"1728 items, width: 87%, a1b7c3", WORDS) == ()
    assert leaks(b"", WORDS) == ()


def test_leaks_of_a_file_on_the_disk_are_told(tmp_path):
    """The helper must fail on a file that does name its method."""
    path = Path(tmp_path / "clip.mp4")
    path.write_bytes(b"\x00\x00\x00\x18ftypisom" + b"\x00" * 50 + b"title AnimateDiff seed-42 \x00")
    assert leaks(path.read_bytes(), WORDS) == ("AnimateDiff", "seed-42")
