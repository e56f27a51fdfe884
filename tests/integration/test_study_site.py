"""All studies of a folder on one server: which of them raters reach, and when; the acts behind."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from study_clips import make_clips
from study_folder import make_study
from study_site import PASSWORD, ROOT, ask

from study import acts, audit
from study.admin import fragments
from study.admin.routes import inside
from study.errors import DefinitionError, PhaseError, StudyError
from study.folder import Folder, read_clips
from study.open_study import OpenStudy
from study.reading import template
from study.site import Site
from study.store import Store


@pytest.fixture(scope="module")
def draft(tmp_path_factory) -> Folder:
    """A draft made from clips; tests copy it."""
    place = tmp_path_factory.mktemp("draft")
    folder = Folder(place / "turns")
    definition = template("fig16")
    definition = type(definition)(**{**vars(definition), "name": "turns"})
    acts.new(folder, definition, make_clips(place / "clips"), None, "test")
    return folder


@pytest.fixture
def site(draft: Folder, tmp_path: Path) -> Iterator[Site]:
    import shutil

    studies = tmp_path / "studies"
    shutil.copytree(draft.root, studies / "turns")
    make_study(studies / "small")
    with Site(studies, [], PASSWORD, inside) as made:
        yield made


@pytest.fixture
def client(site: Site) -> TestClient:
    app = Starlette(routes=site.routes())
    return TestClient(app, "http://study", follow_redirects=False)


def test_a_study_is_served_from_the_moment_it_opens(site: Site, client: TestClient) -> None:
    """Raters invited a minute after the opening must not need a restart of the server."""
    assert client.get("/study/turns/").status_code == 404
    acts.open_for_raters(site.folder("turns"), "test")
    assert client.get("/study/turns/").status_code == 200
    assert client.get("/study/turns/health").json() == {"phase": "open"}
    acts.close(site.folder("turns"), "test")
    assert client.get("/study/turns/health").json() == {"phase": "closed"}
    assert client.get("/study/small/health").json() == {"phase": "open"}


def test_a_link_without_the_last_slash_keeps_the_invitation(client: TestClient) -> None:
    answer = client.get("/study/small?invite=abc")
    assert (answer.status_code, answer.headers["location"]) == (308, "/study/small/?invite=abc")


def test_a_study_served_elsewhere_is_said_to_raters(site: Site, client: TestClient) -> None:
    """The first study that cannot be served must not keep the others from their raters."""
    with OpenStudy(make_study(site.studies / "held").root, snapshot_seconds=0):
        assert client.get("/study/held/").status_code == 503
        assert client.get("/study/small/").status_code == 200


def test_a_preview_leaves_the_study_as_it_is(site: Site) -> None:
    """A preview that opened the study itself would freeze it and count a rater too many."""
    folder = site.folder("turns")
    before = {path: path.read_bytes() for path in folder.root.rglob("*") if path.is_file()}
    number = site.previews.make(folder)
    client = TestClient(site.previews, "http://study")
    assert client.get(f"/{number}/").status_code == 200
    entry = {"source": "open", "names": {}, "language": "en", "agreed": True}
    assert client.post(f"/{number}/enter", json=entry).status_code == 200
    assert client.get("/0123/").status_code == 404
    # Bug: the address without anything after it ended in an IndexError.
    bare = TestClient(site.previews, "http://study", root_path="/preview")
    assert bare.get("/preview").status_code == 404
    after = {path: path.read_bytes() for path in folder.root.rglob("*") if path.is_file()}
    assert after == before
    for _ in range(4):
        site.previews.make(folder)
    assert client.get(f"/{number}/").status_code == 404, "old previews go"


@pytest.mark.parametrize("name", ["phase.json", "clips.json", "study.yaml"])
def test_a_damaged_study_is_told_calmly_and_harms_no_other(site: Site, name: str) -> None:
    # Bug: a damaged phase.json was a 500 for raters and kept the whole site from starting.
    (site.studies / "small" / name).write_text("{ damaged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("study.site.AGAIN_SECONDS", 0.0)
        site.close()
        with Site(site.studies, [], PASSWORD, inside) as again:
            acts.open_for_raters(again.folder("turns"), "test")
            client = TestClient(Starlette(routes=again.routes()), "http://study")
            told = client.get("/study/small/")
            assert told.status_code == 503
            assert "come again later" in told.text
            assert str(again.studies) not in told.text
            assert client.get("/study/turns/").status_code == 200
            assert again.names() == ["small", "turns"]


def test_an_edit_with_faults_changes_nothing(site: Site) -> None:
    folder = site.folder("turns")
    before = folder.definition.read_text("utf-8")
    for text in (
        before.replace("\nkind: pairs", "\nkind: both"),
        before.replace("\nname: turns", "\nname: other"),
        "][",
        "",
    ):
        with pytest.raises(DefinitionError):
            acts.edit(folder, text, "test")
        assert folder.definition.read_text("utf-8") == before
    acts.edit(folder, before.replace("repeat_share: 0.1", "repeat_share: 0.2"), "test")
    assert "repeat_share: 0.2" in folder.definition.read_text("utf-8")
    with Store(folder.database) as store:
        assert [act["act"] for act in audit.acts(store)] == ["new", "edit"]
    acts.open_for_raters(folder, "test")
    with pytest.raises(PhaseError):
        acts.edit(folder, before, "test")


def test_invitations_need_a_study_that_takes_them(site: Site) -> None:
    folder = site.folder("turns")
    text = folder.definition.read_text("utf-8")
    changed = text.replace("invites: true", "invites: false").replace(
        "open_link: false", "open_link: true"
    )
    acts.edit(folder, changed, "test")
    with pytest.raises(StudyError, match="invites is false"):
        acts.invite(folder, 3, "test")


def test_fragments_escape_what_others_wrote(site: Site) -> None:
    """A rater's reason why a video does not play is shown on the board: never as HTML."""
    evil = "<img src=x onerror=alert(1)>"
    shown = [
        fragments.note(evil),
        fragments.problems(DefinitionError([evil, evil])),
        fragments.table((evil,), [(evil,)], evil),
        fragments.downloads("turns", [f"{evil}.csv"]),
        fragments.log(
            [
                {
                    "id": 1,
                    "at": 0.0,
                    "actor": evil,
                    "act": evil,
                    "detail": {evil: evil},
                    "hash": "0",
                }
            ],
            None,
        ),
    ]
    assert not [html for html in shown if "<img" in html]


