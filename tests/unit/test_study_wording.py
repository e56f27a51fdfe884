"""A study's own numbers in its wording: what raters read is true of the study they are in."""

from dataclasses import replace

import pytest

from study.definition import Item
from study.folder import Clip, Clips, ExtraClips
from study.reading import TEMPLATES, template
from study.wording import extent, with_numbers


def made(name: str, methods: int, items: int):
    """A template with so many items, and clips for it."""
    definition = template(name)
    ids = [f"item{number:02d}" for number in range(items)]
    definition = replace(definition, items=tuple(Item(i, {"en": "a"}, {"en": "b"}) for i in ids))
    extras = [*definition.training, *definition.gold]
    clips = Clips(
        arms=methods,
        seconds=2.0,
        clips=tuple(Clip(f"{i}-{arm}", i, arm) for i in ids for arm in range(methods)),
        extras=tuple(ExtraClips(each.id, ids[0], "left", "right") for each in extras),
    )
    return definition, clips


def test_the_printed_wording_comes_out_as_printed_for_the_printed_study():
    text = with_numbers(*made("fig16_printed", 7, 2)).instructions
    assert "originating from seven different models" in text["en"]
    assert "There are 14 items in total." in text["en"]
    assert "来自七个不同的模型" in text["zh"]


@pytest.mark.parametrize(("methods", "items", "pages"), [(3, 5, 15), (2, 4, 4), (13, 1, 13)])
def test_another_study_is_told_its_own_numbers(methods, items, pages):
    """Bug: every study made with fig16_printed told its raters of seven models and 14 items."""
    text = with_numbers(*made("fig16_printed", methods, items)).instructions["en"]
    words = {2: "two", 3: "three", 13: "13"}
    assert f"originating from {words[methods]} different models" in text
    assert f"There are {pages} items in total." in text


@pytest.mark.parametrize("name", [path.stem for path in TEMPLATES.glob("*.yaml")])
def test_no_name_in_braces_reaches_a_rater(name):
    filled = with_numbers(*made(name, 3, 2))
    for text in (filled.instructions, filled.consent, filled.thanks):
        assert not [words for words in text.values() if "{" in words]


def test_the_consent_names_the_time_that_the_study_takes():
    """Bug: about 20 minutes were promised, whatever the study asked for."""
    assert "about 20 minutes" in with_numbers(*made("fig16", 7, 2)).consent["en"]
    assert "about 65 minutes" in with_numbers(*made("fig16", 7, 8)).consent["en"]


def test_braces_of_other_things_stay():
    definition, clips = made("fig16", 3, 2)
    definition = replace(definition, thanks={"en": "{name} {0} {", "zh": "{{pages}}"})
    assert with_numbers(definition, clips).thanks == {"en": "{name} {0} {", "zh": "{6}"}


def test_the_extent_counts_pages_as_the_design_lays_them_out():
    found = extent(*made("fig16", 7, 2))
    assert (found.pages, found.all_pages, found.scores) == (14, 19, 15 * 8)
