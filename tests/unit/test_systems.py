"""AnimateDiff, Latte and Text2Video-Zero: real pipelines at a narrow width, fetched and loaded."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, LatteTransformer3DModel
from torch import nn
from transformers import T5Config, T5EncoderModel
from transformers.convert_slow_tokenizer import import_protobuf

from finephys.errors import RequestError, StoppedError, WeightsError, WeightsMissingError
from finephys.generator import public_pipelines
from finephys.generator.autoencoder import LatentAutoencoder
from finephys.generator.memory import GpuMemoryError, Memory, memory_for
from finephys.generator.protocol import Sampling
from finephys.generator.public_pipelines import KINDS, PublicPipeline
from finephys.generator.registry import load_generator, weights_file
from finephys.generator.systems import SYSTEMS
from finephys.guidance.framing import frame_body
from finephys.observe import simulated
from finephys.skeleton import FRAMES
from finephys.types import Request, VideoClip
from finephys.weights.catalogue import FETCHABLE, LATTE, wanted_files
from finephys.weights.fetch import fetch
from finephys.weights.lock import FOLDER_VARIABLE, weights_folder
from finephys.weights.sources import Folder
from tests.unit.test_controlnet import trained, write_hub

pytestmark = [  # of diffusers' Text2Video-Zero, which it no longer tends
    pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning"),
    pytest.mark.filterwarnings("ignore:Default grid_sample:UserWarning"),
]

WORDS = ("▁a", "▁person", "▁jumps", "▁turns", "▁in", "▁red", "▁", "e", "r", "s", "t", "n")


def write_latte(root: Path) -> None:
    """Latte's repository as it lies on the Hub, narrow; its text encoder in shards."""
    torch.manual_seed(0)
    whole = root / LATTE.repositories[0]
    transformer = LatteTransformer3DModel(
        sample_size=8,
        num_layers=1,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=3,
        caption_channels=32,
        in_channels=4,
        cross_attention_dim=24,
        out_channels=8,
        attention_bias=True,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        norm_eps=1e-6,
    )
    trained(transformer, 1).save_pretrained(whole / "transformer")
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        norm_num_groups=4,
        latent_channels=4,
    )
    trained(vae, 2).save_pretrained(whole / "vae")
    text = T5EncoderModel(
        T5Config(vocab_size=3 + len(WORDS), d_model=32, d_ff=37, d_kv=8, num_layers=2, num_heads=2)
    )
    text.eval().save_pretrained(whole / "text_encoder", max_shard_size="8KB")
    DDIMScheduler(beta_schedule="linear", clip_sample=False).save_pretrained(whole / "scheduler")
    folder = whole / "tokenizer"
    folder.mkdir()
    model = import_protobuf().ModelProto()
    specials = (("<pad>", 3), ("</s>", 3), ("<unk>", 2))
    for text_piece, score, kind in (
        *((word, 0.0, kind) for word, kind in specials),
        *((word, -float(number), 1) for number, word in enumerate(WORDS, 1)),
    ):
        piece = model.pieces.add()
        piece.piece, piece.score, piece.type = text_piece, score, kind
    model.trainer_spec.model_type, model.trainer_spec.unk_id = 1, 2
    (folder / "spiece.model").write_bytes(model.SerializeToString())
    config = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything fetched into one folder, as `FINEPHYS_WEIGHTS` allows."""
    root = tmp_path_factory.mktemp("systems")
    write_hub(root / "hub")
    write_latte(root / "hub")
    for name in KINDS:
        fetch(name, root / "w", Folder(root / "hub"), lambda *_: True, lambda _: None)
    return root / "w"


@pytest.fixture(scope="module", params=sorted(KINDS))
def system(request: pytest.FixtureRequest, weights: Path) -> PublicPipeline:
    return PublicPipeline.load(request.param, "cpu", weights, size=64)


def denoise(system: PublicPipeline, **changed: Any) -> Iterator[VideoClip]:
    asked = {"guide": None, "prompt": "a person jumps", "seed": 5, "steps": 4}
    asked |= {"guidance_scale": 4.0, "fps": 8.0}
    return system.denoise(Sampling(**asked | changed))


def run(system: PublicPipeline, **changed: Any) -> np.ndarray:
    return list(denoise(system, **changed))[-1].frames


def denoiser(system: PublicPipeline) -> nn.Module:
    pipeline = system._pipeline
    found: nn.Module = pipeline.transformer if hasattr(pipeline, "transformer") else pipeline.unet
    return found


class Ran:
    """How often a module runs."""

    def __init__(self, module: nn.Module) -> None:
        self.times = 0
        self._hook = module.register_forward_hook(self._count)

    def _count(self, *_: object) -> None:
        self.times += 1

    def __enter__(self) -> "Ran":
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()


def test_a_clip_follows_prompt_seed_steps_and_guidance(system: PublicPipeline) -> None:
    plain = run(system)
    assert plain.shape == (FRAMES, 64, 64, 3)
    assert plain.std() > 1
    torch.manual_seed(99)  # global randomness must not leak in
    assert np.array_equal(plain, run(system))
    for changed in ({"prompt": "a red person turns"}, {"seed": 6}, {"guidance_scale": 9.0}):
        assert not np.array_equal(plain, run(system, **changed)), changed
    assert not np.array_equal(plain, run(system, steps=6))
    assert np.array_equal(plain, run(system))  # nothing stays behind from a run


def test_frames_differ_in_time(system: PublicPipeline) -> None:
    """Catches sixteen times the same picture."""
    frames = run(system).astype(int)
    assert np.abs(np.diff(frames, axis=0)).mean() > 0


def test_stop_is_obeyed_at_the_next_step(system: PublicPipeline) -> None:
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 2

    with Ran(denoiser(system)) as ran, pytest.raises(StoppedError, match="after 2 of 30"):
        run(system, stop=stop, steps=30)
    assert (len(asked), ran.times) == (3, 2)
    assert run(system).shape[0] == FRAMES  # and the next run is whole


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
    with Ran(system._pipeline.vae.decoder) as decoded:
        shown = list(denoise(system, steps=steps))
    assert len(shown) == steps
    assert {clip.fps for clip in shown} == {8.0}
    assert decoded.times == FRAMES
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
            wanted = (colors.glance(latents, 8).clamp(-1, 1) + 1) * 127.5
        off = clip.frames - wanted.permute(0, 2, 3, 1).round().numpy()
        assert np.abs(off).max() <= 1  # one level of 255 by rounding
        assert clip.frames.std() > 1


def test_no_step_is_taken_that_is_not_asked_for(system: PublicPipeline) -> None:
    """Catches a Stop pressed at a preview that comes after the next step, and a run that goes on
    when its page is closed."""
    pressed: list[bool] = []
    with Ran(denoiser(system)) as ran:
        clips = denoise(system, stop=lambda: bool(pressed), steps=6)
        next(clips)
        first = ran.times
        next(clips)
        assert ran.times == first + 1
        pressed.append(True)
        with pytest.raises(StoppedError, match="after 2 of 6"):
            next(clips)
        assert ran.times == first + 1
        left = denoise(system, steps=6)
        next(left)
        left.close()  # type: ignore[attr-defined]
        assert ran.times == 2 * first + 1
    assert not [each for each in threading.enumerate() if each.name.startswith("stream-call")]


def test_memory_is_planned_by_the_size_of_the_weights(
    system: PublicPipeline, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches Latte placed as if it were as small as Stable Diffusion."""
    sizes: list[float] = []

    def plan(device: str, size: float) -> Memory:
        sizes.append(size)
        return memory_for(device, size)

    monkeypatch.setattr(public_pipelines, "memory_for", plan)
    PublicPipeline.load(system._name, "cpu", weights, size=64)
    files = [
        path
        for part in FETCHABLE[system._name]
        for path in (weights / part.name).rglob("*.safetensors")
    ]
    assert sizes[0] * 1e9 == pytest.approx(sum(path.stat().st_size for path in files), rel=0.3)


