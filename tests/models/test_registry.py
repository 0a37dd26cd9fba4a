import pytest

from unsmear.errors import ModelError
from unsmear.models import create_model


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
