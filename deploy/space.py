"""Build the folder of a Hugging Face Space, and upload it when told to.

    python -m deploy.space OUT [--hardware cpu|gpu|zero] [--upload OWNER/NAME]

The folder holds exactly what is uploaded: the tracked files that the app needs, pinned packages,
and a README whose header configures the Space.
"""

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from huggingface_hub import HfApi

ROOT = Path(__file__).resolve().parent.parent

PARTS = ("app.py", "finephys/", "study/", "assets/", "checkpoints/tiny/", "LICENSE", "NOTICE")
"""Tracked files and folders that the app needs."""

CPU_WHEELS = "https://download.pytorch.org/whl/cpu"

PACKAGES = ("libgl1", "libglib2.0-0")
"""Debian packages that OpenCV links to."""


@dataclass(frozen=True)
class Hardware:
    """What differs between kinds of Spaces.

    Attributes:
        python: for the README's header. ZeroGPU has 3.12.12 and 3.10.13 alone.
        cpu_torch: whether PyTorch's CPU build is installed.
        suggested: hardware named to people who duplicate the Space; empty: none.
    """

    python: str
    cpu_torch: bool
    suggested: str


HARDWARE = {
    "cpu": Hardware("3.11", True, "cpu-basic"),
    "gpu": Hardware("3.11", False, "l4x1"),
    "zero": Hardware("3.12.12", False, ""),
}


def main() -> None:
    """Build, and upload when told to."""
    parser = argparse.ArgumentParser(prog="python -m deploy.space", description=__doc__)
    parser.add_argument("out", type=Path, help="folder to build; replaced when it was built here")
    parser.add_argument("--hardware", choices=list(HARDWARE), default="cpu")
    parser.add_argument("--upload", metavar="OWNER/NAME", help="the Space to upload to")
    flags = parser.parse_args()
    count = build(flags.out, flags.hardware)
    sys.stdout.write(f"{flags.out}: {count} files, for a Space with {flags.hardware} hardware.\n")
    if flags.upload:
        sys.stdout.write(f"Uploaded to {upload(flags.out, flags.upload)}\n")


def build(out: Path, hardware: str = "cpu") -> int:
    """Build the folder of a Space.

    Args:
        out: created; an earlier one is replaced.
        hardware: key of HARDWARE.

    Returns:
        How many files it holds.
    """
    if out.exists() and any(out.iterdir()) and not (out / "README.md").is_file():
        sys.exit(f"{out} holds other files; choose an empty folder, or one that was built here.")
    shutil.rmtree(out, ignore_errors=True)
    for name in tracked():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, out / name)
    (out / "README.md").write_text(readme(hardware), encoding="utf-8")
    (out / "requirements.txt").write_text(requirements(hardware), encoding="utf-8")
    (out / "packages.txt").write_text("\n".join(PACKAGES) + "\n", encoding="utf-8")
    return sum(path.is_file() for path in out.rglob("*"))


def tracked() -> list[str]:
    """The tracked files of PARTS."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *PARTS], cwd=ROOT, check=True, capture_output=True
    )
    return [name for name in listed.stdout.decode().split("\0") if (ROOT / name).is_file()]


def pins() -> dict[str, str]:
    """Pinned packages: name -> the line that pins it."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return {
        line.partition("==")[0].partition("[")[0]: line
        for line in lines
        if line and not line.startswith("#")
    }


def requirements(hardware: str) -> str:
    """Packages of a Space; Gradio is installed by the version in the README's header."""
    pinned = pins()
    del pinned["gradio"]
    lines = list(pinned.values())
    if HARDWARE[hardware].cpu_torch:
        lines = [f"--extra-index-url {CPU_WHEELS}", *lines]
        lines[lines.index(pinned["torch"])] = f"{pinned['torch']}+cpu"
    return "\n".join(lines) + "\n"


def readme(hardware: str) -> str:
    """The Space's README: its configuration, and what the page is."""
    kind = HARDWARE[hardware]
    header = {
        "title": "FinePhys",
        "emoji": "🤸",
        "colorFrom": "indigo",
        "colorTo": "gray",
        "sdk": "gradio",
        "sdk_version": pins()["gradio"].partition("==")[2],
        "python_version": f'"{kind.python}"',
        "app_file": "app.py",
        "license": "apache-2.0",
        "pinned": "false",
    }
    if kind.suggested:
        header["suggested_hardware"] = kind.suggested
    lines = "\n".join(f"{name}: {text}" for name, text in header.items())
    return (
        f"---\n{lines}\n---\n\n# FinePhys\n\n"
        "Generated videos of gymnasts whose bodies obey mechanics: a clip or an action's name, its "
        "2D and 3D poses, and a new video.\n\nThe weights shipped here are small demonstration "
        "networks. This folder was built by `make space`.\n"
    )


def upload(folder: Path, space: str, api: "HfApi | None" = None) -> str:
    """Upload a built folder; files of the Space that it lacks are deleted.

    Args:
        folder: from `build`.
        space: owner/name; created, private, when absent.
        api: of the Hub; by default with the token of HF_TOKEN or this machine's login.

    Returns:
        Address of the Space.
    """
    from huggingface_hub import HfApi

    api = api or HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="finephys")
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, check=True, capture_output=True
    )
    address = api.create_repo(
        space, repo_type="space", space_sdk="gradio", private=True, exist_ok=True
    )
    api.upload_folder(
        repo_id=space,
        repo_type="space",
        folder_path=folder,
        commit_message=f"FinePhys at {commit.stdout.decode().strip()}",
        delete_patterns="*",
    )
    return str(address)


if __name__ == "__main__":
    main()
