import numpy as np
import pytest
import torch

from unsmear.explain.colours import MARK
from unsmear.explain.saphn import STRONGEST, draw, strongest, watching

from .makers import photo, saphn


def drawn_by(network, picture):
    with torch.inference_mode():
        figures = {figure.name: figure for figure in draw(network, picture, {})}
        return figures, network(picture)


def test_drawn_pixels_are_the_sampled_ones():
    figures, out = drawn_by(saphn(), photo())
    assert len(out.sampling) == 4
    for one in out.sampling:
        figure = figures[f"stage{one.stage}-r{one.ratio}-sampled"]
        red = (figure.picture == MARK).all(axis=-1)
        assert np.array_equal(red, one.drawn[0, 0].numpy() > 0)
        assert figure.caption.startswith(f"{int(one.drawn.sum()):,} of 2,240 pixels")


@pytest.mark.parametrize("part", ["offset", "kernel"])
def test_only_sampled_pixels_of_a_coarse_scale_have_colour(part):
    figures, out = drawn_by(saphn(), photo())
    for one in out.sampling[1::2]:
        figure = figures[f"stage{one.stage}-quarter-{part}"]
        coloured = np.ptp(figure.picture, axis=-1) > 0
        assert np.array_equal(coloured, one.drawn[0, 0].numpy() > 0)
        assert "Grey where" in figure.caption
    assert (np.ptp(figures[f"stage3-full-{part}"].picture, axis=-1) > 0).all()
    assert "Grey where" not in figures[f"stage3-full-{part}"].caption


@pytest.mark.parametrize("sampling", [False, True])
def test_maps_cover_the_padded_picture(sampling):
    network = saphn(sampling=sampling)
    with torch.inference_mode(), watching(network) as seen:
        network(photo(37, 50))  # padded to 40 x 56
    assert [(each.stage, each.scale) for each in seen[::4]] == [
        (1, 2), (1, 0), (2, 2), (2, 0), (3, 2), (3, 0)
    ]  # fmt: skip
    for each in seen:
        is_of_pixels = each.view.name in ("offset", "kernel") and sampling and each.stage > 1
        side = 1 if is_of_pixels else 2**each.scale
        assert each.maps.shape[-2:] == (40 // side, 56 // side)
        assert each.maps.shape[1] == (3 if each.view.name == "attention" else 1)


def test_patches_are_put_together_where_they_were():
    colours = torch.rand(4, 3, 1, 1)
    quarters = [[colours[0], colours[1]], [colours[2], colours[3]]]
    rows = [torch.cat([each.expand(3, 16, 24) for each in row], dim=2) for row in quarters]
    together = torch.cat(rows, dim=1)[None]
    network = saphn()

    def bottom(picture):
        with torch.inference_mode(), watching(network) as seen:
            network(picture)
        return {(each.scale, each.view.name): each.maps for each in seen if each.stage == 1}

    maps = bottom(together)
    for number, colour in enumerate(colours):
        alone = bottom(colour.expand(1, 3, 32, 48))  # four times the same patch
        for key in ((0, "mask"), (2, "mask"), (0, "kernel")):
            whole, wanted = maps[key], alone[key]
            h, w = whole.shape[-2] // 2, whole.shape[-1] // 2
            rows = slice(number // 2 * h, (number // 2 + 1) * h)
            columns = slice(number % 2 * w, (number % 2 + 1) * w)
            torch.testing.assert_close(whole[..., rows, columns], wanted[..., :h, :w])


def test_the_strongest_maps_vary_most():
    spreads = torch.tensor([0.1, 3.0, 0.0, 2.0, 1.0])
    pattern = torch.tensor([1.0, -1.0]).repeat(8).reshape(1, 1, 4, 4)
    assert strongest(pattern * spreads[:, None, None]) == [1, 3, 4]
    assert len(strongest(torch.rand(1, 2, 4, 4))) == 2 < STRONGEST
    assert strongest(torch.full((1, 1, 4, 4), float("nan"))) == [0]


def test_watching_changes_nothing_and_leaves_nothing():
    network, picture = saphn(), photo()
    with torch.inference_mode():
        before = network(picture).restored
        with watching(network):
            during = network(picture).restored
    assert torch.equal(before, during)
    assert not any(module._forward_hooks for module in network.modules())
    with pytest.raises(RuntimeError), watching(network):
        raise RuntimeError
    assert not any(module._forward_hooks for module in network.modules())
