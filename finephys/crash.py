"""A log file for errors that no module expected, so that the person sees one sentence."""

import os
import platform
import sys
import tempfile
import time
import traceback
from pathlib import Path

from finephys import __version__
from finephys.files import OutputError, whole_file


def log_folder() -> Path:
    """Return the folder of log files: $XDG_STATE_HOME/finephys, or ~/.local/state/finephys."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path("~/.local/state").expanduser()) / "finephys"


def write_log(error: BaseException) -> Path | None:
    """Write the traceback of an error with what is needed to reproduce it.

    Returns:
        The file, in the temporary folder if `log_folder` cannot be written; None if neither can.
    """
    lines = (
        f"finephys {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"in {Path.cwd()}: {sys.argv}",
        "",
        *traceback.format_exception(error),
    )
    name = f"error-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    for folder in (log_folder, lambda: Path(tempfile.gettempdir())):
        try:
            path = folder() / name
            with whole_file(path) as partial:
                partial.write_text("\n".join(lines) + "\n", "utf-8", "backslashreplace")
        except (OutputError, OSError, RuntimeError):  # RuntimeError: there is no home folder
            continue
        return path
    return None
