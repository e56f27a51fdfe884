"""Keeps the server's temporary folder out of what browsers see.

Gradio answers an upload with the path of the file on the server, and gets it back with the event
that uses the file. Here browsers see an alias instead of the folder.
"""

import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from finephys.ui.asgi import Asgi, Message, Receive, Send

ALIAS = "/uploads"
"""What browsers see instead of the folder."""

_FILE = "/gradio_api/file="
_UPLOAD = "/gradio_api/upload"
_EVENTS = ("/gradio_api/run/", "/gradio_api/queue/join")


class HiddenFolder:
    """ASGI middleware that translates paths of uploads."""

    def __init__(self, app: Asgi, folder: Path) -> None:
        """Wrap an application.

        Args:
            app: Gradio's.
            folder: where Gradio keeps uploads.
        """
        self._app = app
        self._folder = str(folder.resolve())

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = str(scope["path"])
        if _FILE + ALIAS + "/" in path:
            scope = {**scope, "path": path.replace(_FILE + ALIAS, _FILE + self._folder, 1)}
        elif any(events in path for events in _EVENTS) and scope["method"] == "POST":
            scope, receive = await self._with_real_paths(scope, receive)
        elif path.rstrip("/").endswith(_UPLOAD):
            send = _rewritten(send, self._with_aliases)
        await self._app(scope, receive, send)

    async def _with_real_paths(self, scope: Message, receive: Receive) -> tuple[Message, Receive]:
        """The request with the folder in the `path` of each file."""
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return scope, _given(message, receive)
            body += message.get("body", b"")
            more = message.get("more_body", False)
        with contextlib.suppress(ValueError, RecursionError):  # Gradio refuses what is not JSON
            body = json.dumps(self._real(json.loads(body))).encode()
        headers = [pair for pair in scope["headers"] if pair[0] != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        whole = {"type": "http.request", "body": body, "more_body": False}
        return {**scope, "headers": headers}, _given(whole, receive)

    def _real(self, value: Any) -> Any:  # noqa: ANN401  (any JSON)
        if isinstance(value, list):
            return [self._real(each) for each in value]
        if not isinstance(value, dict):
            return value
        path = value.get("path")
        if isinstance(path, str) and path.startswith(f"{ALIAS}/"):
            value = {**value, "path": self._folder + path.removeprefix(ALIAS)}
        return {name: self._real(each) for name, each in value.items()}

    def _with_aliases(self, body: bytes) -> bytes:
        return body.replace(self._folder.encode(), ALIAS.encode())


def _given(message: Message, receive: Receive) -> Receive:
    """Receive this message first."""
    waiting = [message]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message


def _rewritten(
    send: Send, change: Callable[[bytes], bytes]
) -> Callable[[Message], Awaitable[None]]:
    """Send a whole answer after its body was changed."""
    start: Message = {}
    body = b""

    async def collect(message: Message) -> None:
        nonlocal start, body
        if message["type"] == "http.response.start":
            start = message
            return
        body += message.get("body", b"")
        if message.get("more_body", False):
            return
        changed = change(body)
        headers = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
        headers.append((b"content-length", str(len(changed)).encode()))
        await send({**start, "headers": headers})
        await send({"type": "http.response.body", "body": changed})

    return collect
