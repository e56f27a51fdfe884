"""What a study is: one YAML file, read into frozen values, checked whole, hashed as it stands.

No method is named here: a definition may be read by anybody, also by a rater (see `blinding`).
"""

import dataclasses
import difflib
import hashlib
import re
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from study.errors import DefinitionError

Text = dict[str, str]
"""One wording: language code ("en", "zh") -> what is shown in it."""

LEVELS = 5
"""Scores run from 1 to 5 (supplement B.3)."""

TEMPLATES = Path(__file__).parent / "templates"

_CODE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,8})?")


@dataclass(frozen=True)
class Dimension:
    """One thing that is scored from 1 to 5.

    Attributes:
        id: short name in the tables, such as "text".
        title: heading.
        question: what the rater is asked to judge.
        low: what 1 means.
        high: what 5 means.
        labels: what each of 1, 2, 3, 4, 5 means; empty for numbers alone.
    """

    id: str
    title: Text
    question: Text
    low: Text
    high: Text
    labels: tuple[Text, ...] = ()


@dataclass(frozen=True)
class Option:
    """One answer that can be chosen: `id` is stored, `title` is shown."""

    id: str
    title: Text


@dataclass(frozen=True)
class Question:
    """A question about the rater, asked once before the items.

    Attributes:
        id: short name in the tables.
        title: the question.
        kind: "choice" of one of the options, or "text" of at most `longest` characters.
        options: for a choice.
        required: whether it must be answered.
        longest: characters of a free text.
    """

    id: str
    title: Text
    kind: Literal["choice", "text"]
    options: tuple[Option, ...] = ()
    required: bool = False
    longest: int = 200


@dataclass(frozen=True)
class Item:
    """One thing to generate: a class label with its text; every method made one clip of it.

    Attributes:
        id: neutral name ("item01"); tells nothing about files or seeds.
        label: ground-truth class label.
        text: ground-truth text.
    """

    id: str
    label: Text
    text: Text


@dataclass(frozen=True)
class Caption:
    """Wording that `study new` gives to the items of an action class."""

    action: str
    label: Text
    text: Text


@dataclass(frozen=True)
class Shown:
    """A video on a training or gold page.

    Attributes:
        video: file relative to the folder of clips; empty where it is made from a reference.
        made: how it is made from an item's first reference video: "as_is", "frozen" (its middle
            frame throughout), "scrambled" (its frames in a wrong order) or "noise" (its picture
            drowned in noise); empty where a file is given.
        item: whose reference it is made from, and whose label, text and references are shown;
            empty for the first item of the study.
    """

    video: str = ""
    made: Literal["", "as_is", "frozen", "scrambled", "noise"] = ""
    item: str = ""


@dataclass(frozen=True)
class Expectation:
    """Scores that an attentive rater gives: `low` to `high` on a dimension for one side.

    For a study of kind "choice" `dimension` is the question's id and `low` = `high` is 1 (left),
    2 (tie) or 3 (right).
    """

    dimension: str
    low: int
    high: int
    side: Literal["left", "right"] = "left"


@dataclass(frozen=True)
class Extra:
    """A training or gold page.

    Attributes:
        id: short name.
        left: the video on the left, or the only one in a study of single clips.
        right: the other; must be given unless clips are single.
        note: what is said with it (training only).
        expect: what must be answered (gold only; on a training page it is a hint that is shown).
    """

    id: str
    left: Shown
    right: Shown | None = None
    note: Text = dataclasses.field(default_factory=dict)
    expect: tuple[Expectation, ...] = ()


@dataclass(frozen=True)
class Recruiting:
    """Ways into the study and out of it.

    Attributes:
        invites: personal links, one person each.
        open_link: one link for anybody.
        prolific: links with PROLIFIC_PID, STUDY_ID and SESSION_ID.
        completion_code: shown after every row is counted; empty for none.
    """

    invites: bool = True
    open_link: bool = False
    prolific: bool = False
    completion_code: str = ""


@dataclass(frozen=True)
class Encoding:
    """How all clips are made alike (see `encoding`); 0 lets `study new` take it from the clips.

    Attributes:
        width: pixels, even; clips of another shape get bars.
        height: as `width`.
        fps: frames per second, the same for all.
        frames: how many frames every clip has.
        seconds_tolerance: seconds by which a clip's own duration may differ from the others'.
        crf: x264's quality, 0 to 51, lower is better; `study new` raises it for large clips.
    """

    width: int = 0
    height: int = 0
    fps: int = 0
    frames: int = 0
    seconds_tolerance: float = 0.5
    crf: int = 16


