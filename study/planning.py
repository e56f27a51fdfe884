"""Sizes that the power planner begins with: those of a study, or of the supplement's Fig. 16."""

from dataclasses import dataclass

from study.design import sequences
from study.folder import Folder, read_clips, read_definition


@dataclass(frozen=True)
class Size:
    """What to plan for.

    Attributes:
        raters: numbers of raters to compare.
        clips: numbers of clips of each method to compare.
        methods: how many are compared.
        dimensions: how many are scored.
    """

    raters: tuple[int, ...]
    clips: tuple[int, ...]
    methods: int
    dimensions: int


FIG16 = Size((14, 20, 28), (2, 4, 14), 7, 4)


def size(folder: Folder) -> Size:
    """Return a study's own size: one, two and four times its sequences and the items shown.

    Raises:
        StudyError: the study has faults or no clips.
    """
    definition, clips = read_definition(folder), read_clips(folder)
    count, items = sequences(definition, clips), definition.shown_items
    return Size(
        raters=(count, 2 * count, 4 * count),
        clips=(items, 2 * items, 4 * items),
        methods=clips.arms,
        dimensions=len(definition.dimensions),
    )
