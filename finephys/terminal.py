"""Standard output for results, standard error for progress; both may be closed or full."""

import sys
from contextlib import suppress

from finephys.files import OutputError, advice


def say(text: str) -> None:
    """Print a line to stderr. If nobody can read it (closed or full), the work goes on."""
    if sys.stderr is not None:  # given None, print would take stdout
        with suppress(OSError):
            print(text, file=sys.stderr, flush=True)


def print_result(text: str) -> None:
    """Print text to stdout; see `flush_stdout` for what is raised."""
    try:
        print(text)
    except OSError as error:
        _fail(error)
    flush_stdout()


def flush_stdout() -> None:
    """Write what is buffered for stdout, which Python would otherwise do after the last handler.

    Raises:
        OutputError: stdout cannot be written, as when its disk is full.
        BrokenPipeError: the reader has closed the pipe.
    """
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except OSError as error:
            _fail(error)


def _fail(error: OSError) -> None:
    with suppress(OSError):
        sys.stdout.close()  # so that Python does not try, and fail, again at its end
    if isinstance(error, BrokenPipeError):
        raise error
    raise OutputError(f"standard output was not written: {advice(error)}.") from error
