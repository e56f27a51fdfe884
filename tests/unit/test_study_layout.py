"""How the study's modules may import each other."""

import graphlib

import grimp
import pytest


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Module -> modules of the study that it imports, anywhere and for types too."""
    graph = grimp.build_graph("study")
    return {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}


def test_no_modules_import_each_other_in_a_circle(imports):
    """A circle works until somebody imports its other end first."""
    graphlib.TopologicalSorter(imports).prepare()  # CycleError names the circle


def test_serving_alone_joins_raters_and_administrator(imports):
    """The gate and the raters' pages must be usable without each other."""
    both = {"study.routes", "study.admin.routes"}
    assert [name for name, found in imports.items() if both <= found] == ["study.serving"]
