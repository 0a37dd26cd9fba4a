import pytest
import torch

from unsmear import native
from unsmear.layers.attention import WindowAttention, relative_position_index
from unsmear.layers.windows import seam_masks


def test_relative_position_index_depends_on_the_offset_alone():
    index = relative_position_index(4)
    assert index.shape == (16, 16)
    assert index.min() == 0
    assert index.max() == 48
    offsets = {}
    for a in range(16):
        for b in range(16):
            offset = (a // 4 - b // 4, a % 4 - b % 4)
            assert offsets.setdefault(offset, int(index[a, b])) == index[a, b]
    assert len(set(offsets.values())) == 49


def test_attention_equals_a_loop_over_heads_and_tokens():
    torch.manual_seed(0)
    layer = WindowAttention(8, 2, 2).double()
    x = torch.rand(3, 4, 8, dtype=torch.float64)
    seams, kinds = torch.rand(4, 4, 4, dtype=torch.float64), torch.tensor([3, 0, 2])
    q, k, v = layer.to_q(x), *layer.to_kv(x).chunk(2, dim=-1)
    bias = layer.position_bias()
    out = torch.zeros_like(x)
    for n in range(3):
        for head in range(2):
            part = slice(4 * head, 4 * head + 4)
            for token in range(4):
                logits = k[n, :, part] @ q[n, token, part] / 2 + bias[head, token]
                logits = logits + seams[kinds[n], token]
                out[n, token, part] = logits.softmax(0) @ v[n, :, part]
    torch.testing.assert_close(layer(x, seams, kinds), layer.proj(out))


def test_gradients_in_float64():
    torch.manual_seed(0)
    layer = WindowAttention(4, 2, 2).double()
    x = torch.rand(2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


@pytest.mark.skipif(not native.usable_levels(), reason="the native kernels are not built here")
def test_training_is_compiled_and_equals_the_plain_form(monkeypatch):
    torch.manual_seed(0)
    layer = WindowAttention(32, 2, 8)
    x, seams, kinds = torch.rand(5, 64, 32), seam_masks(8, 4), torch.tensor([0, 3, 1, 0, 2])
    calls = []
    run = native.AttentionCore.run
    monkeypatch.setattr(native.AttentionCore, "run", lambda core: calls.append(core) or run(core))
    results = []
    for compiled in (True, False):
        monkeypatch.setattr(native.AttentionCore, "fits", lambda *_, fits=compiled: fits)
        out = layer(x, seams, kinds)
        layer.zero_grad()
        out.square().sum().backward()
        results.append([out.detach(), *(p.grad for p in layer.parameters())])
    assert len(calls) == 1
    torch.testing.assert_close(*results, atol=1e-4, rtol=1e-4)


@pytest.mark.skipif(not native.usable_levels(), reason="the native kernels are not built here")
def test_second_derivatives_of_the_compiled_form_are_the_plain_ones(monkeypatch):
    torch.manual_seed(0)
    layer = WindowAttention(32, 2, 8)
    x, direction = torch.rand(3, 64, 32, requires_grad=True), torch.randn(3, 64, 32)
    seams, kinds = seam_masks(8, 4), torch.tensor([0, 3, 1])
    results = []
    for compiled in (True, False):
        monkeypatch.setattr(native.AttentionCore, "fits", lambda *_, fits=compiled: fits)
        (slope,) = torch.autograd.grad(layer(x, seams, kinds).sum(), x, create_graph=True)
        results.append(torch.autograd.grad(slope, [x, layer.to_q.weight], direction))
    assert results[0][0].any()
    torch.testing.assert_close(*results, atol=1e-5, rtol=1e-4)


@pytest.mark.skipif(not native.usable_levels(), reason="the native kernels are not built here")
def test_without_gradients_torch_attends(monkeypatch):
    monkeypatch.setattr(native.AttentionCore, "run", None)
    layer = WindowAttention(32, 2, 8)
    with torch.no_grad():
        layer(torch.rand(1, 64, 32))
    layer.requires_grad_(False)(torch.rand(1, 64, 32))
