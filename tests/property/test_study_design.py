"""The design is balanced for any numbers of methods and items; a wrong shift or side would show."""

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study.definition import Definition, Item
from study.design import Page, least_filled, pages, partners, sequences, williams
from study.errors import StudyError
from study.folder import Clip, Clips, ExtraClips
from study.reading import template

METHODS = range(2, 13)


def a_study(
    methods: int, items: int, kind: str = "pairs", shown: int = 0, repeat_share: float = 0.0
) -> tuple[Definition, Clips]:
    definition = template("fig16")
    extras = tuple(
        ExtraClips(each.id, "item0", f"{each.id}-left", f"{each.id}-right")
        for each in (*definition.training, *definition.gold)
    )
    definition = replace(
        definition,
        kind=kind,
        items=tuple(Item(f"item{n}", {"en": "label"}, {"en": "text"}) for n in range(items)),
        items_per_rater=shown,
        repeat_share=repeat_share,
    )
    clips = tuple(
        Clip(f"{item}/{arm}", f"item{item}", arm) for item in range(items) for arm in range(methods)
    )
    return definition, Clips(methods, 2.0, clips, (), extras)


def ratings(shown: tuple[Page, ...], repeats: bool = False) -> list[Page]:
    return [page for page in shown if page.kind == "rating" and (repeats or not page.repeat)]


def all_ratings(definition: Definition, clips: Clips, seed: int) -> list[list[Page]]:
    count = sequences(definition, clips)
    return [ratings(pages(definition, clips, each, seed + each)) for each in range(count)]


def arm(clip: str) -> int:
    return int(clip.split("/")[1])


def even(counts: Counter, members: int) -> bool:
    return len(counts) == members and len(set(counts.values())) == 1


@pytest.mark.parametrize("methods", METHODS)
def test_every_method_comes_equally_often_at_every_place_and_after_every_other(methods):
    rows = williams(methods)
    assert len(rows) == (methods if methods % 2 == 0 else 2 * methods)
    assert even(Counter((k, m) for row in rows for k, m in enumerate(row)), methods**2)
    followed = Counter(pair for row in rows for pair in itertools.pairwise(row))
    assert even(followed, methods * (methods - 1))


def test_seven_methods_have_fourteen_sequences():
    assert len(williams(7)) == 14
    assert sequences(*a_study(7, 2)) == 14


@pytest.mark.parametrize("methods", METHODS)
def test_methods_meet_each_other_equally_often_and_never_themselves(methods):
    rows, partner = williams(methods), partners(methods)
    assert sorted(partner) == list(range(len(rows)))  # so the right is as balanced as the left
    beside = [
        pair
        for row, other in enumerate(partner)
        for pair in zip(rows[row], rows[other], strict=True)
    ]
    assert all(left != right for left, right in beside)
    met = Counter(frozenset(pair) for pair in beside)
    assert len(met) == methods * (methods - 1) // 2
    # Four methods cannot be within one: no four steps with one or two middle ones add up to 0.
    assert max(met.values()) - min(met.values()) <= (2 if methods == 4 else 1)


@settings(max_examples=30, deadline=None)
@given(
    methods=st.integers(3, 8),
    items=st.integers(1, 5),
    kind=st.sampled_from(["pairs", "choice"]),
    seed=st.integers(0, 2**32),
)
def test_one_rater_sees_every_clip_once_on_each_side(methods, items, kind, seed):
    definition, clips = a_study(methods, items, kind)
    shown = ratings(pages(definition, clips, seed % sequences(definition, clips), seed))
    everything = Counter(clip.id for clip in clips.clips)
    assert Counter(page.left for page in shown) == everything
    assert Counter(page.right for page in shown) == everything
    for page in shown:
        number = page.item.removeprefix("item")
        assert page.left.startswith(f"{number}/")
        assert page.right.startswith(f"{number}/")


def test_fig_16_has_fourteen_pages_of_two_videos():
    shown = ratings(pages(*a_study(7, 2), 0, 0))
    assert len(shown) == 14
    assert all(page.left and page.right for page in shown)


@settings(max_examples=15, deadline=None)
@given(
    methods=st.integers(3, 8),
    items=st.integers(1, 4),
    kind=st.sampled_from(["pairs", "choice", "single"]),
    seed=st.integers(0, 2**32),
)
def test_over_all_sequences_every_method_is_equally_often_at_every_page_and_side(
    methods, items, kind, seed
):
    raters = all_ratings(*a_study(methods, items, kind), seed)
    left = Counter((k, arm(page.left)) for shown in raters for k, page in enumerate(shown))
    assert even(left, methods * methods * items)
    if kind != "single":
        right = Counter((k, arm(page.right)) for shown in raters for k, page in enumerate(shown))
        assert even(right, methods * methods * items)


@settings(max_examples=15, deadline=None)
@given(methods=st.integers(3, 8), items=st.integers(1, 4), seed=st.integers(0, 2**32))
def test_over_all_sequences_every_method_follows_every_other_equally_often(methods, items, seed):
    for kind in ("pairs", "single"):
        raters = all_ratings(*a_study(methods, items, kind), seed)
        blocks = [shown[k : k + methods] for shown in raters for k in range(0, len(shown), methods)]
        for side in ("left", "right") if kind == "pairs" else ("left",):
            followed = Counter(
                (arm(getattr(one, side)), arm(getattr(two, side)))
                for block in blocks
                for one, two in itertools.pairwise(block)
            )
            assert even(followed, methods * (methods - 1))


