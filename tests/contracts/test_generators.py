"""What every generator must do, over the table of narrow ones; the shipped one at its own size."""

import logging
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, DDIMScheduler
from torch import nn
from torch.utils._pytree import tree_leaves

from finephys.errors import RequestError, StoppedError, WeightsError
from finephys.generator import latent_diffusion, public_pipelines, sampling
from finephys.generator.memory import GpuMemoryError, Memory, memory_within
from finephys.generator.offload import RUNS_BESIDE
from finephys.generator.protocol import Sampling, VideoGenerator
from finephys.generator.public_pipelines import PublicPipeline
from finephys.generator.registry import load_generator
from finephys.guidance.framing import frame_body
from finephys.observe import simulated
from finephys.skeleton import FRAMES, LIMBS
from finephys.types import Guidance, LimbHeatmaps, Request, VideoClip
from tests.narrow import NAMES, make

pytestmark = [  # from diffusers' Text2Video-Zero
    pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning"),
    pytest.mark.filterwarnings("ignore:Default grid_sample:UserWarning"),
]

OWN = ("tiny", "sd15", "sd15-controlnet")
"""Generators that read a skeleton and can leave out the motion modules."""

LONG = "a person jumps " * 60 + "red"


@dataclass
class Subject:
    """A narrow generator and the parts of it that tests reach into."""

    name: str
    generator: VideoGenerator
    guide: Guidance | None

    def denoise(self, **changed: Any) -> Iterator[VideoClip]:
        params = {"guide": self.guide, "prompt": "a person jumps", "seed": 5, "steps": 3}
        params |= {"guidance_scale": 4.0, "fps": 12.5}
        return self.generator.denoise(Sampling(**params | changed))

    def preview(self, **changed: Any) -> np.ndarray:
        """The first preview of a run that is then closed, at a third of a clip's cost."""
        clips = self.denoise(**changed)
        frames = next(clips).frames
        clips.close()  # type: ignore[attr-defined]
        return frames

    @cached_property
    def clips(self) -> list[VideoClip]:
        """A whole run, and how often its decoder ran."""
        with Runs(self.decoder) as decoded:
            shown = list(self.denoise())
        assert decoded.times == (1 if self.name == "tiny" else FRAMES)
        return shown

    @property
    def modules(self) -> dict[str, nn.Module]:
        if isinstance(self.generator, PublicPipeline):
            return self.generator._modules
        return dict(self.generator._network.named_children())

    @property
    def denoiser(self) -> nn.Module:
        return self.modules.get("unet") or self.modules["transformer"]

    @property
    def decoder(self) -> nn.Module:
        return halves(self.modules.get("vae") or self.modules["autoencoder"])[1]


