"""Pieces of the administrator's page: whose time is shown, and whose words."""

from study.admin import fragments
from study.folder import Milestones

SEEN = {
    **dict.fromkeys(("invited", "entered", "active", "stalled", "abandoned", "incomplete"), 1),
    **dict.fromkeys(("done", "withdrawn", "answers"), 0),
    "minutes_per_page": None,
    "attention": {"passed": 0, "failed": 0},
    "missing": {"cells": 0, "unplayable": []},
    "sequences": {},
    "raters": [],
    "people": [{"rater": "abc", "remarks": "<img src=x>", "answer_language": "fine"}],
}
STATE = {"every_seconds": 600.0, "last": "2026-01-02T03:04:05+00:00", "place": "", "trouble": ""}


def test_every_time_says_its_zone():
    # Bug: UTC stood unmarked beside "As of 10:15", which is local.
    steps = fragments.milestones("s", Milestones(opened="2026-01-02T03:04:05+00:00"))
    assert "2026-01-02 03:04:05 UTC" in steps
    assert steps.count("UTC") == 1, "steps that did not happen have no time"
    assert "03:04:05 UTC" in fragments.board(SEEN, "open", STATE, "s")
    act = {"id": 1, "at": 0.0, "actor": "me", "act": "new", "detail": {}, "hash": "0" * 64}
    assert "1970-01-01 00:00:00 UTC" in fragments.log([act], None)


def test_raters_words_are_shown_and_never_run():
    html = fragments.board(SEEN, "open", STATE, "s")
    assert "&lt;img src=x&gt;" in html
    assert "<img" not in html
    assert "answer language" in html
    assert 'href="codes/s"' in html
