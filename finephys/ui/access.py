"""Who may ask the server for what: public addresses, a password for the rest, rate limits.

Every request passes through `Guard`. It answers nothing but the demo's, the raters' and the health
addresses of `PUBLIC`, and addresses behind the password gate (`study.gate`).
"""

import ipaddress
import logging
import re
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount

from finephys.ui.asgi import Asgi, Message, Receive, Send
from study.gate import Gate

logger = logging.getLogger(__name__)

HEADERS = {
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
        "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
        "frame-ancestors 'self' https://huggingface.co https://*.hf.space"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
"""Added to every answer that does not set its own: the page loads from its own server alone."""

GRADIO = (
    r"(config|theme\.css|favicon\.ico|robots\.txt|manifest\.json)?/?"
    r"|(assets|static|svelte)/.+"
    r"|gradio_api/(info|startup-events|theme\.css|app_id|upload|upload_progress|reset|cancel)/?"
    r"|gradio_api/queue/(join|data)"
    r"|gradio_api/(run|heartbeat|file=).+"
)
"""Addresses of Gradio that the demo's page uses; its others answer 404."""

DEMO = r"files/(results|viewer|assets)/.+"
RATERS = r"study/.+"
HEALTH = r"health|ready"

PUBLIC = re.compile(f"/({GRADIO}|{DEMO}|{RATERS}|{HEALTH})", re.ASCII)
"""Every address that answers without a login, below the root path."""

LARGEST_BODY = 1_000_000
"""Bytes of a posted body; uploads and the studies' pages have limits of their own."""

OWN_LIMITS = ("/gradio_api/upload", "/study/")

REQUEST_ID = "x-request-id"
_PLAIN_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")

MOST_BUCKETS = 10_000
"""Addresses remembered by the rate limits; full buckets are dropped beyond."""


def gate(password_gate: Gate, pages: Mapping[str, Asgi]) -> list[Mount]:
    """Routes of pages that only people with the password reach.

    The rule for every page that is neither the demo nor a rater's: it is given here, never to the
    router directly. `Guard` answers 404 for an address that is neither public nor given here.

    Args:
        password_gate: holds the password, the failed tries and the sessions of all these pages.
        pages: what is served, by path ("/train").
    """
    return [Mount(path, password_gate.around(page)) for path, page in pages.items()]


@dataclass(frozen=True)
class Limit:
    """How often one client may ask for something expensive.

    Attributes:
        path: pattern of the address, below the root path.
        burst: requests that may come at once.
        per_minute: requests a minute in the long run.
    """

    path: re.Pattern[str]
    burst: int
    per_minute: float


LIMITS = (
    Limit(re.compile("/gradio_api/upload/?"), burst=20, per_minute=10),
    Limit(re.compile("/gradio_api/queue/join/?"), burst=30, per_minute=20),
    Limit(re.compile("/gradio_api/run/.*"), burst=120, per_minute=240),
)
"""Design choice: a lecture hall behind one address can still press Generate at once."""


class RateLimits:
    """Token buckets, one for each limit and client.

    Args:
        limits: the first whose pattern matches is applied.
        clock: seconds, monotonic.
    """

    def __init__(
        self, limits: tuple[Limit, ...] = LIMITS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._buckets: dict[tuple[int, str], tuple[float, float]] = {}  # (tokens, seconds)

    def wait(self, path: str, client: str) -> float:
        """Seconds until this request may be repeated; 0: it passes."""
        for index, limit in enumerate(self._limits):
            if limit.path.fullmatch(path):
                return self._take((index, network_of(client)), limit)
        return 0.0

    def _take(self, key: tuple[int, str], limit: Limit) -> float:
        now, rate = self._clock(), limit.per_minute / 60
        tokens, before = self._buckets.get(key, (float(limit.burst), now))
        tokens = min(tokens + (now - before) * rate, float(limit.burst))
        if tokens < 1:
            self._buckets[key] = (tokens, now)
            return (1 - tokens) / rate
        self._buckets[key] = (tokens - 1, now)
        if len(self._buckets) > MOST_BUCKETS:
            self._drop_full(now)
        return 0.0

    def _drop_full(self, now: float) -> None:
        self._buckets = {
            key: (tokens, before)
            for key, (tokens, before) in self._buckets.items()
            if tokens + (now - before) * self._limits[key[0]].per_minute / 60
            < self._limits[key[0]].burst
        }


def network_of(client: str) -> str:
    """The address that limits are counted for: an IPv4 address or the /64 of an IPv6 one."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if address.version == 4:
        return client
    return str(ipaddress.ip_network((address, 64), strict=False))


class Guard:
    """ASGI middleware of the demo's server: headers, request ids, public addresses and limits."""

    def __init__(
        self,
        app: Asgi,
        root_path: str = "",
        gated: Collection[str] = (),
        limits: RateLimits | None = None,
    ) -> None:
        """Wrap an application.

        Args:
            app: what answers.
            root_path: public prefix that a reverse proxy removes from each address.
            gated: paths of the pages behind the password gate.
            limits: by default LIMITS.
        """
        self._app = app
        self._root_path = root_path
        self._gated = tuple(gated)
        self._limits = limits or RateLimits()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request; there are no web sockets."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        path = str(scope["path"])
        request_id = _request_id(scope)
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = _with_headers(message.get("headers", []), path, request_id)
            await send(message)

        refusal = self._refusal(scope, path)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return
        if self._root_path:
            scope = {**scope, "path": self._root_path + path, "root_path": self._root_path}
        scope = {**scope, "headers": _with_id(scope["headers"], request_id)}
        body = receive if path.startswith(OWN_LIMITS) or self._is_gated(path) else _short(receive)
        try:
            await self._app(scope, body, send_with_headers)
        except ClientDisconnect:
            return
        except _BodyTooLarge:
            if not started:
                await _too_large()(scope, receive, send_with_headers)
        except Exception:
            logger.exception("request=%s %s failed", request_id, scope["method"])
            if not started:
                sentence = f"Internal error; the log has the details under {request_id}."
                answer = JSONResponse({"detail": sentence}, 500)
                await answer(scope, receive, send_with_headers)

    def _refusal(self, scope: Message, path: str) -> JSONResponse | PlainTextResponse | None:
        """The answer to a request that goes no further."""
        if not (PUBLIC.fullmatch(path) or self._is_gated(path)):
            return PlainTextResponse("There is nothing at this address.", 404)
        if "/file=http" in path.lower():  # Gradio would answer with a redirect to any server
            return PlainTextResponse("Only this server's own files are served.", 404)
        if not path.startswith(OWN_LIMITS) and not self._is_gated(path):
            length = dict(scope["headers"]).get(b"content-length", b"0")
            if not length.isdigit() or len(length) > 12 or int(length) > LARGEST_BODY:
                return _too_large()
        client = scope["client"][0] if scope.get("client") else ""
        wait = self._limits.wait(path, client) if scope["method"] == "POST" else 0.0
        if not wait:
            return None
        seconds = int(wait) + 1
        sentence = f"Too many requests from your address; wait {seconds} seconds, then try again."
        return JSONResponse({"detail": sentence}, 429, {"retry-after": str(seconds)})

    def _is_gated(self, path: str) -> bool:
        return any(path == gated or path.startswith(f"{gated}/") for gated in self._gated)


class _BodyTooLarge(Exception):
    """A body went on past LARGEST_BODY."""


def _short(receive: Receive) -> Receive:
    """Receive a body up to LARGEST_BODY, also one without a length."""
    count = 0

    async def counted() -> Message:
        nonlocal count
        message = await receive()
        count += len(message.get("body", b""))
        if count > LARGEST_BODY:
            raise _BodyTooLarge
        return message

    return counted


def _too_large() -> JSONResponse:
    sentence = f"The request is too large; at most {LARGEST_BODY} bytes are accepted here."
    return JSONResponse({"detail": sentence}, 413)


def _request_id(scope: Message) -> str:
    """The id that a proxy gave the request, or a new one."""
    given = dict(scope["headers"]).get(REQUEST_ID.encode(), b"").decode("latin-1")
    return given if _PLAIN_ID.fullmatch(given) else secrets.token_hex(6)


def _with_id(headers: list[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    name = REQUEST_ID.encode()
    return [*(pair for pair in headers if pair[0] != name), (name, request_id.encode())]


def _with_headers(
    headers: list[tuple[bytes, bytes]], path: str, request_id: str
) -> list[tuple[bytes, bytes]]:
    given = {name.lower() for name, _ in headers}
    extra = {**HEADERS, REQUEST_ID: request_id}
    if path.startswith("/files/viewer"):  # modules of one program: never a mix of two versions
        extra["cache-control"] = "no-cache"
    added = [(name.encode(), text.encode()) for name, text in extra.items()]
    return [*headers, *(pair for pair in added if pair[0] not in given)]
