import numpy as np
import torch

from unsmear.explain.colours import heat, spread
from unsmear.explain.lbag import draw

from .makers import network, photo


def test_gates_are_drawn_from_small_to_large():
    net, picture = network("lbag"), photo(37, 50)
    with torch.inference_mode():
        figures, out = draw(net, picture, {})[3:], net(picture)
    gates = (*out.stage_gates, out.gate)
    for figure, gate, side in zip(figures, gates, (4, 2, 1), strict=True):
        assert figure.name == f"gate-{side}"
        assert f"{gate.mean():.2f} on average" in figure.caption
        assert np.array_equal(figure.picture, heat(spread(gate, side, picture), picture))
    assert len({figure.picture.tobytes() for figure in figures}) == 3
