"""The kernel against its twin: compiled where there is a GPU, else in Triton's interpreter."""

import os
import runpy
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from unsmear import kernels
from unsmear.layers import pixel_filter as twin
from unsmear.layers.pixel_filter import PixelFilter
from unsmear.layers.pixel_sampling import Selection

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(scope="module")
def kernel():
    """The kernel's module; Triton asks at its import whether to compile or to interpret."""
    pytest.importorskip("triton")
    with pytest.MonkeyPatch.context() as patch:
        if DEVICE == "cpu":
            patch.setenv("TRITON_INTERPRET", "1")
        from unsmear.kernels import pixel_filter
    return pixel_filter


@pytest.fixture
def fused(kernel, monkeypatch):
    """The kernel, with the twin kept from calling it."""
    monkeypatch.setattr(twin, "can_fuse", lambda x: False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # the twin in full float32
    if DEVICE == "cpu":
        from triton.runtime.interpreter import InterpreterBuilder as Builder

        dot = Builder.create_dot

        def create_dot(self, a, b, *rest):
            import triton.language as tl

            # The interpreter multiplies the bits of bfloat16 as if they were whole numbers.
            a, b = (
                self.cast_impl(m, tl.float32) if m.data.dtype == "uint16" else m for m in (a, b)
            )
            return dot(self, a, b, *rest)

        monkeypatch.setattr(Builder, "create_dot", create_dot)
    return kernel.filter_pixels


def a_case(
    size, channels, count=None, images=2, taps=3, dtype=torch.float32, reach=2.0, v=True, d=True
):
    """Arguments of ``filter_pixels``; offsets of up to ``reach`` pixels."""
    torch.manual_seed(0)
    (h, w), (c, o) = size, channels
    selection = None
    if count is not None:
        picks = [torch.randperm(h * w)[:count].sort().values for _ in range(images)]
        selection = Selection(torch.stack(picks).to(DEVICE), None, h, w)
    length = h * w if count is None else count
    heads = torch.randn(images, taps**2, length), torch.rand(images, 2 * taps**2, length)
    offsets = (reach * (2 * heads[1] - 1)).transpose(1, 2).unflatten(2, (taps**2, 2))
    tensors = (
        torch.randn(images, c, h, w),
        torch.randn(o, c, taps, taps) / (c * taps**2) ** 0.5,
        torch.randn(o),
        heads[0].transpose(1, 2) if v else None,
        offsets if d else None,
    )
    return *(None if t is None else t.to(DEVICE, dtype) for t in tensors), selection


def run(fused, case):
    *tensors, selection = case
    return fused(*tensors, None if selection is None else selection.index)


@torch.no_grad()
def assert_as_exact_as_the_twin(fused, case):
    """Both are judged by the twin in float64; the twin may be lucky by two roundings."""
    *tensors, selection = case
    exact = twin.filter_pixels(*(None if t is None else t.double() for t in tensors), selection)
    plain, found = twin.filter_pixels(*case), run(fused, case)
    assert found.shape == plain.shape
    assert found.dtype == plain.dtype
    floor = 2 * torch.finfo(found.dtype).eps * float(exact.abs().max())
    assert float((found - exact).abs().max()) <= 2 * float((plain - exact).abs().max()) + floor


CASES = {
    "one pixel": {"size": (1, 1), "channels": (3, 5)},
    "all pixels, more than a block": {"size": (7, 11), "channels": (3, 5)},
    "all pixels, V alone": {"size": (5, 4), "channels": (3, 5), "d": False},
    "all pixels, D alone": {"size": (5, 4), "channels": (3, 5), "v": False},
    "a selection": {"size": (5, 7), "channels": (3, 5), "count": 9},
    "a selection, V alone": {"size": (5, 7), "channels": (3, 5), "count": 9, "d": False},
    "a selection, D alone": {"size": (5, 7), "channels": (3, 5), "count": 9, "v": False},
    "a selection alone": {"size": (5, 7), "channels": (3, 5), "count": 9, "v": False, "d": False},
    "five taps": {"size": (3, 5), "channels": (2, 2), "taps": 5, "images": 1},
    "one tap, outputs in two blocks": {"size": (1, 3), "channels": (2, 300), "taps": 1},
    "channels in two blocks": {"size": (3, 3), "channels": (20, 70)},
    "channels in full blocks": {"size": (3, 3), "channels": (32, 16)},
    "half of it outside": {"size": (5, 4), "channels": (3, 5), "reach": 9.0},
    "nearly all of it very far outside": {"size": (2, 3), "channels": (3, 5), "reach": 1e18},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_is_as_exact_as_the_twin(fused, case):
    assert_as_exact_as_the_twin(fused, a_case(**case))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("channels", [(3, 5), (40, 17)])
def test_in_half_precision(fused, dtype, channels):
    assert_as_exact_as_the_twin(fused, a_case((4, 5), channels, count=9, dtype=dtype))


def test_places_are_exact_in_half_precision(fused):
    case = a_case((1, 2051), (1, 1), images=1, taps=1, dtype=torch.bfloat16, count=4)
    *tensors, selection = case
    selection.index.copy_(torch.tensor([[2047, 2048, 2049, 2050]]))
    assert_as_exact_as_the_twin(fused, (*tensors, selection))


def test_without_a_bias(fused):
    x, weight, _, *rest = a_case((3, 2), (3, 5))
    assert_as_exact_as_the_twin(fused, (x, weight, None, *rest))


@torch.no_grad()
def test_any_layout_of_memory_will_do(fused):
    *tensors, selection = a_case((4, 3), (3, 5), count=7)
    wanted = run(fused, (*tensors, selection))
    turned = [t.transpose(0, -1).contiguous().transpose(0, -1) for t in tensors]
    turned[0] = tensors[0].to(memory_format=torch.channels_last)
    turned[2] = tensors[2].repeat_interleave(2)[::2]
    wide = selection.index.repeat_interleave(2, dim=1)[:, ::2]
    assert torch.equal(fused(*turned, wide), wanted)


@torch.no_grad()
def test_autocast_is_obeyed(fused):
    case = a_case((3, 2), (3, 5))
    *halves, _ = (None if t is None else t.bfloat16() for t in case)
    # Places stay float32.
    wanted = run(fused, (*halves[:4], case[4], None))
    with torch.autocast(DEVICE, torch.bfloat16):
        found, plain = run(fused, case), twin.filter_pixels(*case)
    assert found.dtype == plain.dtype == torch.bfloat16
    torch.testing.assert_close(found, wanted, atol=0.02, rtol=0.02)


COMPILE = """
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from unsmear.kernels.pixel_filter import _filter
fixed = {"C": 16, "O": 16, "K": 3, "BLOCK_L": 64, "BLOCK_C": 16, "BLOCK_O": 16}
for number in ("fp32", "bf16"):
    types = dict.fromkeys(("x", "weight", "bias", "kernels", "offsets", "out"), "*" + number)
    types |= {"index": "*i64"} | dict.fromkeys(("height", "width", "length"), "i32")
    types |= dict.fromkeys(fixed, "constexpr")
    source = ASTSource(_filter, {name: types[name] for name in _filter.arg_names}, fixed)
    print("mma.sync" in compile(source, GPUTarget("cuda", 80, 32)).asm["ptx"])
"""


@pytest.mark.skipif(DEVICE == "cuda", reason="every other test compiles it")
def test_compiles_to_tensor_cores_for_a_gpu_that_is_not_here(tmp_path):
    pytest.importorskip("triton")
    env = os.environ | {"TRITON_CACHE_DIR": str(tmp_path), "TRITON_INTERPRET": "0"}
    command = [sys.executable, "-W", "ignore", "-c", COMPILE]
    built = subprocess.run(command, capture_output=True, text=True, env=env)
    assert built.returncode == 0, built.stderr[-3000:]
    assert built.stdout.split() == ["True", "True"]


def test_nothing_asks_for_triton_at_import(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    assert not runpy.run_path(kernels.__file__)["can_fuse"](torch.ones(1))
    filter_pixels = runpy.run_path(twin.__file__)["filter_pixels"]
    one = torch.ones(1, 1, 1, 1)
    assert filter_pixels(one, one, None, None, None, None).item() == 1


@pytest.fixture
def gpu(monkeypatch):
    """A tensor that says it lies on a GPU, and the kernel's module that answers for it."""
    kernels._can_build.cache_clear()
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    module = ModuleType("unsmear.kernels.pixel_filter")
    module.filter_pixels = lambda x, *others: x
    monkeypatch.setitem(sys.modules, module.__name__, module)
    yield SimpleNamespace(is_cuda=True, dtype=torch.float32, device="cpu"), module
    kernels._can_build.cache_clear()


@torch.no_grad()
def test_the_kernel_is_taken_on_a_gpu_without_gradients(gpu, monkeypatch):
    x, _ = gpu
    assert kernels.can_fuse(x)
    with torch.enable_grad():
        assert not kernels.can_fuse(x)
    assert not kernels.can_fuse(torch.ones(1))
    assert not kernels.can_fuse(SimpleNamespace(**vars(x) | {"dtype": torch.float64}))
    kernels._can_build.cache_clear()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert not kernels.can_fuse(x)


@torch.no_grad()
def test_without_triton_the_twin_is_taken(gpu, monkeypatch):
    monkeypatch.setitem(sys.modules, "unsmear.kernels.pixel_filter", None)
    assert not kernels.can_fuse(gpu[0])


@torch.no_grad()
def test_a_triton_that_cannot_build_is_said_once(gpu):
    def fail(*_):
        raise RuntimeError("no C compiler")

    x, module = gpu
    module.filter_pixels = fail
    with pytest.warns(UserWarning, match="no C compiler"):
        assert not kernels.can_fuse(x)
    assert not kernels.can_fuse(x)


def at_full_size(channels, dtype, count=None):
    return a_case((256, 256), (channels, channels), count, 1, 5, dtype, reach=4.0)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("channels", [24, 32, 240])
@pytest.mark.parametrize("count", [None, 4096])
def test_on_a_gpu_it_is_as_exact_as_the_twin(fused, channels, dtype, count):
    assert_as_exact_as_the_twin(fused, at_full_size(channels, dtype, count))


@pytest.mark.gpu
@torch.no_grad()
def test_on_a_gpu_neighbours_never_exist(kernel):
    case = at_full_size(32, torch.bfloat16)
    run(kernel.filter_pixels, case)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run(kernel.filter_pixels, case)
    taken = torch.cuda.max_memory_allocated() - before
    assert taken < 3 * case[0].nbytes  # x channels-last and the result


@pytest.mark.gpu
@torch.no_grad()
def test_on_a_gpu_the_layer_takes_the_kernel(kernel, monkeypatch):
    calls = []

    def watched(*arguments):
        calls.append(arguments)
        return kernel.filter_pixels(*arguments)

    layer, x = PixelFilter(16).cuda(), torch.randn(1, 16, 9, 8, device="cuda")
    assert kernels.can_fuse(x)
    monkeypatch.setattr(kernel, "filter_pixels", watched)
    found = layer(x, x.flatten(2), None)
    assert len(calls) == 1
    with torch.enable_grad():
        torch.testing.assert_close(found, layer(x, x.flatten(2), None), atol=1e-2, rtol=1e-2)
    assert len(calls) == 1
