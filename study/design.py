"""Who sees what, where and in which order: a Williams design over methods, sides balanced.

Design choice, for studies of two videos side by side: an item is shown on as many pages as there
are methods. Each method's clip stands once on the left and once on the right, beside two different
methods. So 7 methods and 2 items make the 14 pages of the supplement's Fig. 16 ("14 items in
total"), and within every single rater no method gains from a side or from an item. Methods at the
left follow a row of a Williams square; those at the right follow another row of the same square.
With two methods one page holds both, so that an item has one page and its sides alternate.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from study.definition import Definition
from study.errors import StudyError
from study.folder import Clips

Row = tuple[int, ...]
"""Methods (arms) in the order of showing."""

Slot = tuple[int, int, int]
"""Left method, right method (-1 for none) and the number of the item of one rating page."""

DRAWS = 400
"""Shuffles tried for a rater; the one in which a clip follows itself least often is kept."""

RESTARTS = 20
"""Starts of the search for partners."""


@dataclass(frozen=True)
class Page:
    """One page of one rater.

    Attributes:
        kind: "training", "rating" or "gold".
        item: whose label, text and references are shown.
        left: media name of the video on the left, or of the only one.
        right: media name of the other; empty for one video.
        extra: id of the training or gold page in the definition; empty for ratings.
        repeat: whether the same two clips came before with sides swapped (single clips: unswapped).
    """

    kind: Literal["training", "rating", "gold"]
    item: str
    left: str
    right: str = ""
    extra: str = ""
    repeat: bool = False


def williams(methods: int) -> tuple[Row, ...]:
    """Rows in which every method comes equally often at every place and after every other.

    Williams (1949), Experimental designs balanced for the estimation of residual effects of
    treatments. An even number of methods needs as many rows; an odd one twice as many, the second
    half being the first read backwards.

    Args:
        methods: at least 1.

    Raises:
        StudyError: there is no method.
    """
    if methods < 1:
        raise StudyError(f"a design of {methods} methods was requested; give at least 1.")
    zigzag = [(-(place // 2) if place % 2 == 0 else place // 2 + 1) for place in range(methods)]
    square = [tuple((step + row) % methods for step in zigzag) for row in range(methods)]
    if methods % 2 == 0 or methods == 1:
        return tuple(square)
    return (*square, *(row[::-1] for row in square))


@functools.cache
def partners(methods: int) -> tuple[int, ...]:
    """For each row of `williams`, the row whose methods stand at the right.

    Every row is a partner once and none its own, so that the right side has the balance of the
    left. Design choice: of such pairings one is taken in which all pairs of methods meet equally
    often, within one, and are left and right of each other as evenly as that allows (found by
    exchanging partners from several starts; tested for 2 to 12 methods).

    Args:
        methods: at least 2.
    """
    # Two rows of one square differ by the same step at every place: row r shows m where row 0
    # shows m - r. So the steps from rows to their partners say which methods meet, and how often.
    squares = len(williams(methods)) // methods
    rng = np.random.default_rng(methods)
    best = [
        methods * square + (row + 1 - 2 * square) % methods
        for square in range(squares)
        for row in range(methods)
    ]
    for _ in range(RESTARTS):
        best = min(best, _exchanged(best, methods), key=lambda each: _unevenness(each, methods))
        shuffled = [
            methods * square + int(row)
            for square in range(squares)
            for row in rng.permutation(methods)
        ]
        best = min(best, _exchanged(shuffled, methods), key=lambda each: _unevenness(each, methods))
    return tuple(best)


def sequences(definition: Definition, clips: Clips) -> int:
    """How many different sequences there are; recruit a multiple of it.

    A rater who sees part of the item pool sees a window of it; every window meets every row of the
    Williams design once, so that over all sequences each clip is rated equally often.
    """
    return len(williams(clips.arms)) * _windows(definition)


def pages(definition: Definition, clips: Clips, sequence: int, seed: int) -> tuple[Page, ...]:
    """Everything one rater sees, from the first training page to the last rating.

    Args:
        definition: with its items.
        clips: of the same study.
        sequence: 0 to `sequences` - 1; fixes which methods come at which place and side.
        seed: of this rater; shuffles items, repeated pages and gold pages. The same arguments give
            the same pages.

    Raises:
        StudyError: no such sequence, or too few methods for two videos side by side.
    """
    if not 0 <= sequence < sequences(definition, clips):
        raise StudyError(
            f"sequence {sequence} was requested; this study has 0 to "
            f"{sequences(definition, clips) - 1}."
        )
    if definition.kind != "single" and clips.arms < 2:
        raise StudyError(
            f"a study of kind {definition.kind} compares methods and this one has {clips.arms}; "
            "add clips of a second method or make it a study of kind single."
        )
    rng = np.random.default_rng(seed)
    slots = _slots(definition, clips.arms, sequence, rng)
    for _ in range(DRAWS):
        if not _clips_that_follow_themselves(slots):
            break
        drawn = _slots(definition, clips.arms, sequence, rng)
        slots = min(slots, drawn, key=_clips_that_follow_themselves)
    names = [item.id for item in definition.items]
    files = {(clip.item, clip.arm): clip.id for clip in clips.clips}
    rated = [
        Page(
            "rating",
            names[item],
            files[names[item], left],
            files[names[item], right] if right >= 0 else "",
        )
        for left, right, item in slots
    ]
    rated = _with_repeats(rated, definition.repeat_share, rng)
    rated = _with_gold(rated, _extras(definition, clips, "gold"), rng)
    return (*_extras(definition, clips, "training"), *rated)


def least_filled(completed: Sequence[int], active: Sequence[int]) -> int:
    """The sequence that the next rater takes.

    Read the counts and record the choice inside one transaction, or two raters may take the same
    place. Between equals the one with fewer completed comes first, then the lowest number.

    Args:
        completed: raters that finished each sequence.
        active: raters seen recently in each sequence; abandoned ones are not counted, which gives
            their place back.

    Raises:
        StudyError: the two do not count the same sequences.
    """
    if len(completed) != len(active) or not completed:
        raise StudyError(
            f"{len(completed)} sequences were counted as completed and {len(active)} as active; "
            "give one count of each for every sequence."
        )
    return min(
        range(len(completed)), key=lambda each: (completed[each] + active[each], completed[each])
    )


def _unevenness(chosen: Sequence[int], methods: int) -> tuple[int, int, int]:
    """Rows that are their own partner; then how unequally methods meet, and on which sides."""
    steps = [0] * methods
    for row, partner in enumerate(chosen):
        steps[(partner - row) % methods] += 1
    meetings = [steps[step] + steps[-step] for step in range(1, methods)]
    return (steps[0], sum(count**2 for count in meetings), sum(count**2 for count in steps))


def _exchanged(chosen: list[int], methods: int) -> list[int]:
    """Partners exchanged within each square as long as an exchange makes them more even."""
    best, improved = list(chosen), True
    while improved:
        improved = False
        for one, two in itertools.combinations(range(len(best)), 2):
            if one // methods == two // methods:
                tried = list(best)
                tried[one], tried[two] = best[two], best[one]
                if _unevenness(tried, methods) < _unevenness(best, methods):
                    best, improved = tried, True
    return best


def _windows(definition: Definition) -> int:
    pool, shown = len(definition.items), definition.shown_items
    if not pool:
        raise StudyError(
            f"{definition.name} has no items yet; make the study from clips with "
            "`python -m study new NAME --videos DIR`."
        )
    return pool // math.gcd(pool, shown)


def _seen_items(definition: Definition, row_count: int, sequence: int) -> tuple[int, list[int]]:
    """Row of the Williams design and numbers of the items of a sequence.

    Consecutive sequences go through rows and windows at once, so that the first few raters already
    see the whole pool.
    """
    windows = _windows(definition)
    window = (sequence + sequence // math.lcm(row_count, windows)) % windows
    start = window * definition.shown_items
    pool = len(definition.items)
    return sequence % row_count, [(start + n) % pool for n in range(definition.shown_items)]


def _slots(
    definition: Definition, arms: int, sequence: int, rng: np.random.Generator
) -> list[Slot]:
    """What stands where on the rating pages: one shuffle of the items of a sequence."""
    rows = williams(arms)
    first, items = _seen_items(definition, len(rows), sequence)
    if definition.kind != "single" and arms == 2:
        # The side goes by the item's number, not its place: both sides occur for every item.
        return [(*rows[(first + item) % 2], item) for item in rng.permutation(items).tolist()]
    shuffled = [rng.permutation(items).tolist() for _ in range(arms)]  # one order for each method
    slots = []
    for block, row in enumerate(_rows_of_blocks(definition, arms, first)):
        alone = definition.kind == "single"
        rights = [-1] * arms if alone else rows[partners(arms)[row]]
        slots += [
            (left, right, shuffled[left][block])
            for left, right in zip(rows[row], rights, strict=True)
        ]
    return slots


def _rows_of_blocks(definition: Definition, arms: int, first: int) -> list[int]:
    """Rows that one rater goes through, as many as there are items.

    With two videos only rows at the same step from their partners are joined: each method then
    stands beside the same two throughout, and a method's items can come in any order and are still
    seen once on each side.
    """
    rows = range(len(williams(arms)))
    alike = [
        row
        for row in rows
        if definition.kind == "single"
        or (partners(arms)[row] - row) % arms == (partners(arms)[first] - first) % arms
    ]
    start = alike.index(first)
    return [alike[(start + block) % len(alike)] for block in range(definition.shown_items)]


def _clips_that_follow_themselves(slots: list[Slot]) -> int:
    return sum(
        one[2] == two[2] and bool({one[0], one[1]} & {two[0], two[1]} - {-1})
        for one, two in itertools.pairwise(slots)
    )


def _with_repeats(shown: list[Page], share: float, rng: np.random.Generator) -> list[Page]:
    """Some pages again, sides swapped, at least a few pages after they came first."""
    gap = max(1, min(5, len(shown) // 3))
    count = min(round(share * len(shown)), max(len(shown) - gap, 0))
    places = {  # page -> pages after which it can come again, not beside its own clips if possible
        int(place): [
            after
            for after in range(place + gap, len(shown))
            if not any(_same(shown[place], near) for near in shown[after : after + 2])
        ]
        for place in rng.permutation(max(len(shown) - gap, 0))
    }
    again: list[tuple[float, Page]] = []
    for place in sorted(places, key=lambda each: not places[each])[:count]:
        page = shown[place]
        left, right = (page.right, page.left) if page.right else (page.left, "")
        after = rng.choice(places[place] or range(place + gap, len(shown)))
        again.append((float(after) + 0.5, replace(page, left=left, right=right, repeat=True)))
    return [page for _, page in sorted([*enumerate(shown), *again], key=lambda pair: pair[0])]


def _same(one: Page, two: Page) -> bool:
    return bool({one.left, one.right} & {two.left, two.right} - {""})


def _with_gold(shown: list[Page], gold: list[Page], rng: np.random.Generator) -> list[Page]:
    """Gold pages in a drawn order, one somewhere in each of as many equal parts of the pages."""
    edges = np.linspace(0, len(shown), len(gold) + 1)
    order = rng.permutation(len(gold))
    places = [
        (float(rng.uniform(low, high)), gold[n])
        for n, low, high in zip(order, edges[:-1], edges[1:], strict=True)
    ]
    return [page for _, page in sorted([*enumerate(shown), *places], key=lambda pair: pair[0])]


def _extras(definition: Definition, clips: Clips, kind: Literal["training", "gold"]) -> list[Page]:
    videos = {extra.id: extra for extra in clips.extras}
    wanted = definition.training if kind == "training" else definition.gold
    return [
        Page(kind, videos[each.id].item, videos[each.id].left, videos[each.id].right, each.id)
        for each in wanted
    ]
