"""README's example commands, run in their order in a folder of a newcomer's."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = re.findall(
    r"^```sh run\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.M | re.S
)


@pytest.mark.slow
def test_the_examples_of_readme_do_what_they_say(tmp_path: Path) -> None:
    """Catches an example that no longer runs, or that names a file which is not shipped."""
    for name in ("assets", "checkpoints", "finephys"):
        (tmp_path / name).symlink_to(ROOT / name)
    lines = [line for block in EXAMPLES for line in block.splitlines() if line.strip()]
    assert len(lines) >= 5
    for line in lines:
        words = shlex.split(line, comments=True)
        assert words[0] == "python"
        run = subprocess.run(
            [sys.executable, *words[1:]], cwd=tmp_path, capture_output=True, text=True
        )
        assert run.returncode == 0, f"{line}\n{run.stderr}"
        if "actions" in words:
            assert len(run.stdout.splitlines()) == 35
        if "--out" in words:
            made = tmp_path / words[words.index("--out") + 1]
            assert made.is_file() or any(made.iterdir()), f"{line} wrote nothing"
    assert {path.name for path in (tmp_path / "turn").iterdir()} == {"poses.npz", "poses.mp4"}
