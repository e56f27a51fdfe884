"""Tabs in which a study is made, checked, edited and looked at as a rater sees it."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from study import acts, uploads
from study.admin import fragments
from study.admin.parts import ADMINISTRATOR, QUICK, SLOW, island, result_html
from study.definition import Definition
from study.errors import StudyError
from study.faults import is_name
from study.folder import Folder, need_phase, read_definition
from study.reading import TEMPLATES, parse, template
from study.sources import holds_clips, is_junk, manifests
from study.summary import summary

if TYPE_CHECKING:
    from study.site import Site

KEPT = "the draft's own wording"
UPLOADED, SERVER = "Files from this computer", "A folder on the server"
NO_MANIFEST = "none: METHOD/ITEM.mp4, or a batch's own"


@dataclass(frozen=True)
class MakeTab:
    """Outputs of the first tab: the name, and the event of making."""

    name: gr.Textbox
    event: Any


@dataclass(frozen=True)
class EditTab:
    """Outputs of the second tab."""

    source: gr.Code
    message: gr.HTML
    view: gr.HTML
    events: tuple[Any, ...]


def make(site: "Site") -> MakeTab:
    """Choose clips and wording; all their faults are listed at once."""
    templates = sorted(path.stem for path in TEMPLATES.glob("*.yaml"))
    offered = offered_folders(site)
    with gr.Row():
        with gr.Column(min_width=280):
            name = gr.Textbox(
                label="Name",
                info="its folder and address: small letters, digits, - and _",
                max_length=64,
                elem_id="st-name",
            )
            wording = gr.Radio(
                [*templates, KEPT],
                value="fig16",
                label="Wording",
                info="fig16_printed keeps the supplement's wording as printed",
            )
        with gr.Column(min_width=280):
            source = gr.Radio([UPLOADED, SERVER], value=UPLOADED, label="Clips")
            with gr.Column(visible=True) as from_here:
                island("uploads", None, "st-upload", largest=uploads.LARGEST_CLIP)
            with gr.Column(visible=False) as from_server:
                clips = gr.Dropdown(
                    list(offered),
                    value=next(iter(offered), None),
                    label="Folder",
                    elem_id="st-clips",
                    info="given at the start by --clips, grids of `python -m finephys batch` too",
                )
                manifest = gr.Dropdown(
                    _manifests(next(iter(offered.values()), None)),
                    value=NO_MANIFEST,
                    label="Manifest (CSV or JSON)",
                )
    button = gr.Button("Make the study", variant="primary")
    message = gr.HTML("", elem_id="st-made")
    upload = gr.Textbox("", visible=False)

    def sides(chosen: str) -> tuple[Any, Any]:
        return gr.Column(visible=chosen == UPLOADED), gr.Column(visible=chosen == SERVER)

    def offered_manifests(chosen: str | None) -> Any:  # noqa: ANN401
        root = offered_folders(site).get(chosen or "")
        return gr.Dropdown(_manifests(root), value=NO_MANIFEST)

    def act(name: str, wording: str, source: str, clips: str, manifest: str, upload: str) -> str:
        def go() -> str:
            folder = draft_folder(site, name)
            definition = wanted_definition(folder, wording)
            if source == SERVER:
                root = offered_folders(site).get(clips or "")
                if root is None:
                    raise StudyError("choose a folder; the list is given at the start by --clips.")
                table = root / manifest if manifest in {p.name for p in root.iterdir()} else None
                acts.new(folder, definition, root, table, ADMINISTRATOR)
            else:
                from_upload(site, folder, definition, upload)
            return fragments.note(f"Made. {summary(folder)}", "good")

        return result_html(go)

    source.change(sides, [source], [from_here, from_server], **QUICK)
    clips.change(offered_manifests, [clips], [manifest], **QUICK)
    event = button.click(
        act,
        [name, wording, source, clips, manifest, upload],
        [message],
        js="(...values) => [...values.slice(0, -1), window.studyUpload ?? '']",
        show_progress_on=[message],
        **SLOW,
    )
    return MakeTab(name, event)


def edit(site: "Site", chosen: gr.Dropdown) -> EditTab:
    """study.yaml in the page, its faults beside it, and the study as a rater sees it."""
    with gr.Row():
        save = gr.Button("Save", variant="primary", min_width=100)
        check = gr.Button("Check", min_width=100)
        look = gr.Button("Preview", min_width=100)
    message = gr.HTML("", elem_id="st-checked")
    view = gr.HTML("", elem_id="st-view")
    source = gr.Code(
        "", language="yaml", lines=24, max_lines=40, label="study.yaml", elem_id="st-yaml"
    )

    def save_text(name: str, text: str) -> str:
        def go() -> str:
            folder = site.folder(name)
            acts.edit(folder, text, ADMINISTRATOR)
            try:
                return fragments.note(f"Saved. {summary(folder)}", "good")
            except StudyError as error:
                return fragments.note(f"Saved, but it cannot open yet: {error}", "bad")

        return result_html(go)

    def check_text(name: str, text: str) -> str:
        def go() -> str:
            folder = site.folder(name)
            parse(text)
            unsaved = text != folder.definition.read_text("utf-8")
            more = " The text below has no fault but is not saved yet." if unsaved else ""
            return fragments.note(summary(folder) + more, "good")

        return result_html(go)

    def preview(name: str) -> str:
        return result_html(lambda: fragments.preview(site.previews.make(site.folder(name))))

    event = save.click(save_text, [chosen, source], [message], show_progress_on=[message], **SLOW)
    check.click(check_text, [chosen, source], [message], show_progress_on=[message], **SLOW)
    look.click(preview, [chosen], [view], show_progress_on=[message], **SLOW)
    return EditTab(source, message, view, (event,))


def draft_folder(site: "Site", name: str) -> Folder:
    """Where a study of this name is made, if it may be.

    Raises:
        StudyError: the name cannot be a folder's, or the study is open already.
    """
    if not is_name(name):
        raise StudyError(f"the name is {name!r}; use small letters, digits, - and _, at most 64.")
    folder = Folder(site.studies / name)
    need_phase(folder, ("draft",), "make the clips of")
    return folder


def wanted_definition(folder: Folder, wording: str) -> Definition:
    """A template under the study's name, or the draft's own text as it was edited."""
    if wording != KEPT:
        return replace(template(wording), name=folder.root.name)
    if not folder.definition.is_file():
        raise StudyError(f"there is no draft {folder.root.name!r} yet; choose a template.")
    return read_definition(folder)


def from_upload(site: "Site", folder: Folder, definition: Definition, upload: str) -> None:
    """Make a study from uploaded clips and keep them with it, for making it again.

    An empty upload means the clips that the draft was made from before.
    """
    kept = folder.secret / "uploaded"
    if not upload:
        if not kept.is_dir():
            raise StudyError("no clips were chosen; choose a folder or a zip of them first.")
        acts.new(folder, definition, kept, _manifest_in(kept), ADMINISTRATOR)
        return
    sent = uploads.folder(site.studies, upload)
    acts.new(folder, definition, sent, _manifest_in(sent), ADMINISTRATOR)
    if kept.is_dir():
        shutil.rmtree(kept)
    shutil.copytree(sent, kept)


def offered_folders(site: "Site") -> dict[str, Path]:
    """Folders of clips on this machine: those given at the start and their subfolders."""
    found: dict[str, Path] = {}
    for root in site.clips:
        for path in (root, *sorted(root.iterdir())):
            if path.is_dir() and not is_junk(path.name) and holds_clips(path):
                name = root.name if path == root else f"{root.name}/{path.name}"
                found[name] = path
    return found


def _manifests(root: Path | None) -> list[str]:
    """What can be chosen as the manifest of a folder."""
    return [NO_MANIFEST, *(path.name for path in (manifests(root) if root else []))]


def _manifest_in(folder: Path) -> Path | None:
    """The one table of an upload, if there is one."""
    tables = manifests(folder)
    if len(tables) > 1:
        raise StudyError(
            f"{', '.join(path.name for path in tables)} came with the clips; send one manifest."
        )
    return tables[0] if tables else None
