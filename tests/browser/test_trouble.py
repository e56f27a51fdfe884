"""Stop, bad clips and two people at once: each gets a sentence, and the page goes on."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from steps import (
    choose_action,
    expect_status,
    generate,
    record,
    start_from,
    viewer,
    wait_for_stage,
    wait_until_done,
)

pytestmark = pytest.mark.browser


def upload(page: Page, path: Path) -> None:
    start_from(page, "Upload")
    page.locator("#fp-upload input[type=file]").set_input_files(path)
    page.locator("#fp-upload").get_by_label("Clear").first.wait_for()


@pytest.mark.parametrize("stage", ["", "detected", "preview"])
def test_stop_ends_the_run_and_the_next_one_works(tabs, browser: Browser, stage: str) -> None:
    """A stopped run that kept the lock would leave the next one waiting for ever."""
    page = tabs.open(browser)
    start_from(page, "Action only")
    generate(page, steps=100)
    if stage:
        wait_for_stage(page, stage)
    page.locator("#fp-stop").click()
    expect_status(page, "topped")
    generate(page, steps=1, seed=7)
    wait_until_done(page)
    expect_status(page, "Done")


def test_two_people_see_only_their_own(tabs, browser: Browser) -> None:
    first, second = tabs.open(browser), tabs.open(browser, alone=True)
    for page, words, seed in ((first, "Turn 21", 11), (second, "Jump 16", 22)):
        start_from(page, "Action only")
        choose_action(page, words)
        generate(page, steps=3, seed=seed)
    seen = {}
    for page in (first, second):
        wait_until_done(page)
        address = page.locator("[data-download=request]").get_attribute("href")
        made = record(page)["request"]
        seen[address] = (made["action"], made["seed"])
    assert list(seen.values()) == [(21, 11), (16, 22)]


def test_the_second_person_sees_the_queue(tabs, browser: Browser) -> None:
    first, second = tabs.open(browser), tabs.open(browser, alone=True)
    for page in (first, second):
        start_from(page, "Action only")
    generate(first, steps=60)
    wait_for_stage(first, "preview")
    generate(second, steps=1)
    place = second.locator("#fp-status").get_by_text(re.compile("queue: 1"))
    expect(place).to_be_visible()
    first.locator("#fp-stop").click()
    wait_until_done(second)


def test_closing_the_page_ends_its_run(tabs, browser: Browser) -> None:
    """A closed tab must not keep the next person waiting."""
    first, second = tabs.open(browser, alone=True), tabs.open(browser)
    for page in (first, second):
        start_from(page, "Action only")
    generate(first, steps=100)
    wait_for_stage(first, "preview")
    first.context.close()
    generate(second, steps=1)
    wait_until_done(second)


def test_a_text_file_named_mp4(tabs, browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("this is no video\n" * 40)
    page = tabs.open(browser)
    upload(page, path)
    expect_status(page, "notes.mp4 is not a video or is damaged")  # before Generate
    assert not page.get_by_text("not playable").count()  # Gradio's own judgement
    generate(page)
    expect_status(page, "notes.mp4 is not a video or is damaged")
    start_from(page, "Action only")
    generate(page, steps=1)
    wait_until_done(page)


def test_no_clip_chosen(tabs, browser: Browser) -> None:
    page = tabs.open(browser)
    start_from(page, "Upload")
    generate(page)
    expect_status(page, "No clip is chosen")


def test_nobody_in_the_clip(tabs, browser: Browser, empty_clip: Path) -> None:
    """Silence, or a body out of nowhere, would be wrong (supplement, Fig. 15)."""
    page = tabs.open(browser)
    upload(page, empty_clip)
    choose_action(page, "Salto 38")
    generate(page)
    expect_status(page, "pose prior")
    expect(viewer(page)).not_to_have_attribute("data-done", "true")
    page.locator("#fp-prior input").check()
    generate(page, steps=1)
    wait_until_done(page)
    expect(page.locator(".fp-notes")).to_contain_text(re.compile("prior", re.IGNORECASE))


@pytest.mark.parametrize(
    "prompt", ["", "\U0001f938 " * 30, "salto " * 1600], ids=["empty", "emoji", "long"]
)
def test_any_prompt(tabs, browser: Browser, prompt: str) -> None:
    page = tabs.open(browser)
    start_from(page, "Action only")
    page.locator("#fp-prompt textarea").fill(prompt)
    generate(page, steps=1)
    wait_until_done(page)
    assert record(page)["request"]["prompt"].strip()
