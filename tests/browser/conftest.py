"""Chromium, and tabs that fail their test when the page errs or asks for anything outside."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from rater_visits import server, visits  # noqa: F401  # fixtures

from benchmarks.app_server import AppServer

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


@dataclass(frozen=True)
class Contexts:
    """Browser contexts that tests share: a page's scripts are loaded and compiled once in each."""

    kept: dict[tuple[Browser, str], BrowserContext] = field(default_factory=dict)

    def of(self, browser: Browser, options: dict[str, Any]) -> BrowserContext:
        key = (browser, repr(sorted(options.items())))
        if key not in self.kept:
            self.kept[key] = new_context(browser, options)
        return self.kept[key]


def new_context(browser: Browser, options: dict[str, Any]) -> BrowserContext:
    context = browser.new_context(**options)
    context.set_default_timeout(90_000)
    return context


@pytest.fixture(scope="session")
def contexts(browser: Browser) -> Contexts:
    return Contexts()


class Tabs:
    """Opens pages and keeps what went wrong in them."""

    def __init__(self, url: str, contexts: Contexts) -> None:
        self.url = url
        self.contexts = contexts
        self.problems: list[str] = []
        self.pages: list[Page] = []
        self.alone: list[BrowserContext] = []

    def open(self, browser: Browser, *, alone: bool = False, **options: Any) -> Page:
        """Open the page; `alone` in a context that shares nothing, as for another person."""
        if alone:
            context = new_context(browser, options)
            self.alone.append(context)
        else:
            context = self.contexts.of(browser, options)
        page = context.new_page()
        self.pages.append(page)
        page.on("pageerror", lambda error: self.problems.append(f"error in the page: {error}"))
        page.on("request", lambda request: self._note(request.url))
        page.goto(self.url)
        page.locator("#fp-generate").wait_for()
        return page

    def _note(self, url: str) -> None:
        if not url.startswith((self.url, "data:", "blob:")):
            self.problems.append(f"request to the outside: {url}")

    def close(self) -> None:
        for each in (*self.pages, *self.alone):
            each.close()
        assert not self.problems, self.problems


@pytest.fixture
def tabs(running_app: AppServer, contexts: Contexts) -> Iterator[Tabs]:
    opened = Tabs(running_app.url, contexts)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def module_tabs(running_app: AppServer, contexts: Contexts) -> Iterator[Tabs]:
    opened = Tabs(running_app.url, contexts)
    yield opened
    opened.close()
