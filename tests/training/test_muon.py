import copy

import pytest
import torch

from unsmear.training.muon import MuonAdamW, orthogonalize


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("shape", [(3, 8, 32), (2, 32, 8), (1, 16, 16)])
def test_orthogonalized_matrices_keep_their_directions_at_one_length(shape, fast, monkeypatch):
    monkeypatch.setattr("unsmear.runtime._has_fast_bfloat16", lambda device: fast)
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    out = orthogonalize(matrices)
    assert out.dtype == (torch.bfloat16 if fast else torch.float32)
    out = out.float()
    values = torch.linalg.svdvals(out)
    assert values.min() > 0.5
    assert values.max() < 1.3
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    exact = u @ vh
    assert torch.nn.functional.cosine_similarity(out.flatten(), exact.flatten(), dim=0) > 0.95


def test_unmarked_groups_step_as_adamw_and_marked_ones_as_muon():
    muon = getattr(torch.optim, "Muon", None)
    if muon is None:
        pytest.skip("this torch has no Muon to compare with")
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(8, 16, generator=generator), torch.randn(8, generator=generator)]
    ours, theirs = ([torch.nn.Parameter(p.clone()) for p in start] for _ in range(2))
    both = MuonAdamW(
        [{"params": ours[:1], "orthogonal": True, "lr": 1e-2}, {"params": ours[1:]}],
        lr=1e-3,
        weight_decay=0.1,
    )
    one = muon(theirs[:1], lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    other = torch.optim.AdamW(theirs[1:], lr=1e-3, weight_decay=0.1)
    for _ in range(4):
        for mine, reference in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            reference.grad = mine.grad.clone()
        for optimizer in (both, one, other):
            optimizer.step()
    torch.testing.assert_close(ours[0], theirs[0], atol=2e-4, rtol=1e-3)
    torch.testing.assert_close(ours[1], theirs[1])


def test_its_state_comes_back_from_a_checkpoint():
    weight = torch.nn.Parameter(torch.eye(4))
    optimizer = MuonAdamW([{"params": [weight], "orthogonal": True}], lr=0.1)
    weight.grad = torch.ones(4, 4)
    optimizer.step()
    twin = torch.nn.Parameter(weight.detach().clone())
    resumed = MuonAdamW([{"params": [twin], "orthogonal": True}], lr=0.1)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    twin.grad = weight.grad = torch.arange(16.0).reshape(4, 4)
    optimizer.step()
    resumed.step()
    assert torch.equal(weight, twin)


def test_a_vector_among_matrices_is_refused():
    with pytest.raises(ValueError, match="matrices"):
        MuonAdamW([{"params": [torch.nn.Parameter(torch.ones(3))], "orthogonal": True}])


def test_a_closure_sees_all_groups():
    weight, bias = torch.nn.Parameter(torch.eye(4)), torch.nn.Parameter(torch.ones(4))
    optimizer = MuonAdamW([{"params": [weight], "orthogonal": True}, {"params": [bias]}], lr=0.1)
    seen = []

    def closure():
        optimizer.zero_grad()
        loss = (weight.sum() + bias.sum()).square()
        loss.backward()
        seen.append(weight.grad.clone())
        return loss

    for _ in range(2):
        assert optimizer.step(closure) is not None
    fresh = torch.autograd.grad((weight.sum() + bias.sum()).square(), weight)[0]
    closure()
    torch.testing.assert_close(seen[-1], fresh)  # not a sum over steps
