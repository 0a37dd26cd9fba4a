import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from unsmear.layers import AdaWPT, Pruning
from unsmear.layers.foldable import is_foldable


class Adapter(nn.Module):
    """A low-rank change around a linear layer, which shows that layer's weights as its own."""

    def __init__(self, base):
        super().__init__()
        self.base = base
        self.down = nn.Parameter(0.3 * torch.randn(base.in_features, 2))
        self.up = nn.Parameter(0.3 * torch.randn(2, base.out_features))
        self.in_features = base.in_features

    @property
    def weight(self):
        return self.base.weight

    @property
    def bias(self):
        return self.base.bias

    def forward(self, x):
        return self.base(x) + x @ self.down @ self.up


def adapt(owner, name):
    setattr(owner, name, Adapter(getattr(owner, name)))


def unbias(linear):
    linear.bias = None


CHANGES = {
    "adapter on queries": lambda block, _: adapt(block.attention, "to_q"),
    "adapter on the feed-forward layer": lambda block, _: adapt(block.feed_forward, "reduce"),
    "adapter on a predictor": lambda _, predictor: adapt(predictor.embed, "3"),
    "something behind": lambda block, _: setattr(
        block.attention, "proj", nn.Sequential(block.attention.proj, nn.Tanh())
    ),
    "another activation": lambda _, predictor: setattr(predictor.judge, "1", nn.ReLU()),
    "other norms": lambda block, _: setattr(block, "norm2", nn.LayerNorm(16, eps=0.1)),
    "another eps": lambda block, _: setattr(block.norm2, "eps", 0.1),
    "no bias": lambda block, _: unbias(block.attention.to_q),
    "no bias in a predictor": lambda _, predictor: unbias(predictor.judge[0]),
    "a hook": lambda block, _: block.attention.register_forward_hook(lambda *a: 5 * a[-1]),
    "a hook before": lambda block, _: block.norm1.register_forward_pre_hook(
        lambda _, given: (given[0].flip(-1),)
    ),
    "a forward of its own": lambda block, _: setattr(
        block.attention, "forward", lambda x, *_: 3 * x
    ),
    "pruned weights": lambda block, _: prune.l1_unstructured(block.attention.to_q, "weight", 0.9),
    "spectral norm": lambda block, _: parametrizations.spectral_norm(block.feed_forward.expand),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_not_as_built_computes_without_gradients_what_it_does_with_them(change):
    torch.manual_seed(0)
    stage = AdaWPT(16, 2, 2).eval()
    x, pruning = torch.randn(1, 16, 24, 16), Pruning(0.0)
    with torch.no_grad():
        before = stage(x, pruning)
    change(stage.blocks[0], stage.predictors[0])
    stage.eval()
    wanted = stage(x, pruning)
    with torch.no_grad():
        out = stage(x, pruning)
    assert (out.x - wanted.x).abs().max() < 1e-5
    assert (out.scores[0] - wanted.scores[0]).abs().max() < 1e-5
    moved = [(out.x - before.x), (out.scores[0] - before.scores[0])]
    assert max(float(difference.abs().max()) for difference in moved) > 1e-4


def test_layers_are_foldable_as_they_are_built():
    stage = AdaWPT(16, 2, 2, modulator=True, feed_forward="leff").eval()
    watched = copy.deepcopy(stage)
    watched.predictors[0].register_forward_hook(lambda *_: None)  # its call goes through the hook
    for each in (stage, watched):
        assert all(map(is_foldable, [*each.blocks, *each.predictors]))
