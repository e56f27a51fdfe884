"""`python -m study`: a study's whole life by its commands, and what a person is told on the way."""

import csv
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from study_clips import METHODS, make_clips

from study import commands
from study.__main__ import COMMANDS, main
from study.analysis.bias import side_and_order
from study.analysis.raters import rater_table, screened
from study.analysis.table import read_ratings
from study.folder import Folder, read_clips, read_milestones
from study.simulate import Tastes, fill

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"))


class Runner:
    """A person at the command line, with a folder of studies."""

    def __init__(self, studies: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.studies, self._capsys = studies, capsys

    def __call__(self, *words: object, fails: bool = False) -> str:
        code = main(["--studies", str(self.studies), *map(str, words)])
        out, error = self._capsys.readouterr()
        assert code == int(fails), error or out
        assert bool(error) == fails
        return error if fails else out

    def folder(self, name: str) -> Folder:
        return Folder(self.studies / name)


@pytest.fixture(scope="module")
def made(clips, tmp_path_factory) -> Path:
    """A folder of studies with one draft, copied for each test that needs one."""
    studies = tmp_path_factory.mktemp("made")
    assert main(["--studies", str(studies), "new", "turns", "--videos", str(clips)]) == 0
    return studies


@pytest.fixture
def study(made, tmp_path, capsys) -> Runner:
    shutil.copytree(made, tmp_path / "studies")
    return Runner(tmp_path / "studies", capsys)


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


def test_a_study_lives_from_its_clips_to_its_tables(study, clips, tmp_path):
    said = study("check", "turns")
    assert "3 methods, 2 items, kind pairs" in said
    assert "6 sequences: recruit 6 raters or a multiple" in said
    assert "must be closed" in study("unblind", "turns", fails=True)
    said = study("open", "turns")
    published = re.findall(r"\b[0-9a-f]{64}\b", said)
    milestones = read_milestones(study.folder("turns"))
    assert published == [
        milestones.definition_sha256,
        milestones.clips_sha256,
        milestones.map_sha256,
    ]
    links = study("invite", "turns", "--count", 3, "--address", "https://x.org/s/").split()
    assert len(set(links)) == 3
    assert all(link.startswith("https://x.org/s/?invite=") for link in links)

    study("simulate", "turns", "--raters", 6)
    assert "methods are hidden" in study("export", "turns", "--out", tmp_path / "o", fails=True)
    study("close", "turns")
    assert not any(name in study("log", "turns") for name in METHODS)
    said = study("unblind", "turns")
    assert all(name in said for name in METHODS)

    study("export", "turns", "--out", tmp_path / "o")
    rows = read_csv(tmp_path / "o" / "ratings.csv")
    real = [row for row in rows if not row["gold"] and row["repeat"] == "False"]
    counted = Counter((row["rater"], row["method"], row["side"]) for row in real)
    assert len(counted) == 6 * 3 * 2
    assert set(counted.values()) == {2 * 4}  # items x dimensions
    gold = [row for row in rows if row["gold"]]
    assert {row["method"] for row in gold} == {"attention check"}
    assert {(row["dimension"], row["gold"]) for row in gold} == {
        ("overall", "1.5"),
        ("overall", "4.0"),
    }
    assert len(gold) == 6 * 2 * 2
    assert len(json.loads((tmp_path / "o" / "ratings.json").read_text())) == len(rows)


def test_scripted_raters_show_the_known_order_and_side(study, clips, tmp_path):
    """Scores joined to the wrong clip or side would turn the known order round."""
    study("open", "turns")
    study("simulate", "turns", "--raters", 6)
    study("close", "turns")
    study("unblind", "turns")
    study("export", "turns", "--out", tmp_path)
    rows = [
        row
        for row in read_csv(tmp_path / "ratings.csv")
        if not row["gold"] and row["repeat"] == "False"
    ]
    arms = {clip.id: clip.arm for clip in read_clips(study.folder("turns")).clips}
    means = [
        sum(scores) / len(scores)
        for arm in range(3)
        for scores in [[int(row["score"]) for row in rows if arms[row["clip"]] == arm]]
    ]
    assert means == sorted(means, reverse=True)
    assert means[0] - means[2] > 1
    left, right = (
        sum(int(row["score"]) for row in rows if row["side"] == side) for side in ("left", "right")
    )
    assert left > right


def test_the_screening_finds_the_scripted_raters_who_do_not_look(study, tmp_path):
    """The whole way from a rater's page to the rater table; a lost or swapped score blurs it."""
    study("open", "turns")
    manners = ("honest", "honest", "honest", "random")
    tastes = Tastes(quality=(4.2, 3.0, 1.8), left_bias=0.4, manners=manners)
    came = fill(study.folder("turns"), 12, tastes, seed=1, actor="test")
    study("close", "turns")
    study("unblind", "turns")
    study("export", "turns", "--out", tmp_path)
    ratings = read_ratings(tmp_path / "ratings.csv")
    found = rater_table(ratings).set_index("rater")
    assert set(found.index[found["reasons"] != ""]) == set(came[3::4])
    bias = side_and_order(screened(ratings, rater_table(ratings)))
    left = bias[(bias["effect"] == "left side") & (bias["dimension"] == "all together")].iloc[0]
    assert left["low"] > 0
    assert left["low"] < 0.4 < left["high"] + 0.1


@pytest.mark.slow
def test_the_report_is_one_page_that_names_the_methods(study, tmp_path):
    study("open", "turns")
    study("simulate", "turns", "--raters", 6)
    study("close", "turns")
    study("unblind", "turns")
    assert "choose one of" in study(
        *("report", "turns", "--out", tmp_path, "--ours", "nobody"), fails=True
    )
    study("report", "turns", "--out", tmp_path, "--ours", "betaflow")
    page = (tmp_path / "report.html").read_text("utf-8")
    for words in (*METHODS, "invented", "Text Dimension", "may judder", "96 x 96"):
        assert words in page, words
    assert read_milestones(study.folder("turns")).map_sha256 in page


def test_choices_are_exported_by_side(study, clips, tmp_path):
    path = study.folder("turns").definition
    text = path.read_text("utf-8").replace("kind: pairs", "kind: choice")
    path.write_text(re.sub(r"(?s)gold:.*?(?=\n\w)", "gold: []", text), "utf-8")
    study("open", "turns")
    study("simulate", "turns", "--raters", 6)
    study("close", "turns")
    study("unblind", "turns")
    study("export", "turns", "--out", tmp_path)
    rows = read_csv(tmp_path / "choices.csv")
    assert {row["choice"] for row in rows} <= {"left", "right", "tie"}
    assert len({row["choice"] for row in rows}) > 1
    assert all(row["left"] != row["right"] for row in rows)
    assert len(rows) == 6 * 6 * 4


def test_a_snapshot_brings_back_what_was_lost(study, clips):
    study("open", "turns")
    study("simulate", "turns", "--raters", 2)
    snapshot = study("backup", "turns").split(":")[0]
    study.folder("turns").database.unlink()
    assert "2 sessions" in study("restore", "turns", snapshot)


def test_a_snapshot_of_another_study_of_the_same_name_is_refused(study, clips):
    # Bug: answers are joined to clips that their raters never saw.
    study("open", "turns")
    study("simulate", "turns", "--raters", 1)
    snapshot = study("backup", "turns").split(":")[0]
    kept = study.studies.parent / "kept"
    shutil.copytree(study.folder("turns").snapshots, kept)
    shutil.rmtree(study.folder("turns").root)
    study("new", "turns", "--videos", clips)
    study("open", "turns")
    said = study("restore", "turns", kept / Path(snapshot).name, fails=True)
    assert "is of another study" in said
    assert "restore" not in study("log", "turns")


def test_a_changed_definition_is_refused_by_every_command(study, clips):
    study("open", "turns")
    with study.folder("turns").definition.open("a", encoding="utf-8") as file:
        file.write("# later\n")
    for command in ("check", "invite", "simulate"):
        said = study(command, "turns", fails=True)
        assert said.startswith("error: study.yaml was changed after the study opened")
        assert said.count("\n") == 1


def test_editing_a_draft_is_checked_with_all_faults(study, clips):
    path = study.folder("turns").definition
    path.write_text(path.read_text("utf-8").replace("kind: pairs", "kind: both"), "utf-8")
    said = study("check", "turns", fails=True)
    assert "kind is 'both'; choose one of 'pairs', 'single', 'choice'" in said


def test_a_draft_made_again_keeps_its_edited_wording(study, clips):
    path = study.folder("turns").definition
    path.write_text(path.read_text("utf-8").replace("id: attention2", "id: attention3"), "utf-8")
    assert "attention3" in study("open", "turns", fails=True)
    first = {path.name for path in study.folder("turns").media.iterdir()}
    study("new", "turns", "--videos", clips)
    assert "id: attention3" in path.read_text("utf-8")
    assert not first & {path.name for path in study.folder("turns").media.iterdir()}
    study("open", "turns")
    assert "it is open and must be draft" in study("new", "turns", "--videos", clips, fails=True)


def test_faulty_clips_make_no_study(study, clips, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "holds no clips" in study("new", "none", "--videos", tmp_path / "empty", fails=True)
    assert "holds no study" in study("check", "none", fails=True)


def test_a_name_cannot_leave_the_folder_of_studies(study, clips, tmp_path):
    said = study("new", "../out", "--videos", clips, fails=True)
    assert "use small letters" in said
    assert not (tmp_path / "out").exists()


def test_the_planner_tells_the_known_differences(study):
    """20 raters, 2 clips: 1.5 points for new clips, .57 for these; 14 clips bring it to .62."""
    rows = study("plan", "--raters", 20, "--clips", 2, 14).splitlines()
    two, fourteen = (row.split() for row in rows[-2:])
    assert float(two[3]) == pytest.approx(0.57, abs=0.01)
    assert float(two[4]) == pytest.approx(1.5, abs=0.05)
    assert float(fourteen[4]) == pytest.approx(0.62, abs=0.01)


def test_the_planner_begins_with_the_size_of_a_study(study):
    # Bug: it began with seven methods for a study of three.
    rows = study("plan", "turns").splitlines()
    assert [row.split()[:3] for row in rows[2:]] == [
        [str(raters), str(clips), str(3 * clips)] for raters in (6, 12, 24) for clips in (2, 4, 8)
    ]


def test_codes_and_raters_are_listed_and_checked(study, tmp_path):
    study("open", "turns")
    study("simulate", "turns", "--raters", 3, "--drop-out", 0)
    head, *lines = study("codes", "turns").splitlines()
    assert head == "rater,source,code,skipped"
    rater, _, code, _ = lines[1].split(",")
    assert len(lines) == 3
    assert f"{code}: valid; rater {rater}" in study("codes", "turns", code)
    assert "1 of 2 codes are not valid" in study("codes", "turns", code, "AAAA-AAAA", fails=True)
    assert study("raters", "turns").splitlines()[0].startswith("rater,source,language,playback")
    study("raters", "turns", "--out", tmp_path / "who.csv")
    assert [row["state"] for row in read_csv(tmp_path / "who.csv")] == ["answered"] * 3
    study("close", "turns")
    study("unblind", "turns")
    study("export", "turns", "--out", tmp_path / "o")
    assert len(read_csv(tmp_path / "o" / "raters.csv")) == 3


def test_an_export_of_nothing_says_what_would_help(study, tmp_path):
    # Bug: `export --unfinished` answered "export with --unfinished".
    study("open", "turns")
    study("close", "turns")
    study("unblind", "turns")
    told = study("export", "turns", "--out", tmp_path, fails=True)
    assert "--unfinished" in told
    told = study("export", "turns", "--out", tmp_path, "--unfinished", fails=True)
    assert "has given a score" in told
    assert "--unfinished" not in told


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("simulate", "turns", "--raters", -1), "raters is -1; give 1 to 10000"),
        (("simulate", "turns", "--seed", -1), "seed is -1"),
        (("simulate", "turns", "--drop-out", 2), "drop_out is 2"),
        (("export", "turns", "--out", "/proc/nowhere"), "/proc/nowhere"),
        (("plan", "--dimensions", 0), "comparisons is 0"),
    ],
)
def test_odd_numbers_and_places_become_one_sentence(study, words, sentence):
    """Each of them ended in a traceback."""
    study("open", "turns")
    if words[0] == "export":
        study("simulate", "turns", "--raters", 1)
        study("close", "turns")
        study("unblind", "turns")
    told = study(*words, fails=True)
    assert sentence in told
    assert len(told.strip().splitlines()) == 1


def test_simulated_and_real_raters_do_not_mix(study, clips):
    study("open", "turns")
    study("simulate", "turns", "--raters", 1)
    assert "has raters already" in study("simulate", "turns", fails=True)


def test_the_demo_is_made_once_opened_and_served(study, clips, monkeypatch):
    served = []
    monkeypatch.setattr(commands, "DEMO_CLIPS", clips)
    monkeypatch.setattr(commands, "serve", lambda given: served.append(given.name))
    study("demo")
    opened = read_milestones(study.folder("demo"))
    assert opened.phase == "open"
    study("demo")
    assert read_milestones(study.folder("demo")) == opened
    assert served == ["demo", "demo"]
    monkeypatch.setattr(commands, "DEMO_CLIPS", clips / "none")
    assert "is missing" in study("demo", fails=True)


def test_every_command_has_its_help():
    for name in COMMANDS:
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0


def test_the_command_line_needs_neither_torch_nor_gradio():
    """A study-only start must be light."""
    code = (
        "import sys, study.__main__, study.serving, study.routes\n"
        "heavy = {'torch', 'gradio', 'finephys', 'pandas', 'scipy', 'av'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
