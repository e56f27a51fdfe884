"""How soon a rater sees the first item: a cold browser on a line of 10 Mbit/s and 100 ms."""

import shutil
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, StorageState, sync_playwright

from benchmarks.study.made import open_study, row, study_server

LINE = {
    "offline": False,
    "latency": 100,
    "downloadThroughput": 10e6 / 8,
    "uploadThroughput": 10e6 / 8,
}
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]

SHOWN = """() => {
  const videos = [...document.querySelectorAll('.stage video')];
  return videos.length === 2 && videos.every((video) => video.currentTime > 0);
}"""


def measure(times: int = 5) -> None:
    """From the address to two moving videos, and to the first words, in fresh browsers."""
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        folder = open_study(Path(place) / "page", size=512)
        server = study_server(folder)
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=ARGUMENTS
        )
        state = _begun(chromium, server.url)
        items, words = [], []
        for _ in range(times):
            items.append(_seconds(chromium, server.url, SHOWN, state))
            words.append(
                _seconds(chromium, server.url, "() => document.querySelector('main button')", None)
            )
        chromium.close()
        server.stop()
        sizes = {path.stat().st_size for path in folder.media.glob("*.mp4")}
        row(
            "first item visible on a cold page, 10 Mbit/s and 100 ms",
            times=times,
            median_seconds=round(statistics.median(items), 2),
            most_seconds=round(max(items), 2),
            first_words_median_seconds=round(statistics.median(words), 2),
            bytes_of_two_videos=2 * max(sizes),
            reach="3",
        )


def _begun(chromium: Browser, url: str) -> StorageState:
    """What a browser keeps of a rater who stands before the first item."""
    context = chromium.new_context(locale="en-US")
    page = context.new_page()
    page.goto(url)
    page.get_by_role("button", name="I agree, begin").click()
    page.locator("form").wait_for()
    for question in page.locator("fieldset").all():
        question.locator("input").first.check()
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="7", exact=True).click()
    page.get_by_role("button", name="Start").click()
    page.wait_for_function(SHOWN)
    state = context.storage_state()
    context.close()
    return state


def _seconds(chromium: Browser, url: str, shown: str, state: StorageState | None) -> float:
    context = chromium.new_context(locale="en-US", storage_state=state)
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.send("Network.enable")
    devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})
    devtools.send("Network.emulateNetworkConditions", LINE)
    began = time.monotonic()
    page.goto(url, wait_until="commit")
    page.wait_for_function(shown)
    seconds = time.monotonic() - began
    context.close()
    return seconds
