import dataclasses
import pickle
import zipfile

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from unsmear.errors import ModelError, OutputError
from unsmear.models import (
    LMDViT,
    bundled_weights,
    convert_checkpoint,
    create_model,
    load_model,
    save_model,
)
from unsmear.models.checkpoints import read_checkpoint, write_safetensors
from unsmear.models.released import to_released
from unsmear.models.weights import describe


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_a_checkpoint_alone_is_enough(small_network, tmp_path):
    path = save_model(small_network, tmp_path / "net.safetensors")
    loaded = load_model(path)
    assert loaded.config == small_network.config
    assert not loaded.training
    assert same(loaded.state_dict(), small_network.state_dict())


def test_half_precision_halves_the_file(small_network, tmp_path):
    whole = save_model(small_network, tmp_path / "a.safetensors").stat().st_size
    half = save_model(small_network, tmp_path / "b.safetensors", dtype=torch.float16)
    assert half.stat().st_size < 0.7 * whole
    assert all(p.dtype == torch.float32 for p in load_model(half).parameters())


@pytest.mark.parametrize(
    "wrap",
    [torch.compile, nn.DataParallel, lambda network: torch.compile(nn.DataParallel(network))],
    ids=["compiled", "parallel", "both"],
)
def test_a_wrapped_network_is_saved_as_what_is_inside(small_network, tmp_path, wrap):
    path = save_model(wrap(small_network), tmp_path / "net.safetensors")
    assert same(load_model(path).state_dict(), small_network.state_dict())


def test_what_is_no_network_of_ours_is_not_saved(tmp_path):
    with pytest.raises(ModelError, match="network of this package, got Conv2d"):
        save_model(nn.Conv2d(3, 3, 3), tmp_path / "net.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("source", [None, 5, nn.Conv2d(3, 3, 3)], ids=str)
def test_what_names_no_model_is_refused(source):
    with pytest.raises(ModelError, match=f"path.*got {type(source).__name__}"):
        load_model(source)


@pytest.mark.parametrize("source", ["", "x" * 300])
def test_names_that_no_file_can_have_are_refused(source):
    with pytest.raises(ModelError, match="no model or checkpoint"):
        load_model(source)


def test_only_names_have_weights_in_the_package(small_network, tmp_path):
    save_model(small_network, tmp_path / "mine.safetensors")
    assert bundled_weights(str(tmp_path / "mine")) is None


def test_networks_are_loaded_in_float32_whatever_the_default(small_network, tmp_path):
    path = save_model(small_network, tmp_path / "net.safetensors")
    torch.set_default_dtype(torch.float16)
    try:
        loaded = load_model(path)
    finally:
        torch.set_default_dtype(torch.float32)
    assert same(loaded.state_dict(), small_network.state_dict())


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_released_checkpoints_convert(reference_weights, tmp_path, prefix, nested, suffix):
    state = {prefix + k: v for k, v in load_file(reference_weights).items()}
    source = tmp_path / f"released{suffix}"
    if suffix == ".pth":
        torch.save({"epoch": 3, "state_dict": state} if nested else state, source)
    else:
        save_file(state, source)
    ours = convert_checkpoint(source, tmp_path / "ours.safetensors")
    network, wanted = load_model(ours), load_model(reference_weights)
    assert network.config == wanted.config
    assert same(network.state_dict(), wanted.state_dict())


def test_our_own_form_keeps_number_type_and_metadata(small_network, tmp_path):
    told = {"unsmear.steps": "7"}
    source = save_model(
        small_network, tmp_path / "net.safetensors", dtype=torch.float16, metadata=told
    )
    again = convert_checkpoint(source, tmp_path / "again.safetensors")
    (state, about), (wanted, known) = read_checkpoint(again), read_checkpoint(source)
    assert all(state[name].dtype == torch.float16 for name in wanted)
    assert same(state, wanted)
    assert about == known


@pytest.mark.parametrize("name", ["back.pth", "back.safetensors"])
def test_conversion_goes_back_to_the_letter(reference_weights, tmp_path, name):
    ours = convert_checkpoint(reference_weights, tmp_path / "ours.safetensors")
    back = convert_checkpoint(ours, tmp_path / name, to="released")
    if name.endswith(".pth"):
        state = torch.load(back, weights_only=True)["state_dict"]
    else:
        state = load_file(back)
    assert same(state, load_file(reference_weights))


def test_names_of_the_full_size_checkpoint():
    import json
    from pathlib import Path

    file = Path(__file__).parents[1] / "data" / "lmdvit_official_state_dict.json"
    wanted = {name: tuple(shape) for name, (shape, _) in json.loads(file.read_text()).items()}
    with torch.device("meta"):
        network = create_model("lmdvit")
    ours = {name: tuple(t.shape) for name, t in to_released(network.state_dict()).items()}
    assert ours == wanted


class _Harmful:
    def __reduce__(self):
        return (print, ("code from a checkpoint ran",))


def test_pickles_that_would_run_code_are_refused(tmp_path, capsys):
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps({"state_dict": _Harmful()}))
    with pytest.raises(ModelError, match="without running code"):
        load_model(path)
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "damaged", [b"\x80\x02Q.", b"\x80\x02K\x01Q."], ids=["empty stack", "no place"]
)
def test_whatever_torch_trips_over_in_a_damaged_file_is_one_sentence(tmp_path, damaged):
    whole, path = tmp_path / "whole.pth", tmp_path / "net.pth"
    torch.save({}, whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(name, damaged if name.endswith("data.pkl") else source.read(name))
    with pytest.raises(ModelError, match="neither a safetensors file nor a torch checkpoint"):
        load_model(path)


@pytest.mark.parametrize(
    "about", [3, "unsmear.config", {"unsmear.config": "{}", "unsmear.network": []}]
)
def test_what_another_program_keeps_under_our_key_is_not_read(tmp_path, about):
    path = tmp_path / "net.pth"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "unsmear": about}, path)
    with pytest.raises(ModelError, match="no LMD-ViT"):
        load_model(path)