@dataclass(frozen=True)
class Definition:
    """A whole study.

    Attributes:
        name: letters, digits, - and _: its folder and address.
        title: shown to raters.
        languages: codes; the first is the default; every wording is given in all of them.
        kind: "pairs" (two videos side by side, each scored), "single" (one video, scored) or
            "choice" (two videos, which is better, a tie allowed).
        dimensions: what is scored; for "choice" each is one question of preference.
        instructions: before the items.
        consent: what a rater agrees to.
        thanks: at the end.
        demographics: questions about the rater.
        items: the item pool, filled by `study new`.
        items_per_rater: how many items of the pool one rater sees; 0 for all.
        training: pages before the items.
        gold: attention checks among the items.
        repeat_share: part of the pages that comes again with sides swapped, 0 to 0.5.
        watch_seconds: a clip must be watched so long before it can be scored; 0 for one whole loop.
        tie_allowed: for "choice".
        recruiting: ways in and out.
        encoding: how the clips are made alike.
        captions: wording for action classes, used by `study new`.
    """

    name: str
    title: Text
    languages: tuple[str, ...]
    kind: Literal["pairs", "single", "choice"]
    dimensions: tuple[Dimension, ...]
    instructions: Text
    consent: Text
    thanks: Text
    demographics: tuple[Question, ...] = ()
    items: tuple[Item, ...] = ()
    items_per_rater: int = 0
    training: tuple[Extra, ...] = ()
    gold: tuple[Extra, ...] = ()
    repeat_share: float = 0.1
    watch_seconds: float = 0.0
    tie_allowed: bool = True
    recruiting: Recruiting = Recruiting()
    encoding: Encoding = Encoding()
    captions: tuple[Caption, ...] = ()

    @property
    def shown_items(self) -> int:
        """How many items one rater sees."""
        return self.items_per_rater or len(self.items)


def worded(text: Text, language: str) -> str:
    """A wording in a language, or in the first one it has (captions may have one only)."""
    return text.get(language) or next(iter(text.values()), "")


def load(path: Path) -> Definition:
    """Read and check a study's YAML.

    Raises:
        DefinitionError: the file is missing, no YAML, or says something that cannot be; all its
            faults are listed at once.
    """
    try:
        return parse(Path(path).read_text(encoding="utf-8"), Path(path).name)
    except FileNotFoundError as error:
        raise DefinitionError(
            [f"{path} does not exist; make a study with `python -m study new NAME --videos DIR`."]
        ) from error
    except UnicodeDecodeError as error:
        raise DefinitionError([f"{path} is not UTF-8 text; save it as UTF-8."]) from error


def parse(source: str, called: str = "study.yaml") -> Definition:
    """Check the text of a study's YAML.

    Args:
        source: the YAML.
        called: how the errors name it.

    Raises:
        DefinitionError: as in `load`.
    """
    try:
        data = yaml.safe_load(source)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where else ""
        raise DefinitionError(
            [f"{called} is not valid YAML{line}: {getattr(error, 'problem', error)}."]
        ) from error
    problems: list[str] = []
    definition = _read(Definition, data, "", problems)
    if not problems:
        problems = list(faults(definition))
    if problems:
        raise DefinitionError([f"{called}: {problem}" for problem in problems])
    assert isinstance(definition, Definition)  # noqa: S101  (for the type checker)
    return definition


def template(name: str) -> Definition:
    """A shipped definition without items: "fig16" or "fig16_printed".

    Raises:
        DefinitionError: no template is called so.
    """
    path = TEMPLATES / f"{name}.yaml"
    known = sorted(file.stem for file in TEMPLATES.glob("*.yaml"))
    if name not in known:
        raise DefinitionError([f"no template is called {name!r}; choose {' or '.join(known)}."])
    return load(path)


