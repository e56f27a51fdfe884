"""What the tabs share: how an act is answered, and parts of the page that are our own script."""

import logging
from collections.abc import Callable
from typing import Any

import gradio as gr

from study.admin import fragments
from study.errors import StudyError

logger = logging.getLogger(__name__)

ADMINISTRATOR = "administrator's page"
"""Actor in the audit log for everyone who knows the password."""

QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""Events that return at once."""

SLOW: dict[str, Any] = {"show_progress": "minimal", "api_visibility": "private"}
"""Acts that take a while, one after another."""


def result_html(act: Callable[[], str]) -> str:
    """The result of an act as HTML, or its error; the page keeps what was typed."""
    try:
        return act()
    except StudyError as error:
        return fragments.problems(error)
    except ValueError as error:
        return fragments.note(str(error), "bad")
    except Exception:
        logger.exception("an administrator's act failed")
        return fragments.note("Internal error; see the server's log.", "bad")


def island(name: str, value: dict[str, str] | None, elem_id: str, **props: object) -> gr.HTML:
    """A part of the page drawn by page/admin.js.

    Args:
        name: the function that draws it.
        value: what it is given, and again whenever that changes.
        elem_id: its id in the page.
        props: further values that stay.
    """
    return gr.HTML(
        value,
        html_template="<div></div>",
        js_on_load=(
            'import(new URL("page/admin.js", document.baseURI))'
            f".then((page) => page.{name}(element, props, watch))"
        ),
        apply_default_css=False,
        elem_id=elem_id,
        **props,
    )
