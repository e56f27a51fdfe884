"""GPU memory: where modules are, and a full GPU, whose error must not keep alive what filled it."""

import weakref
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from finephys.errors import RequestError
from finephys.generator.memory import (
    GpuMemoryError,
    Memory,
    has_bfloat16,
    memory_for,
    memory_guard,
    memory_within,
    planned_gigabytes,
)
from finephys.generator.streaming import stream_call

_taken: list["weakref.ref[torch.Tensor]"] = []


def _fill() -> None:
    large = torch.zeros(1000)
    _taken.append(weakref.ref(large))
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def _at_once() -> None:
    with memory_guard():
        _fill()


@torch.inference_mode()
def _steps() -> Iterator[int]:
    held = torch.zeros(1000)
    _taken.append(weakref.ref(held))
    yield 1
    _fill()


def _guarded() -> Iterator[int]:
    with memory_guard():
        yield from _steps()


def _shown(show: Callable[[int], None]) -> int:
    held = torch.zeros(1000)
    _taken.append(weakref.ref(held))
    show(1)
    _fill()
    return 2


def _in_a_thread() -> Iterator[int]:
    with memory_guard():
        yield from stream_call(_shown)


@pytest.mark.parametrize(
    "run",
    [_at_once, lambda: list(_guarded()), lambda: list(_in_a_thread())],
    ids=["call", "steps", "thread"],
)
def test_what_filled_the_memory_is_free_while_the_error_is_read(run: Callable[[], object]) -> None:
    """Catches frames of the failed call that the error, or the `with` statement, still holds."""
    _taken.clear()
    with pytest.raises(GpuMemoryError, match=r"2\.00 GiB.*FINEPHYS_GPU_GB") as failed:
        run()
    assert failed.value is not None
    assert _taken
    assert all(taken() is None for taken in _taken)


def test_larger_weights_are_offloaded_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches weights of 12 GB that are all put on a GPU of 16, planned as Stable Diffusion's 4."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    monkeypatch.setenv("FINEPHYS_GPU_GB", "16")
    assert memory_for("cuda").offload == memory_for("cuda", 2.0).offload == ()
    assert memory_for("cuda", 12.0).offload
    monkeypatch.setenv("FINEPHYS_GPU_GB", "24")
    assert memory_for("cuda", 12.0).offload == ()


def test_each_device_is_asked_for_its_own_number_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a device that computes in bfloat16 because another one beside it can."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)  # by emulation
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", {"cuda": (7, 5), "cuda:1": (9, 0)}.__getitem__
    )
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert has_bfloat16("cuda:1")
    assert not has_bfloat16("cuda")
    assert not has_bfloat16("cpu")


def test_a_plan_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINEPHYS_GPU_GB", "6.5")
    assert planned_gigabytes() == 6.5
    for wrong in ("much", "0", "-3", "nan", "inf"):
        monkeypatch.setenv("FINEPHYS_GPU_GB", wrong)
        with pytest.raises(RequestError, match=f"is '{wrong}'; set it to a number of gigabytes"):
            planned_gigabytes()


# -- offloading ------------------------------------------------------------------------------------


class Part(nn.Linear):
    """A layer with a buffer, and a weight that two names share."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.register_buffer("scale", torch.ones(1))
        self.tied = self.weight


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for name in ("text_encoder", "controlnet", "unet", "autoencoder", "skeleton_encoder"):
            self.add_module(name, Part())

    def where(self) -> dict[str, set[str]]:
        return {
            name: {each.device.type for each in (*part.parameters(), *part.buffers())}
            for name, part in self.named_children()
        }


@pytest.mark.parametrize(
    ("gigabytes", "offloaded"),
    [
        (11.0, set()),
        (10.9, {"text_encoder", "autoencoder"}),
        (7.0, {"text_encoder", "autoencoder"}),
        (6.9, {"text_encoder", "autoencoder", "controlnet", "unet"}),
    ],
)
def test_modules_are_on_the_device_only_while_they_run(
    gigabytes: float, offloaded: set[str]
) -> None:
    """Catches a module that stays on the GPU after its use. `meta` stands for the GPU."""
    network = Network()
    values = {name: value.clone() for name, value in network.state_dict().items()}
    memory_within(gigabytes, torch.float32).place(network, "meta")
    inputs = torch.zeros(1, 2, device="meta")
    with torch.inference_mode(), memory_guard(network.children()):
        for name in ("text_encoder", "skeleton_encoder", "controlnet", "unet", "controlnet", "unet",
                     "autoencoder", "unet", "autoencoder"):  # fmt: skip
            assert network.get_submodule(name)(inputs).device.type == "meta"
            stays = {name, "unet"} if name == "controlnet" else {name}
            for other, devices in network.where().items():
                if other == name or other not in offloaded:
                    assert devices == {"meta"}, (name, other)
                elif other not in stays:
                    assert devices == {"cpu"}, (name, other)
    for name, devices in network.where().items():
        assert devices == ({"cpu"} if name in offloaded else {"meta"}), name
    for name, value in network.state_dict().items():
        if name.split(".")[0] in offloaded:
            assert torch.equal(value, values[name]), name
    for name in offloaded:
        part = network.get_submodule(name)
        assert part.tied is part.weight, name


def test_a_gpu_keeps_parameters_and_replaces_their_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches tensors of the GPU that stay in the parameters, which `Module.to` keeps there; a
    number type stands for the GPU."""
    network = nn.ModuleDict({"unet": Part(), "text_encoder": Part()})
    unet = network["unet"]
    before = {name: (each, each.data_ptr()) for name, each in unet.named_parameters()}
    placed = Memory(torch.float32, ("unet",)).place(network, "cpu")
    monkeypatch.setattr(unet, "to", lambda _: nn.Module.to(unet, torch.float64), raising=False)
    with memory_guard(placed.children()), torch.inference_mode():
        assert unet(torch.zeros(1, 2, dtype=torch.float64)).dtype == torch.float64
        assert not unet.weight.is_inference()
        placed["text_encoder"](torch.zeros(1, 2))
        assert unet.weight.dtype == torch.float32
        unet(torch.zeros(1, 2, dtype=torch.float64))
    for name, (parameter, place) in before.items():
        assert unet.get_parameter(name) is parameter
        assert parameter.data_ptr() == place
        assert parameter.dtype == torch.float32


@pytest.mark.parametrize("error", [RuntimeError, torch.OutOfMemoryError, KeyboardInterrupt])
def test_modules_leave_after_any_error(error: type[BaseException]) -> None:
    network = memory_within(4.0, torch.float32).place(Network(), "meta")
    before = network.where()

    def fail() -> None:
        with memory_guard(network.children()):
            network.get_submodule("unet")(torch.zeros(1, 2, device="meta"))
            raise error("stopped")

    with pytest.raises((GpuMemoryError, RuntimeError, KeyboardInterrupt)):
        fail()
    assert network.where() == before


def test_a_second_placement_replaces_the_first() -> None:
    """Catches hooks of an earlier placement that go on moving modules."""
    network = Network()
    Memory(torch.float32, tuple(dict(network.named_children()))).place(network, "meta")
    network.get_submodule("unet")(torch.zeros(1, 2, device="meta"))
    memory_within(24.0, torch.float32).place(network, "cpu")
    assert all(devices == {"cpu"} for devices in network.where().values())
    network.get_submodule("unet")(torch.zeros(1, 2))
