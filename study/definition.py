"""What a study is, as frozen values: items, dimensions, pages, recruiting, encoding.

No method is named here: a definition may be read by anybody, also by a rater (see `blinding`).
`reading` turns the YAML file into these values and back; `faults` checks them.
"""

import dataclasses
from dataclasses import dataclass
from typing import Literal

LEVELS = 5
"""Scores run from 1 to 5 (supplement B.3)."""

PAGE_LANGUAGES = ("en", "zh")
"""Languages that the raters' page has words in (`rater/words.js`)."""

Text = dict[str, str]
"""One wording: language code ("en", "zh") -> what is shown in it."""


@dataclass(frozen=True)
class Dimension:
    """One thing that is scored from 1 to 5.

    Attributes:
        id: short name in the tables, such as "text".
        title: heading.
        question: what the rater judges.
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
            under heavy noise); empty where a file is given.
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
        note: text shown with it (training only).
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
        completion_code: shown to a rater who has answered enough; empty for a code of their own.
        most_raters: limit on raters; 0 for none. Raters who left do not count.
    """

    invites: bool = True
    open_link: bool = False
    prolific: bool = False
    completion_code: str = ""
    most_raters: int = 0


@dataclass(frozen=True)
class Encoding:
    """How all clips are made alike (see `encoding`); 0 takes it from the clips.

    Attributes:
        width: pixels, even; clips of another shape get bars.
        height: as `width`.
        fps: frames per second of all clips; 0: the commonest of each item.
        frames: how many frames every clip has; 0: as each item's clips last.
        seconds_tolerance: seconds by which a clip may last longer or shorter than others of its
            item.
        crf: x264's quality, 0 to 51, lower is better; `study new` raises it for large clips.
    """

    width: int = 0
    height: int = 0
    fps: int = 0
    frames: int = 0
    seconds_tolerance: float = 0.5
    crf: int = 16


@dataclass(frozen=True)
class Headings:
    """What stands above an item's label and text; empty for the page's own words."""

    label: Text = dataclasses.field(default_factory=dict)
    text: Text = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Definition:
    """A whole study.

    Attributes:
        name: letters, digits, - and _: its folder and address.
        title: shown to raters.
        languages: codes such as zh or en-GB, of `PAGE_LANGUAGES`; the first is the default; every
            wording is given in all of them.
        kind: "pairs" (two videos side by side, each scored), "single" (one video, scored) or
            "choice" (two videos, which is better, a tie allowed).
        dimensions: what is scored; for "choice" each is one question of preference.
        instructions: before the items; {methods}, {items}, {pages} and {minutes} stand for the
            study's own numbers (see `wording`).
        consent: what a rater agrees to; the same names may be used.
        thanks: at the end.
        demographics: questions about the rater.
        items: the item pool, filled by `study new`.
        items_per_rater: how many items of the pool one rater sees; 0 for all.
        training: pages before the items.
        gold: attention checks among the items.
        repeat_share: part of the pages that comes again with sides swapped, 0 to 0.5.
        watch_seconds: time a clip is watched before it can be scored; 0 for one whole loop.
        tie_allowed: for "choice".
        recruiting: ways in and out.
        encoding: how the clips are made alike.
        captions: wording for action classes, used by `study new`.
        headings: what stands above an item's label and text.
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
    headings: Headings = Headings()

    @property
    def shown_items(self) -> int:
        """How many items one rater sees."""
        return self.items_per_rater or len(self.items)


def worded(text: Text, language: str) -> str:
    """A wording in a language, or in the first one it has (captions may have one only)."""
    return text.get(language) or next(iter(text.values()), "")
