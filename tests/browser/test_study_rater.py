"""The raters' page in Chromium: by mouse, by keyboard, and with a server that crashes."""

import re

import pytest
from playwright.sync_api import expect
from rater_visits import (
    agree,
    begin,
    fill_questions,
    first_page,
    go_on,
    group,
    saved,
    score,
    score_all,
    scoring,
    start,
    unlocked,
)

pytestmark = pytest.mark.browser


def test_the_whole_way_to_the_code(visits, server):
    page = visits.open()
    begin(page)
    session = server.newest()
    server.let_score(session)
    for _ in range(8):
        unlocked(page)
        score_all(page)
        go_on(page)
    unlocked(page)
    score_all(page)
    page.get_by_role("button", name="Next").click()
    expect(page.locator(".code strong")).to_have_text("CODE77")
    assert len(server.answers(session)) == 9 * 4
    page.reload()
    expect(page.locator(".code strong")).to_have_text("CODE77")


def test_by_keyboard_alone(visits, server):
    # Bug: a scale or a button cannot be reached or used without a mouse.
    page = visits.open()

    def press_on(name: str) -> None:
        for _ in range(20):
            page.keyboard.press("Tab")
            focused = page.evaluate("document.activeElement.textContent")
            if focused == name:
                break
        else:
            pytest.fail(f"Tab never comes to {name}")
        page.keyboard.press("Enter")

    press_on("I agree, begin")
    page.locator("form").wait_for()
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.type") == "radio":
            break
    page.keyboard.press("Space")
    press_on("Next")
    page.locator(".pair.small").wait_for()
    press_on("7")
    page.locator(".keys").wait_for()
    press_on("Start")
    unlocked(page)
    page.keyboard.press("2")
    expect(group(page, "Text", "Left").get_by_role("radio", name="2")).to_be_checked()
    focused = page.evaluate("document.activeElement.name")
    assert focused == "text right", "a score moves on to the next scale"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "overall left"
    page.keyboard.press("5")
    page.keyboard.press("1")
    page.keyboard.press("3")
    assert page.evaluate("document.activeElement.textContent") == "Next"
    session = server.newest()
    expect(page.locator(".stored")).to_have_count(4)
    assert [row[1:3] + row[4:] for row in server.answers(session)] == [
        ("left", "text", 2),
        ("left", "overall", 5),
        ("right", "text", 1),
        ("right", "overall", 3),
    ]
    page.keyboard.press("Enter")
    expect(page.locator("#progress span")).to_have_text("Page 2 of 9")
    unlocked(page)
    for _ in range(4):
        page.keyboard.press("4")
    page.locator("h1").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#progress span")).to_have_text("Page 3 of 9")


def test_scores_open_only_after_both_videos_were_seen(visits):
    page = visits.open()
    agree(page)
    fill_questions(page)
    page.get_by_role("button", name="7", exact=True).click()
    page.get_by_role("button", name="Start").click()
    page.locator("fieldset.scale").first.wait_for()
    assert page.locator("fieldset.scale:not(:disabled)").count() == 0
    page.keyboard.press("3")
    assert page.locator("input:checked").count() == 0
    unlocked(page)
    watched = page.evaluate(
        "Math.min(...[...document.querySelectorAll('.pair video')].map("
        "(v) => v.played.end(v.played.length - 1)))"
    )
    assert watched > 0.7
    expect(page.locator("#spoken")).to_have_text("You can score now.")


def test_a_reload_resumes_at_the_same_page_with_the_same_scores(visits, server):
    # Bug: no resume after a reload (jsPsych #3573).
    page, _ = scoring(visits, server)
    score_all(page)
    go_on(page)
    unlocked(page)
    score(page, "Text", "Right", 5)
    saved(page)
    shown = page.locator("#progress span").text_content()
    page.reload()
    unlocked(page)
    assert page.locator("#progress span").text_content() == shown
    expect(group(page, "Text", "Right").get_by_role("radio", name="5")).to_be_checked()
    assert page.locator("input:checked").count() == 1


