import pytest
import torch

from unsmear.cli import options
from unsmear.errors import ModelError
from unsmear.models import CONFIGS, DEFAULT_MODEL, bundled_weights, create_model
from unsmear.models.registry import FAMILIES, family_of, override


def test_overrides_change_the_configuration():
    network = create_model("lmdvit-tiny", pruned_stages=(4, 5, 6), embed_dim=8)
    assert network.config.pruned_stages == (4, 5, 6)
    assert {stage for stage, _ in network.predictor_places} == {4, 5, 6}
    assert not network.training


def test_unknown_names_and_settings_are_refused():
    with pytest.raises(ModelError, match="lmdvit-tiny"):
        create_model("lmdvit-huge")
    with pytest.raises(ModelError, match="no setting 'treshold'"):
        create_model("lmdvit", treshold=0.3)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_name_is_built_and_found_again_by_its_configuration(name):
    with torch.device("meta"):
        network = create_model(name)
    assert network.config == CONFIGS[name]
    assert name.split("-")[0] == family_of(network.config)
    assert isinstance(network, FAMILIES[family_of(network.config)].network)


def test_the_command_knows_the_same_names_without_loading_them():
    assert tuple(CONFIGS) == options.MODEL_NAMES
    assert options.DEFAULT_MODEL == DEFAULT_MODEL
    assert set(options.BUNDLED_MODELS) == {name for name in CONFIGS if bundled_weights(name)}


@pytest.mark.parametrize(
    "name", ["lmdvit", "saphn", "saphn-uniform", "dmphn", "dmphn-nu", "srn", "srn-nu", "lbag"]
)
def test_every_network_keeps_the_border_that_the_engine_relies_on(name, little):
    network, pictures = little(name), torch.rand(2, 3, 21, 18)
    with torch.no_grad():
        out = network(pictures)
    assert out.restored.shape == pictures.shape
    assert out.blur_map.shape == (2, 1, 21, 18)
    assert 0 <= out.blur_map.min() <= out.blur_map.max() <= 1
    assert out.supervised[-1] is out.restored
    assert network.size_step >= 1
    assert network.surroundings >= 1
    assert network.features_per_pixel > 0
    assert network.takes_budget == ("nu" in name or name == "saphn")


def test_settings_are_those_of_the_network():
    with pytest.raises(ModelError, match="SAPHN has no setting 'embed_dim'"):
        create_model("saphn", embed_dim=3)


@pytest.mark.parametrize(
    ("name", "wrong", "says"),
    [
        ("lmdvit", {"embed_dim": "four"}, "embed_dim is something like 32, got 'four'"),
        ("lmdvit", {"embed_dim": 16.0}, "embed_dim"),
        ("lmdvit", {"depths": 3}, "depths"),
        ("lmdvit", {"depths": "123456789"}, "depths"),
        ("lmdvit", {"drop_path": None}, "drop_path"),
        ("saphn", {"sampling": "no"}, "sampling is something like True, got 'no'"),
        ("dmphn", {"levels": True}, "levels"),
    ],
)
def test_values_of_another_kind_are_refused(name, wrong, says):
    with pytest.raises(ModelError, match=says):
        create_model(name, **wrong)


def test_values_of_the_same_kind_are_taken():
    config = override(CONFIGS["lmdvit"], {"pruned_stages": range(4, 7), "drop_path": 0})
    assert config.pruned_stages == (4, 5, 6)
    assert override(config, {"pruned_stages": []}).pruned_stages == ()
