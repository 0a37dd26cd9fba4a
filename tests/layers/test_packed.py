import pytest
import torch
import torch.nn.functional as F

from unsmear.layers import packed
from unsmear.layers.packed import PackedDepthwise, PackedLinear, can_pack

TYPES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.05}


@pytest.fixture(params=["private", "public"])
def either(request, monkeypatch):
    """Both ways to compute, whatever this machine can."""
    if request.param == "public":
        monkeypatch.setattr(packed, "can_pack", lambda dtype: False)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_packed_linear_layers_equal_torchs(either, dtype, gelu, biased):
    torch.manual_seed(0)
    weight, x = torch.randn(24, 16, dtype=dtype) / 4, torch.randn(37, 16, dtype=dtype)
    bias = torch.randn(24, dtype=dtype) if biased else None
    expected = F.linear(x, weight, bias)
    layer = PackedLinear(weight, bias, gelu=gelu)
    near = {"atol": TYPES[dtype], "rtol": TYPES[dtype]}
    torch.testing.assert_close(layer(x), F.gelu(expected) if gelu else expected, **near)
    residual = torch.randn(37, 24, dtype=dtype)
    torch.testing.assert_close(layer.added_to(residual, x), residual + expected, **near)


@pytest.mark.parametrize("dtype", TYPES)
def test_packed_depthwise_layers_equal_torchs(either, dtype):
    torch.manual_seed(0)
    taps, bias = torch.randn(3, 3, 8, dtype=dtype), torch.randn(8, dtype=dtype)
    x = torch.randn(5, 10, 12, 8, dtype=dtype)
    plain = F.conv2d(x.permute(0, 3, 1, 2), taps.permute(2, 0, 1)[:, None], bias, groups=8)
    near = {"atol": TYPES[dtype], "rtol": TYPES[dtype]}
    out = PackedDepthwise(taps, bias)(x)
    torch.testing.assert_close(out, F.gelu(plain).permute(0, 2, 3, 1), **near)


@pytest.mark.parametrize("fault", [AttributeError, RuntimeError, None])
def test_private_operations_that_fail_are_not_used(monkeypatch, fault):
    def broken(x, *rest):
        if fault:
            raise fault
        return torch.zeros(len(x), 16, dtype=x.dtype)  # there, but another operation by now

    can_pack.cache_clear()
    monkeypatch.setattr(packed, "_linear", broken)
    assert not can_pack(torch.float32)
    can_pack.cache_clear()


def test_double_precision_is_left_to_torch():
    assert not can_pack(torch.float64)
