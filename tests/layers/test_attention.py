import torch

from unsmear.layers.attention import WindowAttention, relative_position_index


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
    seams = torch.rand(3, 4, 4, dtype=torch.float64)
    q, k, v = layer.to_q(x), *layer.to_kv(x).chunk(2, dim=-1)
    bias = layer.position_bias()
    out = torch.zeros_like(x)
    for n in range(3):
        for head in range(2):
            part = slice(4 * head, 4 * head + 4)
            for token in range(4):
                logits = k[n, :, part] @ q[n, token, part] / 2 + bias[head, token] + seams[n, token]
                out[n, token, part] = logits.softmax(0) @ v[n, :, part]
    torch.testing.assert_close(layer(x, seams), layer.proj(out))


def test_gradients_in_float64():
    torch.manual_seed(0)
    layer = WindowAttention(4, 2, 2).double()
    x = torch.rand(2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))
