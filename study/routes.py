"""What a rater's browser may request: one route each, all under the study's own address.

A rater is known by a token in the Authorization header, never by a cookie: another site's page
cannot post in a rater's name, and the study works inside a frame.
"""

import gzip
import hashlib
import logging
import re
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from typing import Any
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from study import answers, codes, pages, posts, sessions
from study.answers import Answer
from study.definition import worded
from study.errors import PhaseError, StudyError
from study.media import media_response
from study.open_study import BusyError, OpenStudy
from study.sessions import Consent, Entry, RefusedError, Skipped
from study.store import StorageError, one, rows
from study.withdrawal import NobodyError, withdraw

logger = logging.getLogger(__name__)

Act = Callable[[OpenStudy, Request], Awaitable[Response]]

RATER = Path(__file__).parent / "rater"

STATIC_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".mp4": "video/mp4",
    ".svg": "image/svg+xml",
}

SAFE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self' https://huggingface.co"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


UNSTORED = "The server cannot store answers right now; your page keeps them."
TROUBLE = "The study cannot be shown right now; please come again later."

_POSITION = re.compile(r"[0-9]{1,9}")


def routes(study: OpenStudy) -> list[Route]:
    """Every route of a study, to be served alone or mounted beside other pages.

    Addresses inside the pages are relative: mount them anywhere, with a slash at the end
    (`Mount("/study/NAME", routes=routes(study))`).
    """
    files = {path.name: _static_file(path) for path in RATER.iterdir() if path.is_file()}
    table: tuple[tuple[str, str, Act], ...] = (
        ("GET", "/", partial(_static, files)),
        ("GET", "/rater/{name}", partial(_static, files)),
        ("GET", "/study", _study),
        ("POST", "/enter", _enter),
        ("GET", "/session", _session),
        ("POST", "/questions", _questions),
        ("POST", "/playback", _playback),
        ("GET", "/pages/{position}", _page),
        ("POST", "/pages/{position}/shown", _shown),
        ("POST", "/pages/{position}/seen", _seen),
        ("POST", "/pages/{position}/cannot-play", _cannot_play),
        ("POST", "/answers", _answer),
        ("POST", "/finish", _finish),
        ("POST", "/withdraw", _withdraw),
        ("GET", "/media/{token}", _media),
        ("GET", "/health", _health),
        ("GET", "/{path:path}", _nothing),
    )
    return [Route(path, _guarded(study, act), methods=[method]) for method, path, act in table]


def _guarded(study: OpenStudy, act: Act) -> Callable[[Request], Awaitable[Response]]:
    """An act whose errors, all of them, become one JSON sentence with a status and a code."""

    async def endpoint(request: Request) -> Response:
        try:
            response = await act(study, request)
        except RefusedError as error:
            response = _refusal(error.code, str(error), error.status)
        except PhaseError as error:
            response = _refusal("closed", str(error), 403)
        except BusyError as error:
            response = _refusal("busy", str(error), 503)
        except StorageError as error:
            logger.warning("storage failed for a rater: %s", error)
            response = _refusal("storage", UNSTORED, 507)
        except StudyError as error:
            # Its sentence is for the administrator: it may name files of this machine.
            logger.warning("a rater's request failed: %s", error)
            response = _refusal("trouble", TROUBLE, 503)
        except ClientDisconnect:
            response = _refusal("trouble", TROUBLE, 400)  # nobody reads it
        except Exception:
            logger.exception("a rater's request failed")
            response = _refusal("trouble", TROUBLE, 500)
        for name, text in SAFE_HEADERS.items():
            response.headers[name] = text
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return endpoint


def _refusal(code: str, sentence: str, status: int) -> Response:
    return JSONResponse({"code": code, "sentence": sentence}, status)


def _rater(study: OpenStudy, request: Request) -> str:
    """The session whose token came with the request."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    session = study.keys.session(token) if kind == "Bearer" and token.isascii() else None
    if session is None:
        raise RefusedError("no_session", "Open the study by its link first.", 401)
    return session


def _position(request: Request) -> int:
    position = request.path_params["position"]
    if not _POSITION.fullmatch(position):  # of any length or script, as addresses may be
        raise RefusedError("not_found", "There is no such page.", 404)
    return int(position)


def _language(study: OpenStudy, wanted: str | None) -> str:
    languages = study.definition.languages
    return wanted if wanted in languages else languages[0]


async def _static(
    files: dict[str, tuple[bytes, bytes]], study: OpenStudy, request: Request
) -> Response:
    name = request.path_params.get("name", "index.html")
    if name not in files:
        raise RefusedError("not_found", "There is no such file.", 404)
    content, compressed = files[name]
    headers = {
        "Content-Type": STATIC_TYPES[Path(name).suffix],
        "Cache-Control": "no-cache",
        "Vary": "Accept-Encoding",
    }
    if compressed and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(compressed, headers={**headers, "Content-Encoding": "gzip"})
    return Response(content, headers=headers)


def _static_file(path: Path) -> tuple[bytes, bytes]:
    """A file of the raters' page as it is and compressed; videos are compressed already."""
    content = path.read_bytes()
    return content, b"" if path.suffix == ".mp4" else gzip.compress(content, mtime=0)


