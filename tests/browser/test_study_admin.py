"""A study's life in the administrator's page: made, edited, opened, rated, closed, unblinded."""

import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from study_clips import METHODS, make_clips
from study_folder import make_study
from study_site import PASSWORD, SiteServer

from study.definition import Recruiting
from study.folder import Folder, read_milestones
from study.reading import dump, parse

pytestmark = pytest.mark.browser

PATIENCE = 60_000
NAME = "turns"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[SiteServer]:
    place = tmp_path_factory.mktemp("site")
    make_clips(place / "clips" / "grid")
    running = SiteServer(place, "--clips", str(place / "clips"))
    yield running
    running.stop()
    assert "Traceback" not in running.log.read_text(), running.log.read_text()


class Tabs:
    """Pages of the administrator and raters; an error or a request elsewhere fails the test."""

    def __init__(self, browser: Browser, site: SiteServer) -> None:
        self.browser, self.site = browser, site
        self.problems: list[str] = []
        self.contexts = []

    def open(self, address: str, **options: object) -> Page:
        options = {"locale": "en-US", "viewport": {"width": 1280, "height": 900}, **options}
        context = self.browser.new_context(**options)
        context.set_default_timeout(PATIENCE)
        self.contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("request", lambda request: self._asked(request.url))
        page.goto(address)
        return page

    def administrator(self, **options: object) -> Page:
        page = self.open(self.site.admin, **options)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.locator("#st-name").wait_for()
        page.locator("#st-folder").wait_for()
        return page

    def _asked(self, url: str) -> None:
        if not url.startswith((self.site.url, "data:", f"blob:{self.site.url[:-1]}")):
            self.problems.append(f"request elsewhere: {url}")

    def close(self) -> None:
        for context in self.contexts:
            context.close()
        assert not self.problems, self.problems


@pytest.fixture
def tabs(browser: Browser, site: SiteServer) -> Iterator[Tabs]:
    opened = Tabs(browser, site)
    yield opened
    opened.close()


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def says(page: Page, place: str, words: str) -> None:
    expect(page.locator(place)).to_contain_text(words, timeout=PATIENCE)


def write_yaml(page: Page, text: str) -> None:
    page.locator("#st-yaml .cm-content").fill(text)


def short(text: str) -> str:
    """The same study with one question, so that a rater is soon through."""
    made = parse(text)
    return dump(
        replace(
            made,
            dimensions=tuple(each for each in made.dimensions if each.id == "overall"),
            demographics=(),
            repeat_share=0.0,
            recruiting=Recruiting(invites=True, open_link=True),
        )
    )


def rate(page: Page) -> None:
    """What a rater does from consent to thanks."""
    page.get_by_role("button", name="I agree, begin").click()
    page.get_by_role("button", name="7", exact=True).click()
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#progress span")).to_contain_text("Page 1 of", timeout=PATIENCE)
    count = int(page.locator("#progress span").inner_text().split()[-1])
    for number in range(1, count + 1):
        words = f"Page {number} of {count}"
        expect(page.locator("#progress span")).to_have_text(words, timeout=PATIENCE)
        page.locator("fieldset.scale:not(:disabled)").first.wait_for()
        for side in ("Left", "Right"):
            group = page.get_by_role("group", name=f"Overall Quality: {side}")
            group.locator("label:has(input[value='3'])").click()
        page.get_by_role("button", name="Next").click()
    page.locator(".code strong").wait_for()