def test_going_back_one_page_changes_the_score_that_counts(visits, server):
    # Bug: every click is an answer and the final one is unknown (potato #167).
    page, session = scoring(visits, server)
    score_all(page, 2)
    go_on(page)
    unlocked(page)
    page.get_by_role("button", name="Back").click()
    expect(page.locator("#progress span")).to_have_text("Page 1 of 9")
    expect(page.locator(".stored")).to_have_count(4)
    assert page.get_by_role("button", name="Back").is_hidden(), "one page back, not two"
    unlocked(page)
    score(page, "Overall", "Left", 5)
    saved(page)
    expect(page.locator(".stored")).to_have_count(4)
    assert server.answers(session)[-1] == (0, "left", "overall", 2, 5)
    assert len(server.answers(session)) == 5


def test_a_lost_connection_keeps_the_answers_and_sends_them_once(visits, server):
    # Bug: answers given without a connection are lost, or shown as saved.
    visits.expected = re.compile("ERR_INTERNET_DISCONNECTED")
    page, session = scoring(visits, server)
    score(page, "Text", "Left", 4)
    saved(page)
    page.context.set_offline(True)
    score(page, "Text", "Right", 2)
    score(page, "Overall", "Left", 5)
    score(page, "Overall", "Right", 1)
    expect(page.locator("#saved")).to_contain_text("kept on this device")
    assert page.locator(".stored").count() == 1, "shown as saved before the commit"
    page.get_by_role("button", name="Next").click()
    expect(page.locator(".item > .hint")).to_have_text("Waiting for your answers to be saved…")
    assert len(server.answers(session)) == 1
    page.context.set_offline(False)
    expect(page.locator("#progress span")).to_have_text("Page 2 of 9")
    assert [row[4] for row in server.answers(session)] == [4, 2, 5, 1]


def test_answers_kept_in_the_page_survive_closing_it(visits, server):
    visits.expected = re.compile("ERR_INTERNET_DISCONNECTED|ERR_FAILED")
    page, session = scoring(visits, server)
    page.route("**/answers", lambda route: route.abort())
    score(page, "Text", "Left", 4)
    expect(page.locator("#saved")).to_contain_text("kept on this device")
    page.close()
    again = page.context.new_page()
    again.goto(server.url)
    unlocked(again)
    saved(again)
    expect(group(again, "Text", "Left").get_by_role("radio", name="4")).to_be_checked()
    assert [row[4] for row in server.answers(session)] == [4]


def test_a_lost_reply_does_not_double_an_answer(visits, server):
    # Bug: the server stored it, the reply was lost, the page sends it again as a new answer.
    visits.expected = re.compile("ERR_FAILED")
    page, session = scoring(visits, server)
    lost: list[int] = []

    def lose(route) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.fetch().status)
        route.abort()

    page.route("**/answers", lose)
    score(page, "Text", "Left", 4)
    saved(page)
    assert lost == [200]
    assert [row[3:] for row in server.answers(session)] == [(1, 4)]


def test_a_full_disk_is_said_and_the_answer_comes_later(visits, server):
    visits.expected = re.compile("507")
    page, session = scoring(visits, server)
    full = {"code": "storage", "sentence": "full"}
    tries: list[int] = []

    def refuse(route) -> None:
        tries.append(1)
        if len(tries) < 3:
            route.fulfill(status=507, json=full)
        else:
            route.continue_()

    page.route("**/answers", refuse)
    score(page, "Text", "Left", 4)
    expect(page.locator("#saved")).to_contain_text("cannot store answers right now")
    saved(page)
    assert [row[4] for row in server.answers(session)] == [4]


