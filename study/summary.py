"""What a rater of a study goes through, in numbers, and whether everything for it is there."""

from study.blinding import check_complete
from study.design import pages, sequences
from study.folder import Folder, check_media, read_clips, read_definition, read_milestones


def summary(folder: Folder) -> str:
    """Read a study whole as it stands and say in a few sentences what raters will do.

    Raises:
        StudyError: the definition has faults, the clips do not fit it, or a file is missing.
    """
    definition, clips = read_definition(folder), read_clips(folder)
    check_complete(definition, clips)
    check_media(folder)
    count = sequences(definition, clips)
    shown = pages(definition, clips, 0, 0)
    seconds = definition.watch_seconds or clips.seconds
    scores = sum(page.kind == "rating" for page in shown) * len(definition.dimensions)
    kinds = {kind: sum(page.kind == kind for page in shown) for kind in ("training", "gold")}
    return (
        f"{definition.name} ({read_milestones(folder).phase}): {clips.arms} methods, "
        f"{len(definition.items)} items, kind {definition.kind}; a rater sees {len(shown)} pages "
        f"({kinds['training']} training, {kinds['gold']} gold, "
        f"{sum(page.repeat for page in shown)} repeated) and gives "
        f"{scores * (2 if definition.kind == 'pairs' else 1)} scores; at least "
        f"{len(shown) * seconds / 60:.1f} minutes of watching. {count} sequences: recruit "
        f"{count} raters or a multiple of it."
    )
