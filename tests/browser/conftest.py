"""Chromium, and tabs that fail their test when the page errs or asks for anything outside."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from rater_visits import server, visits  # noqa: F401  # fixtures

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def _chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        sentence = "Chromium is absent; install it with: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = _chromium()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def browser_without_webgl(browser: Browser) -> Iterator[Browser]:
    kind = browser.browser_type
    chromium = kind.launch(executable_path=_chromium(), args=[*ARGUMENTS, "--disable-3d-apis"])
    yield chromium
    chromium.close()


class Tabs:
    """Opens pages in contexts of their own and keeps what went wrong in them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.problems: list[str] = []
        self.contexts: list[BrowserContext] = []

    def open(self, browser: Browser, **options: object) -> Page:
        context = browser.new_context(**options)
        self.contexts.append(context)
        context.set_default_timeout(90_000)
        page = context.new_page()
        page.on("pageerror", lambda error: self.problems.append(f"error in the page: {error}"))
        page.on("request", lambda request: self._note(request.url))
        page.goto(self.url)
        page.locator("#fp-generate").wait_for()
        return page

    def _note(self, url: str) -> None:
        if not url.startswith((self.url, "data:", "blob:")):
            self.problems.append(f"request to the outside: {url}")

    def close(self) -> None:
        for context in self.contexts:
            context.close()
        assert not self.problems, self.problems


@pytest.fixture
def tabs(running_app) -> Iterator[Tabs]:
    opened = Tabs(running_app.url)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def module_tabs(running_app) -> Iterator[Tabs]:
    opened = Tabs(running_app.url)
    yield opened
    opened.close()
