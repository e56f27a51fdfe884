"""The app behind a real nginx under a prefix, with the block of deploy/nginx.conf."""

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from study_folder import make_study

from benchmarks.app_server import ROOT, AppServer

pytestmark = pytest.mark.slow

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
PASSWORD = "correct horse battery"  # noqa: S105

SERVER = """
daemon off; worker_processes 1; pid {place}/nginx.pid; error_log {place}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/a; uwsgi_temp_path {place}/b; scgi_temp_path {place}/c;
    server {{ listen 127.0.0.1:{port}; {location} }}
}}
"""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> None:
        return None


OPENER = urllib.request.build_opener(NoRedirect)


def ask(url: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    names = {name.replace("_", "-"): text for name, text in headers.items()}
    request = urllib.request.Request(url, body, names)  # noqa: S310
    try:
        with OPENER.open(request, timeout=120) as answer:
            return answer.status, answer.read(), {k.lower(): v for k, v in answer.headers.items()}
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), {k.lower(): v for k, v in error.headers.items()}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    if not Path(NGINX).is_file():
        pytest.skip("nginx is absent; install it with: apt-get install nginx-light")
    place = tmp_path_factory.mktemp("proxied")
    make_study(place / "studies" / "small")
    with AppServer(
        place,
        *("--root-path", "/finephys/", "--study", str(place / "studies")),
        environment={"STUDY_ADMIN_PASSWORD": PASSWORD},
    ) as server:
        yield server


@pytest.fixture(scope="module")
def public(app: AppServer) -> Iterator[str]:
    """Address of the demo as the world sees it, with a slash at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = app.temporary / "nginx"
    place.mkdir()
    location = (ROOT / "deploy" / "nginx.conf").read_text().replace(":7860", f":{app.port}")
    (place / "nginx.conf").write_text(SERVER.format(place=place, port=port, location=location))
    with subprocess.Popen([NGINX, "-p", str(place), "-c", "nginx.conf"]) as process:
        try:
            for _ in range(100):
                assert process.poll() is None, (place / "error.log").read_text()
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}/finephys/"
        finally:
            process.terminate()


def multipart(name: str, content: bytes) -> tuple[bytes, str]:
    head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n--x--\r\n", "multipart/form-data; boundary=x"


def test_the_page_names_public_addresses_alone(app: AppServer, public: str) -> None:
    """An address without the prefix belongs to another program of that host."""
    status, page, headers = ask(public)
    assert status == 200
    assert len(headers["x-request-id"]) == 32  # nginx's own
    config = json.loads(ask(public + "config")[1])
    assert config["root"] == public.rstrip("/")
    text = page.decode()
    assert f":{app.port}" not in text
    # Gradio's template asks for a manifest at the root of the host; nothing depends on it.
    found = set(re.findall(r'(?:src|href)="([^"#]+)"', text)) - {"/manifest.json"}
    assert found
    for address in found:
        full = urllib.parse.urljoin(public, address)
        assert full.startswith(public), address
        assert ask(full)[0] == 200, address


def test_a_clip_is_uploaded_generated_and_downloaded(public: str) -> None:
    clip = ROOT / "assets" / "examples" / "double_turn.mp4"
    body, kind = multipart(clip.name, clip.read_bytes())
    status, answer, _ = ask(public + "gradio_api/upload", body, content_type=kind)
    assert status == 200
    [path] = json.loads(answer)
    assert ask(f"{public}gradio_api/file={path}")[1] == clip.read_bytes()
    config = json.loads(ask(public + "config")[1])
    values = {each["id"]: each["props"].get("value") for each in config["components"]}
    labels = {each["props"].get("label"): each["id"] for each in config["components"]}
    generate = next(
        event
        for event in config["dependencies"]
        if labels["Steps"] in event["inputs"] and labels["Seed"] in event["inputs"]
    )
    values[labels["Start from"]] = "Upload"
    values[labels["Clip of one person"]] = {"path": path, "meta": {"_type": "gradio.FileData"}}
    values[labels["Steps"]] = 1
    data = [values[number] for number in generate["inputs"]]
    data[-1] = 1  # the first press of Generate
    session = "proxied"
    status, text, _ = ask(
        public + "gradio_api/queue/join",
        json.dumps({"data": data, "fn_index": generate["id"], "session_hash": session}).encode(),
        content_type="application/json",
        accept="application/json",
    )
    assert status == 200, text
    stream = ask(f"{public}gradio_api/queue/data?session_hash={session}")[1].decode()
    found = re.findall(r"files/results/[\w-]+/video\.mp4", stream)
    assert found, stream[-2000:]
    status, video, headers = ask(public + found[-1])
    assert status == 200
    assert headers["content-type"] == "video/mp4"
    assert video[4:8] == b"ftyp"


def test_media_is_served_in_ranges(public: str) -> None:
    """Safari plays nothing from a server that ignores ranges."""
    status, part, headers = ask(public + "files/assets/examples/double_turn.mp4", range="bytes=4-7")
    assert (status, part) == (206, b"ftyp")
    assert headers["content-range"].startswith("bytes 4-7/")


def test_raters_and_the_administration_work_under_the_prefix(public: str) -> None:
    status, _, headers = ask(public + "study/small?invite=x")
    assert (status, headers["location"]) == (308, "/finephys/study/small/?invite=x")
    status, page, _ = ask(public + "study/small/")
    assert status == 200
    for address in re.findall(r'(?:src|href)="([^"#]+)"', page.decode()):
        full = urllib.parse.urljoin(public + "study/small/", address)
        assert ask(full)[0] == 200, address
    assert json.loads(ask(public + "study/small/study")[1])["phase"] == "open"
    status, _, headers = ask(public + "study-admin")
    assert headers["location"] == "/finephys/study-admin/"
    status, _, headers = ask(public + "study-admin/", accept="text/html")
    assert headers["location"] == "/finephys/study-admin/login"
    form = urllib.parse.urlencode({"password": PASSWORD}).encode()
    status, _, headers = ask(public + "study-admin/login", form, sec_fetch_site="same-origin")
    assert (status, headers["location"]) == (303, "/finephys/study-admin/")
    assert "path=/finephys/study-admin" in headers["set-cookie"].lower()
    cookie = headers["set-cookie"].partition(";")[0]
    config = json.loads(ask(public + "study-admin/config", cookie=cookie)[1])
    assert config["root"] == public + "study-admin"


def test_each_visitor_has_limits_of_their_own(app: AppServer, public: str) -> None:
    """Counted for the proxy's address, one visitor would lock out all others; what a visitor
    writes into the header must not count as an address."""
    for number in range(6):
        answer = ask(
            public + "study-admin/login",
            b"password=wrong",
            sec_fetch_site="same-origin",
            x_forwarded_for=f"203.0.113.{number}",
        )
    assert answer[0] == 429
    # Another visitor, as nginx would name them.
    form = urllib.parse.urlencode({"password": PASSWORD}).encode()
    direct = ask(
        app.url + "study-admin/login",
        form,
        sec_fetch_site="same-origin",
        x_forwarded_for="198.51.100.7",
    )
    assert direct[0] == 303


def test_health_is_asked_without_the_prefix(app: AppServer, public: str) -> None:
    assert ask(app.url + "health")[0] == ask(public + "health")[0] == 200
    assert ask(public.removesuffix("/"))[0] == 308
