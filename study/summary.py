"""A check of a study, and a summary of what a rater goes through."""

from study.blinding import check_complete
from study.design import pages, sequences
from study.folder import Folder, check_media, read_clips, read_definition, read_milestones
from study.wording import extent


def summary(folder: Folder) -> str:
    """Check a study and summarise what a rater goes through.

    Raises:
        StudyError: the definition has faults, the clips do not fit it, or a file is missing.
    """
    definition, clips = read_definition(folder), read_clips(folder)
    check_complete(definition, clips)
    check_media(folder)
    count = sequences(definition, clips)
    shown, found = pages(definition, clips, 0, 0), extent(definition, clips)
    kinds = {kind: sum(page.kind == kind for page in shown) for kind in ("training", "gold")}
    return (
        f"{definition.name} ({read_milestones(folder).phase}): {clips.arms} methods, "
        f"{len(definition.items)} items, kind {definition.kind}; a rater sees {len(shown)} pages "
        f"({kinds['training']} training, {kinds['gold']} gold, "
        f"{sum(page.repeat for page in shown)} repeated) and gives "
        f"{found.scores} scores, which takes about {found.minutes:.0f} minutes. {count} sequences: "
        f"recruit {count} raters or a multiple of it."
    )
