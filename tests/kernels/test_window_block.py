"""The kernels against their twin: compiled where there is a GPU, else in Triton's interpreter."""

import os
import subprocess
import sys

import pytest
import torch

from unsmear.layers.adawpt import WindowBlock
from unsmear.layers.folded import fold_block
from unsmear.layers.windows import WindowGrid, merge_windows, partition_windows

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(scope="module")
def kernel():
    """The kernels' module; Triton asks at its import whether to compile or to interpret."""
    pytest.importorskip("triton")
    with pytest.MonkeyPatch.context() as patch:
        if DEVICE == "cpu":
            patch.setenv("TRITON_INTERPRET", "1")
            interpret_all(patch)
        from unsmear.kernels import window_block

        yield window_block


def interpret_all(patch):
    """Mend what the interpreter lacks."""
    import triton.language as tl
    from triton.runtime import interpreter

    # Where Triton was imported before, its own functions are those of the compiler.
    for name in ("sum", "max"):
        function = getattr(tl, name)
        if not isinstance(function, interpreter.InterpretedFunction):
            patch.setattr(tl, name, interpreter.InterpretedFunction(function.fn))
    dot, convert = interpreter.InterpreterBuilder.create_dot, interpreter._convert_float

    def create_dot(self, a, b, *rest):
        # The interpreter multiplies the bits of bfloat16 as if they were whole numbers.
        a, b = (self.cast_impl(m, tl.float32) if m.data.dtype == "uint16" else m for m in (a, b))
        return dot(self, a, b, *rest)

    def convert_float(data, of, to, rounding):
        # It cuts what a GPU rounds.
        if (of, to) != (tl.float32, tl.bfloat16):
            return convert(data, of, to, rounding)
        return torch.from_numpy(data).bfloat16().view(torch.uint16).numpy()

    patch.setattr(interpreter.InterpreterBuilder, "create_dot", create_dot)
    patch.setattr(interpreter, "_convert_float", convert_float)


def a_block(dim=16, heads=1, window=4, shift=0, modulator=False, dtype=torch.float32, ratio=4):
    """A block in which every weight matters."""
    torch.manual_seed(0)
    block = WindowBlock(
        dim, heads, window, shift=shift, mlp_ratio=ratio, modulator=modulator
    ).eval()
    with torch.no_grad():
        for name, parameter in block.named_parameters():
            if "bias" in name or "norm" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return block.to(DEVICE, dtype)


def a_map(block, rows=2, columns=3, images=1):
    m = block.window_size
    dim, like = block.norm1.weight.shape[0], block.norm1.weight
    x = 1 + torch.randn(images, rows * m, columns * m, dim)
    return x.to(like), WindowGrid(rows * m, columns * m, m, block.shift)


@torch.no_grad()
def twin(block, x, grid, numbers):
    """The same by plain torch on gathered windows."""
    windows = partition_windows(x, grid.window_size, grid.shift)
    windows[numbers] = block._transform(windows[numbers], grid, numbers)
    return merge_windows(windows, grid.height, grid.width, grid.shift)


@torch.no_grad()
def run(kernel, block, x, grid, numbers, **wishes):
    flat = x.clone().reshape(-1, x.shape[-1])
    folded = fold_block(block)
    assert kernel.can_run(flat, grid, folded)
    kernel.run_windows(flat, grid, numbers, folded, **wishes)
    return flat.reshape(x.shape)


def assert_as_exact_as_the_twin(kernel, block, x, grid, numbers):
    """Both are judged by the twin in float64; the twin may be lucky by some roundings."""
    plain, found = twin(block, x, grid, numbers), run(kernel, block, x, grid, numbers)
    exact = twin(block.double(), x.double(), grid, numbers)
    block.to(x.dtype)
    assert found.dtype == x.dtype
    floor = torch.finfo(x.dtype).eps * float(exact.abs().max())
    assert float((found - exact).abs().max()) <= 2 * float((plain - exact).abs().max()) + floor
    if x.dtype == torch.float32:
        torch.testing.assert_close(found, plain, atol=1e-4, rtol=1e-4)
    touched = torch.zeros(x.shape[0] * grid.windows, grid.window_size**2, 1, device=DEVICE)
    touched[numbers] = 1
    touched = merge_windows(touched, grid.height, grid.width, grid.shift).bool().expand(x.shape)
    assert torch.equal(found[~touched], x[~touched])
    assert not torch.equal(found[touched], x[touched])