def halves(autoencoder: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder of an autoencoder, whose `forward` is never called."""
    inner: Any = getattr(autoencoder, "vae", autoencoder)
    return (
        (inner.encoder, inner.decoder) if hasattr(inner, "decoder") else (inner.enter, inner.leave)
    )


def subject_of(name: str, generator: VideoGenerator) -> Subject:
    if name not in OWN:
        return Subject(name, generator, None)
    pose = simulated(Request(action=12)).detected
    return Subject(name, generator, generator.draw(pose, frame_body(pose)))


@pytest.fixture(scope="module", params=NAMES)
def subject(request: pytest.FixtureRequest, public_weights: Path) -> Subject:
    return subject_of(request.param, make(request.param, public_weights))


class Runs:
    """How often a module runs inside a `with`."""

    def __init__(self, module: nn.Module) -> None:
        self.times = 0
        self._module = module

    def __enter__(self) -> "Runs":
        self._hook = self._module.register_forward_hook(self._count)
        return self

    def _count(self, *_: object) -> None:
        self.times += 1

    def __exit__(self, *_: object) -> None:
        self._hook.remove()


# -- clips -----------------------------------------------------------------------------------------


def test_each_step_is_previewed_and_the_last_is_the_clip(subject: Subject) -> None:
    """Catches a preview too many or too few, a full decode a step, and a still picture."""
    shown = subject.clips
    assert len(shown) == 3
    for clip in shown:
        assert clip.frames.shape == (FRAMES, 64, 64, 3)
        assert clip.fps == 12.5
        assert clip.frames.std() > 1
    assert not np.array_equal(shown[0].frames, shown[-1].frames)
    assert np.abs(np.diff(shown[-1].frames.astype(int), axis=0)).mean() > 0
    assert subject.generator.size == 64


def test_a_clip_follows_every_parameter_and_nothing_else(subject: Subject) -> None:
    """Catches a parameter that is not used, global randomness, and what one run leaves behind."""
    plain = subject.clips[0].frames
    torch.manual_seed(99)
    changes: list[dict[str, Any]] = [
        {"prompt": "a red person turns"}, {"seed": 6}, {"guidance_scale": 9.0},
    ]  # fmt: skip
    if subject.name in OWN:
        changes += [{"guidance_scale": 1.0}, {"guide": None}, {"motion": False}]
    for changed in changes:
        assert not np.array_equal(plain, subject.preview(**changed)), changed
    assert np.array_equal(plain, subject.preview())


def test_any_text_is_a_prompt(subject: Subject) -> None:
    for prompt in ("", " ", "🤸🏽‍♀️ 体操", "\x00\n\t", "<|endoftext|> a person"):
        assert subject.preview(prompt=prompt).shape == (FRAMES, 64, 64, 3)


def test_a_prompt_too_long_is_cut_where_the_text_encoder_cuts_it(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    """Catches a limit that is not the text encoder's: part of the prompt is dropped silently."""
    cut = subject.generator.cut_prompt(LONG)
    assert cut is not None
    assert LONG.endswith(cut)
    kept = LONG[: -len(cut)]
    assert subject.generator.cut_prompt(kept) is None  # cut too late
    assert subject.generator.cut_prompt(kept + " a") is not None  # cut too early
    assert subject.generator.cut_prompt("") is None
    with caplog.at_level(logging.WARNING):
        whole = subject.preview(prompt=LONG)
    assert "cut from the prompt" in caplog.text
    assert np.array_equal(whole, subject.preview(prompt=kept))


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"steps": 101}, "steps is 101"),
        ({"guidance_scale": 0.5}, "guidance scale is 0.5"),
        ({"guidance_scale": 20.5}, "guidance scale is 20.5"),
        ({"guidance_scale": float("nan")}, "guidance scale is nan"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**31}, f"seed is {2**31}"),
    ],
)
def test_arguments_out_of_range_are_named(
    subject: Subject, changed: dict[str, float], word: str
) -> None:
    with pytest.raises(RequestError, match=word):
        subject.preview(**changed)


def test_a_guide_of_another_kind_is_refused(subject: Subject) -> None:
    """Catches a guide or an option that is accepted and ignored."""
    pictures = VideoClip(np.zeros((FRAMES, 32, 32, 3), np.uint8), 8.0)
    heatmaps = LimbHeatmaps((np.zeros((FRAMES, len(LIMBS), 8, 8), np.float32),))
    said = {
        "tiny": ("reads limb heatmaps", "levels"),
        "sd15": ("reads limb heatmaps", "levels"),
        "sd15-controlnet": ("64 x 64", "reads pictures of poses"),
    }.get(subject.name, ("prompt alone", "prompt alone"))
    for guide, words in zip((pictures, heatmaps), said, strict=True):
        with pytest.raises(RequestError, match=words):
            subject.preview(guide=guide)
    if subject.name not in OWN:
        pose = simulated(Request(action=12)).detected
        with pytest.raises(RequestError, match="prompt alone"):
            subject.generator.draw(pose, frame_body(pose))
        with pytest.raises(RequestError, match="motion"):
            subject.preview(motion=False)


# -- interruptions ---------------------------------------------------------------------------------


def test_stop_ends_a_run_before_the_next_step(subject: Subject) -> None:
    """Catches a step that is taken after Stop, and a run that goes on when its page is closed."""
    plain = subject.clips[0].frames
    with Runs(subject.denoiser) as ran:
        with pytest.raises(StoppedError):
            subject.preview(stop=lambda: True)
        assert ran.times == 0
        pressed: list[bool] = []
        clips = subject.denoise(stop=lambda: bool(pressed), steps=6)
        next(clips)
        first, each = ran.times, 2 if subject.name in OWN else 1
        next(clips)
        assert ran.times == first + each
        pressed.append(True)
        with pytest.raises(StoppedError, match="after 2 of 6"):
            next(clips)
        assert ran.times == first + each
        subject.preview(steps=6)
        assert ran.times == 2 * first + each
    assert not [each for each in threading.enumerate() if each.name.startswith("stream-call")]
    assert np.array_equal(subject.preview(), plain)


