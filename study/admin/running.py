"""Tab of a running study: opening it, its links, snapshots, closing it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import gradio as gr

from study import acts, backup, codes
from study.admin import fragments
from study.admin.parts import ADMINISTRATOR, QUICK, SLOW, result_html
from study.errors import StudyError
from study.folder import read_definition, read_milestones

if TYPE_CHECKING:
    from study.site import Site

PROLIFIC = "?PROLIFIC_PID={{%PROLIFIC_PID%}}&STUDY_ID={{%STUDY_ID%}}&SESSION_ID={{%SESSION_ID%}}"


@dataclass(frozen=True)
class RunTab:
    """Outputs of this tab."""

    hashes: gr.HTML
    message: gr.HTML
    links: gr.Textbox
    events: tuple[Any, ...]


def build(site: "Site", chosen: gr.Dropdown) -> RunTab:
    """Everything between the draft and the results."""
    message = gr.HTML("", elem_id="st-run-said")
    with gr.Row():
        with gr.Column(min_width=280):
            gr.Markdown(
                "### 1. Open\nThe wording and the clips are fixed from then on, and raters come in."
            )
            open_it = gr.Button("Open the study", variant="primary")
            hashes = gr.HTML("", elem_id="st-hashes", apply_default_css=False)
            gr.Markdown("### 2. Invite\nPersonal links are shown once: copy them now.")
            count = gr.Number(10, precision=0, minimum=1, maximum=1000, label="Personal links")
            invite = gr.Button("Make personal links")
            others = gr.Button("Show the open link and the Prolific link")
            links = gr.Textbox(
                "", lines=4, max_lines=12, label="Links", buttons=["copy"], elem_id="st-links"
            )
        with gr.Column(min_width=280):
            gr.Markdown("### 3. Keep\nSnapshots are also taken automatically, every ten minutes.")
            keep = gr.Button("Back up now")
            gr.Markdown("### 4. Close\nNo answer comes in afterwards; this cannot be undone.")
            typed = gr.Textbox(label="Type the study's name to close it", elem_id="st-close-name")
            close = gr.Button("Close the study", variant="stop")
            gr.Markdown(
                "### 5. Check codes\nThe completion codes that raters hand in; the board has "
                "the whole list."
            )
            wanted = gr.Textbox(label="Codes, one on a line", lines=3, elem_id="st-codes")
            check = gr.Button("Check these codes")
            checked = gr.HTML("", elem_id="st-codes-checked")

    def open_act(name: str) -> str:
        def go() -> str:
            made = acts.open_for_raters(site.folder(name), ADMINISTRATOR)
            return fragments.note(f"{name} is open since {made.opened}.", "good")

        return result_html(go)

    def close_act(name: str, typed: str) -> str:
        def go() -> str:
            need_typed(name, typed, "close")
            made = acts.close(site.folder(name), ADMINISTRATOR)
            return fragments.note(f"{name} is closed since {made.closed}.", "good")

        return result_html(go)

    def backup_act(name: str) -> str:
        def go() -> str:
            folder = site.folder(name)
            made = backup.take(folder.database, folder.snapshots)
            counts = ", ".join(f"{many} {rows}" for rows, many in made.rows.items())
            return fragments.note(f"{made.file}: {counts}; SHA-256 {made.sha256}", "good")

        return result_html(go)

    def invite_act(name: str, count: float | None, request: gr.Request) -> tuple[Any, str]:
        made: list[str] = []

        def go() -> str:
            folder = site.folder(name)
            if read_milestones(folder).phase == "draft":
                raise StudyError("the study is a draft; open it, then invite.")
            if count is None:
                raise StudyError("the number of links is empty; give 1 to 1000.")
            address = study_address(request, name)
            made.extend(
                f"{address}?invite={code}"
                for code in acts.invite(folder, int(count), ADMINISTRATOR)
            )
            return fragments.note(f"{len(made)} links, one person each. Copy them now.", "good")

        sentence = result_html(go)
        return "\n".join(made) if made else gr.skip(), sentence

    def links_act(name: str, request: gr.Request) -> tuple[Any, str]:
        found: list[str] = []

        def go() -> str:
            ways = read_definition(site.folder(name)).recruiting
            address = study_address(request, name)
            found.extend([address] * ways.open_link)
            found.extend([address + PROLIFIC] * ways.prolific)
            if not found:
                raise StudyError(
                    "study.yaml allows neither recruiting.open_link nor recruiting.prolific; set "
                    "one to true before the study opens."
                )
            code = f" The completion code is {ways.completion_code}." if ways.prolific else ""
            return fragments.note(f"Links for anybody.{code}", "good")

        sentence = result_html(go)
        return "\n".join(found) if found else gr.skip(), sentence

    def check_act(name: str, wanted: str) -> str:
        def go() -> str:
            lines = [line.strip() for line in wanted.splitlines() if line.strip()]
            if not lines:
                raise StudyError("no code was typed; put one on each line.")
            given = codes.read(site.folder(name))
            return "".join(
                fragments.note(
                    codes.verdict(given, line), "good" if codes.holders(given, line) else "bad"
                )
                for line in lines[:1000]
            )

        return result_html(go)

    check.click(check_act, [chosen, wanted], [checked], **QUICK)
    acted = (
        open_it.click(open_act, [chosen], [message], show_progress_on=[message], **SLOW),
        close.click(close_act, [chosen, typed], [message], show_progress_on=[message], **SLOW),
        keep.click(backup_act, [chosen], [message], show_progress_on=[message], **SLOW),
        invite.click(
            invite_act, [chosen, count], [links, message], show_progress_on=[message], **SLOW
        ),
    )
    others.click(links_act, [chosen], [links, message], **QUICK)
    return RunTab(hashes, message, links, acted)


def need_typed(name: str, typed: str, act: str) -> None:
    """Refuse an act that cannot be undone unless the study's name was typed for it.

    Raises:
        StudyError: something else was typed.
    """
    if typed.strip() != name:
        raise StudyError(f"type {name} into the field to {act} it; {typed.strip()!r} was typed.")


def study_address(request: gr.Request, name: str) -> str:
    """Where raters reach a study, seen from the browser that the administrator uses."""
    from study.site import ADMIN, RATERS

    page = urlsplit(request.headers.get("referer") or request.headers.get("origin") or "")
    root_path = page.path.partition(ADMIN)[0].rstrip("/")  # of a reverse proxy
    return f"{page.scheme}://{page.netloc}{root_path}{RATERS}/{name}/"
