"""docs/paper.md names code and tests that exist, and the supplement's settings hold."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import torch

from finephys.config import TIERS
from finephys.generator.lora import PAPER_LORA
from finephys.generator.network import make_unet
from finephys.generator.sampling import make_scheduler

ROOT = Path(__file__).resolve().parents[2]
TABLE = (ROOT / "docs" / "paper.md").read_text("utf-8")
REFERENCES = sorted(
    set(re.findall(r"`((?:finephys|study|tests|benchmarks)/[\w/.]+(?:::[\w.]+)?)`", TABLE))
)


@cache
def _names(path: Path) -> frozenset[str]:
    """Top-level functions, classes and constants of a module, and methods as Class.method."""
    names = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {
                f"{node.name}.{part.name}"
                for part in node.body
                if isinstance(part, ast.FunctionDef)
            }
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return frozenset(names)


@pytest.mark.parametrize("reference", REFERENCES)
def test_what_the_table_names_exists(reference: str) -> None:
    file, _, name = reference.partition("::")
    path = ROOT / file
    assert path.is_file(), f"docs/paper.md names {file}, which does not exist"
    assert not name or name in _names(path), (
        f"docs/paper.md names {reference}, which does not exist"
    )


def test_the_table_covers_every_equation_setting_and_figure() -> None:
    rows = [line.split("|")[1:-1] for line in TABLE.splitlines() if line.startswith("|")]
    first = " ".join(row[0] for row in rows)
    numbers: set[int] = set()
    for low, high in re.findall(r"(\d+)(?:\s*[-,]\s*(\d+))?", first):
        numbers |= set(range(int(low), int(high or low) + 1))
    assert set(range(27, 42)) <= numbers, "an equation is missing"
    assert {2, 3, *range(8, 20)} <= numbers, "a figure is missing"
    for setting in ("A.1", "A.2", "A.3", "A.4", "Table 1", "Table 3", "C.2", "C.4"):
        assert setting in first
    for row in rows:
        if row[0].strip() not in {"equation", "where", "figure"} and set(row[0]) - {"-"}:
            assert re.search("paper|design choice|not yet|reported|supplement", row[2]), row


def test_noise_schedule_is_that_of_the_supplement() -> None:
    """A.1: 1,000 steps, betas linear from 0.00085 to 0.012; catches diffusers' scaled_linear."""
    betas = make_scheduler(TIERS["sd15"], "ddim").betas  # type: ignore[attr-defined]
    torch.testing.assert_close(betas, torch.linspace(0.00085, 0.012, 1000))


def test_motion_modules_are_those_of_the_supplement() -> None:
    """A.1: 8 heads, one block with two temporal self-attentions, zero output, at every scale."""
    with torch.device("meta"):
        unet = make_unet(TIERS["sd15"])
    levels = [*unet.down_blocks, *unet.up_blocks]
    assert len(levels) == 2 * 4
    for level in levels:
        for module in level.motion_modules:
            (block,) = module.transformer_blocks
            for attention in (block.attn1, block.attn2):
                assert attention.heads == 8
                assert attention.to_k.in_features == attention.to_q.in_features


def test_lora_is_that_of_the_supplement() -> None:
    assert (PAPER_LORA.rank, PAPER_LORA.dropout) == (64, 0.1)
