"""The folder of a Space: what is in it, and that it starts with a Space's environment."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from study_folder import make_study

from benchmarks.app_server import AppServer
from deploy import space


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("space") / "space"
    space.build(out)
    return out


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_holds_the_app_and_nothing_else(built: Path) -> None:
    """Tests, studies and local weights do not belong to the public."""
    found = names(built)
    assert {"app.py", "README.md", "requirements.txt", "packages.txt", "LICENSE", "NOTICE"} <= found
    assert "checkpoints/tiny/generator.safetensors" in found
    assert "assets/plotly-gl3d-4.1.1.min.js" in found
    tops = {name.partition("/")[0] for name in found if "/" in name}
    assert tops == {"finephys", "study", "assets", "checkpoints"}
    assert not [name for name in found if "test" in name or name.endswith(".pyc")]


@pytest.mark.parametrize("hardware", list(space.HARDWARE))
def test_the_header_pins_what_the_hardware_takes(hardware: str) -> None:
    header = dict(
        line.split(": ", 1) for line in space.readme(hardware).split("---")[1].strip().splitlines()
    )
    assert header["sdk"] == "gradio"
    assert header["sdk_version"] == "6.31.0"
    assert header["app_file"] == "app.py"
    # ZeroGPU has Python 3.12.12 and 3.10.13; numpy 2.4 needs 3.11.
    assert header["python_version"] == ('"3.12.12"' if hardware == "zero" else '"3.11"')
    packages = space.requirements(hardware).splitlines()
    assert not [line for line in packages if line.startswith("gradio")]
    assert ("torch==2.13.0+cpu" in packages) == (hardware == "cpu")
    assert all("==" in line or line.startswith("--") for line in packages)


def test_building_replaces_an_old_folder_but_no_other(tmp_path: Path) -> None:
    out = tmp_path / "out"
    space.build(out)
    (out / "old.py").touch()
    space.build(out)
    assert not (out / "old.py").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").touch()
    with pytest.raises(SystemExit, match="holds other files"):
        space.build(other)
    assert (other / "thesis.tex").exists()


def test_only_the_built_folder_is_uploaded(built: Path) -> None:
    """A new Space is private, and files that were removed here go there too."""
    calls: list[tuple[str, dict]] = []
    api = SimpleNamespace(
        create_repo=lambda *names, **values: calls.append(("create", values)) or "address",
        upload_folder=lambda **values: calls.append(("upload", values)),
    )
    assert space.upload(built, "owner/name", api) == "address"
    (_, created), (_, uploaded) = calls
    assert created == {
        "repo_type": "space", "space_sdk": "gradio", "private": True, "exist_ok": True,
    }  # fmt: skip
    assert uploaded["folder_path"] == built
    assert uploaded["repo_type"] == "space"
    assert uploaded["delete_patterns"] == "*"


def read_only() -> list[str]:
    """A command that starts another one without root's right to write read-only files."""
    setpriv = shutil.which("setpriv")
    if os.getuid() or setpriv is None:
        return []
    kept = "-dac_override,-dac_read_search,-fowner"
    return [setpriv, "--bounding-set", kept, "--inh-caps", kept]


@pytest.mark.slow
@pytest.mark.parametrize("data", [True, False], ids=["with /data", "without /data"])
def test_it_starts_as_on_a_space(built: Path, tmp_path: Path, data: bool) -> None:
    """Catches a file that the app needs and the folder lacks, and one that it writes beside its
    code."""
    import socket
    import urllib.error
    import urllib.request

    if data:
        make_study(tmp_path / "data" / "studies" / "small")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        "SYSTEM": "spaces",
        "SPACE_ID": "owner/name",
        "SPACE_HOST": "owner-name.hf.space",
        "GRADIO_SERVER_NAME": "0.0.0.0",  # noqa: S104
        "GRADIO_SERVER_PORT": str(port),
        "HOME": str(tmp_path),
    }
    if data:
        environment |= {
            "STUDY_FOLDER": str(tmp_path / "data" / "studies"),
            "STUDY_ADMIN_PASSWORD": "correct horse battery",
        }
    before = names(built)
    subprocess.run(["chmod", "-R", "a-w", str(built)], check=True)
    try:
        with AppServer(
            tmp_path, code=built, environment=environment, through=read_only()
        ) as server:
            server.wait_until_ready()
            with urllib.request.urlopen(server.url, timeout=30) as page:  # noqa: S310
                assert b"FinePhys" in page.read()
                policy = page.headers["content-security-policy"]
            assert "frame-ancestors 'self' https://huggingface.co" in policy
            for address, there in (("study/small/", data), ("study-admin/login", data)):
                try:
                    urllib.request.urlopen(server.url + address, timeout=30).close()  # noqa: S310
                    status = 200
                except urllib.error.HTTPError as error:
                    status = error.code
                assert status == (200 if there else 404), address
            log = server.log.read_text()
        # Python mentions an event loop that Gradio forgets to close on a Space.
        assert log.count("Traceback") == log.count("Exception ignored in")
        assert re.search(r"Models are loaded on cpu", log)
        assert not server.left_behind()
        assert names(built) == before
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(built)], check=True)


def test_a_folder_of_studies_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    """On a Space without a disk, /data is absent."""
    (tmp_path / "data").touch()
    done = subprocess.run(
        [sys.executable, "app.py", "--study-only", str(tmp_path / "data" / "studies")],
        cwd=space.ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "GRADIO_SERVER_PORT": "7999"},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "choose another folder" in done.stderr
