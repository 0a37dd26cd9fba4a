import numpy as np
import pytest
import torch

from unsmear.explain.colours import DIMMED
from unsmear.explain.lmdvit import decision_figures
from unsmear.layers.windows import WindowGrid

from .makers import SIZE, lmdvit, photo

GREY = torch.full((1, 3, *SIZE), 0.5)
PADDED = (64, 64)


def place_of(window: int, side: int, shift: int) -> np.ndarray:
    """Where a window lies in the photo, by the arithmetic that gathers its tokens."""
    grid = WindowGrid(*PADDED, side, shift)
    whole = torch.zeros(PADDED[0] * PADDED[1], dtype=torch.bool)
    whole[grid.token_index(torch.tensor([window]))] = True
    return whole.reshape(PADDED)[: SIZE[0], : SIZE[1]].numpy()


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_a_forced_window_is_drawn_where_it_lies(share):
    network = lmdvit()
    decisions, windows = [], []
    for stage, _ in network.predictor_places:
        side = network.config.window_size * network.scale_of(stage)
        keep = torch.zeros(1, 1, PADDED[0] // side, PADDED[1] // side)
        windows.append(round(share * (keep.numel() - 1)))
        keep.view(-1)[windows[-1]] = 1  # the last one of a shifted partition joins four corners
        decisions.append(keep)
    with torch.inference_mode():
        out = network(GREY, decisions=decisions)
    figures = {figure.name: figure for figure in decision_figures(network, GREY, out)}
    drawn = 0
    for (stage, shift), window in zip(network.predictor_places, windows, strict=True):
        scale = network.scale_of(stage)
        figure = figures[f"stage{stage}{'-shifted' if shift else ''}-kept"]
        where = (figure.picture != round(0.5 * DIMMED * 255)).any(axis=-1)
        wanted = place_of(window, network.config.window_size * scale, shift * scale)
        assert np.array_equal(where, wanted), (stage, shift)
        assert figure.caption.startswith("1 of ")
        assert f"{wanted.mean():.1%} of the photo" in figure.caption
        drawn += where.any()
    assert drawn >= 6  # some windows lie in the padding alone


def test_confidence_is_drawn_token_by_token():
    network = lmdvit()
    with torch.inference_mode():
        out = network(photo())
    scores = [torch.stack([torch.zeros_like(s[..., 0]), s[..., 1] * 0 + 9], -1) for s in out.scores]
    for score in scores:
        score[:, 1, 0] = torch.tensor([9.0, 0.0])  # second row, first column: blurred
    sure = out._replace(scores=tuple(scores))
    figures = {figure.name: figure for figure in decision_figures(network, GREY, sure)}
    for stage, shift in network.predictor_places:
        scale = network.scale_of(stage)
        shown = figures[f"stage{stage}{'-shifted' if shift else ''}-confidence"].picture
        light = shown[..., 1] > 150
        wanted = np.zeros(SIZE, bool)
        wanted[scale : 2 * scale, :scale] = True
        assert np.array_equal(light, wanted), (stage, shift)


def test_the_blur_map_is_the_networks():
    network = lmdvit()
    with torch.inference_mode():
        out = network(photo())
    half = torch.zeros(1, 1, *SIZE)
    half[..., 20:] = 1
    figure = decision_figures(network, GREY, out._replace(blur_map=half))[0]
    assert figure.name == "blur-map"
    assert figure.picture[:, :20, 1].max() < figure.picture[:, 20:, 1].min()
