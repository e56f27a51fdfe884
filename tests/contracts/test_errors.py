"""Every error that names a command also carries it, so that no reader has to search the text."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from finephys.errors import FinePhysError
from finephys.generator.registry import weights_file
from finephys.generator.systems import SYSTEMS
from finephys.weights.checkpoints import checkpoint_path

SOURCES = sorted((Path(__file__).resolve().parents[2] / "finephys").rglob("*.py"))


def text_of(node: ast.expr) -> str:
    """The constant text of a message, with {} where a value is put in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) for part in node.values)
    if isinstance(node, ast.Constant):
        return str(node.value)
    return "{}"


def test_no_error_names_a_command_without_carrying_it() -> None:
    forgotten, found = [], 0
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if not node.func.id.endswith("Error"):
                continue
            text = "".join(map(text_of, node.args[:1]))
            if "python -m finephys" in text or "run: " in text or "`{}`" in text:
                found += 1
                if len(node.args) < 2:
                    forgotten.append(f"{path.name}:{node.lineno}")
    assert found > 10
    assert forgotten == []


@pytest.mark.parametrize(
    "missing",
    [
        lambda: checkpoint_path("tiny", "lifting"),
        lambda: checkpoint_path("sd15", "generator"),
        lambda: weights_file("sd15-controlnet"),
        *(SYSTEMS[name].file for name in SYSTEMS),
    ],
)
def test_missing_weights_carry_the_commands_of_their_text(
    missing: Callable[[], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FINEPHYS_CHECKPOINTS", str(tmp_path))
    monkeypatch.delenv("HF_HOME", raising=False)
    with pytest.raises(FinePhysError) as caught:
        missing()
    text = str(caught.value)
    assert caught.value.commands
    assert all(command in text for command in caught.value.commands)


def test_a_moved_checkpoint_folder_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Catches advice to train what is only looked for in the wrong folder."""
    monkeypatch.setenv("FINEPHYS_CHECKPOINTS", str(tmp_path))
    with pytest.raises(FinePhysError, match="FINEPHYS_CHECKPOINTS"):
        checkpoint_path("tiny", "lifting")
