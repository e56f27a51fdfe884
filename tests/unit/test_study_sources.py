"""Names of files as people, tables and systems write them; nothing is decoded here."""

import json
import zipfile
from pathlib import Path

import pytest

from study import uploads
from study.errors import StimuliError
from study.reading import template
from study.sources import find, holds_clips, is_junk, manifests, measured

JUNK = (
    *("._1.mp4", ".1.mp4", "Thumbs.db", "desktop.ini", ".DS_Store", "~$1.mp4"),
    *("__MACOSX/a/._1.mp4", "@eaDir/1.mp4", ".Trash/1.mp4", "$RECYCLE.BIN/1.mp4"),
)


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


@pytest.mark.parametrize(
    "item", ["①", "²", "٣", "८", "9" * 200, "1_²", "x", "8_3", "08", "_", "8_"]
)
def test_items_may_be_called_anything_a_file_may(tmp_path, item):
    # Bug: isdigit() and then int(): a circled number ended in a traceback.
    names = [f"{method}/{each}.mp4" for method in "ab" for each in (item, "2", "10", "word")]
    found = find(touch(tmp_path, *names)).items
    assert item in found
    assert found.index("2") < found.index("10") < found.index("word")


@pytest.mark.parametrize("odd", ["9" * 5000, "..", "../../x", "a\\b", "a/b", "\x01"])
@pytest.mark.parametrize("column", ["method", "item"])
def test_a_name_that_no_file_may_have_is_refused(tmp_path, column, odd):
    """An item leads to its references: ../../x would copy a file of the server into the study."""
    row = {"method": "a", "item": "1", "file": "a/1.mp4", column: odd}
    table = touch(tmp_path, "a/1.mp4") / "clips.json"
    table.write_text(json.dumps([row]))
    with pytest.raises(StimuliError, match=f"row 1: {column} is "):
        find(tmp_path, table)


@pytest.mark.parametrize("junk", JUNK)
def test_what_systems_leave_in_folders_is_no_clip(tmp_path, junk):
    # Bug: the ._ files of macOS became clips that cannot be decoded, __MACOSX a method.
    clean = find(touch(tmp_path, "a/1.mp4", "references/1.mp4"))
    touch(tmp_path, junk, f"a/{junk}", f"references/{junk}", f"references/2/{junk}")
    assert find(tmp_path) == clean
    assert holds_clips(tmp_path)


def test_what_systems_leave_is_no_manifest(tmp_path):
    # Bug: "._clips.csv, clips.csv came with the clips; send one manifest."
    touch(tmp_path, "clips.csv", "._clips.csv", ".clips.json")
    assert manifests(tmp_path) == [tmp_path / "clips.csv"]


@pytest.mark.parametrize("name", [".", "..", "a", "references", "a.mp4", "DS_Store"])
def test_what_people_write_is_not_junk(name):
    """A path that leads elsewhere must be refused, not passed over."""
    assert not is_junk(name)


@pytest.mark.parametrize(
    ("file", "kept"),
    [("a\\1.mp4", "a/1.mp4"), (".\\a\\1.mp4", "a/1.mp4"), ("a\\b\\1.mp4", "a/b/1.mp4")],
)
def test_a_table_of_windows_names_the_same_files(tmp_path, file, kept):
    # Bug: the backslashes stayed and one garbled name was looked for.
    table = touch(tmp_path, kept, "r/1.mp4") / "clips.csv"
    table.write_text(f"method,item,file,reference\na,1,{file},r\\1.mp4\n")
    found = find(tmp_path, table)
    assert found.clips == {("a", "1"): tmp_path / kept}
    assert found.references == {"1": (tmp_path / "r/1.mp4",)}


@pytest.mark.parametrize("file", ["..\\a.mp4", "C:\\a.mp4", "\\\\host\\a.mp4", "a\\..\\..\\b.mp4"])
def test_a_table_of_windows_cannot_lead_out_either(tmp_path, file):
    table = touch(tmp_path, "a/1.mp4") / "clips.csv"
    table.write_text(f"method,item,file\na,1,{file}\n")
    with pytest.raises(StimuliError, match="is outside of"):
        find(tmp_path, table)


def test_a_zip_of_windows_or_macos_is_unpacked(tmp_path):
    archive = tmp_path / "clips.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for name in ("clips\\a\\1.mp4", "clips\\a\\._1.mp4", "__MACOSX/clips/a/._1.mp4"):
            packed.writestr(name, b"clip")
    root = tmp_path / "upload"
    root.mkdir()
    assert uploads.unpack(archive, root) == 1
    assert (root / "a" / "1.mp4").is_file()


def test_a_broken_off_upload_does_not_keep_the_server_from_starting(tmp_path, monkeypatch):
    # Bug: a zip that was left over is a file, and was deleted like a folder.
    monkeypatch.setattr(uploads, "KEPT_SECONDS", -1.0)
    touch(tmp_path, ".uploads/0123.zip", ".uploads/abc/a/1.mp4", ".uploads/.DS_Store")
    uploads.sweep(tmp_path)
    assert list((tmp_path / ".uploads").iterdir()) == []


def test_a_study_without_captions_is_told_how_to_write_them(tmp_path):
    """The first try of everybody fails on it."""
    with pytest.raises(StimuliError) as caught:
        measured(find(touch(tmp_path, "a/5.mp4", "b/5.mp4")), template("fig16"))
    told = "\n".join(caught.value.problems)
    assert "5 has no label and text; add 5 or 5 to captions.yaml" not in told
    assert "add 5 to captions.yaml" in told
    assert '"8": {label: ' in told
    assert "docs/study.md" in told


@pytest.mark.parametrize(
    "text",
    ["8: just a text", "8: {label: a}", "- a", "8: {label: a, text: [b]}", "[" * 1000, "\x00"],
)
def test_captions_of_another_form_are_told_the_form(tmp_path, text):
    touch(tmp_path, "a/8.mp4")
    (tmp_path / "captions.yaml").write_text(text)
    with pytest.raises(StimuliError) as caught:
        find(tmp_path)
    assert all("captions.yaml" in problem for problem in caught.value.problems)


def test_captions_under_another_ending_are_named(tmp_path):
    touch(tmp_path, "a/8.mp4", "captions.yml")
    with pytest.raises(StimuliError, match=r"call it captions\.yaml"):
        find(tmp_path)


@pytest.mark.parametrize("line", ['{"a": ' + "9" * 5000 + "}", '"class": 1', "[" * 1000])
def test_a_batchs_line_of_odd_numbers_is_named(tmp_path, line):
    touch(tmp_path, "a/8_1.mp4")
    (tmp_path / "manifest.jsonl").write_text(f"{line}\n{{}}\n")
    with pytest.raises(StimuliError, match=r"manifest\.jsonl line 1"):
        find(tmp_path)


@pytest.mark.parametrize("name", ["clips.json", "clips.csv"])
def test_a_table_that_is_none_is_named(tmp_path, name):
    touch(tmp_path, "a/8.mp4")
    (tmp_path / name).write_text('[{"method": ' + "9" * 5000 + "}]")
    with pytest.raises(StimuliError, match=name):
        find(tmp_path, tmp_path / name)
