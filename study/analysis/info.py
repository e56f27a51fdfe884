"""What a report is told beside the scores: names, facts and settings."""

from dataclasses import dataclass, field

from study.analysis.raters import Rules


@dataclass(frozen=True)
class StudyInfo:
    """What the report says beside the scores.

    Attributes:
        title: Of the study.
        ours: The method that is compared with every other; empty for none.
        cannot_hide: What re-encoding cannot hide, in paragraphs.
        dimensions: Titles of dimensions by id, in the order to show; unlisted ones follow.
        methods: Names of methods by id, as they are to be printed.
        facts: (label, value) pairs to print, such as dates and hashes.
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