def test_a_study_from_its_clips_to_its_report(tabs: Tabs, site: SiteServer, tmp_path: Path) -> None:
    """Each step's bug: it does nothing, forgets what was typed, or shows what must stay hidden."""
    clips = make_clips(tmp_path / "clips")
    folder = Folder(site.studies / NAME)
    page = tabs.administrator()

    # Faulty clips: every fault is listed, nothing is made, the name stays.
    faulty = tmp_path / "faulty"
    shutil.copytree(clips, faulty)
    next((faulty / "betaflow").iterdir()).unlink()
    shutil.rmtree(faulty / "references")
    page.locator("#st-name textarea").fill(NAME)
    page.locator("#st-folder").set_input_files(faulty)
    says(page, "#st-upload", "files are on the server")
    press(page, "Make the study")
    says(page, "#st-made", "betaflow has no clip of")
    says(page, "#st-made", "is made from a reference video")
    assert not folder.definition.exists()
    assert page.locator("#st-name textarea").input_value() == NAME

    # The same as a zip in one folder, complete.
    with zipfile.ZipFile(tmp_path / "clips.zip", "w") as packed:
        for path in clips.rglob("*.*"):
            packed.write(path, path.relative_to(clips.parent))
    page.locator("#st-zip").set_input_files(tmp_path / "clips.zip")
    says(page, "#st-upload", "7 files are on the server")
    press(page, "Make the study")
    says(page, "#st-made", "Made. turns (draft): 3 methods, 2 items")
    expect(page.locator("#st-chosen input")).to_have_value(NAME)

    # A fault in the text is said, the text stays, the file is as it was.
    tab(page, "Check and edit")
    expect(page.locator("#st-yaml")).to_contain_text("# A study. Edit it until it opens")
    before = folder.definition.read_text("utf-8")
    write_yaml(page, before.replace("\nkind: pairs", "\nkind: both\nbad: ["))
    press(page, "Save")
    says(page, "#st-checked", "is not valid YAML at line")
    write_yaml(page, before.replace("\nkind: pairs", "\nkind: both"))
    press(page, "Save")
    says(page, "#st-checked", "kind is 'both'; choose one of 'pairs', 'single', 'choice'")
    page.locator("#st-yaml .cm-content").press("Control+Home")
    expect(page.locator("#st-yaml")).to_contain_text("kind: both")
    assert folder.definition.read_text("utf-8") == before
    write_yaml(page, short(before))
    press(page, "Save")
    says(page, "#st-checked", "Saved. turns (draft)")

    # The preview is the rater's own page, and leaves no rater behind.
    press(page, "Preview")
    inside = page.frame_locator("iframe.st-preview")
    inside.get_by_role("button", name="I agree, begin").click()
    inside.get_by_role("button", name="7", exact=True).wait_for()

    tab(page, "Plan")
    press(page, "Plan")
    says(page, "#st-plan", "0.57")

    # Open: the hashes shown are those of the files.
    tab(page, "Run")
    press(page, "Open the study")
    says(page, "#st-run-said", "turns is open since")
    says(page, "#st-hashes", read_milestones(folder).map_sha256)
    assert len(re.findall(r"[0-9a-f]{64}", page.locator("#st-hashes").inner_text())) == 3
    page.get_by_label("Personal links").fill("2")
    press(page, "Make personal links")
    says(page, "#st-run-said", "2 links, one person each")
    links = page.locator("#st-links textarea").input_value().split()
    assert len(links) == 2
    assert all(link.startswith(f"{site.url}study/turns/?invite=") for link in links)
    press(page, "Show the open link and the Prolific link")
    expect(page.locator("#st-links textarea")).to_have_value(f"{site.url}study/turns/")

    rate(tabs.open(links[0]))

    # The board: one is done, and no method is named nor any score given.
    tab(page, "Board")
    says(page, "#st-board", "turns is open")
    board = page.locator("#st-board")
    for what, number in (("done", "1"), ("invited", "2"), ("active", "0")):
        tile = board.locator("dl div").filter(has=page.locator(f"dt:text-is('{what}')"))
        expect(tile.locator("dd")).to_have_text(number, timeout=PATIENCE)
    text = page.content().lower()
    assert not [method for method in METHODS if method in text]
    with page.expect_download() as download:
        page.get_by_role("link", name="Completion codes as CSV").click()
    head, line = Path(download.value.path()).read_text().splitlines()
    assert head == "rater,source,code,skipped"

    tab(page, "Run")
    page.get_by_label("Codes, one on a line").fill(f"{line.split(',')[2]}\nAAAA-AAAA")
    press(page, "Check these codes")
    says(page, "#st-codes-checked", f"valid; rater {line.split(',')[0]}")
    says(page, "#st-codes-checked", "AAAA-AAAA: not valid")
    press(page, "Back up now")
    says(page, "#st-run-said", "1 sessions")
    page.get_by_label("Type the study's name to close it").fill("turn")
    press(page, "Close the study")
    says(page, "#st-run-said", "type turns into the field to close it")
    assert read_milestones(folder).phase == "open"
    page.get_by_label("Type the study's name to close it").fill(NAME)
    press(page, "Close the study")
    says(page, "#st-run-said", "turns is closed since")

    tab(page, "Results")
    press(page, "Write the report")
    says(page, "#st-results-said", "methods are hidden")
    press(page, "Reveal the methods")
    says(page, "#st-results-said", "type turns into the field to unblind it")
    assert read_milestones(folder).phase == "closed"
    page.get_by_label("Type the study's name to unblind it").fill(NAME)
    press(page, "Reveal the methods")
    says(page, "#st-results-said", "alphanet")
    press(page, "Write the report")
    says(page, "#st-results-said", "The report is written.")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Open the report").click()
    opened.value.get_by_text("Results of a blinded rating study").wait_for()
    for file in ("results.json", "ratings.csv", "ratings.json"):
        with page.expect_download() as download:
            page.get_by_role("link", name=file, exact=True).click()
        assert Path(download.value.path()).stat().st_size > 100, file

    tab(page, "Log")
    for act in ("new", "edit", "open", "invite", "close", "unblind"):
        expect(page.locator("#st-log td").get_by_text(act, exact=True).first).to_be_visible()
    says(page, "#st-log", "the log is intact")
    rater = page.locator("#st-board td").first.text_content()
    assert re.fullmatch("[0-9a-f]{16}", rater)
    page.get_by_label("Withdraw a rater").fill(rater)
    press(page, "Delete everything this rater gave")
    says(page, "#st-withdrawn", "Receipt")
    says(page, "#st-log", "withdraw")


