import re
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from unsmear.errors import InputError
from unsmear.explain import explain, shrunk
from unsmear.explain.drawers import DRAWERS
from unsmear.models.registry import FAMILIES

from .makers import SIZE, lmdvit, network, photo, saphn

FIGURES = {  # beside input, restored and change
    "lmdvit": 1 + 9 * 2 * 2,
    "lmdvit-unpruned": 0,
    "saphn": 2 + 4 * 2 + 3 * 2 * (1 + 3 + 1 + 1),
    "saphn-uniform": 3 * 2 * (1 + 3 + 1 + 1),
    "saphn-bare": 0,
    "lbag": 3,
    "dmphn": 3,
    "dmphn-nu": 3 + 3 * 2 * 2,
    "srn": 2,
    "srn-nu": 2 + 2 * 2 * 2,
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_family_is_drawn_in_the_photos_size(name):
    picture = photo()
    before = picture.clone()
    figures = explain(network(name), picture)
    assert [figure.name for figure in figures[:3]] == ["input", "restored", "change"]
    assert len(figures) == 3 + FIGURES[name]
    for figure in figures:
        assert figure.picture.shape == (*SIZE, 3)
        assert figure.picture.dtype == np.uint8
        assert re.fullmatch(r"[a-z0-9-]+", figure.name)
        assert figure.title
        assert figure.caption.endswith(".")
    assert max(Counter(figure.name for figure in figures).values()) == 1
    assert torch.equal(picture, before)
    headings = [figure.section for figure in figures]
    runs = [one for one, before in zip(headings, [None, *headings], strict=False) if one != before]
    assert len(runs) == len(set(runs))  # no heading comes twice


def test_every_family_has_a_drawer():
    assert set(DRAWERS) == {family.network for family in FAMILIES.values()}


def test_the_threshold_decides_which_windows_are_kept():
    def kept(threshold):
        figures = explain(lmdvit(), photo(), threshold=threshold)
        return [figure.caption for figure in figures if figure.name.endswith("-kept")]

    assert all("(100.0%)" in caption for caption in kept(0.0))
    assert all(caption.startswith("0 of") for caption in kept(1.0))


def test_the_budget_decides_how_many_pixels_are_sampled():
    figures = {figure.name: figure for figure in explain(saphn(), photo(), budget=-0.5)}
    assert figures["stage3-r2-sampled"].caption.startswith("280 of 2,240 pixels (12.5%)")


def test_what_a_network_cannot_take_is_refused():
    with pytest.raises(InputError, match="SAPHN prunes no windows"):
        explain(saphn(), photo(), threshold=0.5)
    with pytest.raises(InputError, match="LMDViT samples no pixels"):
        explain(lmdvit(), photo(), budget=0.1)
    with pytest.raises(InputError, match="SAPHN samples no pixels"):
        explain(saphn(sampling=False), photo(), budget=0.1)
    with pytest.raises(InputError, match="one by one"):
        explain(saphn(), torch.rand(2, 3, 16, 16))
    with pytest.raises(InputError, match="No drawing is known"):
        explain(nn.Identity(), photo())


def test_large_photos_become_smaller():
    large = torch.rand(1, 3, 30, 90)
    assert shrunk(large, 30).shape == (1, 3, 10, 30)
    assert shrunk(large, 90) is large
    assert shrunk(torch.rand(1, 3, 1, 90), 30).shape == (1, 3, 1, 30)
    torch.testing.assert_close(shrunk(large, 30).mean(), large.mean(), atol=0.01, rtol=0)
