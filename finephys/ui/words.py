"""How errors read on the page: its own controls instead of flags, and no path of the server."""

import html
import re

from finephys.errors import FinePhysError, NoPersonError

PRIOR = "Use the pose prior when no person is found"
OWN_MOMENT = "Choose start and length"
START, LENGTH = "Start (s)", "Length (s)"
ACTION_LABEL, MODEL = "Action", "Model"

CONTROLS = {
    "--prior": PRIOR,
    "--start": OWN_MOMENT,
    "--action": ACTION_LABEL,
    "--tier": MODEL,
}
"""Flag of the command line -> label of the control that does the same."""

_FLAG = re.compile(r"--[a-z][a-z-]*")
_COMMAND = re.compile(r"python -m finephys [a-z]+ [a-z0-9]+(?: --[a-z]+ [A-Z]+)?")
_PATH = re.compile(r"(?<![\w/.:<])(?:/[^/\s'\"<>]+)+/([^/\s'\"<>]+)")


def sentence(error: FinePhysError) -> str:
    """An error's sentence for the page.

    Flags are replaced by the names of controls; of a server's path only the last part stays.
    """
    if isinstance(error, NoPersonError):
        return (
            "No person was detected in these 16 frames; choose a clip in which one whole person "
            f"is seen, or tick “{PRIOR}”."
        )
    command = command_of(error)
    before, between, after = str(error).partition(command) if command else (str(error), "", "")
    return _for_page(before) + between + _for_page(after)


def sentence_html(error: FinePhysError) -> str:
    """The same as HTML, with the command to run as code."""
    text, command = html.escape(sentence(error)), html.escape(command_of(error) or "")
    return text.replace(command, f"<code>{command}</code>", 1) if command else text


def command_of(error: FinePhysError) -> str | None:
    """The command an error tells its reader to run, if any."""
    carried = getattr(error, "command", None)
    if carried is not None:
        return str(carried)
    found = _COMMAND.search(str(error))
    return found[0] if found else None


def _for_page(text: str) -> str:
    named = _FLAG.sub(
        lambda flag: f"“{CONTROLS[flag[0]]}”" if flag[0] in CONTROLS else flag[0], text
    )
    return _PATH.sub(r"\1", named)
