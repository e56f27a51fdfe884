"""The page in Chromium: every stage arrives and moves, from an example and from an action alone."""

import io
import json
import re

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from steps import (
    CARDS,
    STAGES,
    choose_action,
    expect_status,
    generate,
    pause,
    picture,
    show_frame,
    start_from,
    traces,
    viewer,
    wait_for_stage,
    wait_until_done,
)

from finephys.skeleton import FRAMES
from finephys.ui import scene

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def finished(module_tabs, browser: Browser) -> Page:
    """A tab in which the first example has been generated."""
    page = module_tabs.open(browser, viewport={"width": 1400, "height": 1000})
    generate(page, seed=3)
    for stage in ("clip", *STAGES):
        wait_for_stage(page, stage)
    wait_until_done(page)
    return page


def wait_for_traces(page: Page) -> None:
    page.locator(".fp-plot").scroll_into_view_if_needed()
    page.wait_for_function(
        "() => { const t = document.querySelector('.fp-plot').data || [];"
        " return ['detected', 'data_driven', 'physics', 'reprojected'].every("
        " stage => t.some(t => t.meta === stage && t.x.length)); }"
    )


def test_every_card_is_drawn_and_changes_from_frame_to_frame(finished: Page) -> None:
    """A card that stayed empty, or showed one frame for ever, would look done."""
    pause(finished)
    show_frame(finished, 0)
    first = {card: picture(finished, card) for card in ("clip", *CARDS)}
    show_frame(finished, 9)
    for card, before in first.items():
        assert picture(finished, card) != before, card


def test_the_slider_moves_the_skeletons_in_space(finished: Page) -> None:
    """Plotly frames that never reach the scene would leave the traces where they were."""
    pause(finished)
    wait_for_traces(finished)
    show_frame(finished, 1)
    finished.wait_for_timeout(800)
    before = traces(finished)
    show_frame(finished, 12)
    finished.wait_for_function(
        "old => { const all = document.querySelector('.fp-plot').data;"
        " const t = all.find(t => t.meta === 'physics');"
        " return JSON.stringify([...t.x, ...t.y, ...t.z]) !== JSON.stringify(old); }",
        arg=before["physics"],
    )
    finished.wait_for_timeout(800)
    after = traces(finished)
    for stage in ("detected", "data_driven", "physics", "reprojected", "fused"):
        assert before[stage], stage
        assert before[stage] != after[stage], stage
    assert before["plane"] == after["plane"]


def test_stages_differ_from_each_other(finished: Page) -> None:
    """The same array drawn under four names would pass for four stages."""
    wait_for_traces(finished)
    # The fused body is left out: with the fusion "physics" it is S_pp itself.
    stages = [stage for stage in scene.STAGES if stage != "fused"]
    drawn = [json.dumps(traces(finished)[stage]) for stage in stages]
    assert len(set(drawn)) == len(drawn)


def test_a_skeleton_can_be_switched_off_and_on(finished: Page) -> None:
    wait_for_traces(finished)
    visible = (
        "wanted => document.querySelector('.fp-plot').data"
        ".find(t => t.meta === 'data_driven').visible === wanted"
    )
    chip = finished.locator(".fp-chips [data-stage=data_driven]")
    chip.click()
    finished.wait_for_function(visible, arg=False)
    chip.click()
    finished.wait_for_function(visible, arg=True)


def test_the_image_plane_shows_the_clip(finished: Page) -> None:
    """The picture on the plane must be the present frame, not the first one for ever."""
    wait_for_traces(finished)
    pause(finished)
    colors = (
        "() => JSON.stringify(document.querySelector('.fp-plot').data"
        ".find(t => t.meta === 'picture').vertexcolor || [])"
    )
    show_frame(finished, 2)
    finished.wait_for_function(f"() => ({colors})().length > 1000")
    finished.wait_for_timeout(800)
    before = finished.evaluate(colors)
    show_frame(finished, 13)
    finished.wait_for_function(f"old => ({colors})() !== old", arg=before)


