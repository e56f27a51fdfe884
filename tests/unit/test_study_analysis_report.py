"""The report: what it says of scripted raters, of tiny studies, and what it must never say."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from study_scripted import Script, scripted_choices, scripted_ratings

from study.analysis.info import StudyInfo
from study.analysis.page import number, probability
from study.analysis.raters import rater_table
from study.analysis.report import page_html, report, results_json
from study.analysis.results import analyse
from study.analysis.table import empty_choices, empty_ratings

SCRIPT = Script(
    quality={"best <b>&": 4.2, "middle": 3.2, "worst": 2.0},
    honest=10,
    dimensions=("Text", "Overall"),
)
HIDDEN = "Judder: a clip of 8 frames a second repeats frames.\n\nFraming & cropping differ."
INFO = StudyInfo(
    "Scripted <study>",
    ours="best <b>&",
    cannot_hide=HIDDEN,
    dimensions={"Text": "Text Dimension", "Overall": "Overall Quality"},
    facts=(("Map's hash", "sha256:<1>"),),
    invented=True,
    resamples=200,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a scripted study with three bad raters."""
    ratings, _ = scripted_ratings(SCRIPT, 7)
    out = tmp_path_factory.mktemp("report")
    # Choices so noisy that no method wins them all.
    choices = scripted_choices(replace(SCRIPT, residual=1.2), 7)
    report(ratings, choices, INFO, out / "new" / "folder")
    return out / "new" / "folder"


class Reader(HTMLParser):
    """Collects tags, attributes and visible text, and checks that tags are closed in order."""

    VOID = frozenset({"meta", "br", "img", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data + " "


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    return reader


def spoken(html: str) -> str:
    """Visible text and the text alternatives of figures."""
    reader = read(html)
    return reader.text + " ".join(tags.get("aria-label") or "" for _, tags in reader.tags)


NO_NUMBER = re.compile(r"\b(nan|NaN|inf|None|null|NaT)\b")


def test_the_report_recovers_what_was_planted(folder: Path) -> None:
    """Order, bad raters and side bias, as the machine-readable results give them."""
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    tables = {name: pd.DataFrame(rows) for name, rows in found["tables"].items()}
    mos = tables["mos"]
    for _, part in mos[mos["panel"] == "screened"].groupby("dimension"):
        order = part.sort_values("mos", ascending=False)["method"].tolist()
        assert order == list(SCRIPT.quality)
    _, bad = scripted_ratings(SCRIPT, 7)
    people = tables["raters"]
    assert sorted(people.loc[~people["kept"], "rater"]) == bad
    bias = tables["bias"].set_index(["panel", "dimension", "effect"])
    low, high = bias.loc[("screened", "all together", "left side"), ["low", "high"]]
    assert low < SCRIPT.left_bias < high
    assert tables["pair_strengths"]["method"].tolist() == list(SCRIPT.quality)
    assert found["counts"]["raters"] == 13
    assert found["counts"]["raters_kept"] == 10
    assert found["not_computed"] == []


def test_screening_is_shown_with_and_without(folder: Path) -> None:
    """Results of the kept raters alone would hide what the screening did."""
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    for name in ("mos", "p910", "friedman", "comparisons", "agreement", "bias", "mixed_effects"):
        panels = {row["panel"] for row in found["tables"][name]}
        assert {"all raters", "screened"} <= panels
    text = spoken((folder / "report.html").read_text(encoding="utf-8"))
    assert "13, 10 after screening" in text
    assert "who pass the screening: 10; left out of the screened results: 3." in text


def test_the_page_says_what_was_handed_in(folder: Path) -> None:
    """The passage on re-encoding, the facts, and that the raters are invented."""
    text = spoken((folder / "report.html").read_text(encoding="utf-8"))
    for said in (
        "What re-encoding cannot hide",
        "Judder: a clip of 8 frames",
        "Framing & cropping differ.",
        "sha256:<1>",
        "The raters of this study are invented",
        "Scripted <study>",
        "best <b>&",
        "Overall Quality",
    ):
        assert said in text


def test_names_are_escaped(folder: Path) -> None:
    """A method called like a tag must not become one."""
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert "<b>" not in html
    assert "<study>" not in html
    read(html)


def test_the_page_loads_and_runs_nothing(folder: Path) -> None:
    """It must work offline, and years later."""
    html = (folder / "report.html").read_text(encoding="utf-8")
    tags = read(html).tags
    assert not {tag for tag, _ in tags} & {"script", "link", "img", "iframe", "object"}
    for _, attributes in tags:
        assert not attributes.get("src")
        assert (attributes.get("href") or "#").startswith("#")
        assert not [name for name in attributes if name.startswith("on")]
    assert "url(" not in html
    assert "@import" not in html
    assert len(html) < 400_000


def test_figures_and_tables_speak(folder: Path) -> None:
    """Every figure has a text alternative with its numbers, every table a caption and heads."""
    reader = read((folder / "report.html").read_text(encoding="utf-8"))
    figures = [attributes for tag, attributes in reader.tags if tag == "svg"]
    assert len(figures) > 8
    for attributes in figures:
        assert attributes["role"] == "img"
        assert re.search(r"\d", attributes["aria-label"] or "")
    count = [tag for tag, _ in reader.tags]
    assert count.count("caption") == count.count("table") > 5
    heads = [attributes for tag, attributes in reader.tags if tag == "th"]
    assert all(attributes["scope"] in {"row", "col"} for attributes in heads)
    anchors = {
        attributes["id"]
        for tag, attributes in reader.tags
        if tag == "section" and "id" in attributes
    }
    links = {(attributes["href"] or "")[1:] for tag, attributes in reader.tags if tag == "a"}
    assert links == anchors


def test_every_table_is_a_csv_file(folder: Path) -> None:
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))["tables"]
    filled = {name for name, rows in found.items() if rows}
    assert {path.stem for path in (folder / "tables").glob("*.csv")} == filled
    table = pd.read_csv(folder / "tables" / "mos.csv")
    assert table["mos"].tolist() == pytest.approx([row["mos"] for row in found["mos"]])