def test_weights_that_are_no_finite_numbers_are_refused(small_network, tmp_path):
    state = {name: tensor.clone() for name, tensor in small_network.state_dict().items()}
    state["output_proj.weight"].flatten()[5] = float("nan")
    path = write_safetensors(state, tmp_path / "net.safetensors", describe(small_network))
    with pytest.raises(ModelError, match=r"not all finite.*diverged"):
        load_model(path)


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64], ids=str)
def test_weights_are_not_saved_as_what_cannot_be_read(small_network, tmp_path, dtype):
    with pytest.raises(ModelError, match=f"not as {dtype}"):
        save_model(small_network, tmp_path / "net.safetensors", dtype=dtype)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64], ids=str)
def test_weights_of_another_kind_are_refused(small_network, tmp_path, dtype):
    state = {name: tensor.to(dtype) for name, tensor in small_network.state_dict().items()}
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(ModelError, match=f"stored as {dtype}"):
        load_model(tmp_path / "net.pth")


@pytest.mark.parametrize("block", ["x", "99999"])
def test_blocks_with_strange_numbers_do_not_fit(small_network, tmp_path, block):
    state = {**small_network.state_dict(), f"encoder.0.blocks.{block}.norm1.bias": torch.zeros(4)}
    save_file(state, tmp_path / "net.safetensors")
    with pytest.raises(ModelError, match="do not fit"):
        load_model(tmp_path / "net.safetensors")


def test_unfit_files_are_refused(tmp_path, small_network):
    text = tmp_path / "text.safetensors"
    text.write_text("hello, this is no checkpoint at all")
    with pytest.raises(ModelError, match="neither"):
        load_model(text)
    with pytest.raises(ModelError, match="no model or checkpoint"):
        load_model(tmp_path / "missing.safetensors")
    with pytest.raises(ModelError, match="No weights"):
        load_model("lmdvit")
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, other)
    with pytest.raises(ModelError, match="no LMD-ViT"):
        load_model(other)
    flat = {name: tensor.flatten() for name, tensor in small_network.state_dict().items()}
    save_file(flat, other)
    with pytest.raises(ModelError, match="numbers of axes"):
        load_model(other)
    empty = {
        name: tensor[:, :0].clone()
        for name, tensor in small_network.state_dict().items()
        if tensor.ndim > 1
    }
    save_file(empty, other)
    with pytest.raises(ModelError, match="empty"):
        load_model(other)
    ours = save_model(small_network, tmp_path / "net.safetensors")
    with pytest.raises(ModelError, match="do not fit"):
        load_model(ours, embed_dim=8)
    with pytest.raises(ModelError, match="no setting"):
        load_model(ours, colour="red")


