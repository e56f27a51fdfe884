"""Plain YAML values <-> frozen dataclasses; everything that does not fit is reported at once."""

import dataclasses
import difflib
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

LARGEST = 10**9
"""Largest whole number that is accepted."""


class OnceLoader(yaml.SafeLoader):
    """Plain YAML in which no name may come twice; the usual reader drops the first silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Turn a mapping into a dictionary.

        Raises:
            MarkedYAMLError: a name comes twice.
        """
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise yaml.MarkedYAMLError(
                problem=f"{', '.join(twice)} is given twice", problem_mark=node.start_mark
            )
        return super().construct_mapping(node, deep)


class OpenDumper(yaml.SafeDumper):
    """YAML for people: every value where it belongs, no anchors; a text of several lines as such.

    The usual writer puts `&id001` at a value that occurs twice and `*id001` in its second place.
    """

    def ignore_aliases(self, data: object) -> bool:
        """No value stands for another."""
        return True

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """A text; with several lines as a block below its name."""
        style = "|" if "\n" in text else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


OpenDumper.add_representer(str, OpenDumper.represent_text)


def write(value: Any) -> str:  # noqa: ANN401
    """A value of dataclasses as YAML that `read` turns back into the same."""
    return yaml.dump(
        plain(value),
        Dumper=OpenDumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
        default_flow_style=False,
    )


def read(kind: Any, data: Any, at: str, problems: list[str]) -> Any:  # noqa: ANN401
    """Turn plain YAML into a value of a type; what does not fit goes to `problems`."""
    origin = get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _read_fields(kind, data, at, problems)
    if origin in (Union, types.UnionType):  # only "X | None" occurs
        inner = next(each for each in get_args(kind) if each is not type(None))
        return None if data is None else read(inner, data, at, problems)
    if origin is tuple:
        if not isinstance(data, list):
            problems.append(f"{at} is {_shown(data)}; give a list.")
            return ()
        inner = get_args(kind)[0]
        return tuple(read(inner, each, f"{at}[{n}]", problems) for n, each in enumerate(data))
    if origin is dict:
        if not isinstance(data, dict) or not all(
            isinstance(word, str) for pair in data.items() for word in pair
        ):
            problems.append(f"{at} is {_shown(data)}; give a text for each language (en: ...).")
            return {}
        return {language: text.strip() for language, text in data.items()}
    if origin is Literal:
        if data not in get_args(kind):
            accepted = ", ".join(repr(choice) for choice in get_args(kind) if choice)
            problems.append(f"{at} is {_shown(data)}; choose one of {accepted}.")
        return data
    if isinstance(data, int) and abs(data) > LARGEST:
        problems.append(f"{at} is {_shown(data)}; give a number up to {LARGEST}.")
        return 0
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, kind) or (kind is not bool and isinstance(data, bool)):
        words = {str: "a text in quotes", int: "a whole number", float: "a number"}
        problems.append(f"{at} is {_shown(data)}; give {words.get(kind, 'true or false')}.")
    return data


def _read_fields(kind: Any, data: Any, at: str, problems: list[str]) -> Any:  # noqa: ANN401
    if not isinstance(data, dict):
        problems.append(f"{at or 'the file'} is {_shown(data)}; give names with values.")
        return None
    hints = get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    before = f"{at}." if at else ""
    for name in data:
        if name not in fields:
            near = difflib.get_close_matches(str(name), fields, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(fields)}."
            problems.append(f"{before}{name} is unknown{hint}")
    values = {}
    faults_before = len(problems)
    for name, field in fields.items():
        if name in data:
            values[name] = read(hints[name], data[name], f"{before}{name}", problems)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            problems.append(f"{before}{name} is missing.")
    return None if len(problems) > faults_before else kind(**values)


def _shown(value: object) -> str:
    try:
        shown = repr(value)
    except ValueError:  # a number of over 4300 digits, written in hexadecimal
        return "a number of thousands of digits"
    return shown if len(shown) <= 40 else shown[:37] + "..."


def plain(value: Any) -> Any:  # noqa: ANN401
    """Dataclasses and tuples as mappings and lists, leaving out what is empty by default."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if getattr(value, field.name) not in ("", (), {}, None)
            or getattr(value, field.name) != _default(field)
        }
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    return value


def _default(field: "dataclasses.Field[Any]") -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default