def test_a_crash_of_the_server_loses_nothing(visits, server):
    # 409: the new server does not know that the next videos were sent ahead; the page asks again.
    visits.expected = re.compile("ERR_CONNECTION_|ERR_EMPTY_RESPONSE|409")
    page, session = first_page(visits, server)
    start(page, server)
    unlocked(page)
    score(page, "Text", "Left", 4)
    saved(page)
    server.kill()
    score(page, "Text", "Right", 3)
    score(page, "Overall", "Left", 2)
    expect(page.locator("#saved")).to_contain_text("kept on this device")
    server.start()
    saved(page)
    score(page, "Overall", "Right", 1)
    go_on(page)
    unlocked(page)
    assert [row[4] for row in server.answers(session)] == [4, 3, 2, 1]


def test_videos_that_do_not_play_have_a_way_out(visits, server):
    visits.expected = re.compile("ERR_FAILED|404")
    page = visits.open()
    page.route("**/media/**", lambda route: route.abort())
    agree(page)
    fill_questions(page)
    page.get_by_role("button", name="7", exact=True).click()
    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="A video does not play?").click()
    page.get_by_label("nothing at all").check()
    page.get_by_role("button", name="Go on without scores").click()
    expect(page.locator("#progress span")).to_have_text("Page 2 of 9")
    told = server.rows(
        "select cannot_play from assignments where session = ? and position = 0", server.newest()
    )
    assert told == [("nothing",)]


def test_a_wrong_number_in_the_playback_check_is_told(visits):
    page = visits.open()
    agree(page)
    fill_questions(page)
    page.get_by_role("button", name="4", exact=True).click()
    expect(page.locator("main [role=status]")).to_contain_text("not the number")
    page.get_by_role("button", name="I see no video").click()
    page.get_by_role("button", name="Go on all the same").click()
    page.get_by_role("button", name="Start").wait_for()


def test_what_is_still_open_is_said_from_the_beginning(visits, server):
    # Bug: Next does nothing and nobody says why, until the first score is given.
    page, _ = scoring(visits, server)
    expect(page.get_by_text("4 scales are still open.")).to_be_visible()
    score(page, "Text", "Left", 3)
    expect(page.get_by_text("3 scales are still open.")).to_be_visible()


def test_the_next_pair_is_there_before_it_is_needed(visits):
    page = visits.open()
    begin(page)
    page.wait_for_timeout(300)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    score_all(page)
    go_on(page)
    unlocked(page)
    following = page.evaluate(
        "performance.getEntriesByType('resource').filter((e) => e.name.includes('/media/')).length"
    )
    assert following >= 4
    order = [url for url in asked if "/media/" in url or url.endswith("/shown")]
    assert order[0].endswith("/shown"), f"videos were asked for before the page began: {order}"


def test_withdrawing_deletes_and_gives_a_receipt(visits, server):
    page, session = scoring(visits, server)
    score_all(page)
    saved(page)
    page.get_by_role("button", name="Withdraw from the study").click()
    page.get_by_role("button", name="Stay in the study").click()
    assert len(server.answers(session)) == 4
    page.get_by_role("button", name="Withdraw from the study").click()
    page.get_by_role("button", name="Delete my answers").click()
    expect(page.locator("main")).to_contain_text("4 answers were deleted")
    receipt = page.locator(".code strong").text_content()
    assert server.rows("select answers from receipts where number = ?", receipt) == [(4,)]
    assert server.rows("select 1 from sessions where id = ?", session) == []
    page.reload()
    expect(page.get_by_role("button", name="I agree, begin")).to_be_visible()


def test_a_link_for_one_person_leads_another_person_to_their_own_session(visits, server):
    # Bug: two people on one computer answer into one session.
    query = "?PROLIFIC_PID={}&STUDY_ID=a&SESSION_ID=b"
    page = visits.open(query.format("first0001"))
    begin(page)
    first = server.newest()
    page.goto(server.url + query.format("second002"))
    page.get_by_role("button", name="I agree, begin").click()
    page.locator("form").wait_for()
    assert server.newest() != first
    page.goto(server.url + query.format("first0001"))
    page.get_by_role("button", name="I agree, begin").click()
    unlocked(page)
