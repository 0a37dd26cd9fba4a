"""Our checkpoints in spandrel."""

import sys
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file

from unsmear.errors import UnsmearError
from unsmear.models import bundled_weights, create_model, load_model, save_model

PICTURE = torch.rand(1, 3, 50, 70, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def loader(spandrel: ModuleType):
    """A loader of spandrel's own architectures and ours."""
    from unsmear.exchange.spandrel import register

    registry = spandrel.MAIN_REGISTRY.copy()
    register(registry)
    return spandrel.ModelLoader(registry=registry)


def restored(network, picture=PICTURE):
    with torch.inference_mode():
        return network(picture).restored.clamp(0, 1)


def test_the_bundled_weights_give_the_same_picture(spandrel, loader):
    path = bundled_weights("lmdvit-tiny")
    model = loader.load_from_file(path)
    assert isinstance(model, spandrel.ImageModelDescriptor)
    assert (model.architecture.id, model.purpose, model.tags) == ("LMD-ViT", "Restoration", ["16c"])
    assert (model.scale, model.input_channels, model.output_channels) == (1, 3, 3)
    assert model.tiling is spandrel.ModelTiling.DISCOURAGED
    assert torch.equal(model(PICTURE), restored(load_model(path)))
    assert torch.equal(
        model(PICTURE[..., :1, :1]), restored(load_model(path), PICTURE[..., :1, :1])
    )


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_released_form_is_told_from_uformer(loader, reference_weights, tmp_path, prefix):
    state = {prefix + name: tensor for name, tensor in load_file(reference_weights).items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "released.pth")
    model = loader.load_from_file(tmp_path / "released.pth")
    assert model.architecture.id == "LMD-ViT"
    assert torch.equal(model(PICTURE), restored(load_model(reference_weights)))


def test_uformer_stays_uformer(loader):
    from spandrel.architectures.Uformer import Uformer

    heads = (1, 1, 1, 1, 1, 1, 1, 1, 1)
    uformer = Uformer(embed_dim=4, depths=(1,) * 9, num_heads=heads, token_mlp="leff")
    assert loader.load_from_state_dict(uformer.state_dict()).architecture.id == "Uformer"


def test_an_unpruned_network_is_known_too(loader):
    network = create_model("lmdvit", embed_dim=4, num_heads=(1,) * 9, pruned_stages=())
    model = loader.load_from_state_dict(network.state_dict())
    assert model.model.predictor_places == ()
    assert torch.equal(model(PICTURE), restored(network))


def test_dmphn_of_any_size(loader, tmp_path, little):
    network = little("dmphn")
    model = loader.load_from_file(save_model(network, tmp_path / "dmphn.safetensors"))
    assert (model.architecture.id, model.tags) == ("DMPHN", ["2c"])
    assert torch.equal(model(PICTURE), restored(network))


@pytest.mark.parametrize("name", ["dmphn-nu", "saphn", "srn", "lbag"])
def test_what_cannot_be_read_off_its_weights_is_left_alone(spandrel, loader, little, name):
    with pytest.raises(spandrel.UnsupportedModelError):
        loader.load_from_state_dict(little(name).state_dict())


@pytest.mark.parametrize(
    ("dtype", "drift"), [(torch.float16, 2e-3), (torch.bfloat16, 1e-2)], ids=str
)
def test_half_precision(loader, dtype, drift):
    whole = loader.load_from_file(bundled_weights("lmdvit-tiny"))(PICTURE)
    half = loader.load_from_file(bundled_weights("lmdvit-tiny")).to(dtype)(PICTURE.to(dtype))
    assert half.dtype == dtype
    assert (half.float() - whole).abs().mean() < drift


def test_everybody_is_served_and_once(spandrel):
    from unsmear.exchange.spandrel import register

    before = len(spandrel.MAIN_REGISTRY)
    register()
    register()
    assert len(spandrel.MAIN_REGISTRY) == before + 2
    model = spandrel.ModelLoader().load_from_file(bundled_weights("lmdvit-tiny"))
    assert model.architecture.id == "LMD-ViT"


@pytest.mark.parametrize("problem", [ImportError("no such module"), RuntimeError("no operator")])
def test_a_spandrel_that_does_not_import_is_explained(monkeypatch, problem):
    class Broken:
        def find_spec(self, name, *_):
            if name == "spandrel":
                raise problem

    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "spandrel", raising=False)
    monkeypatch.delitem(sys.modules, "unsmear.exchange.spandrel", raising=False)
    with pytest.raises(UnsmearError, match=rf"{problem}.*unsmear\[rivals\]"):
        import unsmear.exchange.spandrel  # noqa: F401
