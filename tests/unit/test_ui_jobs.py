"""Jobs and their files; the Request that the controls make; the words of errors."""

import re
from pathlib import Path

import pytest

from finephys.config import DYNAMICS_TITLES, TIERS
from finephys.errors import (
    ClipError,
    FinePhysError,
    NoPersonError,
    RequestError,
    WeightsMissingError,
)
from finephys.methods import METHODS
from finephys.ui import jobs as jobs_module
from finephys.ui.choices import ACTION, CLIPS, EXAMPLE, UNSPECIFIED, UPLOAD, Choices
from finephys.ui.controls import _prompt_parts, _rewrite
from finephys.ui.jobs import KEEP_SECONDS, Job, Jobs
from finephys.ui.page import status_line
from finephys.ui.settings import TIER_TITLES, _defaults, describe_tiers
from finephys.ui.words import CONTROLS, sentence, sentence_html

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


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(jobs_module, "time", clock)
    return clock


@pytest.fixture
def jobs(tmp_path: Path, clock: Clock) -> Jobs:
    return Jobs(tmp_path / "results")


def finished(jobs: Jobs, session: str, press: int = 1, name: str = "video.mp4") -> Job:
    """A job that has written one file."""
    with jobs.run(session, press) as job:
        (job.folder / name).write_bytes(b"content")
        job.files = {name: "video/mp4"}
    return job


def test_a_session_stops_only_its_own_jobs(jobs: Jobs) -> None:
    with jobs.run("me", 1) as mine, jobs.run("someone else", 1) as other:
        assert jobs.stop("me", 1) == [mine]
        assert mine.stop.is_set()
        assert not other.stop.is_set()
        assert jobs.stop("me", 1) == []  # it is stopped already
    assert jobs.stop("someone else", 1) == []  # it has ended


def test_files_are_found_by_token_and_known_name_only(jobs: Jobs) -> None:
    """A name that is joined to the folder unchecked would reach every file of the server."""
    job = finished(jobs, "me")
    (job.folder / "private.txt").write_bytes(b"private")
    job.files["poses.npz"] = "application/octet-stream"
    token = job.folder.name
    assert jobs.find_file(token, "video.mp4") == (job.folder / "video.mp4", "video/mp4")
    assert len(token) >= 32
    for name in ("private.txt", "../video.mp4", "poses.npz", "", "."):
        assert jobs.find_file(token, name) is None
    assert jobs.find_file("..", "video.mp4") is None


def test_closing_the_page_deletes_what_it_made(jobs: Jobs) -> None:
    with jobs.run("me", 1) as mine, jobs.run("someone else", 1) as other:
        jobs.close_session("me")
        assert mine.stop.is_set()
        assert not mine.folder.exists()
        assert other.folder.exists()
        assert jobs.find_file(mine.folder.name, "video.mp4") is None


def test_results_are_deleted_an_hour_after_their_job_ended(jobs: Jobs, clock: Clock) -> None:
    """Counted from the beginning, a job of over an hour would lose its downloads at once."""
    with jobs.run("me", 1) as job:
        (job.folder / "video.mp4").write_bytes(b"content")
        job.files = {"video.mp4": "video/mp4"}
        clock.now += 3 * KEEP_SECONDS
        jobs.sweep()
        assert job.folder.exists()
    clock.now += KEEP_SECONDS - 1
    jobs.sweep()
    assert jobs.find_file(job.folder.name, "video.mp4") is not None
    clock.now += 2
    jobs.sweep()
    assert not job.folder.exists()


@pytest.mark.parametrize("error", [RuntimeError, GeneratorExit])
def test_a_job_that_fails_or_is_abandoned_ends(jobs: Jobs, clock: Clock, error: type) -> None:
    """One that never ended would never be swept."""
    with pytest.raises(error), jobs.run("me", 1) as job:
        raise error
    clock.now += KEEP_SECONDS + 1
    jobs.sweep()
    assert not job.folder.exists()


def test_nothing_is_remembered_of_sessions_that_are_gone(jobs: Jobs, clock: Clock) -> None:
    """Entries of closed pages once stayed for as long as the server ran."""
    for number in range(100):
        jobs.stop(f"session {number}", 1)
        jobs.close_session(f"session {number}")
    assert not jobs._stopped
    jobs.stop("a page that never says goodbye", 1)
    clock.now += KEEP_SECONDS + 1
    jobs.sweep()
    assert not jobs._stopped


def test_the_moment_is_the_persons_only_when_asked_for() -> None:
    """The hidden sliders hold 0 s; sent along they would switch off the choice of the span."""
    assert changed().request().start is None
    request = changed(own_moment=True, source=EXAMPLE).request()
    assert (request.start, request.span) == (1.0, 2.0)
    assert changed(own_moment=True, source=ACTION).request().start is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"action": UNSPECIFIED}, "No action"),
        ({"seed": None}, "The seed is empty"),
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

    def missing(tier: str) -> WeightsMissingError | None:
        command = "python -m finephys fetch sd15"
        error = WeightsMissingError(f"<{tier}> lacks; run: {command}", command)
        return None if tier == "tiny" else error

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
        usual = (config.default_steps, config.default_guidance)
        assert _defaults(tier) == usual


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


def test_stop_that_overtakes_generate_still_ends_it(jobs: Jobs) -> None:
    """Both presses travel on their own; the later one may arrive first."""
    assert jobs.stop("me", 1) == []
    with jobs.run("me", 1) as first, jobs.run("me", 2) as second, jobs.run("other", 1) as other:
        assert [job.stop.is_set() for job in (first, second, other)] == [True, False, False]


def test_an_error_names_a_control_of_the_page_and_no_path_of_the_server() -> None:
    """A visitor of the page has no flags, and the server's folders are not theirs to know."""
    assert "--" not in sentence(NoPersonError("nobody was found; go on with --prior."))
    assert "pose prior" in sentence(NoPersonError("nobody was found; go on with --prior."))
    said = sentence(RequestError("Give a start in seconds (--start); /srv/app/clip.mp4 is long."))
    assert said == "Give a start in seconds (“Choose start and length”); clip.mp4 is long."
    assert sentence(RequestError("angular momentum in m/s, 1/2 of it")) == (
        "angular momentum in m/s, 1/2 of it"
    )
    command = "python -m finephys train sd15 --capture FOLDER"
    assert command in sentence(
        WeightsMissingError(f"/srv/a/b.safetensors is missing; run: {command}", command)
    )
    words = ("fetch --tier /srv/y", "git checkout <folder>")
    carried = FinePhysError(f"/srv/x is missing; run: {words[0]}, or {words[1]}", *words)
    assert sentence(carried) == f"x is missing; run: {words[0]}, or {words[1]}"
    assert sentence_html(carried) == (
        "x is missing; run: <code>fetch --tier /srv/y</code>, or "
        "<code>git checkout &lt;folder&gt;</code>"
    )


def test_every_flag_in_an_error_of_a_job_has_a_control() -> None:
    """Reads the messages of every module that a job runs."""
    root = Path(jobs_module.__file__).parents[1]
    command_line = {"__main__.py", "batch.py", "grid.py", "manifest.py", "preflight.py"}
    folders = {"ui", "training", "data", "weights"}
    flags = set()
    for path in root.rglob("*.py"):
        inside = path.relative_to(root)
        if inside.name in command_line or inside.parts[0] in folders:
            continue
        text = path.read_text(encoding="utf-8")
        if "argparse" not in text:
            flags |= set(re.findall(r"(--[a-z][a-z-]+)", text))
    assert flags <= set(CONTROLS), flags - set(CONTROLS)