def dump(definition: Definition) -> str:
    """A definition as YAML that `parse` reads back to the same value."""
    return yaml.safe_dump(
        _plain(definition), sort_keys=False, allow_unicode=True, width=100, default_flow_style=False
    )


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes in hex: anybody can compute it again with sha256sum."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def faults(definition: Definition) -> tuple[str, ...]:
    """Everything in a well-formed definition that contradicts itself, one sentence each."""
    found = [*_name_faults(definition), *_wording_faults(definition)]
    if not definition.dimensions:
        found.append("dimensions is empty; give at least one thing to score.")
    if not 0 <= definition.repeat_share <= 0.5:
        found.append(
            f"repeat_share is {definition.repeat_share:g}; give 0 to 0.5, 0.1 repeats a tenth."
        )
    if not 0 <= definition.watch_seconds <= 60:
        found.append(f"watch_seconds is {definition.watch_seconds:g}; give 0 to 60 seconds.")
    if not 0 <= definition.items_per_rater <= max(len(definition.items), 0):
        found.append(
            f"items_per_rater is {definition.items_per_rater} but there are "
            f"{len(definition.items)} items; give 0 for all or a number up to that."
        )
    for dimension in definition.dimensions:
        if len(dimension.labels) not in (0, LEVELS):
            found.append(
                f"dimension {dimension.id} has {len(dimension.labels)} labels; give none or "
                f"{LEVELS}, one for each score."
            )
    for question in definition.demographics:
        if (question.kind == "choice") != bool(question.options):
            found.append(
                f"question {question.id} is a {question.kind} with {len(question.options)} "
                "options; a choice needs options and a text has none."
            )
    for extra in (*definition.training, *definition.gold):
        found += _extra_faults(definition, extra)
    found += [
        f"gold {gold.id} expects nothing; give at least one expected range of scores."
        for gold in definition.gold
        if not gold.expect
    ]
    ways = definition.recruiting
    if not (ways.invites or ways.open_link or ways.prolific):
        found.append("recruiting has no way in; set invites, open_link or prolific to true.")
    if ways.prolific and not ways.completion_code:
        found.append("recruiting.prolific needs a completion_code, which Prolific gives you.")
    return (*found, *_encoding_faults(definition.encoding))


def _name_faults(definition: Definition) -> list[str]:
    found = []
    groups: dict[str, Sequence[Dimension | Question | Item | Extra | Option]] = {
        "dimensions": definition.dimensions,
        "demographics": definition.demographics,
        "items": definition.items,
        "training and gold": (*definition.training, *definition.gold),
        **{f"options of {each.id}": each.options for each in definition.demographics},
    }
    codes = [("name", definition.name)]
    for group, members in groups.items():
        ids = [member.id for member in members]
        codes += [(f"an id in {group}", code) for code in ids]
        found += [
            f"{group} has the id {twice!r} more than once; ids must differ."
            for twice in sorted({code for code in ids if ids.count(code) > 1})
        ]
    found += [
        f"{what} is {code!r}; use small letters, digits, - and _, at most 64."
        for what, code in codes
        if not _CODE.fullmatch(code)
    ]
    found += [
        f"languages has {code!r}; use codes such as en or zh."
        for code in definition.languages
        if not _LANGUAGE.fullmatch(code)
    ]
    if not definition.languages or len(set(definition.languages)) < len(definition.languages):
        found.append("languages must name at least one language and each only once.")
    return found


def _wording_faults(definition: Definition) -> list[str]:
    """Wordings that lack a language; captions of items need one language only."""
    texts: list[tuple[str, Text]] = [
        (name, getattr(definition, name)) for name in ("title", "instructions", "consent", "thanks")
    ]
    for dimension in definition.dimensions:
        at = f"dimension {dimension.id}"
        texts += [(f"{at} {name}", getattr(dimension, name)) for name in ("title", "question")]
        texts += [(f"{at} {name}", getattr(dimension, name)) for name in ("low", "high")]
        texts += [(f"{at} label {n}", text) for n, text in enumerate(dimension.labels, 1)]
    for question in definition.demographics:
        texts.append((f"question {question.id} title", question.title))
        texts += [(f"question {question.id} option {o.id}", o.title) for o in question.options]
    texts += [(f"training {extra.id} note", extra.note) for extra in definition.training]
    found = [
        f"{what} has no text in {language!r}; write it or take {language!r} out of languages."
        for what, text in texts
        for language in definition.languages
        if not text.get(language, "").strip()
    ]
    captions = [(item.id, item.label, item.text) for item in definition.items]
    captions += [(f"caption {each.action}", each.label, each.text) for each in definition.captions]
    for called, *both in captions:
        for part, text in zip(("label", "text"), both, strict=True):
            if not any(text.get(language, "").strip() for language in definition.languages):
                found.append(f"{called} has no {part} in any language; write one.")
    return found


