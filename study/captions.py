"""Labels and texts of items: captions.yaml, and columns of a manifest."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from study.definition import Text

FORM = (
    "captions.yaml is beside the folders of the methods and has, for each item or action class, "
    '"8": {label: "Split leap with 1 turn", text: "A person executes a split leap ..."}; '
    "docs/study.md shows the whole form"
)
"""What captions.yaml must look like, as the end of a sentence."""


def captions_file(
    videos: Path, languages: tuple[str, ...], problems: list[str]
) -> dict[str, tuple[Text, Text]]:
    """Read captions.yaml of a folder of clips.

    Args:
        videos: the folder.
        languages: codes; a text without one is in the first.
        problems: takes a sentence for each fault.

    Returns:
        Item or action class -> label and text; empty without the file.
    """
    path = videos / "captions.yaml"
    if not path.is_file():
        other = videos / "captions.yml"
        if other.is_file():
            problems.append(f"{other.name} is not read; call it captions.yaml.")
        return {}
    try:
        # Everything is text here: plain YAML reads the key 8_3 as the number 83.
        data = yaml.load(path.read_text("utf-8"), yaml.BaseLoader)  # noqa: S506  (makes no objects)
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        problems.append(f"captions.yaml is not YAML: {' '.join(str(error).split())}.")
        return {}
    found: dict[str, tuple[Text, Text]] = {}
    for key, each in (data if isinstance(data, dict) else {"captions.yaml": None}).items():
        both = each if isinstance(each, dict) else {}
        label, text = (_text(both.get(part), languages[0]) for part in ("label", "text"))
        if label and text:
            found[str(key)] = (label, text)
        else:
            problems.append(f"captions.yaml: {key} needs a label and a text. {FORM}.")
    return found


def _text(part: Any, first_language: str) -> Text:  # noqa: ANN401
    """A text, or a mapping of languages to texts, as the latter; empty if it is neither."""
    words = {first_language: part} if isinstance(part, str) else part
    if not isinstance(words, dict):
        return {}
    if not all(isinstance(word, str) for word in words.values()):
        return {}
    return {str(code): word for code, word in words.items() if word}


def row_texts(row: Mapping[str, str], column: str, languages: tuple[str, ...]) -> Text:
    """A wording out of the columns `caption` (first language), `caption_zh` and so on."""
    found = {code: row.get(f"{column}_{code}", "") for code in languages}
    found[languages[0]] = found[languages[0]] or row.get(column, "")
    return {code: text for code, text in found.items() if text}
