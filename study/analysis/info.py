"""Inputs of a report beside the scores: names, facts and settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from study.analysis.raters import Rules


@dataclass(frozen=True)
class Asked:
    """A question about the rater: its title, and its options by id; none for free text."""

    title: str
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StudyInfo:
    """Inputs of a report beside the scores.

    Attributes:
        title: Of the study.
        ours: The method that is compared with every other; empty for none.
        cannot_hide: What re-encoding cannot hide, in paragraphs.
        dimensions: Titles of dimensions by id, in the order to show; unlisted ones follow.
        methods: Names of methods by id, as they are to be printed.
        facts: (label, value) pairs to print, such as dates and hashes.
        people: Raters and their answers about themselves, a mapping of column to value for each.
        questions: The questions they were asked, by column.
        invented: True when the raters are scripted; the report then says so in its first line.
        rules: When a rater is left out of the screened results.
        resamples: Bootstrap resamples.
        seed: Of the resampling.
    """

    title: str
    ours: str = ""
    cannot_hide: str = ""
    dimensions: dict[str, str] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)
    facts: tuple[tuple[str, str], ...] = ()
    people: tuple[Mapping[str, Any], ...] = ()
    questions: dict[str, Asked] = field(default_factory=dict)
    invented: bool = False
    rules: Rules = field(default_factory=Rules)
    resamples: int = 2000
    seed: int = 0


class Names:
    """Printed names of methods and dimensions."""

    def __init__(self, info: StudyInfo) -> None:
        self.info = info

    def method(self, name: str) -> str:
        """Returns a method's printed name."""
        return self.info.methods.get(name, name)

    def dimension(self, name: str) -> str:
        """Returns a dimension's printed title."""
        return self.info.dimensions.get(name, name)