def test_the_folder_of_clips_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="is not a directory"):
        Site(tmp_path / "studies", [tmp_path / "nothing"], PASSWORD, inside)


def test_the_start_for_raters_imports_neither_gradio_nor_torch_nor_finephys() -> None:
    code = (
        "import sys, app, study.site\n"
        "heavy = {'torch', 'gradio', 'finephys', 'scipy', 'av', 'pandas'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_no_tab_imports_finephys() -> None:
    code = (
        "import sys, study.admin.page\n"
        "heavy = {'torch', 'finephys'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.slow
def test_the_demo_serves_studies_beside_itself(tmp_path: Path) -> None:
    """Mounted beside the demo, the administrator's page must be found, guarded, and alive."""
    import socket
    import time

    make_study(tmp_path / "studies" / "small")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    import os

    environment = {
        **os.environ,
        "TMPDIR": str(tmp_path),
        "STUDY_ADMIN_PASSWORD": PASSWORD,
        "CUDA_VISIBLE_DEVICES": "",
    }
    arguments = [sys.executable, "app.py", "--port", str(port), "--study"]
    url = f"http://127.0.0.1:{port}"
    log = tmp_path / "log.txt"
    with (
        log.open("wb") as sink,
        subprocess.Popen(
            [*arguments, str(tmp_path / "studies")],
            cwd=ROOT,
            env=environment,
            stdout=sink,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            for _ in range(900):
                assert process.poll() is None, log.read_text()
                try:
                    if ask(f"{url}/config")[0] == 200:
                        break
                except OSError:
                    time.sleep(0.2)
            assert ask(f"{url}/study/small/")[0] == 200
            assert ask(f"{url}/study-admin/config")[0] == 401
            assert "study" not in ask(f"{url}/config")[1].lower()
            form = f"password={PASSWORD}".replace(" ", "+").encode()
            _, _, headers = ask(f"{url}/study-admin/login", form, origin=url)
            cookie = headers["set-cookie"].partition(";")[0]
            status, text, _ = ask(f"{url}/study-admin/config", cookie=cookie)
            config = json.loads(text)
            assert status == 200
            assert config["title"] == "Studies"
            assert config["root"] == f"{url}/study-admin"
        finally:
            process.terminate()
            process.wait(60)
    assert read_clips(Folder(tmp_path / "studies" / "small")).arms == 3
