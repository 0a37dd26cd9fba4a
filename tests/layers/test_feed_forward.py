import pytest
import torch
import torch.nn.functional as F

from unsmear import native
from unsmear.layers.feed_forward import LocallyEnhancedFeedForward, reflect_borders


def test_reflect_borders_equals_torch():
    windows = torch.rand(3, 8, 8, 5)
    wanted = F.pad(windows.permute(0, 3, 1, 2), (1, 1, 1, 1), mode="reflect").permute(0, 2, 3, 1)
    assert torch.equal(reflect_borders(windows), wanted)


@pytest.mark.parametrize("side", [2, 3, 8])
def test_reflect_borders_has_the_gradient_of_its_slices(side):
    windows = torch.randn(2, side, side, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(reflect_borders, (windows,))


def test_windowed_form_sees_nothing_beyond_its_window():
    layer = LocallyEnhancedFeedForward(4, 2)
    windows = torch.rand(3, 64, 4)
    together, alone = layer.windowed(windows), layer.windowed(windows[1:2])
    torch.testing.assert_close(together[1:2], alone)


def test_global_form_in_bands_equals_the_form_with_gradients(monkeypatch):
    layer = LocallyEnhancedFeedForward(4, 2)
    x = torch.rand(2, 19, 7, 4)
    whole = layer.whole(x)
    monkeypatch.setattr("unsmear.layers.chunks.CPU_ELEMENTS", 300)
    with torch.no_grad():
        torch.testing.assert_close(layer.whole(x), whole)


def test_global_form_is_a_convolution_with_zeros_around_the_map():
    layer = LocallyEnhancedFeedForward(4, 2)
    x = torch.rand(2, 6, 7, 4)
    hidden = F.gelu(layer.expand(x)).permute(0, 3, 1, 2)
    depthwise = layer.depthwise
    hidden = F.conv2d(hidden, depthwise.weight, depthwise.bias, padding=1, groups=8)
    wanted = layer.reduce(F.gelu(hidden).permute(0, 2, 3, 1))
    torch.testing.assert_close(layer.whole(x), wanted)


def test_gradients_in_float64():
    torch.manual_seed(0)
    layer = LocallyEnhancedFeedForward(2, 2).double()
    x = torch.rand(2, 16, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer.windowed, (x,))
    assert torch.autograd.gradcheck(layer.whole, (x.reshape(2, 4, 4, 2),))


@pytest.mark.skipif(not native.usable_levels(), reason="the native kernels are not built here")
def test_training_is_compiled_and_equals_the_plain_form(monkeypatch):
    torch.manual_seed(0)
    layer = LocallyEnhancedFeedForward(16, 4)
    x = torch.rand(5, 64, 16)
    calls = []
    run = native.WindowMixing.run
    monkeypatch.setattr(
        native.WindowMixing, "run", lambda mixing: calls.append(mixing) or run(mixing)
    )
    results = []
    for compiled in (True, False):
        monkeypatch.setattr(native.WindowMixing, "fits", lambda _, fits=compiled: fits)
        out = layer.windowed(x)
        layer.zero_grad()
        out.square().sum().backward()
        results.append([out.detach(), *(p.grad for p in layer.parameters())])
    assert len(calls) == 1
    torch.testing.assert_close(*results, atol=1e-4, rtol=1e-4)


@pytest.mark.skipif(not native.usable_levels(), reason="the native kernels are not built here")
def test_second_derivatives_of_the_compiled_form_are_the_plain_ones(monkeypatch):
    torch.manual_seed(0)
    layer = LocallyEnhancedFeedForward(16, 4)
    x, direction = torch.rand(3, 64, 16, requires_grad=True), torch.randn(3, 64, 16)
    results = []
    for compiled in (True, False):
        monkeypatch.setattr(native.WindowMixing, "fits", lambda _, fits=compiled: fits)
        (slope,) = torch.autograd.grad(layer.windowed(x).sum(), x, create_graph=True)
        results.append(torch.autograd.grad(slope, [x, layer.depthwise.weight], direction))
    assert results[0][0].any()
    torch.testing.assert_close(*results, atol=1e-5, rtol=1e-4)


def test_a_filter_that_is_not_as_built_computes_by_itself():
    torch.manual_seed(0)
    layer = LocallyEnhancedFeedForward(16, 4)
    x = torch.rand(2, 64, 16)
    wanted = layer.reduce(torch.full((2, 64, 64), F.gelu(torch.ones(())).item()))
    layer.depthwise.register_forward_hook(lambda *given: torch.ones_like(given[-1]))
    torch.testing.assert_close(layer.windowed(x), wanted)