def test_a_failed_write_leaves_nothing(small_network, tmp_path, monkeypatch):
    with pytest.raises(OutputError, match="no folder"):
        save_model(small_network, tmp_path / "nowhere" / "net.safetensors")
    with pytest.raises(OutputError, match="is a folder"):
        save_model(small_network, tmp_path)

    def fail(*_, **__):
        raise RuntimeError("broken")

    monkeypatch.setattr("unsmear.models.checkpoints.save_file", fail)
    with pytest.raises(RuntimeError, match="broken"):
        save_model(small_network, tmp_path / "net.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["there.safetensors", "there.pth"])
def test_a_disk_too_full_for_a_checkpoint_is_one_sentence(small_network, tmp_path, name):
    resource = pytest.importorskip("resource", reason="limits of files' sizes are POSIX's")
    source = save_model(small_network, tmp_path / "net.safetensors")
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, allowed[1]))
    try:
        with pytest.raises(OutputError, match=rf"{name} cannot be written \(.*File too large"):
            convert_checkpoint(
                source,
                tmp_path / name,
                to="released" if name.endswith(".pth") else "unsmear",
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert list(tmp_path.iterdir()) == [source]


def test_predictors_that_a_checkpoint_lacks_begin_fresh_when_asked(small_network, tmp_path):
    unpruned = LMDViT(dataclasses.replace(small_network.config, pruned_stages=()))
    path = save_model(unpruned, tmp_path / "unpruned.safetensors")
    stages = small_network.config.pruned_stages
    with pytest.raises(ModelError, match="do not fit"):
        load_model(path, pruned_stages=stages)
    network = load_model(path, grow=True, pruned_stages=stages)
    assert len(network.predictor_places) == len(small_network.predictor_places)
    assert torch.equal(network.input_proj.weight, unpruned.input_proj.weight)


@pytest.mark.parametrize(
    "name", ["lmdvit", "saphn", "saphn-uniform", "dmphn", "dmphn-nu", "srn", "srn-nu", "lbag"]
)
def test_checkpoints_of_every_network_say_what_they_are(name, tmp_path, little):
    network = little(name)
    loaded = load_model(save_model(network, tmp_path / "net.safetensors"))
    assert type(loaded) is type(network)
    assert loaded.config == network.config
    assert not loaded.training
    assert same(loaded.state_dict(), network.state_dict())


def test_files_from_before_there_were_other_networks_hold_an_lmdvit(small_network, tmp_path):
    path = save_model(small_network, tmp_path / "net.safetensors")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    del metadata["unsmear.network"]
    save_file(load_file(path), path, metadata=metadata)
    assert load_model(path).config == small_network.config


def test_a_network_of_a_later_version_is_named(small_network, tmp_path):
    path = tmp_path / "net.safetensors"
    about = {"unsmear.network": "oracle", "unsmear.config": "{}"}
    save_file({"a": torch.zeros(1)}, path, metadata=about)
    with pytest.raises(ModelError, match="'oracle'"):
        load_model(path)


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ('{"levels": 2, "colour": "red"}', "does not know: colour"),
        ('{"levels": ', "damaged"),
        ("[4]", "damaged"),
        ('{"levels": "many"}', "net.safetensors cannot be used: .* got 'many'"),
        ('{"levels": 4.0}', "got 4.0"),
        ('{"levels": 9}', "1 to 4 levels"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_one_sentence(tmp_path, settings, wrong):
    path = tmp_path / "net.safetensors"
    about = {"unsmear.network": "dmphn", "unsmear.config": settings}
    save_file({"a": torch.zeros(1)}, path, metadata=about)
    with pytest.raises(ModelError, match=wrong):
        load_model(path)


def test_weights_without_names_are_refused(tmp_path):
    path = tmp_path / "net.pth"
    torch.save({1: torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="no state dict"):
        load_model(path)


def test_only_some_networks_have_a_released_form(tmp_path, little):
    source = save_model(little("lbag"), tmp_path / "net.safetensors")
    with pytest.raises(ModelError, match="released form"):
        convert_checkpoint(source, tmp_path / "back.pth", to="released")
    sampling = save_model(little("dmphn-nu"), tmp_path / "sampling.safetensors")
    with pytest.raises(ModelError, match="DMPHN without sampling"):
        convert_checkpoint(sampling, tmp_path / "back", to="released")
    dmphn = save_model(little("dmphn"), tmp_path / "dmphn.safetensors")
    with pytest.raises(OutputError, match="folder"):
        convert_checkpoint(dmphn, tmp_path / "back.pth", to="released")


def test_the_released_form_is_refused_where_it_cannot_say_what_the_network_is(tmp_path):
    torch.manual_seed(0)
    sizes = {"embed_dim": 4, "depths": (1,) * 9, "num_heads": (1,) * 9}
    network = create_model("lmdvit", **sizes, feed_forward="leff")
    source = save_model(network, tmp_path / "net.safetensors")
    with pytest.raises(ModelError, match="feed_forward"):
        convert_checkpoint(source, tmp_path / "back.pth", to="released")
    assert not (tmp_path / "back.pth").exists()