def test_a_grid_on_the_server_on_a_phone(tabs: Tabs, site: SiteServer) -> None:
    """A folder of the server is offered; on a phone nothing is wider than the screen."""
    page = tabs.administrator(
        viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True
    )
    page.locator("#st-name textarea").fill("grid")
    page.get_by_label("A folder on the server").check()
    expect(page.locator("#st-clips input")).to_have_value("clips/grid")
    press(page, "Make the study")
    says(page, "#st-made", "Made. grid (draft)")
    for name in ("Check and edit", "Plan", "Run", "Board", "Results", "Log"):
        chosen = page.get_by_role("tab", name=name)
        if not chosen.is_visible():
            page.locator("#st-tabs .overflow-menu > button").click()
            page.locator("#st-tabs .overflow-dropdown").get_by_text(name, exact=True).click()
        else:
            chosen.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name


def test_the_board_asks_only_while_somebody_looks(tabs: Tabs, site: SiteServer) -> None:
    """A board that asks on behind other tabs costs the raters' server for nothing."""
    make_study(site.studies / "small")
    page = tabs.administrator()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    tab(page, "Board")
    says(page, "#st-board", "small is open")
    with page.expect_request(re.compile("/board/small")):
        pass  # again, by itself
    tab(page, "Plan")
    page.wait_for_timeout(1000)
    asked.clear()
    page.wait_for_timeout(9000)
    assert not [url for url in asked if "/board/" in url]


def test_a_stranger_is_asked_for_the_password_and_nothing_else_is_shown(tabs: Tabs) -> None:
    page = tabs.open(tabs.site.admin)
    expect(page).to_have_url(f"{tabs.site.admin}login")
    page.get_by_label("Password").fill("wrong password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text(re.compile("not the password"))
    assert "gradio" not in page.content().lower()


def test_logging_out_ends_it(tabs: Tabs) -> None:
    page = tabs.administrator()
    press(page, "Log out")
    expect(page).to_have_url(f"{tabs.site.admin}login")
    page.goto(tabs.site.admin)
    expect(page).to_have_url(f"{tabs.site.admin}login")