def test_parts_leave_the_gpu_after_stop_and_errors(
    system: PublicPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches an offloaded U-Net that stays on the GPU, as the pipelines leave it there."""
    freed: list[int] = []
    monkeypatch.setattr(system._pipeline, "maybe_free_model_hooks", lambda: freed.append(1))
    stops = iter([False, True])
    with pytest.raises(StoppedError):
        run(system, stop=lambda: next(stops))
    assert freed == [1]


def test_not_a_number_is_said(system: PublicPipeline) -> None:
    """Catches black frames passed off as a video."""
    model = denoiser(system)
    last = model.proj_out if hasattr(model, "proj_out") else model.conv_out
    kept = last.bias.detach().clone()
    nn.init.constant_(last.bias, float("nan"))
    try:
        with pytest.raises(WeightsError, match="step 1 of 4 gave NaN"):
            run(system)
    finally:
        last.bias.data.copy_(kept)


def test_a_full_gpu_is_said(system: PublicPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(system._pipeline, "encode_prompt", full)
    with pytest.raises(GpuMemoryError, match=r"2\.00 GiB.*FINEPHYS_GPU_GB"):
        run(system)


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
    assert "cut: " in caplog.text
    limit = seen[0]
    cut = system.cut_prompt(long)
    assert cut is not None
    assert long.endswith(cut)
    assert system.cut_prompt("a person") is None
    kept = long[: -len(cut)]
    assert len(system._pipeline.tokenizer(kept.rstrip())["input_ids"]) == limit


def test_what_they_do_not_read_is_refused(system: PublicPipeline) -> None:
    """Catches an option that is taken and not obeyed."""
    pose = simulated(Request(action=12)).detected
    with pytest.raises(RequestError, match="prompt alone"):
        system.draw(pose, frame_body(pose))
    picture = VideoClip(np.zeros((FRAMES, 64, 64, 3), np.uint8), 8.0)
    with pytest.raises(RequestError, match="prompt alone"):
        run(system, guide=picture)
    with pytest.raises(RequestError, match="motion"):
        run(system, motion=False)
    with pytest.raises(RequestError, match="steps"):
        run(system, steps=0)


def test_a_width_that_is_not_divisible_by_8_is_refused(weights: Path) -> None:
    with pytest.raises(RequestError, match=r"70.*divisible by 8.*such as 72"):
        PublicPipeline.load("animatediff", "cpu", weights, size=70)


def test_zero_shot_asks_for_guidance_and_steps(weights: Path) -> None:
    made = PublicPipeline.load("t2v-zero", "cpu", weights, size=64)
    for changed in ({"steps": 2}, {"guidance_scale": 1.0}):
        with pytest.raises(
            RequestError, match=r"was asked for .* 3 steps or more and a guidance above 1"
        ):
            run(made, **changed)


# -- their weights ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(KINDS))
def test_missing_half_there_or_changed_weights_are_named(
    name: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches another model stepping in, and weights used that are not those fetched."""
    import shutil

    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "none"))
    for ask in (lambda: load_generator(name), lambda: weights_file(name)):
        with pytest.raises(WeightsMissingError, match=f"python -m finephys fetch {name}"):
            ask()  # type: ignore[no-untyped-call]
    shutil.copytree(weights, tmp_path / "w")
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