def test_side_by_side_has_linked_cameras(finished: Page) -> None:
    """Turning one of the four scenes must turn the other three."""
    wait_for_traces(finished)
    finished.locator("[data-do=side]").click()
    finished.wait_for_function(
        "() => document.querySelector('.fp-plot')._fullLayout?.scene4 !== undefined"
    )
    finished.wait_for_timeout(1500)
    box = finished.locator(".fp-plot").bounding_box()
    assert box is not None
    finished.locator(".fp-plot").scroll_into_view_if_needed()
    box = finished.locator(".fp-plot").bounding_box()
    x, y = box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.25
    eyes = (
        "() => { const l = document.querySelector('.fp-plot').layout;"
        " return ['scene', 'scene2', 'scene3', 'scene4'].map(s => l[s].camera.eye); }"
    )
    before = finished.evaluate(eyes)
    finished.mouse.move(x, y)
    finished.mouse.down()
    finished.mouse.move(x + 90, y + 15, steps=6)
    finished.mouse.up()
    finished.wait_for_function(
        "old => { const l = document.querySelector('.fp-plot').layout;"
        " const eyes = ['scene', 'scene2', 'scene3', 'scene4'].map(s => l[s].camera.eye);"
        " return Math.abs(eyes[0].x - old.x) > 0.05"
        " && eyes.every(e => Math.abs(e.x - eyes[0].x) < 1e-6); }",
        arg=before[0],
    )
    finished.locator("[data-do=side]").click()
    finished.wait_for_function(
        "() => document.querySelector('.fp-plot')._fullLayout?.scene4 === undefined"
    )


CAMERA = "() => document.querySelector('.fp-plot')._fullLayout.scene._scene.getCamera().eye"


def distance(page: Page) -> float:
    """How far Plotly's camera really is, which its layout need not tell."""
    eye = page.evaluate(CAMERA)
    return float(np.hypot(np.hypot(eye["x"], eye["y"]), eye["z"]))


def over_the_scene(page: Page) -> None:
    page.locator(".fp-plot").scroll_into_view_if_needed()
    box = page.locator(".fp-plot").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)


def test_the_wheel_over_the_scene_scrolls_the_page(finished: Page) -> None:
    """Plotly takes every wheel event of its canvas, and a page could not be scrolled past it."""
    wait_for_traces(finished)
    pause(finished)
    finished.locator(".fp-plot").blur()
    over_the_scene(finished)
    top, before = finished.evaluate("scrollY"), distance(finished)
    finished.mouse.wheel(0, -200)
    finished.wait_for_function("top => scrollY < top", arg=top)
    assert distance(finished) == pytest.approx(before)
    over_the_scene(finished)
    top = finished.evaluate("scrollY")
    finished.keyboard.down("Control")
    finished.mouse.wheel(0, -200)
    finished.keyboard.up("Control")
    finished.wait_for_function(f"old => Math.abs(({CAMERA})().y - old) > 0.01", arg=-1.7)
    assert finished.evaluate("scrollY") == top
    finished.locator("[data-do=reset]").click()


def test_reset_undoes_turning_and_zooming(finished: Page) -> None:
    """The distance once stayed at 2.66 of a fresh scene's 1.98."""
    wait_for_traces(finished)
    pause(finished)
    fresh = finished.evaluate(CAMERA)
    over_the_scene(finished)
    finished.mouse.down()
    finished.mouse.move(700, 400, steps=4)
    finished.mouse.up()
    for _ in range(5):  # the scene has the focus now
        finished.mouse.wheel(0, 100)
    finished.wait_for_function(f"() => Math.hypot(...Object.values(({CAMERA})())) > 2.5")
    finished.locator("[data-do=reset]").click()
    finished.wait_for_function(
        f"old => Object.keys(old).every(axis => Math.abs(({CAMERA})()[axis] - old[axis]) < 1e-3)",
        arg=fresh,
    )
    show_frame(finished, 3)  # drawing goes on from the reset camera
    finished.wait_for_timeout(500)
    assert finished.evaluate(CAMERA) == pytest.approx(fresh, abs=1e-3)


def test_the_fused_body_says_what_it_is(finished: Page) -> None:
    """With the default fusion it is S_pp itself; "fused" alone would claim more."""
    expect(finished.locator(".fp-chips [data-stage=fused]")).to_have_text("fused (same as S_pp)")
    expect(finished.locator("[data-card=reprojected] p")).to_have_text("S_pp projected back to 2D")


