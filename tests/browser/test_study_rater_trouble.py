"""The raters' page when the connection, the browser or the end of the study is in the way."""

import re

import pytest
from playwright.sync_api import expect
from rater_visits import (
    FAILED,
    agree,
    fail,
    fill_questions,
    hold,
    lose_reply,
    saved,
    score,
    score_all,
    scoring,
    skip,
    try_again,
    unlocked,
)

pytestmark = pytest.mark.browser


def test_no_connection_is_said_once_for_every_step(visits, server):
    # Bug: a blank page, or one that stands still under "All answers are saved.".
    visits.expected = FAILED
    page = visits.tab()
    line = page.locator("#saved")

    def lost(path: str, act, failure: str) -> None:
        blocked = fail(page, path)
        act()
        expect(line).to_contain_text(failure)
        text, box = line.text_content(), page.locator("#status").bounding_box()
        assert text.startswith("No connection.")
        assert text.endswith("The page tries again by itself.")
        assert box["y"] + box["height"] <= 800, "seen without scrolling"
        blocked.end()
        try_again(page)

    lost("**/study?*", lambda: page.goto(server.url), "The study could not be loaded.")
    lost("**/enter", lambda: agree(page), "Your agreement could not be sent.")
    page.locator("form").wait_for()
    session = server.newest()
    lost("**/questions", lambda: fill_questions(page), "They stay on this page")
    seven = page.get_by_role("button", name="7", exact=True)
    lost("**/playback", seven.click, "The result of the video check could not be sent.")
    start_button = page.get_by_role("button", name="Start")
    lost("**/pages/0?*", start_button.click, "The page could not be loaded.")
    unlocked(page)
    expect(line).to_be_empty()
    score_all(page)
    saved(page)
    next_button = page.get_by_role("button", name="Next")
    lost("**/pages/1?*", next_button.click, "Nothing you have given is lost.")
    expect(page.locator("#progress span")).to_have_text("Page 2 of 9")
    saved(page)
    with server.database() as database:
        database.execute("update assignments set completed_at = 1 where session = ?", (session,))
    lost("**/session", page.reload, "Your place in the study could not be loaded.")
    expect(page.locator(".code strong")).to_have_text("CODE77")


def test_the_code_comes_when_the_connection_is_back(visits, server):
    visits.expected = FAILED
    _, token = server.enter(at="end")
    page = visits.tab(token)
    page.clock.install()
    blocked = hold(page, "**/finish")
    with page.expect_request("**/finish"):
        page.goto(server.url)
    page.clock.fast_forward(5_000)
    expect(page.locator("#saved")).to_have_text("Waiting for the server…")
    page.clock.fast_forward(16_000)
    expect(page.locator("#saved")).to_contain_text("Your code could not be fetched.")
    blocked.end()
    try_again(page)
    expect(page.locator(".code strong")).to_have_text("CODE77")
    expect(page.locator("main")).to_contain_text("All answers are counted.")


def test_withdrawing_without_a_connection_is_not_shown_as_done(visits, server):
    # Bug: the dialog closed and nothing was said, with every answer still there.
    visits.expected = FAILED
    session, token = server.enter(at="playback")
    page = visits.tab(token)
    page.goto(server.url)
    blocked = fail(page, "**/withdraw")
    withdraw = page.get_by_role("button", name="Withdraw from the study")
    delete = page.get_by_role("button", name="Delete my answers")
    withdraw.click()
    delete.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("No connection.")
    expect(dialog).to_contain_text("nothing is deleted yet")
    page.get_by_role("button", name="Stay in the study").click()
    assert server.rows("select 1 from sessions where id = ?", session)
    withdraw.click()
    delete.click()
    expect(dialog).to_contain_text("nothing is deleted yet")
    blocked.end()
    expect(page.locator("h1")).to_have_text("You have withdrawn")
    expect(page.locator("#saved")).to_be_empty()
    assert not server.rows("select 1 from sessions where id = ?", session)


def test_a_lost_reply_to_the_entry_makes_no_second_session(visits, server):
    # Bug: one person held two places of the design.
    visits.expected = FAILED
    before = server.rows("select count(*) from sessions")[0][0]
    page = visits.open()
    blocked = lose_reply(page, "**/enter")
    agree(page)
    page.locator("form").wait_for()
    assert len(blocked.requests) == 2
    assert server.rows("select count(*) from sessions")[0][0] == before + 1


def test_answers_of_an_earlier_person_on_this_device_are_still_sent(visits, server):
    # Bug: they were thrown away when another person opened the study.
    visits.expected = FAILED
    page, session = scoring(visits, server)
    fail(page, "**/answers")
    score(page, "Text", "Left", 4)
    expect(page.locator("#saved")).to_contain_text("kept on this device")
    page.evaluate("localStorage.setItem(location.pathname + 'person', '{\"invite\":\"first\"}')")
    other = page.context.new_page()
    page.close()
    other.goto(f"{server.url}?PROLIFIC_PID=other001&STUDY_ID=a&SESSION_ID=b")
    agree(other)
    other.locator("form").wait_for()
    assert server.newest() != session
    saved(other)
    assert [row[4] for row in server.answers(session)] == [4]


