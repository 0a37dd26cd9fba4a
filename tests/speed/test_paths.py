import pytest
import torch

from unsmear.speed.paths import PATHS, compute_by, keep_at_random, make_picture, shares_kept


@pytest.fixture
def network(little):
    return little("lmdvit-tiny").requires_grad_(False)


@pytest.mark.parametrize("path", sorted(set(PATHS) - {"fast"}))
def test_paths_agree(network, path):
    picture = make_picture(140, 128)
    decisions = keep_at_random(network, picture, 0.5)
    ways = [
        compute_by(each, network, picture, torch.device("cpu"), torch.float32)
        for each in ("fast", path)
    ]
    fast, plain = (way(decisions) for way in ways)
    assert fast.shape == (1, 3, 128, 140)
    torch.testing.assert_close(fast, plain, atol=1e-5, rtol=0)


def test_the_plain_path_narrows_by_autocast(network):
    picture = make_picture(128, 128)
    decisions = keep_at_random(network, picture, 1.0)
    cpu = torch.device("cpu")
    plain = compute_by("plain", network, picture, cpu, torch.bfloat16)(decisions)
    assert next(network.parameters()).dtype == torch.float32
    fast = compute_by("fast", network, picture, cpu, torch.bfloat16)(decisions)
    assert next(network.parameters()).dtype == torch.bfloat16
    torch.testing.assert_close(fast, plain, atol=0.02, rtol=0)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_random_decisions_keep_their_share(network, share):
    decisions = keep_at_random(network, make_picture(256, 256), share)
    assert len(decisions) == len(network.predictor_places)
    kept = shares_kept(network, decisions)
    pruned = {stage for stage, _ in network.predictor_places}
    for number, (plain, _) in enumerate(kept, start=1):
        assert plain == (pytest.approx(share) if number in pruned else 1.0)


def test_decisions_are_the_same_in_every_process(network):
    first, second = (keep_at_random(network, make_picture(128, 128), 0.5) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
