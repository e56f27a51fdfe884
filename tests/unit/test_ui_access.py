"""Rate limits, body limits, request ids and the rule of the gate, without a browser."""

import re

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from finephys.ui import access
from finephys.ui.access import Guard, Limit, RateLimits, gate, network_of
from study.gate import Gate

PASSWORD = "correct horse battery"  # noqa: S105


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def page(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{request.url.path} {len(await request.body())}")


async def broken(request: Request) -> PlainTextResponse:
    raise RuntimeError("/srv/secret/place")


def client(root_path: str = "", limits: RateLimits | None = None) -> TestClient:
    async def train(scope, receive, send) -> None:
        await PlainTextResponse("training")(scope, receive, send)

    async def evaluate(scope, receive, send) -> None:
        await PlainTextResponse("evaluation")(scope, receive, send)

    async def nothing(scope, receive, send) -> None:
        await PlainTextResponse("nothing")(scope, receive, send)

    private = gate(Gate(PASSWORD, nothing), {"/train": train, "/evaluate": evaluate})
    methods = ["GET", "POST"]
    routes = [
        Route("/", page, methods=methods),
        Route("/config", broken),
        Route("/monitoring", page),
        Route("/gradio_api/run/{name}", page, methods=methods),
        Route("/gradio_api/upload", page, methods=methods),
        Mount("/study", routes=[Route("/{name}/", page, methods=methods)]),
        *private,
    ]
    guard = Middleware(Guard, root_path=root_path, gated=("/train", "/evaluate"), limits=limits)
    return TestClient(Starlette(routes=routes, middleware=[guard]), raise_server_exceptions=False)


def test_a_page_behind_the_gate_needs_the_password_and_each_session_is_shared() -> None:
    """A page that was mounted without the gate would train on a stranger's press."""
    http = client()
    for path in ("/train/", "/evaluate/", "/train/anything"):
        answer = http.get(path)
        assert (answer.status_code, "training" in answer.text) == (401, False), path
    assert (
        http.get("/train/", headers={"accept": "text/html"}, follow_redirects=False)
        .headers["location"]
        .endswith("/train/login")
    )
    headers = {"sec-fetch-site": "same-origin"}
    for _ in range(5):
        http.post("/train/login", data={"password": "wrong"}, headers=headers)
    # The tries are counted for all pages of the gate together.
    assert (
        http.post("/evaluate/login", data={"password": PASSWORD}, headers=headers).status_code
        == 429
    )


def test_the_password_opens_the_page() -> None:
    http = client()
    answer = http.post(
        "/train/login",
        data={"password": PASSWORD},
        headers={"sec-fetch-site": "same-origin"},
        follow_redirects=False,
    )
    cookie = answer.headers["set-cookie"].partition(";")[0]
    assert http.get("/train/", headers={"cookie": cookie}).text == "training"
    assert http.get("/evaluate/", headers={"cookie": cookie}).text == "evaluation"


@pytest.mark.parametrize("path", ["/monitoring", "/gradio_api/dev/reload", "/docs", "/trainer/"])
def test_an_address_that_is_not_listed_answers_nothing(path: str) -> None:
    """Gradio has pages of its own (monitoring, reload, profiling) that nobody asked for."""
    assert client().get(path).status_code == 404


def test_an_internal_error_shows_its_id_and_nothing_of_the_machine(caplog) -> None:
    answer = client().get("/config", headers={"x-request-id": "abc-1"})
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == "abc-1"
    assert "abc-1" in answer.text
    assert "secret" not in answer.text
    assert "/srv/secret/place" in caplog.text  # the log has the traceback


@pytest.mark.parametrize("given", ["a b", "x" * 65, "", "é"])
def test_a_request_id_that_could_forge_a_log_line_is_replaced(given: str) -> None:
    answer = client().get("/", headers={"x-request-id": given.encode()})
    assert re.fullmatch("[0-9a-f]{12}", answer.headers["x-request-id"])


def test_a_large_body_is_refused_with_and_without_its_length() -> None:
    """Gradio reads a posted body whole into memory."""
    http, big = client(), b"x" * (access.LARGEST_BODY + 1)
    assert http.post("/gradio_api/run/predict", content=big).status_code == 413
    chunks = (big[at : at + 65536] for at in range(0, len(big), 65536))
    assert http.post("/gradio_api/run/predict", content=chunks).status_code == 413
    assert http.post("/gradio_api/upload", content=big).status_code == 200  # has its own limit
    assert http.post("/gradio_api/run/predict", headers={"content-length": "-1"}).status_code == 413


def test_a_root_path_is_part_of_every_address_the_routes_see() -> None:
    http = client("/demo")
    assert http.get("/").text.startswith("/demo/")
    assert http.get("/study/one/").text.startswith("/demo/study/one/")
    location = http.get("/train/", headers={"accept": "text/html"}, follow_redirects=False)
    assert location.headers["location"] == "/demo/train/login"


def test_expensive_requests_are_limited_for_each_client() -> None:
    clock = Clock()
    limits = RateLimits((Limit(re.compile("/heavy"), burst=2, per_minute=30),), clock)
    assert [limits.wait("/heavy", "1.1.1.1") > 0 for _ in range(4)] == [False, False, True, True]
    assert limits.wait("/heavy", "2.2.2.2") == 0
    assert limits.wait("/light", "1.1.1.1") == 0
    wait = limits.wait("/heavy", "1.1.1.1")
    clock.now += wait - 0.01
    assert limits.wait("/heavy", "1.1.1.1") > 0
    clock.now += 0.02
    assert limits.wait("/heavy", "1.1.1.1") == 0


def test_clients_that_went_away_are_forgotten(monkeypatch) -> None:
    """A bucket for every address that ever asked would fill the memory."""
    monkeypatch.setattr(access, "MOST_BUCKETS", 50)
    clock = Clock()
    limits = RateLimits((Limit(re.compile("/heavy"), burst=2, per_minute=60),), clock)
    for number in range(1000):
        clock.now += 1
        limits.wait("/heavy", f"10.0.{number // 250}.{number % 250}")
    assert len(limits._buckets) <= 52


def test_a_limited_request_says_when_to_come_back() -> None:
    limits = RateLimits((Limit(re.compile("/gradio_api/run/.*"), burst=1, per_minute=6),))
    http = client(limits=limits)
    assert http.post("/gradio_api/run/predict").status_code == 200
    answer = http.post("/gradio_api/run/predict")
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 11
    assert "wait" in answer.json()["detail"]


def test_an_ipv6_client_cannot_change_its_address_within_its_network() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1")
    assert network_of("2001:db8:0:1::1") != network_of("2001:db8::1")
    assert network_of("192.0.2.1") != network_of("192.0.2.2")
    assert network_of("unix") == "unix"