def test_the_same_scores_give_the_same_page() -> None:
    """A seed that is not obeyed."""
    ratings, _ = scripted_ratings(SCRIPT, 3)
    kept = ratings[ratings["dimension"] == "Text"]
    pages = [page_html(analyse(kept, empty_choices(), INFO), INFO) for _ in range(2)]
    assert pages[0] == pages[1]


def test_with_no_method_named_ours_every_pair_is_compared() -> None:
    ratings, _ = scripted_ratings(SCRIPT, 3)
    results = analyse(ratings[ratings["dimension"] == "Text"], empty_choices(), StudyInfo("x"))
    pairs = results.tables["comparisons"].query("panel == 'all raters'")[["method", "other"]]
    assert {frozenset(pair) for pair in pairs.to_numpy()} == {
        frozenset(pair) for pair in combinations(SCRIPT.quality, 2)
    }
    assert not results.tables["mixed_effects"].empty


def small(kind: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Studies too small for most statistics."""
    base = Script(quality={"best <b>&": 4.0, "b": 3.0, "c": 2.0}, dimensions=("Text",), bad=())
    one_rater, _ = scripted_ratings(replace(base, honest=1), 0)
    one_item, _ = scripted_ratings(replace(base, honest=6, items=1), 0)
    full, _ = scripted_ratings(replace(base, honest=6), 0)
    choices = scripted_choices(replace(base, honest=2), 0)
    tables = {
        "nothing at all": (empty_ratings(), empty_choices()),
        "one score": (one_rater.iloc[[0]], empty_choices()),
        "one rater": (one_rater, empty_choices()),
        "one item": (one_item, empty_choices()),
        "a missing cell": (
            full[~((full["rater"] == full["rater"].iloc[0]) & (full["method"] == "b"))],
            empty_choices(),
        ),
        "all scores equal": (full.assign(score=3), empty_choices()),
        "every rater alike": (full.assign(score=full["method"].map(len) % 5 + 1), empty_choices()),
        "only attention items": (full[full["gold"].notna()], empty_choices()),
        "choices alone": (empty_ratings(), choices),
        "one choice": (empty_ratings(), choices.iloc[[0]]),
        "one method": (full[full["method"] == "b"], empty_choices()),
        "two raters who never met": (
            full[
                ((full["rater"] == "r01") & (full["item"] == "item 01"))
                | ((full["rater"] == "r02") & (full["item"] == "item 02"))
            ],
            empty_choices(),
        ),
    }
    return tables[kind]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("nothing at all", "there are no scores"),
        ("one score", "one rater"),
        ("one rater", "no others|one rater"),
        ("one item", "nothing is known of other items"),
        ("a missing cell", ""),
        ("all scores equal", "all scores are equal"),
        ("every rater alike", "perfect|nothing is left"),
        ("only attention items", "there are no scores"),
        ("choices alone", "there are no scores"),
        ("one choice", "one way|too few"),
        ("one method", "there is no method to compare|the methods scored are b"),
        ("two raters who never met", "scored by two raters"),
    ],
)
def test_small_studies_get_reasons_in_place_of_numbers(
    kind: str, reason: str, tmp_path: Path
) -> None:
    """A crash, or NaN printed as if it were a number."""
    page = report(*small(kind), INFO, tmp_path)
    html = page.read_text(encoding="utf-8")
    text = spoken(html)
    assert not NO_NUMBER.search(text)
    assert not NO_NUMBER.search(re.sub(r"<style>.*?</style>", "", html))
    found = json.loads(
        (tmp_path / "results.json").read_text(encoding="utf-8"), parse_constant=pytest.fail
    )
    assert re.search(reason, " ".join(found["not_computed"]))
    for missing in found["not_computed"]:
        assert missing in text


def test_a_rater_without_a_method_is_counted_out() -> None:
    """One missing cell must neither drop the method nor be filled with something."""
    results = analyse(*small("a missing cell"), INFO)
    friedman = results.tables["friedman"].iloc[0]
    assert (friedman["complete_raters"], friedman["left_out"]) == (5, 1)
    mos = results.tables["mos"].set_index(["panel", "method"])["scores"]
    assert mos["all raters", "b"] == 5 * 4
    assert results.counts["cells_possible"] - results.counts["cells"] == 2


def test_a_broken_table_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    ratings, _ = scripted_ratings(SCRIPT, 0)
    with pytest.raises(ValueError, match="a whole number from 1 to 5"):
        report(ratings.assign(score=6), empty_choices(), INFO, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_numbers_as_text() -> None:
    assert number(np.nan) == "–"
    assert number(-1.005, 1) == "−1.0"
    assert number(None) == "–"
    assert probability(0.00012) == "< .001"
    assert probability(0.0321) == ".032"
    assert probability(1.0) == "1"
    assert probability(float("nan")) == "–"


def test_importing_the_analysis_is_light() -> None:
    """The study's server imports it and must start within seconds."""
    heavy = "statsmodels pingouin krippendorff choix matplotlib torch finephys sklearn gradio"
    code = (
        "import sys, study.analysis.report, study.analysis.power;"
        f"print([name for name in {heavy.split()!r} if name in sys.modules])"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_json_has_no_number_that_json_lacks() -> None:
    ratings, _ = small("one rater")
    text = results_json(analyse(ratings, empty_choices(), INFO), INFO)
    json.loads(text, parse_constant=pytest.fail)
    assert rater_table(ratings)["correlation"].isna().all()
