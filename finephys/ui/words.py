"""How errors and notes read on the page: its controls instead of flags, no path of the server."""

import html
import re

from finephys.errors import FinePhysError, NoPersonError

PRIOR = "Use the pose prior when no person is found"
OWN_MOMENT = "Choose start and length"
REAL_SPEED = "Real speed"
START, LENGTH = "Start (s)", "Length (s)"
ACTION_LABEL, MODEL, REAL_SPEED = "Action", "Model", "Real speed"

CONTROLS = {
    "--prior": PRIOR,
    "--start": OWN_MOMENT,
    "--action": ACTION_LABEL,
    "--tier": MODEL,
    "--real-speed": REAL_SPEED,
}
"""Flag of the command line -> label of the control that does the same."""

_FLAG = re.compile(r"--[a-z][a-z-]*")
_PATH = re.compile(r"(?<![\w/.:<])(?:/[^/\s'\"<>]+)+/([^/\s'\"<>]+)")


def sentence(error: FinePhysError) -> str:
    """An error's sentence for the page.

    Flags are replaced by the names of controls, and of a server's path only the last part stays,
    except in the commands that the error names.
    """
    if isinstance(error, NoPersonError):
        return (
            "No person was detected in these 16 frames; choose a clip in which one whole person "
            f"is seen, or tick “{PRIOR}”."
        )
    if not error.commands:
        return for_page(str(error))
    parts = re.split(f"({'|'.join(map(re.escape, error.commands))})", str(error))
    return "".join(part if part in error.commands else for_page(part) for part in parts)


def sentence_html(error: FinePhysError) -> str:
    """Return the same as HTML, with the commands to run as code."""
    text = html.escape(sentence(error))
    for command in map(html.escape, error.commands):
        text = text.replace(command, f"<code>{command}</code>", 1)
    return text


def for_page(text: str) -> str:
    """Return a text with the page's controls instead of flags, and without a server's folders."""
    named = _FLAG.sub(
        lambda flag: f"“{CONTROLS[flag[0]]}”" if flag[0] in CONTROLS else flag[0], text
    )
    return _PATH.sub(r"\1", named)
