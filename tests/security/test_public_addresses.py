"""Every route of the demo's server, asked without a login: only public ones answer."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

ROOT = Path(__file__).resolve().parents[2]

PRIVATE_OF_GRADIO = {
    "/monitoring",
    "/gradio_api/dev/reload",
    "/gradio_api/openapi.json",
    "/gradio_api/vibe-code",
    "/gradio_api/vibe-edit",
    "/gradio_api/token",
    "/gradio_api/process_recording",
    "/login",
}

# In a process of its own, for Gradio leaves event loops unclosed.
ASK_EVERY_ROUTE = """
import json, re, sys, tempfile
from pathlib import Path
import gradio as gr
from gradio.routes import App
from starlette.routing import Mount
from starlette.testclient import TestClient
from study_folder import make_study
from finephys.ui import server
from finephys.ui.access import PUBLIC
from finephys.ui.jobs import Jobs
from study.admin.routes import inside
from study.site import Site

def addresses(routes):
    for route in routes:
        if included := getattr(route, "original_router", None):  # FastAPI's include_router
            yield from addresses(included.routes)
            continue
        path = re.sub(r"\\{[^}]*\\}", "x", route.path)
        yield from [path, f"{path}/x"] if isinstance(route, Mount) else [path]

place = Path(sys.argv[1])
make_study(place / "studies" / "small")
with gr.Blocks() as blocks:
    gr.HTML("")
with Site(place / "studies", (), "correct horse battery", inside) as site:
    options = server.app_options(place, Jobs(place / "jobs"), server.Readiness(), site=site)
    app = App.create_app(blocks, app_kwargs=options)
    client = TestClient(app, raise_server_exceptions=False, follow_redirects=False)
    asked = []
    for path in set(addresses(app.routes)):
        if PUBLIC.fullmatch(path):
            continue  # some are streams that never end
        for method in ("GET", "POST"):
            answer = client.request(method, path, headers={"accept": "text/html"})
            asked.append([path, method, answer.status_code, answer.headers.get("location", "")])
    phase = client.get("/study/small/study").json()["phase"]
    ready = client.get("/ready")
json.dump({"asked": asked, "phase": phase, "ready": [ready.status_code, ready.json()]}, sys.stdout)
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Answers of the routes and middleware of app.py with an open study, around an empty page."""
    done = subprocess.run(
        [sys.executable, "-c", ASK_EVERY_ROUTE, str(tmp_path_factory.mktemp("server"))],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return json.loads(done.stdout)


def test_no_route_but_the_public_ones_answers_without_a_login(found: dict) -> None:
    """A tab for training, or a page of Gradio's own, must not be open to strangers by accident."""
    assert {path for path, *_ in found["asked"]} >= PRIVATE_OF_GRADIO | {"/study-admin/x"}
    for path, method, status, location in found["asked"]:
        to_login = location.endswith(("/login", "/study-admin/"))
        assert to_login or status in (401, 403, 404, 405), (method, path, status)


def test_raters_need_no_login(found: dict) -> None:
    assert found["phase"] == "open"


def test_readiness_says_nothing_but_itself(found: dict) -> None:
    """A model's name or a path would tell a stranger what runs here."""
    assert found["ready"] == [503, {"ready": False}]


def test_the_public_addresses_answer(running_app) -> None:
    """An address missing in the list would break the page."""
    addresses = (
        *("", "config", "theme.css", "gradio_api/info", "gradio_api/startup-events"),
        *("files/viewer/viewer.js", "files/assets/examples/double_turn.mp4"),
    )
    for path in addresses:
        with urllib.request.urlopen(running_app.url + path, timeout=30) as answer:  # noqa: S310
            assert answer.status == 200, path
    with urllib.request.urlopen(running_app.url + "health", timeout=30) as answer:  # noqa: S310
        assert json.loads(answer.read()) == {"status": "ok"}


def test_a_preview_without_a_number_is_not_found() -> None:
    """The bare address once ended in an IndexError, a 500."""
    from study.preview import Previews

    http = TestClient(Starlette(routes=[Mount("/preview", Previews())]))
    for path in ("/preview", "/preview/", "/preview//", "/preview/unknown/"):
        assert http.get(path).status_code == 404, path


def test_an_upload_hides_the_servers_folder(running_app) -> None:
    """Gradio answers with the file's path on the server, and wants it back with the event."""
    with httpx.Client(base_url=running_app.url, timeout=60) as http:
        answer = http.post("gradio_api/upload", files={"files": ("clip.mp4", b"not a clip")})
        assert answer.status_code == 200
        [path] = answer.json()
        assert path.startswith("/uploads/")
        assert http.get(f"gradio_api/file={path}").content == b"not a clip"
        config = http.get("config").json()
        judge = next(
            event["id"]
            for event in config["dependencies"]
            if any(target[1] == "upload" for target in event["targets"])
        )
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        body = {"fn_index": judge, "session_hash": "me", "data": [file]}
        said = http.post("gradio_api/run/predict", json=body)
    assert said.status_code == 200, said.text
    assert "clip.mp4 is not a video" in said.text
    assert str(running_app.temporary) not in answer.text + said.text
