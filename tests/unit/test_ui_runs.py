"""Sessions and their files, kept apart; and the Request that the controls make."""

import time
from pathlib import Path

import pytest

from finephys.config import DYNAMICS_TITLES, TIERS
from finephys.errors import ClipError, RequestError
from finephys.methods import METHODS
from finephys.ui import runs as runs_module
from finephys.ui.choices import ACTION, CLIPS, EXAMPLE, NOT_SAID, UPLOAD, Choices
from finephys.ui.controls import _prompt_parts, _rewrite
from finephys.ui.page import status_line
from finephys.ui.runs import Runs
from finephys.ui.settings import TIER_TITLES, _usual, describe_tiers

USUAL = Choices(
    source=ACTION,
    upload=None,
    example=None,
    action=38,
    prompt="",
    use_prior=False,
    methods=["ours"],
    tier="tiny",
    seed=5,
    steps=4,
    guidance_scale=1.5,
    own_moment=False,
    start=1.0,
    span=2.0,
    real_speed=1.0,
    body_height=1.6,
    fusion="average",
    dynamics="",
)


def changed(**values: object) -> Choices:
    return Choices(**{**vars(USUAL), **values})


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "results")


def test_a_session_stops_only_its_own_runs(runs: Runs) -> None:
    mine, other = runs.begin("me", 1), runs.begin("someone else", 1)
    assert runs.stop("me", 1) == [mine]
    assert mine.stop.is_set()
    assert not other.stop.is_set()
    assert runs.stop("me", 1) == []  # it has ended: nothing is running any more


def test_files_are_found_by_token_and_known_name_only(runs: Runs) -> None:
    """A name that is joined to the folder unseen would reach every file of the server."""
    run = runs.begin("me", 1)
    (run.folder / "video.mp4").write_bytes(b"video")
    (run.folder / "private.txt").write_bytes(b"private")
    run.files = {"video.mp4": "video/mp4", "poses.npz": "application/octet-stream"}
    token = run.folder.name
    assert runs.file(token, "video.mp4") == (run.folder / "video.mp4", "video/mp4")
    assert len(token) >= 32
    for name in ("private.txt", "../video.mp4", "poses.npz", "", "."):
        assert runs.file(token, name) is None
    assert runs.file("..", "video.mp4") is None


def test_closing_the_page_deletes_what_it_made(runs: Runs) -> None:
    mine, other = runs.begin("me", 1), runs.begin("someone else", 1)
    runs.forget("me")
    assert mine.stop.is_set()
    assert not mine.folder.exists()
    assert other.folder.exists()
    assert runs.file(mine.folder.name, "video.mp4") is None


def test_results_are_deleted_after_an_hour(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    run = runs.begin("me", 1)
    runs.sweep()
    assert run.folder.exists()
    now = time.monotonic()
    monkeypatch.setattr(runs_module.time, "monotonic", lambda: now + runs_module.KEEP_SECONDS + 1)
    runs.sweep()
    assert not run.folder.exists()


def test_the_moment_is_the_persons_only_when_asked_for() -> None:
    """The hidden sliders hold 0 s; sent along they would switch off the choice of the span."""
    assert changed().request().start is None
    request = changed(own_moment=True, source=EXAMPLE).request()
    assert (request.start, request.span) == (1.0, 2.0)
    assert changed(own_moment=True, source=ACTION).request().start is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"action": NOT_SAID}, "No action"),
        ({"seed": None}, "seed"),
        ({"seed": -1}, "choose 0 to 2147483647"),
        ({"real_speed": None}, "real speed"),
        ({"steps": 0}, "steps"),
        ({"prompt": "a" * 10_001}, "10001 characters"),
        ({"methods": []}, "No method"),
    ],
)
def test_a_choice_that_cannot_be_made_is_named(values: dict[str, object], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        changed(**values).request()


def test_methods_and_model_reach_the_request() -> None:
    """A control that is shown and not obeyed; methods run in the order of their table."""
    chosen = changed(methods=["ours", "text", "physics"], tier="sd15-controlnet")
    assert chosen.compared() == ("text", "physics", "ours")
    assert chosen.request().generator == "sd15-controlnet"
    assert changed(methods=["lifted"]).request().method == "lifted"


@pytest.mark.parametrize("dynamics", ["", *DYNAMICS_TITLES])
def test_dynamics_reach_the_request(dynamics: str) -> None:
    assert changed(dynamics=dynamics).request().dynamics == (dynamics or None)


def test_absent_weights_are_shown_with_their_command() -> None:
    """A tier that is only refused after Generate leaves people without the way to it."""

    def missing(tier: str) -> str | None:
        return None if tier == "tiny" else f"<{tier}> lacks; run: python -m finephys fetch sd15"

    tiny, *others = describe_tiers(missing).split("<dt>")[1:]
    assert "fetch" not in tiny
    assert len(others) == len(TIERS) - 1
    for shown in others:
        assert "<code>python -m finephys fetch sd15</code>" in shown
        assert "&lt;sd15" in shown  # an error's words are text, never HTML


def test_every_method_and_tier_has_words() -> None:
    """A tier added to the engine must be on the page."""
    assert set(TIER_TITLES) == set(TIERS)
    assert all(len(method.line.split()) > 3 for method in METHODS.values())


def test_the_model_brings_its_own_steps_and_guidance() -> None:
    """Eight steps of tiny on Stable Diffusion would give a blur."""
    for tier, config in TIERS.items():
        usual = (config.generator.default_steps, config.generator.default_guidance)
        assert _usual(tier) == usual


def test_where_the_clip_comes_from(tmp_path: Path) -> None:
    assert USUAL.clip() is None
    uploaded = changed(source=UPLOAD, upload=str(tmp_path / "a.mp4"))
    # Uploads are deleted after an hour; where the file lay is no one's business.
    with pytest.raises(ClipError, match=r"^a\.mp4 was deleted.*upload it again"):
        uploaded.clip()
    (tmp_path / "a.mp4").touch()
    assert uploaded.clip() == tmp_path / "a.mp4"
    with pytest.raises(ClipError, match="No clip"):
        changed(source=UPLOAD).clip()
    for title in CLIPS:
        path = changed(source=EXAMPLE, example=title).clip()
        assert path is not None
        assert path.is_file()


def test_a_new_action_replaces_the_pages_words_and_keeps_the_persons() -> None:
    look = ("red", "dark arena", "blue floor")
    written = _prompt_parts(38, *look)
    text, after = _rewrite(" ".join(written), written, 20, *look)
    assert text == " ".join(_prompt_parts(20, *look))
    assert after == _prompt_parts(20, *look)
    own = "My cat somersaults."
    assert _rewrite(own, written, 20, *look)[0] == own
    half = f"My cat somersaults. {written[1]}"
    assert _rewrite(half, written, 20, "blue", *look[1:])[0].startswith(
        "My cat somersaults. A blue"
    )


def test_a_file_name_cannot_write_html_into_the_status() -> None:
    assert "<img" not in status_line('<img src=x onerror="alert(1)">.mp4 is not a video')


def test_stop_that_overtakes_generate_still_ends_it(tmp_path: Path) -> None:
    """Both presses travel on their own; the later one may arrive first."""
    runs = Runs(tmp_path)
    assert runs.stop("me", 1) == []
    assert runs.begin("me", 1).stop.is_set()
    assert not runs.begin("me", 2).stop.is_set()
    assert not runs.begin("someone else", 1).stop.is_set()
