"""Commands and links in README and docs: each parses, and what it names exists."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```\w*[^\n]*\n(.*?)^```", re.M | re.S)
_PROGRAM = re.compile(
    r"^(?:\w+=\S+ )*(?:accelerate launch(?: --\w+ \d+)* -m|(?:\S*/)?python(?:3\S*)?(?: -m)?|make) "
)


def commands() -> list[tuple[str, str]]:
    """(page, command line) of every line of a code block that starts one of our programs."""
    found = []
    for page in PAGES:
        for block in _BLOCK.findall(page.read_text("utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                line = line.strip().removeprefix("$ ")
                if _PROGRAM.match(line):
                    found.append((page.name, line))
    return found


@pytest.mark.parametrize(("page", "line"), commands())
def test_a_command_parses(page: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(line, comments=True)
    while "=" in words[0]:
        words = words[1:]
    if words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M)
        assert words[1] in targets, f"{page}: the Makefile has no target {words[1]}"
        return
    words = words[words.index("-m") + 1 :] if "-m" in words else words[1:]
    program, rest = words[0], words[1:]
    if rest == ["--help"]:
        rest = []
    elif program == "finephys":
        from finephys.__main__ import _parser

        _parser().parse_args(rest)
    elif program == "study":
        from study.__main__ import _parser as study_parser

        study_parser().parse_args(rest)
    elif program == "app.py":
        import app

        monkeypatch.setattr("sys.argv", [program, *rest])
        app.read_flags()
    else:
        assert find_spec(program) is not None, f"{page}: there is no module {program}"


def test_every_page_has_commands_or_tables() -> None:
    """Catches a block pattern that no longer matches, which would test nothing."""
    assert {page for page, _ in commands()} >= {"README.md"}
    assert len(commands()) > 10


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        text = page.read_text("utf-8")
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", text):
            if "://" not in target and not target.startswith("mailto:"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
