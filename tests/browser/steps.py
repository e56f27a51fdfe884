"""What a person does and sees on the page, for the browser tests."""

from typing import Any

from playwright.sync_api import Locator, Page, expect

PATIENCE = 120_000
"""Milliseconds a slow machine may take over one run."""

STAGES = ("detected", "data_driven", "physics", "reprojected", "video")

CARDS = ("detected", "data_driven", "physics", "reprojected", "video ours")
"""What is drawn of a run with the usual method."""


def start_from(page: Page, kind: str) -> None:
    page.locator("#fp-source").get_by_label(kind, exact=True).check()
    shown = {"Upload": "#fp-upload", "Example": "#fp-example"}.get(kind)
    if shown:
        expect(page.locator(shown)).to_be_visible(timeout=PATIENCE)
    else:
        expect(page.locator("#fp-example")).to_be_hidden(timeout=PATIENCE)


def choose_action(page: Page, words: str) -> None:
    """Type into the action box as a person would, and take the first class offered."""
    box = page.locator("#fp-action input")
    box.click()
    box.fill(words)
    page.get_by_role("option").filter(has_text=words).first.click()


def fill(page: Page, control: str, number: int) -> None:
    box = page.locator(f"{control} input[type=number]")
    box.fill(str(number))
    box.press("Tab")


def generate(page: Page, steps: int = 2, seed: int = 0) -> None:
    fill(page, "#fp-steps", steps)
    fill(page, "#fp-seed", seed)
    # An error of the run before must not be taken for one of this run.
    page.evaluate(
        "document.querySelectorAll('#fp-status .error').forEach(e => e.classList.remove('error'))"
    )
    page.locator("#fp-generate").click()


def choose_methods(page: Page, *names: str) -> None:
    """Open the methods and tick these alone."""
    group = page.locator("#fp-methods")
    if not group.is_visible():
        page.get_by_role("button", name="Methods and model").click()
    group.locator("input[name=ours]").wait_for()
    for box in group.locator("input[name]").all():
        box.set_checked(box.get_attribute("name") in names)


def record(page: Page, where: str = ".fp-downloads") -> dict[str, Any]:
    """The request and its timings as they can be downloaded."""
    address = page.locator(f"{where} [data-download=request]").get_attribute("href")
    return page.evaluate("address => fetch(address).then(answer => answer.json())", address)


def viewer(page: Page) -> Locator:
    return page.locator(".fp")


def wait_for_stage(page: Page, stage: str) -> None:
    """Wait for a stage; an error sentence ends the wait."""
    arrived = page.locator(f'.fp[data-stages~="{stage}"], #fp-status .error').first
    expect(arrived).to_be_attached(timeout=PATIENCE)
    assert stage in viewer(page).get_attribute("data-stages"), page.locator(
        "#fp-status"
    ).inner_text()


def wait_until_done(page: Page) -> None:
    """Wait for the result; an error sentence ends the wait."""
    ended = page.locator('.fp[data-done="true"], #fp-status .error').first
    expect(ended).to_be_attached(timeout=PATIENCE)
    assert viewer(page).get_attribute("data-done") == "true", page.locator(
        "#fp-status"
    ).inner_text()


def expect_status(page: Page, words: str) -> None:
    expect(page.locator("#fp-status")).to_contain_text(words, timeout=PATIENCE)


def pause(page: Page) -> None:
    if viewer(page).get_attribute("data-playing") == "true":
        page.locator("[data-do=play]").click()
    expect(viewer(page)).to_have_attribute("data-playing", "false")


def show_frame(page: Page, frame: int) -> None:
    slider = page.get_by_label("Frame", exact=True)
    slider.fill(str(frame))
    expect(viewer(page)).to_have_attribute("data-frame", str(frame))


def picture(page: Page, card: str) -> str:
    """What a card shows now, as a data URI."""
    return page.locator(f'[data-card="{card}"] canvas').evaluate("canvas => canvas.toDataURL()")


def traces(page: Page) -> dict[str, list[float | None]]:
    """Depths of every trace in the 3D scene."""
    return page.locator(".fp-plot").evaluate(
        "div => Object.fromEntries((div.data || []).map(t => [t.meta, [...t.x, ...t.y, ...t.z]]))"
    )
