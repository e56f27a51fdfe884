"""A study's own server and raters' browsers at it, shared by the tests of the raters' page."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect
from study_folder import close_study, make_study

from study.folder import Folder

ROOT = Path(__file__).resolve().parent.parent.parent
SERVE = "import sys; from study.serving import serve; serve(sys.argv[1], port=int(sys.argv[2]))"


class Server:
    """The study's own server in a process of its own, which a test may kill."""

    def __init__(self, root: Path) -> None:
        self.root = root
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.log = root.parent / "server.log"
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SERVE, str(self.root), str(self.port)],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONWARNINGS": "error"},
            )
        for _ in range(200):
            if self.process.poll() is not None:
                pytest.fail(self.log.read_text())
            try:
                with urllib.request.urlopen(self.url + "health", timeout=5):  # noqa: S310
                    return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        pytest.fail("the study's server did not answer")

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def post(self, path: str, body: object, token: str = "") -> dict:
        request = urllib.request.Request(  # noqa: S310
            self.url + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
        )
        with urllib.request.urlopen(request, timeout=20) as reply:  # noqa: S310
            return json.load(reply)

    def enter(self, *, at: str = "pages") -> tuple[str, str]:
        """A new session: its id and token.

        Args:
            at: how far it has come: "questions", "playback", "pages"; "scores" when the videos of
                every page were seen; "end" when every page is complete and only the finish is
                missing.
        """
        entry = {"source": "open", "names": {}, "language": "en", "agreed": True}
        token = self.post("enter", entry)["token"]
        session = self.newest()
        if at != "questions":
            self.post("questions", {"answers": {"expertise": "expert"}}, token)
        if at in ("pages", "scores", "end"):
            self.post("playback", {"outcome": "ok"}, token)
        if at in ("scores", "end"):
            self.let_score(session)
        if at == "end":
            with self.database() as database:
                database.execute(
                    "update assignments set completed_at = 1 where session = ?", (session,)
                )
        return session, token

    def let_score(self, session: str) -> None:
        """Take the videos of every page for seen: the watching, without watching."""
        with self.database() as database:
            database.execute(
                "update assignments set shown_at = 1, seen_at = 1 where session = ?", (session,)
            )

    @contextmanager
    def database(self, mode: str = "rw") -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(
            f"file:{self.root / 'study.sqlite'}?mode={mode}", uri=True, timeout=20
        )
        try:
            with connection:
                yield connection
        finally:
            connection.close()

    def rows(self, sql: str, *values: object) -> list[tuple]:
        with self.database("ro") as database:
            return database.execute(sql, values).fetchall()

    def newest(self) -> str:
        return self.rows("select id from sessions order by rowid desc limit 1")[0][0]

    def answers(self, session: str) -> list[tuple]:
        return self.rows(
            "select position, side, dimension, revision, score from answers"
            " join assignments on assignments.id = assignment where session = ?"
            " order by answers.id",
            session,
        )

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Closes the study, and opens it again for the tests that follow."""
        folder = Folder(self.root)
        opened = folder.milestones.read_bytes()
        close_study(folder)
        try:
            yield
        finally:
            folder.milestones.write_bytes(opened)


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    root = make_study(tmp_path_factory.mktemp("study") / "small").root
    running = Server(root)
    yield running
    running.process.terminate()
    running.process.wait(20)
    assert "Traceback" not in running.log.read_text(), running.log.read_text()


class Visits:
    """Contexts of raters; a test fails when a page errs, is refused, or asks elsewhere."""

    def __init__(self, browser: Browser, server: Server) -> None:
        self.browser, self.server = browser, server
        self.contexts: list[BrowserContext] = []
        self.problems: list[str] = []
        self.expected = re.compile("a^")

    def open(self, query: str = "", **options: object) -> Page:
        """A rater's page once it shows something to press."""
        page = self.tab(**options)
        page.goto(self.server.url + query)
        page.locator("main button").first.wait_for()
        return page

    def tab(self, token: str = "", script: str = "", **options: object) -> Page:
        """An empty tab.

        Args:
            token: of the session that the browser has; none for a new rater.
            script: run before every page.
            options: of the browser's context.
        """
        options = {"locale": "en-US", "viewport": {"width": 1280, "height": 800}, **options}
        context = self.browser.new_context(**options)
        context.set_default_timeout(15_000)
        self.contexts.append(context)
        if token:
            context.add_init_script(
                "if (!localStorage.getItem('given')) {"
                f"localStorage.setItem(location.pathname + 'token', '{token}');"
                "localStorage.setItem('given', 'once'); }"
            )
        if script:
            context.add_init_script(script)
        page = context.new_page()
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("console", lambda message: self._check_message(message.type, message.text))
        page.on("request", lambda request: self._check_address(request.url))
        return page

    def _check_message(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not self.expected.search(text):
            self.problems.append(f"console: {text}")

    def _check_address(self, url: str) -> None:
        if not url.startswith((self.server.url, "data:", f"blob:{self.server.url[:-1]}")):
            self.problems.append(f"request elsewhere: {url}")

    def close(self) -> None:
        for context in self.contexts:
            context.close()
        assert not self.problems, self.problems


@pytest.fixture
def visits(browser: Browser, server: Server) -> Iterator[Visits]:
    opened = Visits(browser, server)
    yield opened
    opened.close()


class Blocked:
    """Requests of a page that a test fails or holds while it wants to."""

    def __init__(self, page: Page, pattern: str, act: Callable[[Route], None]) -> None:
        self.requests: list[str] = []
        self._page, self._pattern, self._act = page, pattern, act
        page.route(pattern, self._handle)

    def _handle(self, route: Route) -> None:
        self.requests.append(route.request.url)
        self._act(route)

    def end(self) -> None:
        self._page.unroute(self._pattern, self._handle)


def fail(page: Page, pattern: str) -> Blocked:
    """Requests that find no connection."""
    return Blocked(page, pattern, lambda route: route.abort())


def hold(page: Page, pattern: str, number: int = 0) -> Blocked:
    """Requests that are never answered: all of them, or the one with a number, from 1.

    The browser lets held requests go once no request of the page is blocked any more.
    """

    def act(route: Route) -> None:
        if number and len(blocked.requests) != number:
            route.continue_()

    blocked = Blocked(page, pattern, act)
    return blocked


def lose_reply(page: Page, pattern: str) -> Blocked:
    """The first request is done by the server, and its reply is lost; later ones pass."""

    def act(route: Route) -> None:
        if len(blocked.requests) > 1:
            route.continue_()
            return
        assert route.fetch().ok
        route.abort()

    blocked = Blocked(page, pattern, act)
    return blocked


def try_again(page: Page) -> None:
    """Press the button of the status line, also when the page just tried by itself."""
    page.locator("#retry").dispatch_event("click")


def agree(page: Page) -> None:
    page.get_by_role("button", name="I agree, begin").click()


def fill_questions(page: Page) -> None:
    page.get_by_label("well", exact=True).check()
    page.get_by_role("button", name="Next").click()


def begin(page: Page) -> None:
    agree(page)
    fill_questions(page)
    page.get_by_role("button", name="7", exact=True).click()
    page.get_by_role("button", name="Start").click()
    unlocked(page)


def unlocked(page: Page) -> None:
    page.locator("fieldset.scale:not(:disabled)").first.wait_for()


def group(page: Page, dimension: str, side: str):
    return page.get_by_role("group", name=f"{dimension}: {side}")


def score(page: Page, dimension: str, side: str, value: int) -> None:
    group(page, dimension, side).locator(f"label:has(input[value='{value}'])").click()


def score_all(page: Page, value: int = 3) -> None:
    for dimension in ("Text", "Overall"):
        for side in ("Left", "Right"):
            score(page, dimension, side, value)


def saved(page: Page) -> None:
    expect(page.locator("#saved")).to_have_text("All answers are saved.")


def go_on(page: Page) -> None:
    before = page.locator("#progress span").text_content()
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#progress span")).not_to_have_text(before)


FAILED = re.compile("ERR_FAILED|ERR_INTERNET_DISCONNECTED")


def first_page(visits: Visits, server: Server, **options: object) -> tuple[Page, str]:
    """A tab that is about to open the first page, and its session."""
    session, token = server.enter()
    return visits.tab(token, **options), session


def scoring(visits: Visits, server: Server, **options: object) -> tuple[Page, str]:
    """A tab at the first page, which may be scored at once, and its session."""
    session, token = server.enter(at="scores")
    page = visits.tab(token, **options)
    page.goto(server.url)
    unlocked(page)
    return page, session


def start(page: Page, server: Server) -> None:
    page.goto(server.url)
    page.get_by_role("button", name="Start").click()


def media(server: Server, session: str, position: int, *slots: str) -> str:
    """A regular expression of the addresses of a page's videos."""
    found = server.rows(
        "select slot, token from media join assignments on assignments.id = assignment"
        " where session = ? and position = ?",
        *(session, position),
    )
    tokens = dict(found)
    return addresses(tokens[slot] for slot in slots)


def addresses(tokens: Iterable[str]) -> str:
    """A regular expression of the addresses of media tokens."""
    return "|".join(f"/media/{re.escape(token)}" for token in tokens)


def status(page: Page):
    return page.locator(".stage .hint")


def skip(page: Page, reason: str) -> None:
    page.get_by_role("button", name="A video does not play?").click()
    page.get_by_label(reason).check()
    page.get_by_role("button", name="Go on without scores").click()