def _extra_faults(definition: Definition, extra: Extra) -> list[str]:
    found = []
    wants_two = definition.kind != "single"
    if wants_two != (extra.right is not None):
        number = "two videos, left and right" if wants_two else "one video, left"
        found.append(f"page {extra.id} of a study of kind {definition.kind} must have {number}.")
    known = [item.id for item in definition.items]
    for side, shown in (("left", extra.left), ("right", extra.right)):
        if shown is None:
            continue
        if bool(shown.video) == bool(shown.made):
            found.append(
                f"{side} of page {extra.id} must have either a video (a file) or made "
                "(as_is, frozen, scrambled or noise)."
            )
        if shown.item and known and shown.item not in known:
            found.append(f"{side} of page {extra.id} is of item {shown.item!r}, which is unknown.")
    highest = 3 if definition.kind == "choice" else LEVELS
    for want in extra.expect:
        if want.dimension not in [dimension.id for dimension in definition.dimensions]:
            found.append(f"page {extra.id} expects {want.dimension!r}, which is no dimension.")
        if not 1 <= want.low <= want.high <= highest:
            found.append(
                f"page {extra.id} expects {want.low} to {want.high}; give 1 to {highest}, the "
                "lower first."
            )
        if want.side == "right" and not wants_two:
            found.append(f"page {extra.id} expects a score on the right but shows one video.")
    return found


def _encoding_faults(encoding: Encoding) -> list[str]:
    limits = {
        "width": (64, 1920),
        "height": (64, 1920),
        "fps": (1, 60),
        "frames": (2, 600),
        "crf": (0, 51),
    }
    found = [
        f"encoding.{name} is {getattr(encoding, name)}; give {low} to {high}, or leave it out."
        for name, (low, high) in limits.items()
        if not low <= getattr(encoding, name) <= high and (getattr(encoding, name) or name == "crf")
    ]
    if encoding.width % 2 or encoding.height % 2:
        found.append(f"encoding is {encoding.width} x {encoding.height}; H.264 wants even numbers.")
    return found


def _read(kind: Any, data: Any, at: str, problems: list[str]) -> Any:  # noqa: ANN401
    """Turn plain YAML into a value of a type; what does not fit goes to `problems`."""
    origin = get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _read_fields(kind, data, at, problems)
    if origin in (Union, types.UnionType):  # only "X | None" occurs
        inner = next(each for each in get_args(kind) if each is not type(None))
        return None if data is None else _read(inner, data, at, problems)
    if origin is tuple:
        if not isinstance(data, list):
            problems.append(f"{at} is {_said(data)}; give a list.")
            return ()
        inner = get_args(kind)[0]
        return tuple(_read(inner, each, f"{at}[{n}]", problems) for n, each in enumerate(data))
    if origin is dict:
        if not isinstance(data, dict) or not all(
            isinstance(word, str) for pair in data.items() for word in pair
        ):
            problems.append(f"{at} is {_said(data)}; give a text for each language (en: ...).")
            return {}
        return {language: text.strip() for language, text in data.items()}
    if origin is Literal:
        if data not in get_args(kind):
            accepted = ", ".join(repr(choice) for choice in get_args(kind) if choice)
            problems.append(f"{at} is {_said(data)}; choose one of {accepted}.")
        return data
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, kind) or (kind is not bool and isinstance(data, bool)):
        words = {str: "a text in quotes", int: "a whole number", float: "a number"}
        problems.append(f"{at} is {_said(data)}; give {words.get(kind, 'true or false')}.")
    return data


def _read_fields(kind: Any, data: Any, at: str, problems: list[str]) -> Any:  # noqa: ANN401
    if not isinstance(data, dict):
        problems.append(f"{at or 'the file'} is {_said(data)}; give names with values.")
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
            values[name] = _read(hints[name], data[name], f"{before}{name}", problems)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            problems.append(f"{before}{name} is missing.")
    return None if len(problems) > faults_before else kind(**values)


def _said(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else shown[:37] + "..."


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Dataclasses and tuples as mappings and lists, leaving out what has its default."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if getattr(value, field.name) != _default(field)
        }
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value


def _default(field: "dataclasses.Field[Any]") -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default
