import pytest
import torch
import torch.nn.functional as F

from unsmear.layers import chunks, packed
from unsmear.layers.upsampling import JoinedUpsampling

TYPES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.05}


def joined(layer, x, skip):
    """What the layer stands for: torch's own convolution, and the skip connection behind it."""
    grown = F.conv_transpose2d(x.permute(0, 3, 1, 2), layer.weight, layer.bias, stride=2)
    return torch.cat([grown.permute(0, 2, 3, 1), skip], dim=-1)


def make(dtype=torch.float32, width=7):
    torch.manual_seed(0)
    layer = JoinedUpsampling(16, 8).to(dtype).eval()
    maps = torch.randn(2, 5, width, 16), torch.randn(2, 10, 2 * width, 4)
    return layer, *(one.to(dtype) for one in maps)


@pytest.mark.parametrize("width", [7, 40, 300], ids=["whole", "uneven bands", "row by row"])
@pytest.mark.parametrize("is_packed", [True, False], ids=["packed", "public"])
@pytest.mark.parametrize("dtype", TYPES)
def test_bands_are_the_convolution(dtype, is_packed, width, monkeypatch):
    if not is_packed:
        monkeypatch.setattr(packed, "can_pack", lambda dtype: False)
    monkeypatch.setattr(chunks, "CPU_ELEMENTS", 1)  # bands of 256 tokens
    layer, x, skip = make(dtype, width)
    with torch.no_grad():
        ours, theirs = layer(x, skip), joined(layer, x, skip)
    assert ours.dtype == dtype
    assert torch.equal(ours[..., 8:], skip)
    torch.testing.assert_close(ours, theirs, atol=TYPES[dtype], rtol=TYPES[dtype])


def test_maps_need_not_be_contiguous():
    layer, x, skip = make()
    x, skip = (one.transpose(1, 2).contiguous().transpose(1, 2) for one in (x, skip))
    with torch.no_grad():
        torch.testing.assert_close(layer(x, skip), joined(layer, x, skip))


def test_gradients_are_the_convolutions():
    layer, x, skip = make(torch.float64)
    leaves = [x.requires_grad_(), skip.requires_grad_(), *layer.parameters()]
    slope = torch.randn(2, 10, 14, 12, dtype=torch.float64)
    ours, theirs = (
        torch.autograd.grad(out, leaves, slope) for out in (layer(x, skip), joined(layer, x, skip))
    )
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_changed_weights_are_seen():
    layer, x, skip = make()
    with torch.no_grad():
        layer(x, skip)
        layer.weight.mul_(2)
        torch.testing.assert_close(layer(x, skip), joined(layer, x, skip))
        layer.weight.data.mul_(2)  # as averaged weights are written
        layer.train().eval()
        torch.testing.assert_close(layer(x, skip), joined(layer, x, skip))


def test_its_weights_have_the_names_of_a_transposed_convolution():
    assert [*JoinedUpsampling(16, 8).state_dict()] == ["weight", "bias"]