async def _study(study: OpenStudy, request: Request) -> Response:
    language = _language(study, request.query_params.get("language"))
    headings = study.definition.headings
    return JSONResponse(
        {
            **pages.study_texts(study.definition, language),
            "headings": {
                "label": worded(headings.label, language),
                "text": worded(headings.text, language),
            },
            "phase": study.phase(),
        }
    )


async def _enter(study: OpenStudy, request: Request) -> Response:
    study.need_open()
    data = await posts.body(request, source=str, names=dict, language=str, agreed=bool)
    if not data["agreed"]:
        raise RefusedError("invalid", "Taking part needs your agreement.", 422)
    entry = _entry(study, data["source"], data["names"])
    language = _language(study, data["language"])
    words = worded(study.definition.consent, language)
    session = await study.write_while_open(
        sessions.enter,
        *(study.store, study.keys, study.places, entry),
        Consent(hashlib.sha256(words.encode()).hexdigest(), language),
        study.definition.recruiting.most_raters,
    )
    return JSONResponse({"token": study.keys.token(session)})


def _entry(study: OpenStudy, source: str, names: dict[str, object]) -> Entry:
    ways = study.definition.recruiting
    if source == "invite" and ways.invites and set(names) == {"invite"}:
        return Entry("invite", {"invite": posts.link_name("The invitation", names["invite"])})
    if source == "prolific" and ways.prolific:
        wanted = ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID")
        checked = {name: posts.link_name(name, names.get(name)) for name in wanted}
        return Entry("prolific", {"prolific": checked["PROLIFIC_PID"]})
    if source == "open" and ways.open_link and not names:
        return Entry("open", {})
    if source == "open" and ways.open_link and set(names) == {"visit"}:
        # The page chose this key: the same post again finds the session of the first one.
        return Entry("open", {"visit": posts.client_key(str(names["visit"]))})
    raise RefusedError("no_way_in", "This study is entered by the link you were given.", 403)


async def _session(study: OpenStudy, request: Request) -> Response:
    session = _rater(study, request)
    return JSONResponse(await study.read(partial(_state, study, session)))


def _state(study: OpenStudy, session: str, database: Connection) -> dict[str, Any]:
    row = sessions.session_row(database, session)
    pages_of = rows(database, "select shown_at from assignments where session = ?", session)
    position = answers.current_position(database, session)
    passed = sessions.skipped(database, session)[session]
    found: dict[str, Any] = {
        "stage": sessions.stage(row, asks=bool(study.definition.demographics)),
        "language": row["language"],
        "position": position,
        "pages": len(pages_of),
        "begun": position > 0 or any(page["shown_at"] is not None for page in pages_of),
        "open": study.phase() == "open",
        **_skipped(passed),
    }
    if found["stage"] == "done":
        found["completion"] = _completion(study, session, row["source"], passed)
    return found


def _skipped(passed: Skipped) -> dict[str, int]:
    return {"skipped": passed.pages, "most_skipped": passed.most}


def _completion(
    study: OpenStudy, session: str, source: str, passed: Skipped
) -> dict[str, str | int]:
    """The code of a rater who answered enough, and the way back to Prolific."""
    counts = {**_skipped(passed), "enough": passed.enough}
    if not passed.enough:
        return {"code": "", "link": "", **counts}
    code = codes.code(study.definition, study.keys, session)
    link = f"https://app.prolific.com/submissions/complete?cc={quote(code, safe='')}"
    return {"code": code, "link": link if source == "prolific" else "", **counts}


async def _questions(study: OpenStudy, request: Request) -> Response:
    session = _rater(study, request)
    study.need_open()
    data = await posts.body(request, answers=dict)
    given: dict[str, str] = {}
    questions = {question.id: question for question in study.definition.demographics}
    for name, value in data["answers"].items():
        question = questions.get(name)
        if question is None:
            raise RefusedError("invalid", "This question is not asked.", 422)
        text = posts.plain_text("The answer", value, question.longest)
        if question.kind == "choice" and text not in [option.id for option in question.options]:
            raise RefusedError("invalid", f"{name} has no such option.", 422)
        given[name] = text
    missing = [q.id for q in questions.values() if q.required and not given.get(q.id)]
    if missing:
        raise RefusedError("invalid", f"Please answer: {', '.join(missing)}.", 422)
    await study.write_while_open(sessions.answer_questions, study.store, session, given)
    return JSONResponse({"saved": True})


