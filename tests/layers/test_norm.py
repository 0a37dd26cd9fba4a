import torch

from unsmear.layers.norm import LayerNorm, softmax


def test_types_stay_under_autocast_and_values_are_torchs():
    x = torch.rand(4, 7, 16, dtype=torch.bfloat16)
    norm = LayerNorm(16)
    with torch.autocast("cpu", torch.bfloat16):
        assert norm(x).dtype == torch.bfloat16
        assert softmax(x).dtype == torch.bfloat16
    wanted = torch.nn.functional.layer_norm(x.float(), (16,), norm.weight, norm.bias)
    torch.testing.assert_close(norm(x).float(), wanted, atol=0.02, rtol=0.01)
