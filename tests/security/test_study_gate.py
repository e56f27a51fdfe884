"""What a stranger, a rater or a hostile upload can get out of the administrator's page: nothing."""

import io
import json
import os
import re
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from study_folder import METHODS, make_study
from study_site import PASSWORD, SiteServer, ask, log_in

from study import gate, uploads
from study.admin.routes import inside
from study.gate import Gate
from study.site import Site
from study.uploads import UploadError

CONTENT = "a secret of the server 9c2e"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[SiteServer]:
    place = tmp_path_factory.mktemp("site")
    make_study(place / "studies" / "small")
    running = SiteServer(place)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def cookie(site: SiteServer) -> str:
    status, cookie = log_in(site)
    assert status == 303
    return cookie


@pytest.fixture(scope="module")
def light(site: SiteServer) -> str:
    """What the server had mapped before anybody logged in; the fixture must come first."""
    return site.imported()


def origin(site: SiteServer) -> dict[str, str]:
    return {"origin": site.url.rstrip("/")}


# ---- the start -----------------------------------------------------------------------------------


def test_nothing_heavy_is_loaded_for_raters_alone(light: str, site: SiteServer) -> None:
    """Gradio, torch or FinePhys imported at the start would cost raters' servers seconds."""
    assert ask(f"{site.url}study/small/")[0] == 200
    assert not [name for name in ("torch", "pydantic_core", "orjson") if f"/{name}" in light]


# ---- the gate ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "",
        "config",
        "gradio_api/info",
        "gradio_api/startup-events",
        "gradio_api/file=/etc/passwd",
        "board/small",
        "page/admin.js",
        "results/small/report.html",
        "preview/0/",
        "theme.css",
        "monitoring",
    ],
)
def test_without_the_password_every_address_says_the_same(site: SiteServer, address: str) -> None:
    """One address left outside the gate would show a configuration, a file or a name."""
    for cookie in ("", "study_admin=x", "study_admin=" + "a" * 43):
        status, text, _ = ask(site.admin + address, cookie=cookie)
        assert (status, json.loads(text)) == (401, {"sentence": "Log in first."})
    status, _, headers = ask(site.admin + address, accept="text/html")
    assert (status, headers["location"]) == (303, "/study-admin/login")


def test_the_login_page_names_nothing(site: SiteServer) -> None:
    status, text, headers = ask(f"{site.admin}login")
    assert status == 200
    for word in ("gradio", "small", *METHODS, str(site.studies), "<script"):
        assert word not in text.lower()
    assert "default-src 'none'" in headers["content-security-policy"]


def test_the_cookie_is_for_this_server_and_no_script(site: SiteServer) -> None:
    _, _, headers = ask(
        f"{site.admin}login", f"password={PASSWORD}".replace(" ", "+").encode(), **origin(site)
    )
    cookie = headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/study-admin" in cookie
    assert PASSWORD not in cookie


class Hands:
    """A gate with a clock that a test turns, and a page behind it."""

    def __init__(self) -> None:
        from starlette.applications import Starlette
        from starlette.responses import PlainTextResponse
        from starlette.routing import Mount

        self.time = 0.0
        made = Gate(PASSWORD, PlainTextResponse("inside"), clock=lambda: self.time)
        app = Starlette(routes=[Mount("/study-admin", made)])
        self.client = TestClient(app, "https://study.org", follow_redirects=False)

    def enter(self, password: str, **headers: str) -> int:
        given = headers or {"origin": "https://study.org"}
        form = {"password": password}
        return self.client.post("/study-admin/login", data=form, headers=given).status_code


def test_many_wrong_passwords_are_not_even_looked_at() -> None:
    """Without a limit a password can be guessed at thousands of tries a second."""
    hands = Hands()
    assert [hands.enter(f"wrong{number}") for number in range(8)] == [403] * 5 + [429] * 3
    assert hands.enter(PASSWORD) == 429, "the right one waits too, or waiting would tell"
    hands.time += gate.TRIES_SECONDS + 1
    assert hands.enter(PASSWORD) == 303