def test_a_score_that_came_too_late_is_not_called_saved(visits, server):
    # Bug: refused at the close, dropped, and "All answers are saved." below.
    visits.expected = re.compile(f"{FAILED.pattern}|403")
    page, session = scoring(visits, server)
    score(page, "Text", "Right", 2)
    saved(page)
    blocked = fail(page, "**/answers")
    score(page, "Text", "Left", 4)
    expect(page.locator("#saved")).to_contain_text("kept on this device")
    with server.closed():
        blocked.end()
        try_again(page)
        expect(page.locator("h1")).to_contain_text("This study is closed")
        expect(page.locator("#saved")).to_contain_text("closed before 1 score could be stored")
    assert [row[4] for row in server.answers(session)] == [2]


def test_a_score_the_server_refuses_is_said_and_asked_for_again(visits, server):
    visits.expected = re.compile("422")
    page, session = scoring(visits, server)
    page.route("**/answers", lambda route: route.continue_(post_data='{"score": 9}'), times=1)
    score(page, "Text", "Left", 4)
    expect(page.locator("#saved")).to_contain_text("did not accept 1 score")
    expect(page.locator("input:checked")).to_have_count(0)
    score(page, "Text", "Left", 5)
    saved(page)
    assert [row[4] for row in server.answers(session)] == [5]


def test_a_full_device_loses_no_answer(visits, server):
    # Bug: the older list stored on the device hid the newer one kept in the page.
    page, session = scoring(visits, server)
    score(page, "Text", "Left", 4)
    saved(page)
    page.evaluate("() => { Storage.prototype.setItem = () => { throw Error('full'); }; }")
    score(page, "Text", "Right", 2)
    expect(page.locator(".stored")).to_have_count(2)
    assert [row[4] for row in server.answers(session)] == [4, 2]


OLD = """
delete AbortSignal.timeout; delete AbortSignal.any; delete Intl.DisplayNames;
for (const each of [Element, Document, DocumentFragment]) delete each.prototype.replaceChildren;
delete HTMLDialogElement.prototype.showModal; delete crypto.randomUUID;
delete HTMLElement.prototype.inert; delete window.structuredClone; delete Array.prototype.at;
delete Object.hasOwn; delete String.prototype.replaceAll; delete Promise.any;
"""


def test_a_browser_of_2020_can_be_used(visits, server):
    # Bug: a blank page for ever; AbortSignal.timeout is missing in Safari before 16.
    page = visits.tab(script=OLD)
    page.goto(server.url)
    agree(page)
    fill_questions(page)
    page.get_by_role("button", name="7", exact=True).click()
    page.get_by_role("button", name="Start").click()
    unlocked(page)
    skip(page, "nothing at all")
    expect(page.locator("#progress span")).to_have_text("Page 2 of 9")


@pytest.mark.parametrize("missing", ["api", "syntax"])
def test_a_browser_that_is_too_old_is_told_so(visits, server, missing):
    page = visits.tab(script="delete window.AbortController;" if missing == "api" else "")
    if missing == "syntax":
        page.route(
            "**/rater/words.js",
            lambda route: route.fulfill(content_type="text/javascript", body="const a = b ??= ;"),
        )
    page.goto(server.url)
    expect(page.locator("main")).to_contain_text("This browser is too old for the study.")
    expect(page.locator("main")).to_contain_text("newer Chrome, Edge, Firefox or Safari")
    visits.problems.clear()


def test_a_part_of_the_page_that_does_not_load_is_fetched_later(visits, server):
    # Bug: a blank page until somebody reloads it.
    visits.expected = FAILED
    page = visits.tab()
    blocked = fail(page, "**/rater/videos.js")
    page.goto(server.url)
    expect(page.locator("main")).to_contain_text("No connection. Part of the page")
    blocked.end()
    page.get_by_role("button", name="I agree, begin").wait_for()


def test_an_error_of_the_page_is_not_called_a_lost_connection(visits, server):
    page = visits.tab(script="window.fetch = async () => { throw Error('odd'); };")
    page.goto(server.url)
    expect(page.locator("h1")).to_contain_text("This page has an error (odd).")
    visits.problems.clear()


def test_a_code_that_cannot_be_copied_is_selected(visits, server):
    # Bug: nothing happened.
    _, token = server.enter(at="end")
    refuse = "Object.defineProperty(navigator, 'clipboard', {value: undefined});"
    page = visits.tab(token, script=f"{refuse} document.execCommand = () => false;")
    page.goto(server.url)
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("main")).to_contain_text("The browser did not allow copying.")
    assert page.evaluate("getSelection().toString()") == "CODE77"


def test_skipped_pages_are_not_called_counted(visits, server):
    # Bug: a rater who skipped everything read "All answers are counted.".
    session, token = server.enter(at="end")
    with server.database() as database:
        database.execute(
            "update assignments set cannot_play = 'nothing' where session = ?", (session,)
        )
    page = visits.tab(token)
    page.goto(server.url)
    expect(page.locator("main")).to_contain_text(re.compile(r"You skipped \d+ pages"))
    assert "All answers are counted" not in page.locator("main").text_content()
