"""study.yaml <-> a checked `Definition`, and the templates shipped with it."""

from pathlib import Path

import yaml

from study.definition import Definition
from study.errors import DefinitionError
from study.faults import faults
from study.plain import OnceLoader, read, write

TEMPLATES = Path(__file__).parent / "templates"

HEADER = """\
# A study. Edit it until it opens; then any change is refused. Texts are given in every language.
# docs/study.md explains every field. After changing items, training, gold or encoding run
# `python -m study new` again.
# kind: pairs, single or choice. items_per_rater: 0 shows all items to everybody.
# A training or gold page shows a video (a file) or one made from a reference: as_is, frozen,
# scrambled or noise. watch_seconds: 0 asks for one whole loop.
# instructions, consent and thanks may name {methods}, {items}, {pages} and {minutes}.
# recruiting: completion_code; most_raters, 0 for any number.
"""


def load(path: Path, *, frozen: bool = False) -> Definition:
    """Read and check a study's YAML.

    Args:
        path: the YAML.
        frozen: it has not changed since the study opened; see `parse`.

    Raises:
        DefinitionError: the file is missing, not YAML, or not a valid definition; all its faults
            are listed.
    """
    try:
        return parse(Path(path).read_text(encoding="utf-8"), Path(path).name, frozen=frozen)
    except FileNotFoundError as error:
        raise DefinitionError(
            [f"{path} does not exist; make a study with `python -m study new NAME --videos DIR`."]
        ) from error
    except UnicodeDecodeError as error:
        raise DefinitionError([f"{path} is not UTF-8 text; save it as UTF-8."]) from error


def parse(source: str, called: str = "study.yaml", *, frozen: bool = False) -> Definition:
    """Check the text of a study's YAML.

    Args:
        source: the YAML.
        called: how the errors name it.
        frozen: check the fields and their types only. A study was checked when it opened, by the
            rules of that day; a later rule must not lock its answers in.

    Raises:
        DefinitionError: as in `load`.
    """
    try:
        data = yaml.load(source, OnceLoader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where else ""
        raise DefinitionError(
            [f"{called} is not valid YAML{line}: {getattr(error, 'problem', error)}."]
        ) from error
    except (ValueError, RecursionError) as error:  # a day 2024-13-45, a number of 5000 digits
        reason = " ".join(str(error).split())
        raise DefinitionError(
            [f"{called} holds a value that cannot be read ({reason}); put texts in quotes."]
        ) from error
    problems: list[str] = []
    definition = read(Definition, data, "", problems)
    if not problems and not frozen:
        problems = list(faults(definition))
    if problems:
        raise DefinitionError([f"{called}: {problem}" for problem in problems])
    assert isinstance(definition, Definition)  # noqa: S101  (for the type checker)
    return definition


def template(name: str) -> Definition:
    """A shipped definition without items, such as "fig16".

    Raises:
        DefinitionError: no template is called so.
    """
    path = TEMPLATES / f"{name}.yaml"
    known = sorted(file.stem for file in TEMPLATES.glob("*.yaml"))
    if name not in known:
        listed = f"{', '.join(known[:-1])} or {known[-1]}"
        raise DefinitionError([f"no template is called {name!r}; choose {listed}."])
    return load(path)


def dump(definition: Definition) -> str:
    """A definition as YAML that `parse` reads back to the same value."""
    return HEADER + write(definition)