def test_a_session_ends(tmp_path: Path) -> None:
    hands = Hands()
    assert hands.enter(PASSWORD) == 303
    assert hands.client.get("/study-admin/").text == "inside"
    hands.time += gate.SESSION_SECONDS + 1
    assert hands.client.get("/study-admin/").status_code == 401


def test_logging_out_forgets_the_session_on_the_server() -> None:
    """A cookie that was copied would live on if only the browser forgot it."""
    hands = Hands()
    hands.enter(PASSWORD)
    kept = {"cookie": f"{gate.COOKIE}={hands.client.cookies[gate.COOKIE]}"}
    assert hands.client.get("/study-admin/", headers=kept).text == "inside"
    hands.client.post("/study-admin/logout", headers={"origin": "https://study.org"})
    assert hands.client.get("/study-admin/", headers=kept).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.org"},
        {"origin": "https://evil.org", "sec-fetch-site": "cross-site"},
        {"origin": "https://study.org", "sec-fetch-site": "same-site"},
        {"origin": "null"},
        {"referer": "https://study.org/study-admin/"},
    ],
)
def test_a_page_of_somebody_else_cannot_act_for_the_administrator(headers: dict[str, str]) -> None:
    """A forged form (CSRF) would open, close or unblind a study by the administrator's cookie."""
    hands = Hands()
    assert hands.enter(PASSWORD, **headers) == 403
    assert hands.enter(PASSWORD) == 303
    for method in ("POST", "PUT", "DELETE"):
        answer = hands.client.request(method, "/study-admin/anything", headers=headers)
        assert answer.status_code == 403
    same = {"origin": "https://study.org", "sec-fetch-site": "same-origin"}
    assert hands.client.post("/study-admin/anything", headers=same).text == "inside"


def test_a_short_password_is_refused_and_a_made_up_one_differs_each_time(monkeypatch) -> None:
    monkeypatch.setenv(gate.VARIABLE, "short")
    with pytest.raises(Exception, match="has 5 characters; give 10 or more"):
        gate.wanted_password()
    monkeypatch.delenv(gate.VARIABLE)
    (one, made), (other, _) = gate.wanted_password(), gate.wanted_password()
    assert made
    assert one != other
    assert len(one) >= gate.SHORTEST


# ---- what lies behind ----------------------------------------------------------------------------


def test_the_gradio_file_exploit_reads_nothing_even_for_the_administrator(
    site: SiteServer, cookie: str, tmp_path: Path
) -> None:
    """A mounted page that does not count as launched copies any file that is named to it."""
    secret = tmp_path / "secret.txt"
    secret.write_text(CONTENT)
    config = json.loads(ask(f"{site.admin}config", cookie=cookie)[1])
    forged = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
    events = [event for event in config["dependencies"] if event["inputs"]]
    assert len(events) > 10
    for event in events:
        session = f"stranger{event['id']}"
        body = {"data": [forged for _ in event["inputs"]], "fn_index": event["id"]}
        status, text, _ = ask(
            f"{site.admin}gradio_api/queue/join",
            json.dumps({**body, "session_hash": session}).encode(),
            content_type="application/json",
            cookie=cookie,
            **origin(site),
        )
        if status == 200:
            address = f"{site.admin}gradio_api/queue/data?session_hash={session}"
            text = ask(address, cookie=cookie)[1]
        assert CONTENT not in text
    copies = [
        path
        for path in site.temporary.rglob("*")
        if path.is_file() and CONTENT.encode() in path.read_bytes()
    ]
    assert not copies
    for root in (site.admin, site.url):
        assert ask(f"{root}gradio_api/file={secret}", cookie=cookie)[0] in (403, 404)


@pytest.mark.parametrize(
    "address",
    [
        "board/..",
        "board/%2e%2e",
        "board/nothing",
        "board/small%2f..",
        "results/small/../study.yaml",
        "results/small/..%2fstudy.yaml",
        "results/small/%2e%2e%2fsecret%2fmap.json",
        "results/..%2f..%2fetc/passwd",
        "page/../gate.py",
        "page/..%2fgate.py",
        "preview/../../secret",
        "gradio_api/file=/etc/passwd",
        "gradio_api/file=app.py",
        "gradio_api/file=http://127.0.0.1:1/",
        "gradio_api/proxy=https://example.org/",
    ],
)
def test_no_address_leaves_its_folder(site: SiteServer, cookie: str, address: str) -> None:
    status, text, _ = ask(site.admin + address, cookie=cookie)
    assert status in (400, 401, 403, 404, 422), (status, text[:200])
    for word in (*METHODS, "root:", "salt", "import "):
        assert word not in text


