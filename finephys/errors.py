"""Errors a person can act on: one sentence with what was wrong, what is accepted, what to do."""


class FinePhysError(Exception):
    """Base of every error whose text is shown to the person at the page or the command line.

    Args:
        message: one sentence.
        commands: shell commands that the message names, as they stand in it, so that a page can set
            them as code without searching the text.
    """

    def __init__(self, message: str, *commands: str) -> None:
        super().__init__(message)
        self.commands = commands


class ClipError(FinePhysError):
    """The file is not a readable clip, or its span or size is outside the accepted range."""


class NoPersonError(FinePhysError):
    """The detector found no person in any frame of the clip."""


class RequestError(FinePhysError):
    """A request, an argument or an array is outside the accepted range."""


class WeightsMissingError(FinePhysError):
    """Weights are not on this machine; `commands` fetch or train them."""


class WeightsError(FinePhysError):
    """Weights are damaged or were made for another configuration."""


class StoppedError(FinePhysError):
    """The person pressed Stop; the work ended at the next step."""
