"""Who has answered enough for a code and a place; and what raters say of themselves."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient
from study_folder import make_study
from study_rater import Rater

from study import board, codes, outcome, sessions
from study.definition import Headings
from study.open_study import OpenStudy
from study.routes import routes
from study.store import rows, run


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make_study(tmp_path_factory.mktemp("study") / "small").root


@pytest.fixture
def study(made, tmp_path) -> Iterator[OpenStudy]:
    root = shutil.copytree(made, tmp_path / "small")
    with OpenStudy(root, snapshot_seconds=0) as opened:
        yield opened


@pytest.fixture
def client(study) -> TestClient:
    return TestClient(Starlette(routes=[Mount("/s/small", routes=routes(study))]), "http://study")


@pytest.fixture
def rater(client, study) -> Rater:
    return Rater(client, study)


def skip(rater: Rater, position: int) -> dict:
    rater.ask("POST", f"pages/{position}/shown")
    return rater.ask("POST", f"pages/{position}/cannot-play", {"reason": "black"})


@pytest.mark.parametrize(("skipped", "enough"), [(1, True), (2, False), (99, False)])
def test_a_code_is_for_those_who_answered(rater, study, skipped, enough):
    # Bug: a rater who skipped every page read "All answers are counted", got a code and kept a
    # place of the design.
    rater.enter().begin()
    with study.store.view() as database:
        kinds = [
            row["kind"] for row in rows(database, "select kind from assignments order by position")
        ]
    left = skipped
    for position, kind in enumerate(kinds):
        if kind == "rating" and left:
            told = skip(rater, position)
            left -= 1
            assert told["skipped"] == min(skipped, kinds.count("rating")) - left or skipped == 99
            assert told["most_skipped"] == 1
        else:
            rater.watch(position)
            rater.score(position)
    ended = rater.ask("POST", "finish")
    assert ended["completion"]["enough"] is enough
    assert bool(ended["completion"]["code"]) is enough
    session = rater.token.partition(".")[0]
    with study.store.view() as database:
        seen = board.board(study.definition, study.store.clock, database)
        (code,) = codes.given(study.definition, study.keys, database)
        completed, _ = sessions._taken(database, study.places.sequences, study.store.clock.now())
    assert seen["done"] == enough
    assert seen["incomplete"] == (not enough)
    assert bool(code.code) is enough
    assert code.rater == session
    assert sum(completed) == enough


def test_a_skipped_check_counts_as_any_page(rater, study):
    """If it did not, the count in the answer would tell raters which pages are checks."""
    rater.enter().begin()
    with study.store.view() as database:
        kinds = [
            row["kind"] for row in rows(database, "select kind from assignments order by position")
        ]
    counts = [skip(rater, position)["skipped"] for position in range(len(kinds))]
    assert kinds[0] == "training"
    assert counts == list(range(len(kinds)))


def test_never_may_all_pages_be_skipped():
    for pages in range(1, 40):
        most = sessions.most_skipped(pages)
        assert 0 <= most < pages
        assert most <= max(1, pages / 5)


def test_a_full_study_lets_nobody_in_but_those_who_are(client, study):
    ways = replace(study.definition.recruiting, most_raters=2)
    study.definition = replace(study.definition, recruiting=ways)
    first = Rater(client, study).enter(visit="a" * 16)
    Rater(client, study).enter()
    third = Rater(client, study)
    body = {"source": "open", "names": {}, "language": "en", "agreed": True}
    assert third.ask("POST", "enter", body, status=403)["code"] == "full"
    assert Rater(client, study).enter(visit="a" * 16).token == first.token
    first.ask("POST", "withdraw")
    third.enter()
    with study.store.transaction() as database:  # one left an hour ago
        run(database, "update sessions set last_seen = last_seen - 3600")
    Rater(client, study).enter()


def test_codes_are_checked_however_they_are_typed(client, study):
    ways = replace(study.definition.recruiting, completion_code="")
    study.definition = replace(study.definition, recruiting=ways)
    raters = [Rater(client, study).enter().begin() for _ in range(2)]
    shown = [each.go_through()["completion"]["code"] for each in raters]
    Rater(client, study).enter()
    with study.store.view() as database:
        given = codes.given(study.definition, study.keys, database)
    assert [each.code for each in given] == shown
    assert f"rater {raters[0].token.partition('.')[0]}" in codes.verdict(given, shown[0])
    assert codes.holders(given, shown[1].lower().replace("-", " ")) == [given[1]]
    for wrong in ("AAAA-AAAA", "", shown[0][:-1], shown[0] + "A"):
        assert "not valid" in codes.verdict(given, wrong)
    assert "shared" in codes.verdict([given[0], given[0]], shown[0])


def test_what_raters_say_of_themselves_can_be_read(client, study):
    # Bug: it was asked for, stored, and given to nobody.
    first = Rater(client, study).enter().begin()
    first.go_through()
    Rater(client, study).enter()
    rows_ = outcome.raters_csv(study.folder, unfinished=True).splitlines()
    assert rows_[0] == "rater,source,language,playback,state,skipped,expertise,remarks"
    assert rows_[1].endswith(",open,en,ok,answered,0,expert,hm")
    assert rows_[2].endswith(",open,en,,unfinished,0,,")
    with study.store.view() as database:
        people = board.board(study.definition, study.store.clock, database)["people"]
    assert people[0]["remarks"] == "hm"


def test_a_remark_is_no_formula(client, study):
    """A spreadsheet would run what a rater typed."""
    rater = Rater(client, study).enter()
    answers = {"expertise": "none", "remarks": '=HYPERLINK("http://x","y")'}
    rater.ask("POST", "questions", {"answers": answers})
    assert """"'=HYPERLINK(""" in outcome.raters_csv(study.folder, unfinished=True)


def test_the_printed_headings_are_told_to_the_page(client, study):
    heading = Headings(label={"en": "Ground Truth Class Label"})
    study.definition = replace(study.definition, headings=heading)
    told = client.get("/s/small/study").json()["headings"]
    assert told == {"label": "Ground Truth Class Label", "text": ""}
