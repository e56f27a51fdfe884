"""What can go wrong in a study, each said in one clear sentence."""

from collections.abc import Sequence


class StudyError(Exception):
    """Something a person can put right: the message says what was wrong and what to do next."""


class DefinitionError(StudyError):
    """The YAML of a study says something that cannot be.

    Attributes:
        problems: one sentence for each fault, all faults of the file at once.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(_listed(self.problems))


class StimuliError(StudyError):
    """The clips of a study do not make a complete, comparable set.

    Attributes:
        problems: one sentence for each fault, all faults of the folder at once.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(_listed(self.problems))


class PhaseError(StudyError):
    """An act came at the wrong time: a rating before opening, unblinding before closing."""


class FrozenError(StudyError):
    """A file that was fixed with its hash when the study opened has been changed since."""


def _listed(problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    return f"{len(problems)} problems:\n" + "\n".join(f"- {problem}" for problem in problems)
