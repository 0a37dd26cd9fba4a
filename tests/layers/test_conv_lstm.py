import math

import pytest
import torch

from unsmear.layers.conv_lstm import ConvLSTM, Memory


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def test_one_step_by_hand():
    cell = ConvLSTM(1, kernel_size=1)
    weights = torch.tensor([[0.5, 0.1], [-0.3, 0.2], [0.7, -0.4], [0.9, 0.6]])
    biases = [0.1, 1.0, -0.2, 0.3]
    with torch.no_grad():
        cell.gates.weight.copy_(weights[:, :, None, None])
        cell.gates.bias.copy_(torch.tensor(biases))
        x, hidden, remembered = 0.8, -0.5, 0.4
        out, memory = cell(
            torch.full((1, 1, 1, 1), x),
            Memory(torch.full((1, 1, 1, 1), hidden), torch.full((1, 1, 1, 1), remembered)),
        )
    take, keep, show, new = (
        a * x + b * hidden + bias for (a, b), bias in zip(weights.tolist(), biases, strict=True)
    )
    kept = sigmoid(keep) * remembered + sigmoid(take) * math.tanh(new)
    assert memory.cell.item() == pytest.approx(kept, abs=1e-6)
    assert out.item() == pytest.approx(sigmoid(show) * math.tanh(kept), abs=1e-6)
    assert torch.equal(out, memory.hidden)


def test_begins_by_remembering():
    cell = ConvLSTM(3)
    memory = Memory(torch.zeros(1, 3, 4, 4), torch.rand(1, 3, 4, 4))
    _, after = cell(torch.zeros(1, 3, 4, 4), memory)
    wanted = memory.cell * torch.tensor(1.0).sigmoid()
    torch.testing.assert_close(after.cell, wanted)


def test_no_memory_is_an_empty_memory():
    cell, x = ConvLSTM(2), torch.rand(2, 2, 5, 3)
    empty = Memory(torch.zeros_like(x), torch.zeros_like(x))
    assert torch.equal(cell(x)[0], cell(x, empty)[0])
