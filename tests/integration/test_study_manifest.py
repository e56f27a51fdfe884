"""A grid that `python -m finephys batch` wrote becomes a study as it is."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from study_clips import METHODS, make_clips

from finephys import manifest as batch
from study.__main__ import main
from study.blinding import unblind
from study.errors import StimuliError
from study.folder import Folder, Milestones, read_definition, write_milestones
from study.reading import template
from study.sources import find, measured

DEMO = Path(__file__).resolve().parents[2] / "assets" / "study_demo"


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"), ("12_0", "12_1"))


@pytest.fixture
def grid(clips, tmp_path) -> Path:
    """A batch of three methods and two seeds of class 12, which no template has words for."""
    folder = shutil.copytree(clips, tmp_path / "grid")
    (folder / "references" / "8.mp4").rename(folder / "references" / "12.mp4")
    for number, (method, (_, _, suffix)) in enumerate(METHODS.items()):
        for seed in (0, 1):
            batch.append(folder, number, line(folder, method, seed, f"{method}/12_{seed}.{suffix}"))
    batch.merge(folder)
    return folder


def line(folder: Path, method: str, seed: int, file: str, **changed: Any) -> dict[str, Any]:
    """What a batch says of a video, as far as a study reads it and one thing more."""
    made = {
        "file": file,
        "method": method,
        "class": 12,
        "seed": seed,
        "prompt": "A person jumps. A purple leotard.",
        "reference": "references/12.mp4",
        "sha256": hashlib.sha256((folder / file).read_bytes()).hexdigest(),
        "settings": {"steps": 8},
        "made": 1.0,
    }
    return made | changed


def problems(videos: Path, manifest: Path | None = None) -> tuple[str, ...]:
    with pytest.raises(StimuliError) as caught:
        measured(find(videos, manifest), template("fig16"))
    return caught.value.problems


def test_the_command_takes_a_grid_as_it_is(grid, tmp_path, capsys):
    """No captions file, no table by hand: method, class, seed, prompt and reference are known."""
    studies = tmp_path / "studies"
    assert main(["--studies", str(studies), "new", "jumps", "--videos", str(grid)]) == 0
    folder = Folder(studies / "jumps")
    made = read_definition(folder)
    assert [item.text for item in made.items] == [{"en": "A person jumps. A purple leotard."}] * 2
    assert [item.label for item in made.items] == [{"en": "Class 12"}] * 2
    main(["--studies", str(studies), "open", "jumps"])
    main(["--studies", str(studies), "close", "jumps"])
    found = unblind(folder)
    assert set(found.methods) == set(METHODS)
    assert set(found.items.values()) == {"12_0", "12_1"}
    capsys.readouterr()


def test_given_by_name_the_table_alone_counts(grid):
    (grid / "beside").mkdir()
    shutil.copy(grid / "alphanet" / "12_0.mp4", grid / "beside" / "12_0.mp4")
    assert set(find(grid, grid / "manifest.jsonl").methods) == set(METHODS)


def test_clips_of_others_beside_a_grid_are_taken_too(grid):
    """Bug: a rival's clips, which no batch made, are left out without a word."""
    (grid / "rival").mkdir()
    for seed in (0, 1):
        shutil.copy(grid / "betaflow" / f"12_{seed}.mkv", grid / "rival" / f"12_{seed}.mkv")
    assert "rival" in find(grid).methods


def test_methods_are_called_as_the_batch_says_not_as_the_folder(grid):
    shutil.move(grid / "alphanet", grid / "run3")
    rows = (grid / "manifest.jsonl").read_text("utf-8").splitlines()
    said = [json.loads(row) for row in rows]
    for row in said:
        row["file"] = row["file"].replace("alphanet/", "run3/")
    (grid / "manifest.jsonl").write_text("\n".join(map(json.dumps, said)))
    for part in grid.glob("manifest-*.jsonl"):
        part.unlink()
    assert set(find(grid).methods) == set(METHODS)


def test_a_written_caption_wins_over_the_prompt(grid):
    (grid / "captions.yaml").write_text("12: {label: Split jump, text: Legs at 180 degrees.}\n")
    sources = find(grid)
    assert sources.wording("12_0", template("fig16")) == (
        {"en": "Split jump"},
        {"en": "Legs at 180 degrees."},
    )


def test_a_video_that_is_not_the_one_made_is_refused(grid):
    """Bug: a clip that was overwritten by hand is rated under the method's name."""
    shutil.copy(grid / "alphanet" / "12_1.mp4", grid / "alphanet" / "12_0.mp4")
    assert any("alphanet/12_0.mp4 is not the video that was made" in p for p in problems(grid))


def test_a_video_that_is_gone_is_told(grid):
    (grid / "alphanet" / "12_0.mp4").unlink()
    assert any("names alphanet/12_0.mp4 and there is no such file" in p for p in problems(grid))


def test_clips_of_one_item_from_different_prompts_need_a_caption(grid):
    """Bug: raters judge the fit to a text that half of the clips were not made from."""
    file = "alphanet/12_0.mp4"
    batch.append(grid, 7, line(grid, "alphanet", 0, file, prompt="Another one.", made=2.0))
    said = problems(grid)
    assert len(said) == 1
    assert "12_0 has no label and text and its clips come from different prompts" in said[0]


def test_the_latest_line_counts_and_a_cut_off_one_does_not(grid):
    file = "alphanet/12_0.mp4"
    old = line(grid, "alphanet", 0, file, sha256="0" * 64, made=0.5)
    path = grid / "manifest.jsonl"
    path.write_text(json.dumps(old) + "\n" + path.read_text("utf-8") + '{"file": "alphanet/12_')
    assert set(find(grid).methods) == set(METHODS)
    path.write_text("{}\n" + path.read_text("utf-8"))
    with pytest.raises(StimuliError, match=r"manifest\.jsonl line 1 is not a row"):
        find(grid)


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret.mp4"])
def test_a_table_cannot_lead_out_of_the_folder(grid, tmp_path, name):
    """Bugs: a file of the server is copied into a study; an absolute name ends in a traceback."""
    table = tmp_path / "clips.csv"
    table.write_text(f"method,item,file\na,1,{name}\n")
    with pytest.raises(StimuliError, match=r"row 2: .* is outside of"):
        find(grid, table)
    table.write_text(f"method,item,file,reference\na,1,a.mp4,{name}\n")
    with pytest.raises(StimuliError, match="is outside of"):
        find(grid, table)


def test_the_shipped_grid_is_whole():
    """Its videos are those that its manifest says, and Fig. 16 can be made of them."""
    sources = find(DEMO)
    assert len(sources.methods) == 7
    assert len(sources.items) == 2
    assert all(len(prompts) == 1 for prompts in sources.prompts.values())
    assert set(sources.prompts) == set(sources.items)
    measured(sources, template("fig16"))
    total = sum(path.stat().st_size for path in DEMO.rglob("*") if path.is_file())
    assert total <= 10_000_000


def test_an_open_study_is_not_made_again_from_a_grid(grid, tmp_path, capsys):
    folder = Folder(tmp_path / "studies" / "jumps")
    folder.root.mkdir(parents=True)
    write_milestones(folder, Milestones(opened="today"))
    words = ["--studies", str(folder.root.parent), "new", "jumps", "--videos", str(grid)]
    assert main(words) == 1
    assert "must be draft" in capsys.readouterr().err
