"""The ComfyUI node, called as ComfyUI calls it."""

import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from unsmear import Deblurrer
from unsmear.errors import InputError, UnsmearError
from unsmear.layers import window_scores
from unsmear.models import CONFIGS, bundled_weights, save_model

from .programs import INTEGRATIONS, import_file

FOLDER = INTEGRATIONS / "comfyui"
NAME = "/ComfyUI/custom_nodes/unsmear"  # ComfyUI names packages by their folders
BUNDLED = [name for name in CONFIGS if bundled_weights(name)]


@pytest.fixture
def import_package(monkeypatch):
    """Imports the package; spandrel is another test's subject."""
    registered = []
    spandrel = ModuleType("unsmear.exchange.spandrel")
    spandrel.register = lambda: registered.append(True)  # pyright: ignore
    monkeypatch.setitem(sys.modules, "unsmear.exchange.spandrel", spandrel)

    def make():
        for name in (NAME, f"{NAME}.nodes"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        package = import_file(FOLDER / "__init__.py", NAME)
        package.registered = registered
        return package

    yield make
    for name in (NAME, f"{NAME}.nodes"):
        sys.modules.pop(name, None)


def pictures(batch=2, channels=3):
    """Floats that are no levels of 8 bits, as other nodes leave them; noise in one corner."""
    y, x = torch.meshgrid(torch.arange(150.0), torch.arange(140.0), indexing="ij")
    waves = 0.5 + 0.3 * torch.sin(x / 9) * torch.cos(y / 13)
    image = torch.stack([waves * (1 - 0.1 * channel) for channel in range(channels)], dim=-1)
    image = image.expand(batch, -1, -1, -1).clone()
    noise = torch.randn(batch, 60, 70, channels, generator=torch.Generator().manual_seed(0))
    image[:, :60, :70] += noise / 10
    return image.clamp(0, 1)


@pytest.fixture
def mild_network(small_network, monkeypatch):
    """Changes little enough for the sanity check, and keeps half of a picture's windows."""
    last = small_network.stages[-1].predictors[-1]
    with torch.no_grad():
        small_network.output_proj.weight.mul_(0.1)
        small_network.output_proj.bias.mul_(0.1)
        picture = pictures(batch=1).permute(0, 3, 1, 2)
        scores = window_scores(small_network(picture).scores[-1], 8, 0)[:, :18, :17]
        last.judge[-1].bias[0] -= (scores[..., 0] - scores[..., 1]).median()
    monkeypatch.setattr("unsmear.inference.regions.SURE", 1.0)  # nor has it doubts
    return small_network


@pytest.fixture
def call(import_package, mild_network, monkeypatch):
    """Calls the node by what it declares, with a small network in place of any model."""
    node_class = import_package().NODE_CLASS_MAPPINGS["UnsmearDeblur"]
    engine = Deblurrer(mild_network, device="cpu", dtype="float32")
    monkeypatch.setattr(sys.modules[f"{NAME}.nodes"], "engine_of", lambda _: engine)

    def run(image, **others):
        inputs = node_class.INPUT_TYPES()
        given = {name: spec[1]["default"] for name, spec in inputs["required"].items() if spec[1:]}
        outputs = getattr(node_class(), node_class.FUNCTION)(image=image, **given | others)
        assert len(outputs) == len(node_class.RETURN_TYPES) == len(node_class.RETURN_NAMES)
        return outputs

    run.engine = engine
    return run


def test_importing_registers_with_spandrel(import_package):
    assert import_package().registered == [True]


def test_without_spandrel_the_node_is_there(import_package, monkeypatch):
    class Broken(ModuleType):
        def __getattr__(self, name):
            raise UnsmearError("spandrel cannot be imported")

    monkeypatch.setitem(sys.modules, "unsmear.exchange.spandrel", Broken("broken"))
    assert import_package().NODE_CLASS_MAPPINGS.keys() == {"UnsmearDeblur"}


def test_what_it_declares(import_package):
    package = import_package()
    assert package.NODE_CLASS_MAPPINGS.keys() == package.NODE_DISPLAY_NAME_MAPPINGS.keys()
    node = package.NODE_CLASS_MAPPINGS["UnsmearDeblur"]
    inputs = node.INPUT_TYPES()
    assert inputs["required"]["model"][0] == BUNDLED
    assert inputs["optional"]["mask"][0] == "MASK"
    assert node.RETURN_TYPES == ("IMAGE", "MASK")
    about = tomllib.loads((FOLDER / "pyproject.toml").read_text())
    assert about["project"]["name"] == "unsmear"
    assert "DisplayName" in about["tool"]["comfy"]


def test_pictures_of_a_batch_are_those_of_the_engine(call):
    image = pictures()
    before = image.clone()
    made, maps = call(image)
    assert torch.equal(image, before)
    assert (made.shape, made.dtype, maps.shape) == (image.shape, image.dtype, image.shape[:3])
    for picture, out, blur_map in zip(image, made, maps, strict=True):
        levels = np.rint(picture.numpy() * 65535).astype(np.uint16)
        wanted = call.engine.deblur(levels)
        assert 0 < wanted.touched.mean() < 1
        touched = torch.from_numpy(wanted.touched)
        assert torch.equal(out[~touched], picture[~touched])
        rgb = torch.from_numpy(wanted.picture.rgb.astype(np.float32)) / 65535
        torch.testing.assert_close(out[touched], rgb[touched], rtol=0, atol=1e-7)
        assert torch.equal(blur_map, torch.from_numpy(wanted.blur_map))


@pytest.mark.parametrize("masks", [None, 0, 1])
def test_a_batch_without_pictures_gives_none(call, masks):
    mask = None if masks is None else torch.ones(masks, 150, 140)
    made, maps = call(pictures(batch=0), mask=mask)
    assert (made.shape, maps.shape) == ((0, 150, 140, 3), (0, 150, 140))


@pytest.mark.parametrize("batched", [True, False])
def test_one_mask_serves_all_pictures(call, batched):
    image, mask = pictures(), torch.zeros(150, 140)
    mask[20:90, 30:100] = 1
    made, _ = call(image, mask=mask[None] if batched else mask)
    changed = (made != image).any(dim=-1)
    assert changed[:, 20:90, 30:100].any(dim=(1, 2)).all()
    changed[:, 20:90, 30:100] = False
    assert not changed.any()


def test_each_picture_has_its_mask(call):
    image, mask = pictures(), torch.zeros(2, 150, 140)
    mask[1] = 1
    made, _ = call(image, mask=mask)
    assert torch.equal(made[0], image[0])
    assert not torch.equal(made[1], image[1])


def test_wishes_reach_the_engine(call):
    image = pictures(batch=1)
    assert torch.equal(call(image, strength=0.0)[0], image)
    assert torch.equal(call(image, threshold=1.0)[0], image)
    half, whole = (call(image, strength=share)[0] - image for share in (0.5, 1.0))
    assert half.abs().sum() < whole.abs().sum()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_other_channels_are_left_alone(call, channels):
    image = pictures(batch=1, channels=channels)
    made, maps = call(image)
    assert made.shape == image.shape
    assert not torch.equal(made, image)
    assert torch.equal(made[..., 3:], image[..., 3:])
    assert maps.shape == (1, 150, 140)


def test_values_outside_the_range_stay_where_nothing_is_touched(call):
    image = pictures(batch=1) * 3 - 1
    made, _ = call(image, mask=torch.zeros(150, 140))
    assert torch.equal(made, image)
    assert torch.isfinite(call(image)[0]).all()


@pytest.mark.parametrize(
    ("shape", "words"), [((1, 64, 64), "64x64"), ((3, 150, 140), "3 masks for 2")]
)
def test_masks_that_do_not_fit_are_refused(call, shape, words):
    with pytest.raises(InputError, match=words):
        call(pictures(), mask=torch.zeros(shape))


def test_checkpoints_in_comfyuis_folder(import_package, mild_network, monkeypatch, tmp_path):
    folder = tmp_path / "unsmear"
    folder.mkdir()
    save_model(mild_network, folder / "mine.safetensors")
    (folder / "notes.txt").write_text("no model")
    paths = {}
    monkeypatch.setitem(
        sys.modules,
        "folder_paths",
        SimpleNamespace(
            models_dir=str(tmp_path),
            add_model_folder_path=paths.__setitem__,
            get_filename_list=lambda name: sorted(p.name for p in Path(paths[name]).iterdir()),
            get_full_path=lambda name, file: str(Path(paths[name]) / file),
        ),
    )
    node = import_package().NODE_CLASS_MAPPINGS["UnsmearDeblur"]
    names = node.INPUT_TYPES()["required"]["model"][0]
    assert names == [*BUNDLED, "mine.safetensors"]
    image = pictures(batch=1)
    made, maps = node().deblur(image, "mine.safetensors", 0.5, 1.0)
    levels = np.rint(image[0].numpy() * 65535).astype(np.uint16)
    wanted = Deblurrer(mild_network).deblur(levels)
    assert torch.equal(maps[0], torch.from_numpy(wanted.blur_map))
    assert torch.equal((made != image).any(dim=-1)[0], torch.from_numpy(wanted.touched))
