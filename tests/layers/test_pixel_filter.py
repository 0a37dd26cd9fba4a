import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from unsmear import kernels
from unsmear.layers import pixel_filter
from unsmear.layers.pixel_filter import PixelFilter, filter_pixels
from unsmear.layers.pixel_sampling import Selection, gather_pixels


def by_loop(x, weight, kernels, offsets):
    """Eq. 17, one pixel, tap and corner at a time."""
    b, c, h, w = x.shape
    half = weight.shape[-1] // 2
    out = torch.zeros(b, weight.shape[0], h * w, dtype=x.dtype)
    for n, j, k in torch.cartesian_prod(*map(torch.arange, (b, h * w, weight[0, 0].numel()))):
        row, column = int(k) // weight.shape[-1], int(k) % weight.shape[-1]
        at_x = int(j) % w + column - half + float(offsets[n, j, k, 0])
        at_y = int(j) // w + row - half + float(offsets[n, j, k, 1])
        value = torch.zeros(c, dtype=x.dtype)
        for corner_y in (math.floor(at_y), math.floor(at_y) + 1):
            for corner_x in (math.floor(at_x), math.floor(at_x) + 1):
                if 0 <= corner_y < h and 0 <= corner_x < w:
                    near = (1 - abs(at_y - corner_y)) * (1 - abs(at_x - corner_x))
                    value += near * x[n, :, corner_y, corner_x]
        out[n, :, j] += kernels[n, j, k] * (weight[:, :, row, column] @ value)
    return out


def a_selection(b, h, w, count):
    order = torch.stack([torch.randperm(h * w)[:count].sort().values for _ in range(b)])
    return Selection(order, None, h, w)


def shaken(filters):
    """Heads that say something else for every pixel."""
    for head in (filters.kernel_head, filters.offset_head):
        if head is not None:
            torch.nn.init.normal_(head.weight)
    return filters


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 2), (8, 11)])
def test_without_kernels_and_offsets_it_is_a_convolution(size):
    torch.manual_seed(0)
    filters = PixelFilter(4)  # fresh: V = 1, D = 0
    x = torch.randn(2, 4, *size)
    wanted = F.conv2d(x, filters.weight, filters.bias, padding=2).flatten(2)
    torch.testing.assert_close(filters(x, x.flatten(2), None), wanted, atol=1e-5, rtol=1e-5)
    plain = PixelFilter(4, kernels=False, offsets=False)
    plain.load_state_dict(filters.state_dict(), strict=False)
    torch.testing.assert_close(plain(x, x.flatten(2), None), wanted)


def test_equals_a_plain_loop():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    weight = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    kernels = torch.randn(2, 20, 25, dtype=torch.float64)
    offsets = 6 * torch.rand(2, 20, 25, 2, dtype=torch.float64) - 3
    wanted = by_loop(x, weight, kernels, offsets)
    torch.testing.assert_close(filter_pixels(x, weight, None, kernels, offsets, None), wanted)


@pytest.mark.parametrize("kernels", [False, True])
@pytest.mark.parametrize("offsets", [False, True])
def test_selected_pixels_are_filtered_as_all_are(kernels, offsets):
    torch.manual_seed(0)
    filters = shaken(PixelFilter(4, kernels=kernels, offsets=offsets))
    x, selection = torch.randn(2, 4, 6, 7), a_selection(2, 6, 7, 9)
    everything = filters(x, x.flatten(2), None).view_as(x)
    some = filters(x, gather_pixels(x, selection), selection)
    torch.testing.assert_close(some, gather_pixels(everything, selection), atol=1e-5, rtol=1e-5)


def test_offsets_never_exceed_their_bound():
    torch.manual_seed(0)
    filters = shaken(PixelFilter(4, max_offset=3.0))
    offsets = filters.offsets(1000 * torch.randn(2, 4, 50))
    assert offsets.shape == (2, 50, 25, 2)
    assert 2.9 < offsets.abs().max() <= 3.0


def test_an_offset_that_is_no_number_spoils_only_its_pixel():
    x, kernels, offsets = torch.randn(1, 2, 4, 5), torch.ones(1, 20, 9), torch.zeros(1, 20, 9, 2)
    offsets[0, 7, 3, 1] = math.nan
    out = filter_pixels(x, torch.randn(2, 2, 3, 3), None, kernels, offsets, None)
    assert out.isnan().any(dim=1)[0].nonzero().flatten().tolist() == [7]


@pytest.mark.parametrize("learning", [False, True])
def test_pieces_give_what_the_whole_gives(monkeypatch, learning):
    torch.manual_seed(0)
    filters, x = shaken(PixelFilter(4)), torch.randn(1, 4, 16, 17)
    with torch.set_grad_enabled(learning):
        whole = filters(x, x.flatten(2), None)
        for piece in ("SMALL_PIECE", "LARGE_PIECE"):
            monkeypatch.setattr(pixel_filter, piece, 1)
        torch.testing.assert_close(filters(x, x.flatten(2), None), whole)


def test_neighbours_exist_for_a_piece_at_a_time(monkeypatch):
    elements = []
    read = pixel_filter.sum_rows

    def watched(*args):
        neighbours = read(*args)
        elements.append(neighbours.numel())
        return neighbours

    monkeypatch.setattr(pixel_filter, "sum_rows", watched)
    monkeypatch.setattr(pixel_filter, "SMALL_PIECE", 100_000)
    x = torch.randn(1, 4, 80, 90)
    with torch.no_grad():
        PixelFilter(4)(x, x.flatten(2), None)
    assert sum(elements) == 80 * 90 * 25 * 4
    assert max(elements) <= 100_000


def test_gradients_are_right():
    torch.manual_seed(0)
    leaf = {"dtype": torch.float64, "requires_grad": True}
    x, weight, bias = torch.randn(2, 2, 4, 3, **leaf), torch.randn(2, 2, 3, 3, **leaf), None
    kernels, selection = torch.randn(2, 5, 9, **leaf), a_selection(2, 4, 3, 5)
    # Bilinear weights have a kink on every pixel: stay between them.
    offsets = (torch.rand(2, 5, 9, 2, dtype=torch.float64) * 0.8 + 0.1).requires_grad_()

    def run(x, weight, kernels, offsets):
        return filter_pixels(x, weight, bias, kernels, offsets, selection)

    assert torch.autograd.gradcheck(run, (x, weight, kernels, offsets))


@pytest.mark.parametrize("some", [False, True])
def test_the_kernel_computes_where_it_can(monkeypatch, some):
    told = SimpleNamespace(filter_pixels=lambda *arguments: arguments)
    monkeypatch.setattr(kernels, "pixel_filter", told, raising=False)
    monkeypatch.setattr(pixel_filter, "can_fuse", lambda x: True)
    selection = a_selection(2, 4, 3, 5) if some else None
    arguments = [torch.ones(n) for n in range(5)]
    found = filter_pixels(*arguments, selection)
    assert all(a is b for a, b in zip(found, arguments, strict=False))
    assert found[5] is (selection.index if some else None)