def some(*numbers):
    return torch.tensor(numbers, device=DEVICE)


CASES = {
    "smallest heads": {"dim": 4, "heads": 2},
    "one head": {"dim": 16},
    "one head of 32": {"dim": 32},
    "heads of 16": {"dim": 32, "heads": 2},
    "heads of 32": {"dim": 64, "heads": 2},
    "no power of two": {"dim": 24, "heads": 2, "ratio": 3},
    "window of 8": {"window": 8},
    "window of 8, heads of 32": {"dim": 64, "heads": 2, "window": 8},
    "modulator": {"dim": 12, "heads": 2, "modulator": True},
}


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_is_as_exact_as_the_twin(kernel, case, shifted):
    block = a_block(**case, shift=case.get("window", 4) // 2 if shifted else 0)
    x, grid = a_map(block)
    # All kinds of seams: inside, in the last column, in the last row, and in the corner.
    numbers = some(0, 2, 4, 5) if shifted else some(4)
    assert_as_exact_as_the_twin(kernel, block, x, grid, numbers)


def test_windows_of_several_images_in_any_order(kernel):
    block = a_block(shift=2, modulator=True)
    x, grid = a_map(block, images=3)
    assert_as_exact_as_the_twin(kernel, block, x, grid, some(17, 3, 6, 12, 11))


def test_a_map_of_one_window_has_both_seams(kernel):
    block = a_block(shift=2)
    x, grid = a_map(block, rows=1, columns=1)
    assert_as_exact_as_the_twin(kernel, block, x, grid, some(0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dim", [12, 32])
def test_in_half_precision(kernel, dtype, dim):
    block = a_block(dim, 2, 8, shift=4, modulator=True, dtype=dtype)
    x, grid = a_map(block, images=2)
    assert_as_exact_as_the_twin(kernel, block, x, grid, some(1, 5, 9))


def test_large_means_do_not_spoil_the_norm(kernel):
    block = a_block()
    x, grid = a_map(block)
    assert_as_exact_as_the_twin(kernel, block, x + 100, grid, some(0, 1))


def test_no_window(kernel):
    block = a_block()
    x, grid = a_map(block)
    assert torch.equal(run(kernel, block, x, grid, some().long()), x)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_windows_beyond_the_count_are_left_alone(kernel, count):
    block = a_block(shift=2)
    x, grid = a_map(block)
    numbers = some(5, 0, 3)
    found = run(kernel, block, x, grid, numbers, count=some(count))
    assert torch.equal(found, run(kernel, block, x, grid, numbers[:count]))


def test_attention_by_itself(kernel):
    block = a_block(shift=2)
    x, grid = a_map(block)
    found = run(kernel, block, x, grid, some(1, 5), feed=False)
    block.is_windowed = False  # the feed-forward layer is then none of the windows' business
    torch.testing.assert_close(found, twin(block, x, grid, some(1, 5)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("dim", "window", "dtype", "can"),
    [
        (256, 8, torch.bfloat16, True),
        (260, 8, torch.bfloat16, False),
        (64, 4, torch.float32, True),
        (68, 4, torch.float32, False),
        (32, 4, torch.float64, False),
        (16, 6, torch.float32, False),
        (16, 16, torch.float32, False),
    ],
)
def test_says_what_it_can_run(kernel, dim, window, dtype, can):
    block = a_block(dim, dim // 4 if dim % 16 else dim // 16, window, dtype=dtype, ratio=1)
    x, grid = a_map(block, 1, 1)
    flat = x.reshape(-1, dim)
    assert kernel.can_run(flat, grid, fold_block(block)) == can
    other = torch.float32 if dtype == torch.bfloat16 else torch.bfloat16
    assert not kernel.can_run(flat, grid, fold_block(block, other))


def test_does_not_run_heads_of_more_than_32_channels(kernel):
    block = a_block(64, 1)
    x, grid = a_map(block, 1, 1)
    assert not kernel.can_run(x.reshape(-1, 64), grid, fold_block(block))


COMPILE = """
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from unsmear.kernels.window_block import _attend, _feed
sizes = {"C": 32, "M": 8, "SHIFT": 4, "BLOCK_C": 32, "HEADS": 1, "PLACES": 64, "KINDS": 4}
sizes |= {"BLOCK_D": 32, "HIDDEN": 32, "BLOCK_H": 16, "count": None}
for kernel in (_attend, _feed):
    fixed = {name: sizes[name] for name in kernel.arg_names if name in sizes}
    types = dict.fromkeys(kernel.arg_names, "*bf16") | {"numbers": "*i64", "eps": "fp32"}
    types |= dict.fromkeys(("height", "width"), "i32") | dict.fromkeys(fixed, "constexpr")
    source = ASTSource(kernel, types, fixed)
    print("mma.sync" in compile(source, GPUTarget("cuda", 80, 32)).asm["ptx"])
"""


@pytest.mark.skipif(DEVICE == "cuda", reason="every other test compiles them")
def test_compile_to_tensor_cores_for_a_gpu_that_is_not_here(tmp_path):
    pytest.importorskip("triton")
    env = os.environ | {"TRITON_CACHE_DIR": str(tmp_path), "TRITON_INTERPRET": "0"}
    command = [sys.executable, "-W", "ignore", "-c", COMPILE]
    built = subprocess.run(command, capture_output=True, text=True, env=env)
    assert built.returncode == 0, built.stderr[-3000:]
    assert built.stdout.split() == ["True", "True"]


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("dim", "heads"), [(16, 1), (32, 1), (64, 2), (128, 4), (256, 8), (512, 16)]
)
@pytest.mark.parametrize("shift", [0, 4])
def test_on_a_gpu_it_is_as_exact_as_the_twin(kernel, dim, heads, dtype, shift):
    if dim > 64 and dtype == torch.float32:
        pytest.skip("too wide")
    block = a_block(dim, heads, 8, shift=shift, modulator=bool(shift), dtype=dtype)
    x, grid = a_map(block, 9, 11, images=2)
    numbers = torch.randperm(2 * grid.windows, device=DEVICE)[:77]
    assert_as_exact_as_the_twin(kernel, block, x, grid, numbers)


@pytest.mark.gpu
@torch.no_grad()
def test_on_a_gpu_nothing_but_the_map_takes_memory(kernel):
    block = a_block(64, 2, 8, dtype=torch.bfloat16)
    x, grid = a_map(block, 64, 64)
    folded, flat = fold_block(block), x.reshape(-1, 64)
    numbers = torch.arange(grid.windows, device=DEVICE)
    kernel.run_windows(flat, grid, numbers, folded)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    kernel.run_windows(flat, grid, numbers, folded)
    assert torch.cuda.max_memory_allocated() == before


@pytest.mark.gpu
@torch.no_grad()
def test_on_a_gpu_a_graph_follows_the_count(kernel):
    block = a_block(32, 1, 8, dtype=torch.bfloat16)
    x, grid = a_map(block, 4, 4)
    folded, flat = fold_block(block), x.reshape(-1, 32)
    numbers, count = torch.arange(grid.windows, device=DEVICE), some(3)
    kernel.run_windows(flat.clone(), grid, numbers, folded, count)  # builds the kernels
    graph, found = torch.cuda.CUDAGraph(), torch.empty_like(flat)
    with torch.cuda.graph(graph):
        found.copy_(flat)
        kernel.run_windows(found, grid, numbers, folded, count)
    for kept in (3, 0, 16):
        count.fill_(kept)
        graph.replay()
        assert torch.equal(found.reshape(x.shape), run(kernel, block, x, grid, numbers[:kept]))
