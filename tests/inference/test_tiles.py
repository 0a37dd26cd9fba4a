from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F

from unsmear.inference.restoration import Request, restore_whole
from unsmear.inference.tiles import restore_tiled
from unsmear.layers import window_scores
from unsmear.models import create_model


@pytest.fixture
def picture():
    """Rough at the left, smooth at the right; no side is a multiple of a window's."""
    torch.manual_seed(0)
    coarse = torch.rand(1, 3, 20, 60)
    smooth = F.interpolate(coarse, size=(200, 1100), mode="bicubic")[0]
    return (smooth + torch.linspace(0.3, 0, 1100) * torch.randn(3, 200, 1100)).clamp(0, 1)


def undecided(network, picture):
    """Move each predictor's scores until it keeps about half of this picture's windows.

    The threshold comes to lie in a gap between two windows, so that rounding decides none of them.
    """
    predictors = [each for stage in network.stages for each in stage.predictors]
    for number, predictor in enumerate(predictors):
        with torch.no_grad():
            scores = network(picture[None]).scores[number]
            shift = network.config.window_size // 2 * bool(network.predictor_places[number][1])
            windows = window_scores(scores, network.config.window_size, shift)
            margins = (windows[..., 0] - windows[..., 1]).flatten().sort().values
            middle = margins[int(0.4 * len(margins)) : int(0.6 * len(margins)) + 2]
            below = middle.diff().argmax()
            predictor.judge[-1].bias[0] -= middle[below : below + 2].mean()
    return network.eval()


def in_tiles(network, picture, request, tile=256):
    with torch.inference_mode():
        return restore_tiled(network, picture, request, tile)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_window_is_decided_as_in_the_whole(small_network, picture, dtype):
    network = undecided(small_network, picture).to(dtype)
    whole = restore_whole(network, picture, Request())
    tiled = in_tiles(network, picture, Request())
    assert tiled.tiles == 5
    mixed = [0 < kept < windows for kept, windows in whole.windows]
    assert sum(mixed) > 0.8 * len(mixed)
    for mine, theirs in zip(tiled.keep, whole.keep, strict=True):
        assert torch.equal(mine, theirs)
    assert torch.equal(tiled.kept, whole.kept)
    assert (tiled.restored - whole.restored).abs().max() < 1e-5
    assert (tiled.blur_map - whole.blur_map).abs().max() < 1e-5


def test_threads_that_share_a_network_do_not_share_their_tiles(small_network, picture):
    network = undecided(small_network, picture)
    pictures = [picture, picture.flip(2)[:, :150, :700].contiguous(), picture.flip(1)]
    runs = [restore_whole, in_tiles, in_tiles]
    alone = [run(network, one, Request()) for run, one in zip(runs, pictures, strict=True)]
    with ThreadPoolExecutor(len(runs)) as pool:
        for _ in range(3):
            handed = [
                pool.submit(run, network, one, Request())
                for run, one in zip(runs, pictures, strict=True)
            ]
            for together, by_itself in zip(handed, alone, strict=True):
                assert torch.equal(together.result().restored, by_itself.restored)
                assert torch.equal(together.result().blur_map, by_itself.blur_map)


@pytest.mark.parametrize("feed_forward", ["wleff", "leff"])
def test_marked_windows_that_wrap_see_the_other_edge(picture, feed_forward):
    torch.manual_seed(1)
    network = create_model(
        "lmdvit", embed_dim=4, depths=(2,) * 9, num_heads=(1,) * 9, feed_forward=feed_forward
    )
    region = torch.zeros(200, 1100, dtype=torch.bool)
    region[:3, 400:410] = region[170:190, -2:] = region[150:160, 700:760] = True
    request = Request(region=region)
    whole, tiled = (run(network, picture, request) for run in (restore_whole, in_tiles))
    assert 0 < sum(kept for kept, _ in whole.windows) < sum(windows for _, windows in whole.windows)
    for mine, theirs in zip(tiled.keep, whole.keep, strict=True):
        assert torch.equal(mine, theirs)
    assert torch.equal(tiled.kept, whole.kept)
    assert (tiled.restored - whole.restored).abs().max() < 1e-5


def test_with_nothing_to_judge_one_pass_does(small_network, picture, monkeypatch):
    calls = []
    real = type(small_network).forward

    def counted(self, blurred, **options):
        calls.append(blurred.shape[-2:])
        return real(self, blurred, **options)

    whole = restore_whole(small_network, picture, Request(dense=True))
    monkeypatch.setattr(type(small_network), "forward", counted)
    told = []
    tiled = restore_tiled(small_network, picture, Request(dense=True), 384, told.append)
    assert told == pytest.approx([1 / 3, 2 / 3, 1])
    assert len(calls) == tiled.tiles == 3
    assert all(width <= 384 + 2 * small_network.surroundings for _, width in calls)
    assert (tiled.restored - whole.restored).abs().max() < 1e-5
    assert tiled.kept.all()


def test_a_tile_as_large_as_the_picture_is_the_whole(small_network, picture):
    whole = restore_whole(small_network, picture, Request())
    tiled = in_tiles(small_network, picture, Request(), 2048)
    assert tiled.tiles == 1
    assert torch.equal(tiled.restored, whole.restored)
    assert torch.equal(tiled.kept, whole.kept)


def test_progress_of_several_passes_rises_to_one(small_network, picture):
    told = []
    restore_tiled(small_network, picture, Request(), 256, told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert max(told[:-1]) < 1
