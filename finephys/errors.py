"""Errors a person can act on: one sentence with what was wrong, what is accepted, what to do."""


class FinePhysError(Exception):
    """Base of every error whose text is meant for the person at the page or the command line."""


class ClipError(FinePhysError):
    """The file is not a clip that can be read, or its span or size is outside what is accepted."""


class NoPersonError(FinePhysError):
    """No frame of the clip shows a person the detector could find."""


class RequestError(FinePhysError):
    """A request, an argument or an array is outside the accepted range."""


class WeightsMissingError(FinePhysError):
    """Weights a tier needs are not on this machine; the text names the command that brings them."""


class WeightsError(FinePhysError):
    """Weights are there but damaged or made for another configuration."""


class StoppedError(FinePhysError):
    """The person pressed Stop; work ended at the next step boundary."""