@pytest.mark.parametrize("part", ["denoiser", "decoder"])
def test_nan_never_leaves(subject: Subject, part: str) -> None:
    """Catches black or grey frames that a cast makes of NaN."""
    module = getattr(subject, part)
    last = [each for each in module.modules() if isinstance(each, (nn.Conv2d, nn.Linear))][-1]
    last = getattr(module, "conv_out", getattr(module, "proj_out", last))
    kept = last.bias.detach().clone()
    nn.init.constant_(last.bias, float("nan"))
    said = r"step 1 of 3 returned NaN" if part == "denoiser" else "NaN"
    try:
        with pytest.raises(WeightsError, match=said):
            list(subject.denoise())
    finally:
        last.bias.data.copy_(kept)


@pytest.mark.parametrize("part", ["text_encoder", "denoiser"])
def test_a_full_gpu_is_named_and_what_filled_it_is_freed(
    subject: Subject, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches an error that keeps alive, in its own frames, the tensors that filled the memory."""
    taken: list[weakref.ref[torch.Tensor]] = []

    def full(*_: object, **__: object) -> None:
        large = torch.zeros(1000)
        taken.append(weakref.ref(large))
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    module = subject.denoiser if part == "denoiser" else subject.modules[part]
    with monkeypatch.context() as patched:
        patched.setattr(module, "forward", full)
        with pytest.raises(GpuMemoryError, match=r"2\.00 GiB.*FINEPHYS_GPU_GB") as failed:
            subject.preview()
        assert taken.pop()() is None, failed
    assert np.array_equal(subject.preview(), subject.clips[0].frames)  # the next clip is made


# -- placement -------------------------------------------------------------------------------------


def lighten(modules: dict[str, nn.Module]) -> None:
    """Let the large modules compute nothing: `meta` takes seconds for a U-Net. They keep their
    weights, and refuse inputs of another device than those."""

    def light(module: nn.Module, *given: Any, **named: Any) -> Any:
        device = next(module.parameters()).device
        for each in tree_leaves((given, named)):
            if isinstance(each, torch.Tensor) and each.ndim:
                assert each.device == device
        sample = given[0] if given else named["hidden_states"]
        if isinstance(module, ControlNetModel):
            return (sample,), sample
        channels: int = module.config.out_channels
        made = torch.cat((sample, sample), 1)[:, :channels]
        return SimpleNamespace(sample=made) if named.get("return_dict", True) else (made,)

    def shrunk(frames: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(frames[:, :1, ::8, ::8]).repeat(1, 8, 1, 1)

    def grown(latents: torch.Tensor) -> torch.Tensor:
        return latents[:, :3].repeat(1, 1, 8, 8)

    for name in modules.keys() & {"unet", "transformer", "controlnet"}:
        modules[name].forward = partial(light, modules[name])
    encoder, decoder = halves(modules.get("vae") or modules["autoencoder"])
    if not isinstance(encoder, nn.Sequential):  # that of the tiny tier is small enough
        encoder.forward, decoder.forward = shrunk, grown


def place_again(subject: Subject, memory: Memory) -> Subject:
    """The same modules in a new generator on `meta`, which stands for the GPU."""
    old = subject.generator
    if isinstance(old, PublicPipeline):
        made: VideoGenerator = PublicPipeline(subject.name, old._pipeline, "meta", memory, size=64)
    else:
        made = type(old)(old._network, old._tokenizer, "meta", memory)
    return Subject(subject.name, made, subject.guide)


def on_meta(module: nn.Module) -> set[bool]:
    return {each.device.type == "meta" for each in (*module.parameters(), *module.buffers())}


class Placement:
    """Which modules are on `meta` whenever one of them has run."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        self.modules = modules
        self.seen: list[tuple[str, set[str]]] = []
        for name, module in modules.items():
            for part in halves(module) if name in ("vae", "autoencoder") else (module,):
                part.register_forward_hook(lambda *_, name=name: self._ran(name))

    def there(self) -> set[str]:
        """Modules with any tensor on the device."""
        return {name for name, module in self.modules.items() if True in on_meta(module)}

    def _ran(self, name: str) -> None:
        assert on_meta(self.modules[name]) == {True}, f"{name} ran elsewhere"
        self.seen.append((name, self.there()))

    def check(self, offloaded: set[str]) -> None:
        """Every module ran, with no offloaded one beside it, and none is left."""
        resident = self.modules.keys() - offloaded
        assert {name for name, _ in self.seen} == self.modules.keys()
        for name, there in self.seen:
            assert resident <= there <= resident | {name, RUNS_BESIDE.get(name, name)}, name
        assert self.there() == resident
        self.seen.clear()


@pytest.fixture
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode and preview without looking at values, of which `meta` has none."""

    def frames_of(
        autoencoder: Any, latents: torch.Tensor, _: object, finished: bool, figure: Any = None
    ) -> np.ndarray:
        assert latents.device.type == "meta"
        if finished:
            decoded = autoencoder.decode(latents.transpose(1, 2).flatten(0, 1))
            decoded = decoded if figure is None else figure.over(decoded)
            assert decoded.device.type == "meta"
        else:
            autoencoder.encode(torch.zeros(1, 3, 64, 64, device=latents.device))
        return np.zeros((1, FRAMES, 64, 64, 3), np.uint8)

    for module in (latent_diffusion, public_pipelines):
        monkeypatch.setattr(module, "frames_of", frames_of)
    for module in (sampling, public_pipelines):
        monkeypatch.setattr(module, "check_finite", lambda *_: None)
    original = DDIMScheduler.set_timesteps  # diffusers reads the value of each step
    monkeypatch.setattr(
        DDIMScheduler, "set_timesteps", lambda own, count, **_: original(own, count)
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("_no_pictures")
def test_offloaded_modules_leave_the_device_after_use(name: str, public_weights: Path) -> None:
    """Catches a module that stays on the GPU, and a module or input on another device."""
    subject = subject_of(name, make(name, public_weights))
    lighten(subject.modules)
    if name == "latte":  # it reads values of the text's mask
        pipeline, width = subject.generator._pipeline, 32  # type: ignore[attr-defined]
        pipeline.mask_text_embeddings = lambda features, _: (features, features.shape[2])
        pipeline.text_encoder.forward = lambda ids, **_: (
            ids[..., None].float().expand(-1, -1, width),
        )
    at = Placement(subject.modules)
    for gigabytes in (4.0, 8.0, 24.0):  # in this order none has to come back from `meta`
        plan = memory_within(gigabytes, torch.float32)
        placed = place_again(subject, plan)
        offloaded = set(at.modules) if plan.offload else set()
        if name in OWN:
            offloaded &= set(plan.offload)
        stops = iter([False, True] if name in OWN else [False, False, True])
        with pytest.raises(StoppedError):
            list(placed.denoise(stop=lambda: next(stops)))  # noqa: B023 -- called at once
        at.check(offloaded)
        if gigabytes > 4:
            continue
        placed.preview()  # closed early
        at.check(offloaded)
        if name in OWN:
            assert len(list(placed.denoise())) == 3
            at.check(offloaded)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(placed.denoiser, "_old_forward", _full)
            with pytest.raises(GpuMemoryError):
                placed.preview()
        assert at.there() == at.modules.keys() - offloaded
        at.seen.clear()


def _full(*_: object, **__: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_offloading_changes_no_clip(public_weights: Path, subject: Subject) -> None:
    lean = make(subject.name, public_weights, memory=memory_within(4, torch.float32))
    close = subject_of(subject.name, lean).preview().astype(int)
    assert (
        np.abs(close - subject.clips[0].frames).max() <= 1
    )  # a ControlNet reads fewer frames at once


# -- the table -------------------------------------------------------------------------------------


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(RequestError, match="tiny"):
        load_generator("huge")


def test_the_shipped_generator_makes_the_same_clip_twice() -> None:
    """Catches shipped weights that are missing, damaged or of another version."""
    generator = load_generator("tiny")
    shipped = subject_of("tiny", generator)
    clips = list(shipped.denoise(steps=2, guidance_scale=1.0))
    assert clips[-1].frames.shape == (FRAMES, generator.size, generator.size, 3)
    assert clips[-1].frames.std() > 1
    again = shipped.preview(steps=2, guidance_scale=1.0)
    assert np.array_equal(clips[0].frames, again)
