"""Contradictions in a well-formed definition of a study, one sentence each."""

import re
from collections.abc import Sequence

from study.definition import (
    LEVELS,
    PAGE_LANGUAGES,
    Definition,
    Dimension,
    Encoding,
    Extra,
    Item,
    Option,
    Question,
    Text,
)

_CODE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_LANGUAGE = re.compile(rf"({'|'.join(PAGE_LANGUAGES)})(-[A-Za-z]{{2,8}})?")


def is_name(text: str) -> bool:
    """Whether a name is valid for a study; it is also the name of a folder and part of a URL."""
    return _CODE.fullmatch(text) is not None


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
    if not 0 <= definition.items_per_rater <= len(definition.items):
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
    found += [
        f"question {question.id} takes texts of {question.longest} characters; give 1 to 5000."
        for question in definition.demographics
        if not 1 <= question.longest <= 5000
    ]
    ways = definition.recruiting
    if ways.most_raters < 0:
        found.append(
            f"recruiting.most_raters is {ways.most_raters}; give 0 for any number, or how many may "
            "take part."
        )
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
        f"languages has {code!r}, but the raters' page has words in {' and '.join(PAGE_LANGUAGES)} "
        "only; take it out, or add its words to study/rater/words.js and PAGE_LANGUAGES."
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
    texts += [
        (f"headings.{name}", text)
        for name in ("label", "text")
        if (text := getattr(definition.headings, name))
    ]
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
            found.append(f"page {extra.id} expects {want.dimension!r}, which is not a dimension.")
        if not 1 <= want.low <= want.high <= highest:
            found.append(
                f"page {extra.id} expects {want.low} to {want.high}; give 1 to {highest}, the "
                "lower first."
            )
        if want.low == want.high and definition.kind != "choice":
            found.append(
                f"page {extra.id} expects exactly {want.low}, and the screening lets a score next "
                "to the expected one pass; give a range of two or three scores."
            )
        if want.high - want.low > 2:
            found.append(
                f"page {extra.id} expects {want.low} to {want.high}, which tells little; give a "
                "range of at most three scores."
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
    if not 0 <= encoding.seconds_tolerance <= 60:
        found.append(
            f"encoding.seconds_tolerance is {encoding.seconds_tolerance:g}; give 0 to 60 seconds."
        )
    if encoding.width % 2 or encoding.height % 2:
        found.append(f"encoding is {encoding.width} x {encoding.height}; H.264 wants even numbers.")
    return found
