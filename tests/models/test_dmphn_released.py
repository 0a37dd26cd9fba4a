import json
import pickle
from pathlib import Path

import pytest
import torch

from unsmear.errors import ModelError, OutputError
from unsmear.models import convert_checkpoint, load_model, save_model
from unsmear.models.dmphn import DMPHN, DMPHNConfig
from unsmear.models.dmphn_released import from_released, to_released

NAMES = json.loads(
    (Path(__file__).parents[1] / "data" / "dmphn_official_state_dict.json").read_text()
)
PARTS = [f"{part}_lv{level}" for level in (1, 2, 3, 4) for part in ("encoder", "decoder")]


def official_shapes(file):
    """Names and shapes of one released file; all levels are alike."""
    return NAMES[f"{file.split('_')[0]}_lv1"]


def write(folder, files, **options):
    for name, state in files.items():
        torch.save(state, folder / name, **options)
    return folder


@pytest.fixture(scope="module")
def official():
    generator = torch.Generator().manual_seed(0)
    return {
        f"{file}.pkl": {
            name: 0.05 * torch.randn(shape, generator=generator)
            for name, shape in official_shapes(file).items()
        }
        for file in PARTS
    }


@pytest.fixture
def little():
    """Released files of a network that is small and quick to write."""
    torch.manual_seed(0)
    return to_released(DMPHN(DMPHNConfig(embed_dim=2)).state_dict())


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("zipped", [True, False])  # the authors' files are of the older format
def test_official_names_and_shapes_convert_to_and_fro(official, tmp_path, zipped):
    write(tmp_path, official, _use_new_zipfile_serialization=zipped)
    network = load_model(tmp_path)
    assert not network.training
    assert network.config == DMPHNConfig()
    back = to_released(network.state_dict())
    assert back.keys() == official.keys()
    assert all(same(back[name], official[name]) for name in official)
    assert same(from_released(back), network.state_dict())


def test_names_of_a_fresh_network_are_the_released_ones():
    with torch.device("meta"):
        files = to_released(DMPHN().state_dict())
    assert set(files) == {f"{file}.pkl" for file in PARTS}
    for name, state in files.items():
        shapes = {key: list(tensor.shape) for key, tensor in state.items()}
        assert shapes == official_shapes(name)


def test_levels_and_prefixes_are_read_off_the_files(little, tmp_path):
    three = {
        name: {f"module.{key}": tensor for key, tensor in state.items()}
        for name, state in little.items()
        if "lv4" not in name
    }
    network = load_model(write(tmp_path, three))
    assert network.config == DMPHNConfig(embed_dim=2, levels=3)
    with torch.no_grad():
        assert network(torch.rand(1, 3, 9, 9)).restored.isfinite().all()


def test_a_folder_becomes_one_file_and_a_folder_again(little, tmp_path):
    released = tmp_path / "released"
    released.mkdir()
    ours = convert_checkpoint(write(released, little), tmp_path / "ours.safetensors")
    back = convert_checkpoint(ours, tmp_path / "back", to="released")
    assert {path.name for path in back.iterdir()} == set(little)
    assert all(same(torch.load(back / n, weights_only=True), little[n]) for n in little)


def test_levels_of_another_network_do_not_stay_in_the_folder(little, tmp_path):
    back = tmp_path / "back"
    back.mkdir()
    write(back, little)
    (back / "notes.txt").touch()
    network = DMPHN(DMPHNConfig(embed_dim=2, levels=3))
    ours = save_model(network, tmp_path / "three.safetensors")
    convert_checkpoint(ours, back, to="released")
    assert (back / "notes.txt").exists()
    assert load_model(back).config == network.config


@pytest.mark.parametrize("place", ["file", "nowhere/folder"])
def test_a_place_where_no_folder_can_be(little, tmp_path, place):
    (tmp_path / "file").write_text("something else")
    source = tmp_path / "released"
    source.mkdir()
    write(source, little)
    with pytest.raises(OutputError, match=rf"{place} cannot be made \(.*\): give another"):
        convert_checkpoint(source, tmp_path / place, to="released")


def test_a_missing_file_is_named(little, tmp_path):
    write(tmp_path, little)
    (tmp_path / "decoder_lv2.pkl").unlink()
    with pytest.raises(ModelError, match=r"decoder_lv2\.pkl"):
        load_model(tmp_path)


def test_no_folder_and_an_empty_one(tmp_path):
    with pytest.raises(ModelError, match="no model or checkpoint"):
        load_model(tmp_path / "nowhere")
    (tmp_path / "last.ckpt").touch()
    with pytest.raises(ModelError, match=r"folder without.*model\.safetensors.*lv4\.pkl.*a file"):
        load_model(tmp_path)


def test_weights_of_another_network_are_refused(little, tmp_path):
    little["decoder_lv3.pkl"]["layer14.0.weight"] = torch.zeros(1)
    with pytest.raises(ModelError, match="do not fit"):
        load_model(write(tmp_path, little))
    little["encoder_lv1.pkl"] = {"layer99.weight": torch.zeros(1)}
    with pytest.raises(ModelError, match="no encoder"):
        load_model(write(tmp_path, little))


class _Harmful:
    def __reduce__(self):
        return (print, ("code from a checkpoint ran",))


def test_pickles_that_would_run_code_are_refused(little, tmp_path, capsys):
    write(tmp_path, little)
    (tmp_path / "encoder_lv1.pkl").write_bytes(pickle.dumps(_Harmful()))
    with pytest.raises(ModelError):
        load_model(tmp_path)
    assert capsys.readouterr().out == ""
