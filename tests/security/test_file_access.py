"""What a stranger can ask of the running app: only its own files, and nothing of the server's."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTENT = "a secret of the server 4f1c"


def ask(url: str, body: object = None) -> tuple[int, str, dict[str, str]]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return answer.status, answer.read().decode(errors="replace"), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace"), dict(error.headers)


@pytest.fixture(scope="module")
def config(running_app) -> dict:
    return json.loads(ask(running_app.url + "config")[1])


def file_inputs(config: dict) -> list[tuple[int, list[int], int]]:
    """(function, its inputs, place of the clip among them) of every event that takes a clip."""
    video = next(c["id"] for c in config["components"] if c["type"] == "video")
    return [
        (event["id"], event["inputs"], event["inputs"].index(video))
        for event in config["dependencies"]
        if video in event["inputs"]
    ]


def test_a_posted_path_reads_no_file_of_the_server(running_app, config, tmp_path: Path) -> None:
    """Gradio copies a posted {"path": ...} into its served cache unless the page counts as
    launched; a mounted page does not, and any file could be read without a login."""
    secret = tmp_path / "secret.txt"
    secret.write_text(CONTENT)
    values = {c["id"]: c["props"].get("value") for c in config["components"]}
    events = file_inputs(config)
    assert events
    for function, inputs, place in events:
        data = [values[number] for number in inputs]
        data[0] = "Upload"
        data[place] = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
        session = f"stranger{function}"
        status, text, _ = ask(
            running_app.url + "gradio_api/queue/join",
            {"data": data, "fn_index": function, "session_hash": session},
        )
        if status == 200:
            address = f"gradio_api/queue/data?session_hash={session}"
            text = ask(running_app.url + address)[1]
            assert '"success":false' in text.replace(" ", ""), text
        assert CONTENT not in text
    copies = [
        path
        for path in running_app.temporary.rglob("*")
        if path.is_file() and CONTENT in path.read_bytes().decode(errors="replace")
    ]
    assert not copies


@pytest.mark.parametrize(
    "address",
    [
        "gradio_api/file=/etc/passwd",
        "gradio_api/file=app.py",
        "gradio_api/file=http://127.0.0.1:1/",
        "gradio_api/file=https://example.org/",
        "gradio_api/proxy=https://example.org/",
        "files/assets/../app.py",
        "files/assets/%2e%2e/app.py",
        "files/assets/..%2fapp.py",
        "files/viewer/../page.py",
        "files/results/x/..%2f..%2f..%2fapp.py",
        "files/results/../../app.py",
        "files/results/unknown/video.mp4",
    ],
)
def test_no_address_gives_a_file_of_the_server(running_app, address: str) -> None:
    status, text, _ = ask(running_app.url + address)
    assert status in (400, 403, 404), (status, text[:200])
    assert "def main" not in text
    assert "root:" not in text


def test_headers_keep_the_page_to_its_own_server(running_app) -> None:
    _, _, headers = ask(running_app.url)
    policy = {name.lower(): text for name, text in headers.items()}
    assert "default-src 'self'" in policy["content-security-policy"]
    assert policy["x-content-type-options"] == "nosniff"


def test_the_page_tells_nothing_of_the_machine(running_app) -> None:
    """The configuration every browser gets must not hold folders of the server."""
    text = ask(running_app.url)[1] + ask(running_app.url + "config")[1]
    assert str(ROOT) not in text
    assert str(running_app.temporary) not in text
    outside = set(re.findall(r'(?:src|href)="(https?://[^"]+)"', text))
    assert not outside


def test_events_are_not_offered_as_an_interface(running_app) -> None:
    """The schema of a public interface would invite scripts past the queue's visible order."""
    info = json.loads(ask(running_app.url + "gradio_api/info")[1])
    assert not info["named_endpoints"]
    assert not info["unnamed_endpoints"]
