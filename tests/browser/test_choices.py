"""Methods, models and dynamics chosen on the page, and previews while a video is denoised."""

import re

import numpy as np
import pytest
from playwright.sync_api import Browser, expect
from steps import (
    choose_methods,
    expect_status,
    generate,
    pause,
    picture,
    record,
    show_frame,
    start_from,
    viewer,
    wait_for_stage,
    wait_until_done,
)

from finephys.methods import METHODS
from finephys.skeleton import FRAMES
from finephys.video import read_span

pytestmark = pytest.mark.browser


def test_methods_are_compared_side_by_side(tabs, browser: Browser, tmp_path) -> None:
    """Catches one video under every name, and a grid too wide for a phone."""
    page = tabs.open(
        browser, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    start_from(page, "Action only")
    methods = ("text", "detected", "ours")
    choose_methods(page, *methods)
    generate(page, steps=2, seed=5)
    wait_until_done(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    pause(page)
    show_frame(page, 0)
    first = {method: picture(page, f"video {method}") for method in methods}
    assert len(set(first.values())) == len(methods)
    show_frame(page, 9)
    for method in methods:
        assert picture(page, f"video {method}") != first[method], method
        card = page.locator(f'[data-card="video {method}"]')
        expect(card.locator("figcaption b")).to_have_text(method)
        made = record(page, f'[data-card="video {method}"]')["request"]
        assert (made["method"], made["seed"]) == (method, 5)
    with page.expect_download() as waiting:
        page.locator("[data-download=comparison]").click()
    path = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(path)
    frames = read_span(path, 0.0, 10.0).frames
    assert len(frames) == FRAMES
    panels = np.array_split(frames.astype(np.int16), len(methods), axis=2)
    assert np.abs(panels[0] - panels[2]).mean() > 5


def test_stopping_a_comparison_keeps_what_is_finished(tabs, browser: Browser) -> None:
    """A person who stops the third video would lose the two they waited for."""
    page = tabs.open(browser)
    start_from(page, "Action only")
    choose_methods(page, "text", "ours")
    generate(page, steps=20)  # the second must still be at work when Stop arrives
    finished = page.locator('[data-card="video text"] [data-download=video]')
    finished.wait_for()
    page.locator("#fp-stop").click()
    expect_status(page, "topped")
    expect(viewer(page)).to_have_attribute("data-done", "false")
    with page.expect_download() as waiting:
        finished.click()
    assert waiting.value.suggested_filename == "video_text.mp4"


def test_what_cannot_be_asked_for_is_said(tabs, browser: Browser) -> None:
    """Bounds of Gradio's own are said in a message that passes, beside a status that waits."""
    page = tabs.open(browser)
    generate(page, seed=-5)
    expect_status(page, "seed is -5; choose 0 to 2147483647")
    choose_methods(page)
    generate(page)
    expect_status(page, "No method is chosen")


def test_a_model_without_weights_says_how_to_get_them(tabs, browser: Browser) -> None:
    """Catches a silent fall back to the tiny model, and tiny's eight steps with another one."""
    page = tabs.open(browser)
    page.get_by_role("button", name="Methods and model").click()
    said = page.locator("#fp-tiers .fp-missing").first
    page.locator("#fp-tiers dt").first.wait_for()
    if not said.count():
        pytest.skip("the weights of every tier are here")
    expect(said).to_contain_text("python -m finephys fetch sd15")
    steps = page.locator("#fp-steps input[type=number]")
    usual = steps.input_value()
    page.locator("#fp-tier").get_by_label("sd15-controlnet", exact=True).check()
    expect(steps).to_have_value("25")
    page.locator("#fp-generate").click()
    expect_status(page, "python -m finephys fetch sd15")
    expect(viewer(page)).to_have_attribute("data-stages", "")
    page.locator("#fp-tier").get_by_label("tiny", exact=True).check()
    expect(steps).to_have_value(usual)


def test_the_dynamics_chosen_are_those_used(tabs, browser: Browser) -> None:
    page = tabs.open(browser)
    start_from(page, "Action only")
    page.get_by_role("button", name="Advanced").click()
    page.locator("#fp-dynamics input").click()
    page.get_by_role("option").filter(has_text="none:").click()
    generate(page, steps=1)
    wait_until_done(page)
    assert record(page)["config"]["dynamics"] == "none"
    expect(page.locator(".fp-dynamics")).to_have_text("none")


def test_the_video_is_seen_while_it_is_denoised(tabs, browser: Browser) -> None:
    """Catches previews that arrive with the result only, and progress without its end."""
    page = tabs.open(browser)
    start_from(page, "Action only")
    generate(page, steps=100)
    wait_for_stage(page, "preview")
    expect_status(page, re.compile(r"step \d+ of 100"))
    card = page.locator('[data-card="video ours"]')
    expect(card.locator(".fp-state")).to_have_text(re.compile(r"denoising \d+ / 100"))
    pause(page)
    early = picture(page, "video ours")
    page.wait_for_function(
        '([card, early]) => document.querySelector(`[data-card="${card}"] canvas`)'
        ".toDataURL() !== early",
        arg=["video ours", early],
    )
    page.locator("#fp-stop").click()
    expect(card.locator(".fp-state")).to_have_text(re.compile(r"stopped at \d+ / 100"))


def test_methods_and_model_are_chosen_by_keyboard(tabs, browser: Browser) -> None:
    """Boxes that Tab does not reach would leave people without a mouse with one method."""
    page = tabs.open(browser)
    page.get_by_role("button", name="Methods and model").focus()
    page.keyboard.press("Enter")
    group = page.locator("#fp-methods")
    group.locator("input[name=text]").wait_for()
    reached = []
    for _ in range(len(METHODS) + 5):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.name || ''"))
        if reached[-1] == "text":
            page.keyboard.press("Space")
    assert set(METHODS) <= set(reached)
    assert group.locator("input[name=text]").is_checked()
    expect(page.locator("#fp-tier input:focus")).to_have_count(1)
