import torch
import torch.nn.functional as F

from unsmear.layers.pixel_linear import PixelLinear


def test_it_is_a_convolution_of_pixels_that_lie_as_rows():
    torch.manual_seed(0)
    layer, pixels = PixelLinear(3, 5), torch.randn(2, 3, 7)
    out = layer(pixels)
    torch.testing.assert_close(out, F.conv1d(pixels, layer.weight, layer.bias))
    assert out.transpose(1, 2).is_contiguous()
