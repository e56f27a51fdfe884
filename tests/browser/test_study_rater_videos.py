"""The raters' page when videos do not load or play."""

import re

import pytest
from playwright.sync_api import Page, expect
from rater_visits import (
    FAILED,
    addresses,
    fail,
    first_page,
    hold,
    media,
    saved,
    score_all,
    skip,
    start,
    status,
    unlocked,
)

pytestmark = pytest.mark.browser


def playing(page: Page) -> None:
    for number in (0, 1):
        video = page.locator(".pair video").nth(number)
        expect(video).not_to_have_js_property("currentTime", 0)


def test_videos_that_never_load_do_not_lock_the_rater_in(visits, server):
    # Bug: the way out was refused until the videos had loaded, and led back to "How it works".
    page, session = first_page(visits, server)
    hold(page, re.compile(media(server, session, 0, "left", "right")))
    hold(page, re.compile(media(server, session, 1, "right")))
    start(page, server)
    skip(page, "nothing at all")
    expect(page.locator("#progress span")).to_have_text("Page 2 of 9")
    skip(page, "a video that stops")
    expect(page.locator("#progress span")).to_have_text("Page 3 of 9")
    unlocked(page)
    passed = server.rows(
        "select cannot_play from assignments where session = ? and position < 2", session
    )
    assert passed == [("nothing",), ("stops",)]


def test_a_video_that_fails_is_named_and_tried_again(visits, server):
    # Bug: an empty box, and no way to fetch it but a reload.
    visits.expected = re.compile(f"{FAILED.pattern}|425")
    page, session = first_page(visits, server)
    page.clock.install()
    blocked = fail(page, re.compile(media(server, session, 0, "left")))
    start(page, server)
    expect(status(page)).to_contain_text("The left video did not load")
    assert page.locator("fieldset.scale:not(:disabled)").count() == 0
    tries = len(blocked.requests)
    page.get_by_role("button", name="Try again").click()
    expect(status(page)).to_contain_text("The left video did not load")
    assert len(blocked.requests) > tries
    blocked.end()
    page.clock.fast_forward(5_000)
    unlocked(page)  # by itself
    expect(status(page)).to_have_text("You can score now.")


def test_a_video_that_stalls_is_given_up_and_fetched_again(visits, server):
    visits.expected = re.compile("425")  # this page's clock runs ahead of the server's
    page, session = first_page(visits, server)
    page.clock.install()
    blocked = hold(page, re.compile(media(server, session, 0, "right")), number=1)
    start(page, server)
    expect(status(page)).to_have_text("Loading the videos…")
    expect(page.locator(".pair video").first).to_have_js_property("readyState", 4)
    page.clock.fast_forward(7_000)
    expect(status(page)).to_contain_text("loading slowly (50 %)")
    page.clock.fast_forward(4_000)
    unlocked(page)  # fetched once more by itself
    assert len(blocked.requests) == 2


def test_a_video_that_stops_while_it_plays_is_noticed(visits, server):
    visits.expected = re.compile("425")  # this page's clock runs ahead of the server's
    page, session = first_page(visits, server)
    page.clock.install()
    hold(page, re.compile(media(server, session, 0, "left")), number=2)
    start(page, server)
    playing(page)
    page.evaluate("document.querySelector('.pair video').playbackRate = 0")
    for _ in range(4):  # the other one goes on
        page.clock.run_for(4_000)
        page.evaluate(
            "() => new Promise((done) => document.querySelectorAll('.pair video')[1]"
            ".addEventListener('timeupdate', done, {once: true}))"
        )
    expect(status(page)).to_contain_text("The left video stopped")
    page.get_by_role("button", name="Try again").click()
    unlocked(page)


def test_files_nobody_waits_for_leave_connections_to_the_answers(visits, server):
    # Bug: browsers have six connections to a server; stalled examples and next videos held four.
    page, session = first_page(visits, server)
    found = server.rows(
        "select token from media join assignments on assignments.id = assignment"
        " where session = ? and (position = 1 or slot not in ('left', 'right'))",
        session,
    )
    blocked = hold(page, re.compile(addresses(token for (token,) in found)))
    start(page, server)
    unlocked(page)
    score_all(page)
    saved(page)
    assert len(blocked.requests) <= 2, blocked.requests


BY_PRESS_ALONE = """
let pressed = false;
document.addEventListener("click", (event) => {
  if (event.isTrusted && event.target.textContent === "Play") {
    pressed = true;
    setTimeout(() => { pressed = false; });
  }
}, true);
const source = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, "src");
const play = HTMLMediaElement.prototype.play;
const given = new WeakMap();
Object.defineProperty(HTMLMediaElement.prototype, "src", {
  configurable: true,
  get() { return given.get(this) ?? source.get.call(this); },
  set(address) { given.set(this, address); },
});
HTMLMediaElement.prototype.play = function () {
  if (!pressed && !this.allowed) return Promise.reject(new DOMException("", "NotAllowedError"));
  this.allowed = true;
  if (source.get.call(this) !== given.get(this)) source.set.call(this, given.get(this));
  return play.call(this);
};
"""


def test_a_browser_that_plays_only_after_a_press_has_a_button_for_it(visits, server):
    # Bug: no button in the playback check where no data comes before a press (iOS, low power).
    _, token = server.enter(at="playback")
    page = visits.tab(token, script=BY_PRESS_ALONE)
    page.clock.install()
    page.goto(server.url)
    page.locator(".pair.small").wait_for()
    page.clock.fast_forward(2_500)
    page.get_by_role("button", name="Play", exact=True).click()
    playing(page)
    page.get_by_role("button", name="7", exact=True).click()
    page.get_by_role("button", name="Start").click()
    page.locator(".pair:not(.small)").wait_for()
    page.clock.fast_forward(2_500)
    page.get_by_role("button", name="Play", exact=True).click()
    unlocked(page)


def test_a_slow_connection_is_waited_for(visits, server):
    """Bytes that trickle are no stall: the page says how far they have come."""
    page, session = first_page(visits, server)
    network = page.context.new_cdp_session(page)
    page.goto(server.url)
    page.get_by_role("button", name="Start").wait_for()
    page.clock.install()
    limits = {"offline": False, "latency": 0, "uploadThroughput": -1}
    network.send("Network.enable")
    network.send("Network.emulateNetworkConditions", {**limits, "downloadThroughput": 6_000})
    page.get_by_role("button", name="Start").click()
    page.locator("article").wait_for()
    page.clock.fast_forward(6_500)
    expect(status(page)).to_contain_text("The videos are loading slowly")
    network.send("Network.emulateNetworkConditions", {**limits, "downloadThroughput": -1})
    unlocked(page)
    assert server.answers(session) == []


def test_a_video_refused_because_the_study_closed_ends_the_page(visits, server):
    # Bug: the page tried for ever to load a video of a study that takes no more answers.
    visits.expected = re.compile(f"{FAILED.pattern}|404")
    page, session = first_page(visits, server)
    page.clock.install()
    blocked = fail(page, re.compile(media(server, session, 0, "left")))
    start(page, server)
    expect(status(page)).to_contain_text("The left video did not load")
    with server.closed():
        blocked.end()
        page.clock.fast_forward(16_000)
        expect(page.locator("h1")).to_contain_text("This study is closed")