def test_tab_leaves_the_list_of_actions(finished: Page) -> None:
    """Focus that falls back to the page's body loses a person without a mouse."""
    finished.locator("#fp-action input").focus()
    finished.locator("ul[role=listbox] [role=option]").first.wait_for()
    finished.keyboard.press("Tab")
    expect(finished.locator("#fp-prompt textarea")).to_be_focused()
    expect(finished.locator("ul[role=listbox] [role=option]")).to_have_count(0)
    finished.keyboard.press("Shift+Tab")
    expect(finished.locator("#fp-action input")).to_be_focused()
    finished.keyboard.press("Escape")


def test_keyboard_plays_pauses_and_steps(finished: Page) -> None:
    pause(finished)
    show_frame(finished, 4)
    viewer(finished).focus()
    finished.keyboard.press("ArrowRight")
    expect(viewer(finished)).to_have_attribute("data-frame", "5")
    finished.keyboard.press("ArrowLeft")
    finished.keyboard.press("ArrowLeft")
    expect(viewer(finished)).to_have_attribute("data-frame", "3")
    finished.keyboard.press("Space")
    expect(viewer(finished)).to_have_attribute("data-playing", "true")
    expect(viewer(finished)).not_to_have_attribute("data-frame", "3")
    finished.keyboard.press("Space")
    expect(viewer(finished)).to_have_attribute("data-playing", "false")


def test_typing_a_prompt_does_not_play(finished: Page) -> None:
    """Space in a text box must stay a space."""
    pause(finished)
    box = finished.locator("#fp-prompt textarea")
    box.click()
    box.press("End")
    box.press("Space")
    expect(viewer(finished)).to_have_attribute("data-playing", "false")


def test_downloads_are_what_they_say(finished: Page, tmp_path) -> None:
    from finephys.video import probe, read_span

    files = {}
    for link in finished.locator(".fp-downloads a").all():
        with finished.expect_download() as waiting:
            link.click()
        path = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(path)
        files[path.name] = path
    assert set(files) == {"video.mp4", "poses.npz", "poses.mp4", "pose.mp4", "request.json"}
    assert probe(files["video.mp4"]).frames == FRAMES
    assert probe(files["poses.mp4"]).frames == FRAMES
    assert probe(files["pose.mp4"]).frames == FRAMES
    assert np.ptp(read_span(files["video.mp4"], 0.0, 10.0).frames) > 100  # not one flat colour
    with np.load(io.BytesIO(files["poses.npz"].read_bytes())) as poses:
        assert poses["detected_xy"].shape == (FRAMES, 17, 2)
        assert poses["physics"].dtype == np.float32
    record = json.loads(files["request.json"].read_text(encoding="utf-8"))
    assert record["request"]["seed"] == 3
    assert record["request"]["steps"] == 2
    assert record["seconds"]


def test_an_action_needs_no_clip(tabs, browser: Browser) -> None:
    page = tabs.open(browser)
    start_from(page, "Action only")
    choose_action(page, "Salto 30")
    expect(page.locator("#fp-prompt textarea")).to_have_value(
        re.compile("body held straight and lands on both feet")
    )
    generate(page)
    wait_until_done(page)
    expect_status(page, "Done")
    pause(page)
    show_frame(page, 0)
    before = {card: picture(page, card) for card in CARDS}
    show_frame(page, 8)
    assert all(picture(page, card) != before[card] for card in CARDS)
    expect(page.locator('[data-card="clip"]')).to_contain_text("No clip")


def test_without_webgl_the_scene_is_drawn_flat(tabs, browser_without_webgl: Browser) -> None:
    page = tabs.open(browser_without_webgl)
    start_from(page, "Action only")
    generate(page)
    wait_for_stage(page, "reprojected")
    expect(page.locator(".fp-hint")).to_contain_text("no WebGL")
    canvas = page.locator(".fp-plot-flat")
    expect(canvas).to_be_visible()
    pause(page)
    show_frame(page, 0)
    before = canvas.evaluate("canvas => canvas.toDataURL()")
    show_frame(page, 8)
    assert canvas.evaluate("canvas => canvas.toDataURL()") != before
    wait_until_done(page)


def test_a_phone_needs_no_sideways_scrolling(tabs, browser: Browser) -> None:
    page = tabs.open(
        browser, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    start_from(page, "Action only")
    generate(page)
    wait_until_done(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    # The page itself hides what sticks out, so the player's bar is looked at alone.
    bar = page.locator(".fp-transport")
    assert bar.evaluate("bar => bar.scrollWidth <= bar.clientWidth")
    # The person pressed Generate far above the results and is taken to them.
    expect(viewer(page)).to_be_in_viewport()
