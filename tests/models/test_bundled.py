import json

import pytest
import torch

from unsmear.models import CONFIGS, DEFAULT_MODEL, bundled_weights, load_model
from unsmear.models.weights import read_checkpoint


def test_the_default_model_comes_with_the_package():
    path = bundled_weights(DEFAULT_MODEL)
    assert path is not None
    assert path.stat().st_size <= 30e6
    card = json.loads(read_checkpoint(path)[1]["unsmear.card"])
    assert card["trained_on"]
    assert path.with_suffix(".md").is_file()


@pytest.mark.parametrize("name", [n for n in CONFIGS if bundled_weights(n)])
def test_bundled_weights_fit_their_configuration(name):
    network = load_model(name)
    with torch.device("meta"):
        from unsmear.models import create_model

        wanted = create_model(name)
    shapes = {key: value.shape for key, value in wanted.state_dict().items()}
    assert {key: value.shape for key, value in network.state_dict().items()} == shapes
    with torch.no_grad():
        out = network(torch.rand(1, 3, 64, 64))
    assert torch.isfinite(out.restored).all()
