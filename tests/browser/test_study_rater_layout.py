"""How the raters' page looks: on phones, enlarged, in the dark, in other languages."""

import pytest
from playwright.sync_api import expect
from rater_visits import (
    agree,
    begin,
    fill_questions,
    group,
    scoring,
    unlocked,
)

pytestmark = pytest.mark.browser


def test_both_videos_play_muted_inline_and_looping(visits):
    # Bug: the second video stays blank on a phone (jsPsych #2328).
    page = visits.open(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    begin(page)
    found = page.evaluate(
        "[...document.querySelectorAll('.pair video')].map((v) => [v.muted, v.loop, v.paused,"
        " v.hasAttribute('playsinline'), v.videoWidth, v.currentTime > 0 || v.played.length > 0])"
    )
    assert found == [[True, True, False, True, 64, True]] * 2


def test_less_motion_means_nothing_plays_by_itself(visits):
    page = visits.open(reduced_motion="reduce")
    agree(page)
    fill_questions(page)
    page.get_by_role("button", name="Play", exact=True).click()
    page.get_by_role("button", name="7", exact=True).click()
    page.get_by_role("button", name="Start").click()
    play = page.get_by_role("button", name="Play", exact=True)
    play.wait_for()
    page.wait_for_timeout(400)
    assert page.evaluate("[...document.querySelectorAll('video')].every((v) => v.paused)")
    play.click()
    unlocked(page)


def test_nothing_is_wider_than_the_screen(visits):
    # 640 is a window of 1280 at a zoom of 200 %, 320 one at 400 %.
    page = visits.open()

    def check(step: str) -> None:
        for width in (320, 390, 640, 1280):
            page.set_viewport_size({"width": width, "height": 720})
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{step} is {wide} wide on {width}"
            small = page.evaluate(
                "[...document.querySelectorAll('main button:not(.quiet), .scores label, .option')]"
                ".map((e) => e.getBoundingClientRect()).filter((r) => r.width && r.height)"
                ".filter((r) => r.height < 40 || r.width < 40).length"
            )
            assert small == 0, f"{step} has {small} targets too small for a thumb on {width}"

    check("consent")
    agree(page)
    page.locator("form").wait_for()
    check("questions")
    fill_questions(page)
    page.locator(".pair.small").wait_for()
    check("playback")
    page.get_by_role("button", name="7", exact=True).click()
    page.get_by_role("button", name="Start").wait_for()
    check("instructions")
    page.get_by_role("button", name="Start").click()
    unlocked(page)
    check("page")


def test_the_scale_in_use_is_never_under_the_videos(visits, server):
    # Bug: videos that stay in view hide the scale that has the focus.
    page, _ = scoring(visits, server)
    for _ in range(4):
        page.keyboard.press("3")
        page.wait_for_timeout(100)
        overlap = page.evaluate(
            "(() => { const s = document.querySelector('.stage').getBoundingClientRect();"
            " const a = document.activeElement.getBoundingClientRect();"
            " return [s.bottom - a.top, a.bottom - innerHeight]; })()"
        )
        assert max(overlap) <= 0, overlap


def test_the_text_can_be_read_against_its_ground(visits):
    # WCAG 2.2, 1.4.3: 4.5 to 1 in light and in dark.
    for scheme in ("light", "dark"):
        page = visits.open(color_scheme=scheme)
        ratios = page.evaluate(
            """() => {
              const style = getComputedStyle(document.documentElement);
              const light = (name) => {
                const hex = style.getPropertyValue(name).trim()
                  .replace(/^#(.)(.)(.)$/, '#$1$1$2$2$3$3');
                const parts = [1, 3, 5].map((n) => parseInt(hex.slice(n, n + 2), 16) / 255)
                  .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
                return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
              };
              const pairs = [['--text', '--ground'], ['--text', '--card'], ['--soft', '--ground'],
                ['--soft', '--card'], ['--accent-text', '--accent'], ['--accent', '--accent-soft'],
                ['--good', '--card'], ['--bad', '--ground']];
              return pairs.map(([one, two]) => {
                const [a, b] = [light(one), light(two)].sort((x, y) => y - x);
                return [one, two, (a + 0.05) / (b + 0.05)];
              });
            }"""
        )
        for one, two, ratio in ratios:
            assert ratio >= 4.5, f"{one} on {two} in {scheme}: {ratio:.2f}"


def test_chinese_from_the_browser_and_by_choice(visits):
    page = visits.open(locale="zh-CN")
    expect(page.get_by_role("button", name="我同意，开始")).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "zh"
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("button", name="I agree, begin")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="I agree, begin")).to_be_visible()


def test_chinese_lines_are_joined_without_a_gap(visits):
    # Bug: a line break of study.yaml is drawn as a blank between two Chinese signs.
    page = visits.open(locale="zh-CN")
    page.get_by_role("button", name="我同意，开始").click()
    page.get_by_label("很了解").check()
    page.get_by_role("button", name="下一页").click()
    page.get_by_role("button", name="7", exact=True).click()
    expect(page.locator("main p").first).to_have_text("请看完再打分。")


def test_right_to_left_keeps_left_on_the_left(visits, server):
    _, token = server.enter(at="scores")
    page = visits.tab(token)

    def in_arabic(route) -> None:
        study = route.fetch().json()
        route.fulfill(json={**study, "language": "ar", "languages": ["ar"], "title": "دراسة"})

    page.route("**/study?*", in_arabic)
    page.goto(server.url)
    unlocked(page)
    assert page.evaluate("[document.documentElement.lang, document.documentElement.dir]") == [
        "ar",
        "rtl",
    ]
    for pair in (page.locator(".pair figure"), page.locator(".sides").first.locator("fieldset")):
        left, right = (pair.nth(number).bounding_box() for number in (0, 1))
        assert left["x"] + left["width"] <= right["x"]
    assert "Left" in group(page, "Text", "Left").locator("legend").text_content()
    codes = ["he", "fa-IR", "UR", "az-Arab", "ur-Latn", "ckb", "en", "zh-Hant", "yi", "de-AT"]
    found = page.evaluate(
        "async (codes) => (await import('/rater/words.js').then((m) => codes.map(m.direction)))",
        codes,
    )
    assert found == ["rtl", "rtl", "rtl", "rtl", "ltr", "rtl", "ltr", "ltr", "rtl", "ltr"]