def test_nothing_of_an_open_study_names_a_method(site: SiteServer, cookie: str) -> None:
    """The administrator's page itself must not unblind: neither its configuration nor the board."""
    seen = "".join(
        ask(f"{site.admin}{address}", cookie=cookie)[1] for address in ("", "config", "board/small")
    ).lower()
    assert "small is open" in seen
    for word in (*METHODS, str(site.studies).lower()):
        assert word not in seen


def test_raters_cannot_tell_that_there_is_an_administrators_page(site: SiteServer) -> None:
    """Their page, its scripts and refusals must name neither the page nor what draws it."""
    script = re.findall(r'(?:src|href)="([^"]+)"', ask(f"{site.url}study/small/")[1])
    assert script
    addresses = ["", *script, "study", "health", "nothing", "board", "config", "gradio_api/info"]
    for address in (*(f"study/small/{each}" for each in addresses), "study/other/", "", "config"):
        status, text, headers = ask(site.url + address)
        for word in ("admin", "gradio", *METHODS, str(site.studies)):
            assert word not in text.lower() + str(headers).lower(), (address, word)
        assert status in (200, 401, 404), (address, status)


def test_a_draft_cannot_be_told_from_nothing(site: SiteServer) -> None:
    """Names of studies to come are nobody's business, and odd names open no folder."""
    (site.studies / "draft").mkdir(exist_ok=True)
    (site.studies / "draft" / "study.yaml").write_text("name: draft\n")
    missing = ask(f"{site.url}study/nothing/")
    for name in ("draft", "..", ".uploads", "small%2f..", "%00"):
        status, text, _ = ask(f"{site.url}study/{name}/")
        assert status == 404, name
        assert text == missing[1] or ".." in name, name


# ---- uploads -------------------------------------------------------------------------------------

UPLOAD = "0123456789abcdef" * 2


def put(site: SiteServer, cookie: str, address: str, body: bytes) -> tuple[int, str]:
    status, text, _ = ask(
        f"{site.admin}uploads/{address}", body, "PUT", cookie=cookie, **origin(site)
    )
    return status, text


def test_an_upload_lands_in_its_own_folder(site: SiteServer, cookie: str) -> None:
    assert put(site, cookie, f"{UPLOAD}/files/alpha/8_3.mp4", b"clip")[0] == 200
    stored = site.studies / ".uploads" / UPLOAD
    assert (stored / "alpha" / "8_3.mp4").read_bytes() == b"clip"
    assert stat.S_IMODE(stored.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "address",
    [
        f"{UPLOAD}/files/..%2f..%2fsmall%2fstudy.yaml",
        f"{UPLOAD}/files/%2fetc%2fcron.mp4",
        f"{UPLOAD}/files/a/..%2f..%2fb.mp4",
        f"{UPLOAD}/files/a/.hidden.mp4",
        f"{UPLOAD}/files/a%5c..%5cb.mp4",
        f"{UPLOAD}/files/a%00.mp4",
        f"{UPLOAD}/files/a/page.html",
        f"{UPLOAD}/files/a/b/c/d/e/f.mp4",
        "..%2fsmall/files/study.yaml",
        "short/files/a.mp4",
    ],
)
def test_a_name_cannot_lead_out_of_the_upload(site: SiteServer, cookie: str, address: str) -> None:
    before = {path for path in site.studies.rglob("*") if "small" in path.parts}
    status, _ = put(site, cookie, address, b"evil")
    assert status in (400, 404, 405, 422), status
    assert {path for path in site.studies.rglob("*") if "small" in path.parts} == before
    assert not [path for path in site.studies.rglob("*.mp4") if path.read_bytes() == b"evil"]