async def _playback(study: OpenStudy, request: Request) -> Response:
    session = _rater(study, request)
    study.need_open()
    data = await posts.body(request, outcome=str)
    if data["outcome"] not in ("ok", "cannot"):
        raise RefusedError("invalid", "outcome must be ok or cannot.", 422)
    await study.write_while_open(sessions.check_playback, study.store, session, data["outcome"])
    return JSONResponse({"saved": True})


async def _page(study: OpenStudy, request: Request) -> Response:
    session, position = _rater(study, request), _position(request)
    study.need_open()
    language = _language(study, request.query_params.get("language"))
    return JSONResponse(
        await study.read(
            lambda database: pages.page(
                database, study.definition, study.rules, session, position, language
            )
        )
    )


async def _shown(study: OpenStudy, request: Request) -> Response:
    session, position = _rater(study, request), _position(request)
    study.need_open()
    await posts.body(request)
    elapsed = await study.write_while_open(answers.open_page, study.store, session, position)
    return JSONResponse({"wait": max(study.rules.watch_seconds - elapsed, 0.0)})


async def _seen(study: OpenStudy, request: Request) -> Response:
    session, position = _rater(study, request), _position(request)
    study.need_open()
    await posts.body(request)
    await study.write_while_open(
        answers.confirm_watched,
        study.store,
        study.rules,
        session,
        position,
        study.sent.__contains__,
    )
    return JSONResponse({"saved": True})


async def _cannot_play(study: OpenStudy, request: Request) -> Response:
    session, position = _rater(study, request), _position(request)
    study.need_open()
    data = await posts.body(request, reason=str)
    reason = posts.plain_text("reason", data["reason"], 300)
    await study.write_while_open(answers.cannot_play, study.store, session, position, reason)
    passed = await study.read(partial(sessions.skipped, session=session))
    return JSONResponse({"saved": True, **_skipped(passed[session])})


async def _answer(study: OpenStudy, request: Request) -> Response:
    session = _rater(study, request)
    study.need_open()
    data = await posts.body(
        request, position=int, side=str, dimension=str, score=int, seconds=float, key=str
    )
    answer = Answer(
        position=posts.bounded("position", data["position"], 0, 10**9),
        side=data["side"],
        dimension=data["dimension"],
        score=data["score"],
        seconds=posts.seconds(data["seconds"]),
        key=posts.client_key(data["key"]),
    )
    stored = await study.write_while_open(answers.save, study.store, study.rules, session, answer)
    return JSONResponse({"saved": True, **stored})


async def _finish(study: OpenStudy, request: Request) -> Response:
    session = _rater(study, request)
    await posts.body(request)
    counted = await study.write(_end, study, session)
    state = await study.read(partial(_state, study, session))
    return JSONResponse(
        {"counted": counted, "skipped": state["skipped"], "completion": state["completion"]}
    )


def _end(study: OpenStudy, session: str) -> int:
    """Finish a session; also after the close, but never once results may have been read."""
    with study.store.transaction():
        if study.phase() == "unblinded":
            raise PhaseError("This study is over and its results are being read.")
        return sessions.finish(study.store, session)


async def _withdraw(study: OpenStudy, request: Request) -> Response:
    session = _rater(study, request)
    await posts.body(request)
    try:
        receipt = await study.write(
            withdraw, study.folder, study.store, study.keys, session, "the rater"
        )
    except NobodyError as error:
        raise RefusedError("withdrawn", "This session was withdrawn.", 410) from error
    return JSONResponse({"receipt": receipt.number, "answers": receipt.answers})


async def _media(study: OpenStudy, request: Request) -> Response:
    token = request.path_params["token"]
    found = await study.read(
        lambda database: one(
            database,
            "select file, done_at from media"
            " join assignments on assignments.id = assignment"
            " join sessions on sessions.id = session where token = ?",
            token,
        )
    )
    if found is None or found["done_at"] is not None or study.phase() != "open":
        raise RefusedError("not_found", "There is no such video now.", 404)
    study.sent.add(token)
    return await run_in_threadpool(
        media_response, study.folder.media / found["file"], request.headers.get("range")
    )


async def _health(study: OpenStudy, request: Request) -> Response:
    return JSONResponse({"phase": study.phase()})


async def _nothing(study: OpenStudy, request: Request) -> Response:
    raise RefusedError("not_found", "There is nothing at this address.", 404)
