import numpy as np
import pytest
import torch

from unsmear.explain import explain
from unsmear.explain.colours import MARK, pixels, spread

from .makers import network, photo


@pytest.mark.parametrize(
    ("name", "titles"),
    [("dmphn", ("level 4", "level 3", "level 2")), ("srn", ("scale 1", "scale 2"))],
)
def test_every_step_is_shown_in_order(name, titles):
    net, picture = network(name), photo()
    figures = explain(net, picture)[3:]
    with torch.inference_mode():
        stages = net(picture).stages
    assert tuple(figure.title.removeprefix("After ") for figure in figures) == titles
    for figure, stage in zip(figures, stages, strict=True):
        side = 40 // stage.shape[-2]
        assert np.array_equal(figure.picture, pixels(spread(stage, side, picture)))


@pytest.mark.parametrize("name", ["dmphn-nu", "srn-nu"])
def test_sampled_pixels_are_those_of_the_result(name):
    net, picture = network(name), photo()
    figures = [figure for figure in explain(net, picture) if "-sampled" in figure.name]
    with torch.inference_mode():
        sampling = net(picture).sampling
    assert len(sampling) > 0
    for figure, one in zip(figures, sampling, strict=True):
        side = 40 // one.drawn.shape[-2]
        red = (figure.picture == MARK).all(axis=-1)
        assert red.sum() == one.drawn.sum() * side**2
        assert np.array_equal(red[::side, ::side], one.drawn[0, 0].numpy() > 0)
        assert figure.caption.startswith(f"{int(one.drawn.sum()):,} of {one.drawn.numel():,} ")


def test_sections_are_named_after_the_stage_that_sampled():
    sections = [figure.section for figure in explain(network("dmphn-nu"), photo())]
    assert list(dict.fromkeys(sections)) == ["Photo", "On the way", "Level 3", "Level 2", "Level 1"]
