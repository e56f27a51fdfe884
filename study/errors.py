"""Errors of a study, each one clear sentence."""

from collections.abc import Sequence


class StudyError(Exception):
    """An error that a person can fix: the message says what is wrong and what to do."""


class DefinitionError(StudyError):
    """The YAML of a study is not a valid definition.

    Attributes:
        problems: one sentence for each fault of the file.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(_listed(self.problems))


class StimuliError(StudyError):
    """The clips of a study do not make a complete, comparable set.

    Attributes:
        problems: one sentence for each fault of the folder.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(_listed(self.problems))


class PhaseError(StudyError):
    """An act at the wrong time: a rating before opening, unblinding before closing."""


class FrozenError(StudyError):
    """A file that was fixed with its hash when the study opened has been changed since."""


def _listed(problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    return f"{len(problems)} problems:\n" + "\n".join(f"- {problem}" for problem in problems)
