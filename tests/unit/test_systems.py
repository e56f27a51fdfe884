"""AnimateDiff, Latte and Text2Video-Zero: real pipelines at a narrow width, fetched and loaded."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from finephys.errors import RequestError, WeightsError, WeightsMissingError
from finephys.generator import public_pipelines
from finephys.generator.autoencoder import LatentAutoencoder
from finephys.generator.memory import Memory, memory_for
from finephys.generator.protocol import Sampling
from finephys.generator.public_pipelines import KINDS, PublicPipeline
from finephys.generator.registry import load_generator, weights_file
from finephys.generator.systems import SYSTEMS
from finephys.skeleton import FRAMES
from finephys.types import VideoClip
from finephys.weights.catalogue import FETCHABLE, LATTE, wanted_files
from finephys.weights.lock import FOLDER_VARIABLE, weights_folder

pytestmark = [  # of diffusers' Text2Video-Zero, which it no longer tends
    pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning"),
    pytest.mark.filterwarnings("ignore:Default grid_sample:UserWarning"),
]


@pytest.fixture(scope="module", params=sorted(KINDS))
def system(request: pytest.FixtureRequest, public_weights: Path) -> PublicPipeline:
    return PublicPipeline.load(request.param, "cpu", public_weights, size=64)


def denoise(system: PublicPipeline, **changed: Any) -> Iterator[VideoClip]:
    params = {"guide": None, "prompt": "a person jumps", "seed": 5, "steps": 4}
    params |= {"guidance_scale": 4.0, "fps": 8.0}
    return system.denoise(Sampling(**params | changed))


def run(system: PublicPipeline, **changed: Any) -> np.ndarray:
    return list(denoise(system, **changed))[-1].frames


@pytest.mark.parametrize("steps", [4, 26])  # of 26, t2v-zero makes one with its first frame alone
def test_each_step_is_shown_as_it_stands(
    system: PublicPipeline, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a preview of another step or another order of frames, one too many for t2v-zero's
    steps that are taken twice, and a full decode a step."""
    made: list[torch.Tensor] = []
    step = DDIMScheduler.step

    def seen(*given: Any, **named: Any) -> Any:
        found = step(*given, **named)
        made.append(found[0] if isinstance(found, tuple) else found.prev_sample)
        return found

    monkeypatch.setattr(DDIMScheduler, "step", seen)
    shown = list(denoise(system, steps=steps))
    assert len(shown) == steps
    if system._name == "t2v-zero":
        alone = {4: 0, 26: 1}[steps]
        del made[alone]  # a step ahead, to where the first frame is moved
        made = [latents.repeat(FRAMES // len(latents), 1, 1, 1) for latents in made]
    else:
        made = [latents[0].transpose(0, 1) for latents in made]
    assert len(made) == steps
    colors = LatentAutoencoder(vae=system._pipeline.vae)
    for clip, latents in zip(shown[:-1], made[:-1], strict=True):
        with torch.inference_mode():
            wanted = (colors.preview(latents, 8).clamp(-1, 1) + 1) * 127.5
        off = clip.frames - wanted.permute(0, 2, 3, 1).round().numpy()
        assert np.abs(off).max() <= 1  # one level of 255 by rounding
        assert clip.frames.std() > 1


def test_memory_is_planned_by_the_size_of_the_weights(
    system: PublicPipeline, public_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches Latte placed as if it were as small as Stable Diffusion."""
    sizes: list[float] = []

    def plan(device: str, size: float) -> Memory:
        sizes.append(size)
        return memory_for(device, size)

    monkeypatch.setattr(public_pipelines, "memory_for", plan)
    PublicPipeline.load(system._name, "cpu", public_weights, size=64)
    files = [
        path
        for part in FETCHABLE[system._name]
        for path in (public_weights / part.name).rglob("*.safetensors")
    ]
    assert sizes[0] * 1e9 == pytest.approx(sum(path.stat().st_size for path in files), rel=0.3)


def test_a_prompt_too_long_is_cut_where_it_says(
    system: PublicPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    """Catches a limit that is not the text encoder's: then what is said to be read is not."""
    long = "a person jumps " * 60 + "red"
    seen: list[int] = []
    name = "input_ids" if system._name == "latte" else 0
    hook = system._pipeline.text_encoder.register_forward_pre_hook(
        lambda _, given, named: seen.append((given[0] if given else named[name]).shape[1]),
        with_kwargs=True,
    )
    run(system, prompt=long)
    hook.remove()
    assert "cut from the prompt: " in caplog.text
    limit = seen[0]
    cut = system.cut_prompt(long)
    assert cut is not None
    assert long.endswith(cut)
    assert system.cut_prompt("a person") is None
    kept = long[: -len(cut)]
    assert len(system._pipeline.tokenizer(kept.rstrip())["input_ids"]) == limit


def test_a_width_that_is_not_divisible_by_8_is_refused(public_weights: Path) -> None:
    with pytest.raises(RequestError, match=r"70.*divisible by 8.*such as 72"):
        PublicPipeline.load("animatediff", "cpu", public_weights, size=70)


def test_zero_shot_asks_for_guidance_and_steps(public_weights: Path) -> None:
    made = PublicPipeline.load("t2v-zero", "cpu", public_weights, size=64)
    for changed in ({"steps": 2}, {"guidance_scale": 1.0}):
        with pytest.raises(
            RequestError, match=r"t2v-zero takes 3 steps or more and a guidance scale above 1"
        ):
            run(made, **changed)


# -- their weights ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(KINDS))
def test_missing_half_there_or_changed_weights_are_named(
    name: str, public_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches another model stepping in, and weights used that are not those fetched."""
    import shutil

    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "none"))
    for ask in (lambda: load_generator(name), lambda: weights_file(name)):
        with pytest.raises(WeightsMissingError, match=f"python -m finephys fetch {name}"):
            ask()  # type: ignore[no-untyped-call]
    shutil.copytree(public_weights, tmp_path / "w")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "w"))
    part = FETCHABLE[name][0]
    file = max((tmp_path / "w" / part.name).rglob("*.safetensors"), key=lambda p: p.stat().st_size)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match=f"fetch {name}"):
        load_generator(name)
    file.unlink()
    with pytest.raises(WeightsMissingError, match=f"fetch {name}"):
        load_generator(name)


def test_stable_diffusion_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert weights_folder("animatediff") == weights_folder("t2v-zero") == weights_folder("sd15")
    assert weights_folder("latte") != weights_folder("sd15")


def test_shards_are_taken_with_their_index_and_only_without_a_whole_file() -> None:
    """Catches a text encoder of which one of four files is fetched."""
    rest = [*LATTE.plain, *(f"{part}/config.json" for part in LATTE.components)]
    rest += [f"{part}/diffusion_pytorch_model.safetensors" for part in ("transformer", "vae")]
    shards = [f"text_encoder/model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    index = "text_encoder/model.safetensors.index.json"
    wanted = wanted_files(LATTE, {*rest, *shards, index, "text_encoder/pytorch_model.bin"})
    assert {*shards, index} <= wanted.keys()
    assert wanted.keys() == {*rest, *shards, index}
    whole = wanted_files(LATTE, {*rest, *shards, index, "text_encoder/model.safetensors"})
    assert not {*shards, index} & whole.keys()
    for gone in (index, "text_encoder/config.json", LATTE.plain[0], LATTE.plain[1]):
        with pytest.raises(LookupError):
            wanted_files(LATTE, {*rest, *shards, index} - {gone})


def test_every_fetched_system_has_licences_and_a_pipeline() -> None:
    fetched = {system.name for system in SYSTEMS.values() if system.fetched}
    assert fetched == KINDS.keys()
    for name in fetched:
        assert all(part.licence.text and part.licence.name for part in FETCHABLE[name])
