"""Access to the administrator's page: one password, few attempts, sessions in memory.

A browser without a session learns nothing of what is behind the gate: no name, no file, not even
which program draws the page.
"""

import copy
import hashlib
import hmac
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, Router

from study.errors import StudyError

logger = logging.getLogger(__name__)

VARIABLE = "STUDY_ADMIN_PASSWORD"
SHORTEST = 10
"""Characters of a password; with the attempts below, guessing one takes years."""

COOKIE = "study_admin"
SESSION_SECONDS = 12 * 3600.0
TRIES, TRIES_SECONDS = 5, 60.0
"""Wrong passwords from one address within so many seconds; further ones are not checked."""

LARGEST_FORM = 4096
READING = ("GET", "HEAD")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]

LOGIN = Path(__file__).with_name("login.html").read_text(encoding="utf-8")

LOGIN_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
    "frame-ancestors 'none'; "
    "base-uri 'none'"
)

HEADERS = {
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "media-src 'self' blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' "
        "blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
    "x-robots-tag": "noindex",
}
"""Sent with every answer behind the gate that does not set its own."""


def wanted_password() -> tuple[str, bool]:
    """The administrator's password, and whether it was generated now and must be shown once.

    Raises:
        StudyError: the one in the environment is too short.
    """
    given = os.environ.get(VARIABLE)
    if given is None:
        return secrets.token_urlsafe(12), True
    if len(given) < SHORTEST:
        raise StudyError(
            f"{VARIABLE} has {len(given)} characters; give {SHORTEST} or more, or none at all: "
            "then one is generated and printed at the start."
        )
    return given, False


class Gate:
    """ASGI application: a login page in front of another application."""

    def __init__(
        self, password: str, inside: Asgi, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Initialise the gate.

        Args:
            password: of the administrator.
            inside: what a logged-in browser reaches.
            clock: seconds that only increase.
        """
        self._password = _sha256(password)
        self._inside = inside
        self._clock = clock
        self._sessions: dict[bytes, float] = {}
        self._wrong: dict[str, list[float]] = {}
        self._router = self._routes()

    def around(self, inside: Asgi) -> "Gate":
        """Guard another page with the same password; failed tries and sessions count for both."""
        other = copy.copy(self)
        other._inside = inside
        other._router = other._routes()
        return other

    def _routes(self) -> Router:
        return Router(
            [
                Route("/login", self._form, methods=["GET"]),
                Route("/login", self._enter, methods=["POST"]),
                Route("/logout", self._leave, methods=["POST"]),
                Mount("/", self._guarded),
            ]
        )

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request; there are no web sockets behind the gate."""
        if scope["type"] == "http":
            await self._router(scope, receive, send)

    async def _form(self, request: Request) -> Response:
        return _login_page("", 200)

    async def _enter(self, request: Request) -> Response:
        address = request.client.host if request.client else ""
        wrong = self._recent(address)
        if len(wrong) >= TRIES:
            wait = int(TRIES_SECONDS - (self._clock() - wrong[0])) + 1
            page = _login_page(f"Too many attempts; wait {wait} seconds, then try again.", 429)
            page.headers["retry-after"] = str(wait)
            return page
        if not same_origin(request):
            return _login_page("The form must be sent from this page; try again here.", 403)
        form = parse_qs((await _short_body(request)).decode("utf-8", "replace"))
        given = form.get("password", [""])[0]
        if not hmac.compare_digest(_sha256(given), self._password):
            self._wrong.setdefault(address, []).append(self._clock())
            logger.warning("a wrong password for the administrator's page came from %s", address)
            return _login_page("That is not the password; it is printed when the app starts.", 403)
        now = self._clock()
        for ended in [key for key, end in self._sessions.items() if end <= now]:
            del self._sessions[ended]
        token = secrets.token_urlsafe(32)
        self._sessions[_sha256(token)] = now + SESSION_SECONDS
        answer = RedirectResponse(_root(request), 303)
        answer.set_cookie(
            COOKIE,
            token,
            max_age=int(SESSION_SECONDS),
            path=_root(request).rstrip("/"),
            secure=_is_https(request),
            httponly=True,
            samesite="strict",
        )
        return answer

    async def _leave(self, request: Request) -> Response:
        if not same_origin(request):
            return _refusal(403)
        self._sessions.pop(_sha256(request.cookies.get(COOKIE, "")), None)
        answer = RedirectResponse(f"{_root(request)}login", 303)
        answer.delete_cookie(COOKIE, path=_root(request).rstrip("/"))
        return answer

    async def _guarded(self, scope: Message, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if not self._knows(request.cookies.get(COOKIE, "")):
            reads = request.method in READING and "text/html" in request.headers.get("accept", "")
            refused = RedirectResponse(f"{_root(request)}login", 303) if reads else _refusal(401)
            await refused(scope, receive, send)
            return
        if request.method not in READING and not same_origin(request):
            await _refusal(403)(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message.get("headers", [])}
                extra = [
                    (name.encode(), text.encode())
                    for name, text in HEADERS.items()
                    if name.encode() not in given
                ]
                message["headers"] = [*message.get("headers", []), *extra]
            await send(message)

        path = str(scope["path"]).lower()
        if "/file=http" in path or "/proxy=" in path:  # never fetch addresses for anybody
            await _refusal(404)(scope, receive, send_with_headers)
            return
        await self._inside(scope, receive, send_with_headers)

    def _knows(self, token: str) -> bool:
        return self._sessions.get(_sha256(token), 0.0) > self._clock()

    def _recent(self, address: str) -> list[float]:
        begin = self._clock() - TRIES_SECONDS
        for each, times in list(self._wrong.items()):
            times[:] = [time for time in times if time > begin]
            if not times:
                del self._wrong[each]
        return self._wrong.get(address, [])


def same_origin(request: Request) -> bool:
    """Whether the request comes from a page of this server, by the browser's headers.

    A request without such headers is refused too.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin", "")
    hosts = (request.headers.get("host"), request.headers.get("x-forwarded-host"))
    return bool(origin) and urlsplit(origin).netloc in hosts


def _root(request: Request) -> str:
    """Address of the gate itself, with a slash at the end."""
    return f"{request.scope['root_path']}/"


def _is_https(request: Request) -> bool:
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    return (forwarded or request.url.scheme) == "https"


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


async def _short_body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM:
            return b""
    return body


def _login_page(sentence: str, status: int) -> Response:
    page = HTMLResponse(LOGIN.replace("SENTENCE", sentence), status)
    page.headers["content-security-policy"] = LOGIN_POLICY
    for name in ("x-content-type-options", "cache-control", "x-robots-tag"):
        page.headers[name] = HEADERS[name]
    page.headers["referrer-policy"] = "same-origin"
    return page


def _refusal(status: int) -> Response:
    sentences = {
        401: "Log in first.",
        403: "This must be sent from the administrator's page itself.",
        404: "There is nothing here.",
    }
    return JSONResponse({"sentence": sentences[status]}, status, HEADERS)
