import pytest
import torch

from unsmear.layers.picture_conv import PictureConv


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_the_result_is_as_exact_as_float32(dtype):
    torch.manual_seed(0)
    layer, x = PictureConv(4, 3, 5, padding=2).to(dtype), torch.randn(2, 4, 9, 7).to(dtype)
    with torch.no_grad():
        picture, exact = layer(x), layer.double()(x.double())
    assert picture.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(picture.double(), exact, atol=1e-5, rtol=0)