def packed(*files: tuple[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return sink.getvalue()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    root = tmp_path / "studies" / UPLOAD
    root.mkdir(parents=True)
    return root


def unpack(place: Path, content: bytes) -> int:
    archive = place.with_suffix(".zip")
    archive.write_bytes(content)
    return uploads.unpack(archive, place)


def files(place: Path) -> list[str]:
    found = [path for path in place.parent.rglob("*") if path.is_file()]
    return sorted(path.name for path in found if path.suffix != ".zip")


@pytest.mark.parametrize(
    "name", ["../out.mp4", "/out.mp4", "a/../../out.mp4", "..\\out.mp4", "C:\\out.mp4", "a/x.sh"]
)
def test_zip_slip(place: Path, name: str) -> None:
    """A name in a zip that leads elsewhere would write anywhere on the server."""
    with pytest.raises(UploadError):
        unpack(place, packed(("alpha/8_3.mp4", b"clip"), (name, b"evil")))
    assert files(place) == [], "all of a zip or nothing"


def test_zip_bomb(place: Path, monkeypatch) -> None:
    """A small zip that unpacks to any size would fill the disk."""
    monkeypatch.setattr(uploads, "LARGEST_CLIP", 100_000)
    bomb = packed(("alpha/8_3.mp4", bytes(50_000_000)))
    assert len(bomb) < 100_000
    with pytest.raises(UploadError, match="larger than"):
        unpack(place, bomb)
    assert files(place) == []


def test_a_zip_that_lies_about_its_sizes(place: Path, monkeypatch) -> None:
    """Sizes in a zip's directory are the sender's words; the bytes are what counts."""
    monkeypatch.setattr(uploads, "LARGEST_CLIP", 100_000)
    content = bytearray(packed(("alpha/8_3.mp4", bytes(1_000_000))))
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        begin = content.index(mark) + offset
        content[begin : begin + 4] = (10).to_bytes(4, "little")
    with pytest.raises(UploadError):
        unpack(place, bytes(content))
    assert files(place) == []


def test_many_files_in_a_zip(place: Path, monkeypatch) -> None:
    monkeypatch.setattr(uploads, "MOST_FILES", 20)
    with pytest.raises(UploadError, match="20 files are accepted"):
        unpack(place, packed(*((f"alpha/{number}.mp4", b"x") for number in range(30))))
    assert files(place) == []


def test_a_link_in_a_zip(place: Path) -> None:
    """A symbolic link that is unpacked would read any file of the server as a clip."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        link = zipfile.ZipInfo("alpha/8_3.mp4")
        link.create_system = 3
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UploadError, match="not a regular file"):
        unpack(place, sink.getvalue())
    assert not any(os.path.islink(path) for path in place.parent.rglob("*"))


@pytest.mark.parametrize(
    "content",
    [b"", b"no zip", packed(("a/b.mp4", b"x" * 999))[:-30]],
    ids=["empty", "text", "cut short"],
)
def test_what_is_no_zip(place: Path, content: bytes) -> None:
    with pytest.raises(UploadError, match="cannot be read"):
        unpack(place, content)


def test_a_zip_of_one_folder_is_taken_without_it(place: Path) -> None:
    names = ("alpha/8_3.mp4", "beta/8_3.mp4", "references/8.mp4", "captions.yaml", "manifest.jsonl")
    litter = (("__MACOSX/x/._8_3.mp4", b"x"), ("clips/.DS_Store", b"x"))
    unpack(place, packed(*((f"clips/{name}", b"x") for name in names), *litter))
    found = {path.relative_to(place).as_posix() for path in place.rglob("*.*")}
    assert found == set(names)


def test_a_zip_of_methods_keeps_its_folders(place: Path) -> None:
    unpack(place, packed(("alpha/8_3.mp4", b"x")))
    assert (place / "alpha" / "8_3.mp4").is_file()


# ---- acts ----------------------------------------------------------------------------------------


def test_a_forged_name_of_a_study_opens_no_other_folder(tmp_path: Path) -> None:
    """The page's list of studies is the browser's; the server must look for itself."""
    make_study(tmp_path / "elsewhere")
    (tmp_path / "studies").mkdir()
    with Site(tmp_path / "studies", [], PASSWORD, inside) as site:
        for name in ("../elsewhere", "", "elsewhere", str(tmp_path / "elsewhere"), None):
            with pytest.raises(Exception, match="there is no study"):
                site.folder(name)