@settings(max_examples=25, deadline=None)
@given(
    methods=st.integers(2, 7),
    items=st.integers(1, 9),
    shown=st.integers(1, 9),
    kind=st.sampled_from(["pairs", "single"]),
)
def test_every_clip_is_rated_equally_often_also_when_raters_see_part_of_the_pool(
    methods, items, shown, kind
):
    definition, clips = a_study(methods, items, kind, min(shown, items))
    raters = all_ratings(definition, clips, 5)
    left = Counter(page.left for shown_pages in raters for page in shown_pages)
    assert even(left, len(clips.clips))
    if kind == "pairs":
        right = Counter(page.right for shown_pages in raters for page in shown_pages)
        assert right == left  # every clip as often on one side as on the other


def test_the_first_raters_already_see_the_whole_pool():
    """Sequences are taken in order; going through one window first would starve the others."""
    definition, clips = a_study(7, 20, shown=2)
    seen = {
        page.item for each in range(28) for page in ratings(pages(definition, clips, each, each))
    }
    assert len(seen) == 20


def test_two_methods_are_compared_once_for_each_item_with_sides_alternating():
    definition, clips = a_study(2, 6, "choice")
    raters = all_ratings(definition, clips, 3)
    assert [len(shown) for shown in raters] == [6, 6]
    for shown in raters:
        assert Counter(arm(page.left) for page in shown) == {0: 3, 1: 3}


def test_the_same_rater_gets_the_same_pages_and_another_gets_other_ones():
    definition, clips = a_study(7, 2, repeat_share=0.1)
    assert pages(definition, clips, 4, 11) == pages(definition, clips, 4, 11)
    assert len({pages(definition, clips, 4, seed) for seed in range(20)}) > 10


def test_items_come_mixed():
    """Items in blocks would confound an item with the rater's fatigue."""
    definition, clips = a_study(7, 2)
    changes = [
        sum(one.item != two.item for one, two in itertools.pairwise(ratings(shown)))
        for seed in range(14)
        for shown in [pages(definition, clips, seed, seed)]
    ]
    assert np.mean(changes) > 5


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32), items=st.integers(2, 5), kind=st.sampled_from(["pairs", "single"])
)
def test_a_tenth_comes_again_later_with_sides_swapped(seed, items, kind):
    definition, clips = a_study(7, items, kind, repeat_share=0.1)
    shown = ratings(pages(definition, clips, seed % 14, seed), repeats=True)
    again = [(k, page) for k, page in enumerate(shown) if page.repeat]
    assert len(again) == round(0.7 * items)
    for place, page in again:
        first = (page.left, "") if kind == "single" else (page.right, page.left)
        before = [k for k, p in enumerate(shown) if (p.left, p.right) == first and not p.repeat]
        assert len(before) == 1
        assert place - before[0] > 3


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_training_comes_first_and_gold_lies_spread_among_the_items(seed):
    definition, clips = a_study(7, 2)
    shown = pages(definition, clips, 2, seed)
    assert [page.extra for page in shown[:2]] == [each.id for each in definition.training]
    assert {page.kind for page in shown[2:]} == {"rating", "gold"}
    gold = [place for place, page in enumerate(shown[2:]) if page.kind == "gold"]
    assert len(gold) == 2
    assert gold[0] <= 8 <= gold[1]  # one in each half
    assert {page.extra for page in shown if page.kind == "gold"} == {
        each.id for each in definition.gold
    }


def test_no_clip_follows_itself():
    definition, clips = a_study(7, 2, repeat_share=0.1)
    shared = 0
    for seed in range(140):
        shown = ratings(pages(definition, clips, seed % 14, seed), repeats=True)
        shared += sum(
            bool({a.left, a.right} & {b.left, b.right}) for a, b in itertools.pairwise(shown)
        )
    assert shared == 0


def test_impossible_designs_are_refused():
    with pytest.raises(StudyError, match="0 to 13"):
        pages(*a_study(7, 2), 14, 0)
    with pytest.raises(StudyError, match="compares methods"):
        pages(*a_study(1, 2), 0, 0)
    with pytest.raises(StudyError, match="no items"):
        pages(*a_study(7, 0), 0, 0)
    with pytest.raises(StudyError, match="count"):
        least_filled([1, 2], [1])


@pytest.mark.parametrize("seed", range(40))
def test_28_raters_with_30_percent_drop_outs_fill_every_sequence_alike(seed):
    """Counting abandoned sessions as done (as other tools do) leaves sequences empty."""
    definition, clips = a_study(7, 2)
    finished = recruit(sequences(definition, clips), wanted=28, drop_out=0.3, seed=seed)
    assert sum(finished) == 28
    assert max(finished) - min(finished) <= 1
    left: Counter = Counter()
    right: Counter = Counter()
    for sequence, times in enumerate(finished):
        for page in ratings(pages(definition, clips, sequence, seed)):
            left[arm(page.left)] += times
            right[arm(page.right)] += times
    assert left == right
    assert even(left, 7)


def recruit(sequence_count: int, wanted: int, drop_out: float, seed: int) -> list[int]:
    """Raters arrive at random, work or give up; as many places are open as are still wanted.

    A rater who gives up counts as active until `idle` minutes have passed.
    """
    rng = np.random.default_rng(seed)
    idle, now = 30.0, 0.0
    completed = [0] * sequence_count
    working: list[tuple[float, int, bool]] = []  # until when, sequence, whether it is completed
    while sum(completed) < wanted:
        now += rng.exponential(4.0)
        for place in [each for each in working if each[0] <= now]:
            working.remove(place)
            completed[place[1]] += place[2]
        if sum(completed) + len(working) < wanted:
            active = [sum(each[1] == n for each in working) for n in range(sequence_count)]
            taken = least_filled(completed, active)
            if rng.random() < drop_out:
                working.append((now + rng.uniform(0, 20) + idle, taken, False))
            else:
                working.append((now + rng.uniform(10, 40), taken, True))
    return completed
