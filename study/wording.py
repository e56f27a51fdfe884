"""A study's own numbers in its wording: {methods}, {items}, {pages} and {minutes}."""

import math
from dataclasses import dataclass, replace

from study.definition import Definition, Text
from study.design import pages
from study.folder import Clips

SCORE_SECONDS, PAGE_SECONDS = 6.0, 5.0
"""Design choice: time that raters take for one score, and for a page beside watching and scoring;
the 7 methods and 2 items of Fig. 16 come to about 20 minutes."""

_WORDS = {
    "en": (
        *("zero", "one", "two", "three", "four", "five", "six"),
        *("seven", "eight", "nine", "ten", "eleven", "twelve"),
    ),
    "zh": ("零", "一", "两", "三", "四", "五", "六", "七", "八", "九", "十", "十一", "十二"),
}


@dataclass(frozen=True)
class Extent:
    """What one rater of a study goes through.

    Attributes:
        methods: that are compared.
        items: that the rater sees.
        pages: with ratings that are shown for the first time.
        all_pages: with training, attention checks and repetitions.
        scores: that the rater gives to clips of the methods.
        minutes: that it takes, an estimate.
    """

    methods: int
    items: int
    pages: int
    all_pages: int
    scores: int
    minutes: float


def extent(definition: Definition, clips: Clips) -> Extent:
    """Return what one rater of a study goes through."""
    shown = pages(definition, clips, 0, 0)
    cells = len(definition.dimensions) * (2 if definition.kind == "pairs" else 1)
    watching = definition.watch_seconds or clips.seconds
    return Extent(
        methods=clips.arms,
        items=definition.shown_items,
        pages=sum(page.kind == "rating" and not page.repeat for page in shown),
        all_pages=len(shown),
        scores=cells * sum(page.kind == "rating" for page in shown),
        minutes=len(shown) * (watching + PAGE_SECONDS + cells * SCORE_SECONDS) / 60,
    )


def with_numbers(definition: Definition, clips: Clips) -> Definition:
    """Return a definition whose instructions, consent and thanks name the study's own numbers.

    study.yaml keeps the names in braces, so that the wording stays true when clips are added.
    Minutes are rounded up to a multiple of five.
    """
    found = extent(definition, clips)

    def filled(text: Text) -> Text:
        return {language: _filled(words, found, language) for language, words in text.items()}

    return replace(
        definition,
        instructions=filled(definition.instructions),
        consent=filled(definition.consent),
        thanks=filled(definition.thanks),
    )


def _filled(words: str, found: Extent, language: str) -> str:
    for name, number in (
        ("methods", _in_words(found.methods, language)),
        ("items", str(found.items)),
        ("pages", str(found.pages)),
        ("minutes", str(5 * math.ceil(found.minutes / 5))),
    ):
        words = words.replace(f"{{{name}}}", number)
    return words


def _in_words(number: int, language: str) -> str:
    known = _WORDS.get(language.partition("-")[0], ())
    return known[number] if number < len(known) else str(number)
