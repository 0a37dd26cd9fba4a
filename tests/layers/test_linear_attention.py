import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from unsmear.layers.linear_attention import LinearAttention


def naive(attention, information, guide, pixels):
    """The same through the weights of every pixel for every other: N x L numbers."""
    q, p = attention.collecting_maps(guide), attention.distributing_maps(pixels)
    weights = q.transpose(1, 2) @ p  # [B, N, L]
    if attention.activation == "elu":
        weights = weights / weights.sum(dim=1, keepdim=True)
    if attention.pixel_mask is None:
        return information @ weights
    seen = information * attention.pixel_mask(information).sigmoid()
    mean = information.mean(dim=2, keepdim=True)
    return (seen @ weights) * attention.channel_mask(mean).sigmoid()


@pytest.mark.parametrize("activation", ["softmax", "elu"])
@pytest.mark.parametrize("masks", [False, True])
def test_linear_order_equals_the_naive_form(activation, masks):
    torch.manual_seed(0)
    attention = LinearAttention(6, 4, masks, activation)
    information, guide = torch.randn(2, 6, 35), torch.randn(2, 6, 35)
    pixels = torch.randn(2, 6, 12)  # fewer than the grid has, as after sampling
    wanted = naive(attention, information, guide, pixels)
    out = attention(information, guide, pixels)
    torch.testing.assert_close(out, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("activation", ["softmax", "elu"])
def test_what_is_the_same_everywhere_stays(activation):
    attention = LinearAttention(3, 4, masks=False, activation=activation)
    constant = torch.tensor([1.0, -2.0, 3.0])[None, :, None].expand(1, 3, 20)
    torch.testing.assert_close(attention(constant, torch.randn(1, 3, 20), constant), constant)


def test_softmax_maps_are_normalised_over_pixels_and_over_maps():
    attention = LinearAttention(3, 4)
    x = torch.randn(2, 3, 30)
    torch.testing.assert_close(attention.collecting_maps(x).sum(dim=2), torch.ones(2, 4))
    torch.testing.assert_close(attention.distributing_maps(x).sum(dim=1), torch.ones(2, 30))


def test_information_and_maps_come_from_where_they_should():
    torch.manual_seed(0)
    attention = LinearAttention(3, 4)
    information, guide, pixels = (torch.randn(1, 3, 20) for _ in range(3))
    plain = attention(information, guide, pixels)
    one_more = pixels.clone()
    one_more[..., 7] += 1
    changed = (attention(information, guide, one_more) != plain).any(dim=1)[0]
    assert changed.nonzero().flatten().tolist() == [7]
    assert (attention(information, guide + torch.randn(1, 3, 20), pixels) != plain).all()
    assert (attention(2 * information, guide, pixels) != plain).all()


@pytest.mark.parametrize("activation", ["softmax", "elu"])
def test_gradients_are_right(activation):
    torch.manual_seed(0)
    attention = LinearAttention(3, 2, activation=activation).double()
    inputs = [torch.randn(2, 3, n, dtype=torch.float64, requires_grad=True) for n in (7, 7, 4)]
    assert torch.autograd.gradcheck(attention, inputs)


class LargestTensor(TorchDispatchMode):
    """Notes the elements of the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


def test_memory_grows_linearly_with_pixels():
    largest = []
    for side in (128, 256, 512, 1024):
        with torch.device("meta"):
            attention, x = LinearAttention(8, 4), torch.empty(1, 8, side * side)
        with LargestTensor() as seen:
            attention(x, x, x)
        largest.append(seen.elements)
    assert largest == [8 * side * side for side in (128, 256, 512, 1024)]
    assert math.isclose(largest[-1] / largest[0], 64)
