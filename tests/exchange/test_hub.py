"""The hub: to a folder and back, and to a server on this machine and back."""

import json
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import unsmear
from unsmear.errors import ModelError, OutputError, UnsmearError
from unsmear.models import LMDViT, bundled_weights, load_model, save_model
from unsmear.models.checkpoints import read_checkpoint

pytest.importorskip("huggingface_hub")
from huggingface_hub import ModelCard

from unsmear.exchange.hub import HubModel

from .hub_server import Hub, commit_of


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Iterator[Hub]:
    server = Hub()
    constants = "huggingface_hub.constants"
    template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(f"{constants}.ENDPOINT", server.address)
    monkeypatch.setattr(f"{constants}.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(f"{constants}.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(f"{constants}.HF_HUB_OFFLINE", False)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def assert_same(found, wanted):
    assert type(found) is type(wanted)
    assert found.config == wanted.config
    assert not found.training
    state, other = found.state_dict(), wanted.state_dict()
    assert state.keys() == other.keys()
    assert all(torch.equal(state[name], other[name]) for name in state)


@pytest.mark.parametrize("name", ["lmdvit", "saphn", "dmphn", "srn-nu", "lbag"])
def test_a_folder_gives_the_network_back(little, tmp_path, name):
    network = little(name)
    HubModel(network).save_pretrained(tmp_path / "saved")
    names = {file.name for file in (tmp_path / "saved").iterdir()}
    assert names == {"model.safetensors", "config.json", "README.md"}
    model = HubModel.from_pretrained(tmp_path / "saved")
    assert not model.training
    assert_same(model.network, network)
    assert_same(load_model(tmp_path / "saved"), network)
    picture = torch.rand(1, 3, 20, 30)
    with torch.inference_mode():
        assert torch.equal(model(picture).restored, network(picture).restored)


def test_a_repository_gives_the_network_back(hub, small_network):
    address = HubModel(small_network).push_to_hub(
        "owner/name", token="secret", commit_message="first", private=True
    )
    assert address == f"{hub.address}/owner/name/commit/{commit_of('main')}"
    (created,) = hub.created
    assert (created["organization"], created["name"]) == ("owner", "name")
    assert created.get("private") or created.get("visibility") == "private"
    assert hub.messages == ["first"]
    assert hub.tokens == {"Bearer secret"}
    names = {file for repo, branch, file in hub.files if (repo, branch) == ("owner/name", "main")}
    assert names >= {"model.safetensors", "config.json", "README.md"}
    assert b'load_model("hf://owner/name")' in hub.files["owner/name", "main", "README.md"]

    assert_same(HubModel.from_pretrained("owner/name").network, small_network)
    assert_same(load_model("hf://owner/name"), small_network)
    pruned = load_model("hf://owner/name", pruned_stages=(4,))
    assert {stage for stage, _ in pruned.predictor_places} == {4}


def test_a_branch_has_weights_of_its_own(hub, little):
    HubModel(little("lmdvit")).push_to_hub("owner/name")
    HubModel(little("dmphn")).push_to_hub("owner/name", branch="patches")
    assert_same(load_model("hf://owner/name@patches"), little("dmphn"))
    assert_same(HubModel.from_pretrained("owner/name", revision="patches").network, little("dmphn"))
    assert_same(load_model("hf://owner/name"), little("lmdvit"))


def test_what_is_downloaded_once_is_kept(hub, little):
    HubModel(little("lmdvit")).push_to_hub("owner/name")
    HubModel.from_pretrained("owner/name")
    hub.files.clear()
    model = HubModel.from_pretrained("owner/name", local_files_only=True)
    assert_same(model.network, little("lmdvit"))


@pytest.mark.parametrize("address", ["hf://owner/other", "hf://no name", "hf://"])
def test_what_the_hub_does_not_have_is_one_sentence(hub, address):
    with pytest.raises(ModelError, match=r"The hub gives no model\.safetensors of ") as caught:
        load_model(address)
    assert "\n" not in str(caught.value)


def test_the_card_of_the_bundled_weights(tmp_path):
    HubModel.of("lmdvit-tiny").save_pretrained(tmp_path)
    card = ModelCard.load(tmp_path / "README.md")
    assert (
        card.data.to_dict().items()
        >= {
            "library_name": "unsmear",
            "license": "apache-2.0",
            "pipeline_tag": "image-to-image",
        }.items()
    )
    assert {"deblurring", "motion-blur"} <= set(card.data.tags)
    ours = bundled_weights("lmdvit-tiny").with_suffix(".md").read_text()
    assert ours.strip() in card.text
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["architecture"], config["embed_dim"]) == ("lmdvit", 16)


def test_bundled_weights_lose_nothing_on_the_way(tmp_path):
    HubModel.of("lmdvit-tiny").save_pretrained(tmp_path / "first")
    HubModel.from_pretrained(tmp_path / "first").save_pretrained(tmp_path / "second")
    wanted, about = read_checkpoint(bundled_weights("lmdvit-tiny"))
    for folder in ("first", "second"):
        state, metadata = read_checkpoint(tmp_path / folder / "model.safetensors")
        assert metadata.items() >= about.items() - {("unsmear.version", about["unsmear.version"])}
        assert all(state[name].dtype == wanted[name].dtype for name in wanted)
        assert all(torch.equal(state[name], wanted[name]) for name in wanted)


def test_a_card_from_what_a_checkpoint_tells(small_network, tmp_path):
    about = {"unsmear.card": json.dumps({"trained_on": "my cats", "gain_db": 1.5})}
    path = save_model(small_network, tmp_path / "mine.safetensors", metadata=about)
    HubModel.of(path).save_pretrained(tmp_path / "saved")
    card = ModelCard.load(tmp_path / "saved" / "README.md")
    assert "| trained on | my cats |\n| gain db | 1.5 |" in card.text
    assert card.data.license is None  # whose weights they are, nobody said
    HubModel.of(path, license="mit").save_pretrained(tmp_path / "free")
    assert ModelCard.load(tmp_path / "free" / "README.md").data.license == "mit"


def test_a_card_comes_along(hub, tmp_path):
    model = HubModel.of("lmdvit-tiny")
    model.save_pretrained(tmp_path / "first")
    HubModel.from_pretrained(tmp_path / "first").save_pretrained(tmp_path / "second")
    model.push_to_hub("owner/name")
    HubModel.from_pretrained("owner/name").save_pretrained(tmp_path / "third")
    cards = [(tmp_path / each / "README.md").read_text() for each in ("first", "second", "third")]
    assert len(set(cards)) == 1


def test_a_card_is_republished_under_the_new_name(hub, small_network):
    HubModel(small_network, card="Mine.", license="mit").push_to_hub("owner/name")
    HubModel.from_pretrained("owner/name").push_to_hub("owner/other")
    first, second = (hub.files[f"owner/{name}", "main", "README.md"] for name in ("name", "other"))
    assert second == first.replace(b"hf://owner/name", b"hf://owner/other")
    assert second.count(b"## Use") == 1


def test_what_was_written_into_a_card_stays(small_network, tmp_path):
    HubModel(small_network).save_pretrained(tmp_path / "first")
    card = ModelCard.load(tmp_path / "first" / "README.md")
    card.data["license"], card.data["datasets"] = "mit", ["owner/cats"]
    card.text += "\n## Thanks\n\nTo my cats.\n"
    card.save(tmp_path / "first" / "README.md")
    HubModel.from_pretrained(tmp_path / "first").save_pretrained(tmp_path / "second")
    again = ModelCard.load(tmp_path / "second" / "README.md")
    assert (again.data.license, again.data.datasets) == ("mit", ["owner/cats"])
    assert "## Thanks\n\nTo my cats." in again.text
    assert again.text.count("## Use") == 1


@pytest.mark.parametrize(
    "text",
    [b"---\na: [1\n---\ntext", b"---\n- a\n---\ntext", "Grüße".encode("latin-1")],
    ids=["no YAML", "a list", "no UTF-8"],
)
def test_a_card_that_cannot_be_read_is_one_sentence(small_network, tmp_path, text):
    path = save_model(small_network, tmp_path / "mine.safetensors")
    (tmp_path / "mine.md").write_bytes(text)
    with pytest.raises(ModelError, match=r"mine\.md cannot be read"):
        HubModel.of(path)


def test_the_readme_of_something_else_is_no_card(small_network, tmp_path):
    save_model(small_network, tmp_path / "model.safetensors")
    (tmp_path / "README.md").write_text("# My program\n")
    assert HubModel.of(tmp_path).card == ""


@pytest.mark.parametrize("place", ["a file", "a file/below"])
def test_a_place_where_no_folder_can_be(small_network, tmp_path, place):
    (tmp_path / "a file").touch()
    with pytest.raises(OutputError, match=f"The folder {tmp_path / place} cannot be made"):
        HubModel(small_network).save_pretrained(tmp_path / place)


@pytest.mark.parametrize("source", ["nowhere", "./nowhere", "hf://owner/name"])
def test_neither_a_folder_nor_a_repository(hub, source):
    with pytest.raises(ModelError, match=f"'{source}'") as caught:
        HubModel.from_pretrained(source, local_files_only=True)
    assert "\n" not in str(caught.value)


def test_a_released_checkpoint_keeps_its_numbers(reference_weights, tmp_path):
    HubModel.of(reference_weights).save_pretrained(tmp_path)
    network = HubModel.from_pretrained(tmp_path).network
    assert isinstance(network, LMDViT)
    assert_same(network, load_model(reference_weights))


def test_the_core_loads_no_hub():
    root = Path(unsmear.__file__).parent
    early = [
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"^(    )?(from|import) huggingface_hub", path.read_text(), re.M)
    ]
    assert early == ["exchange/hub.py"]


def test_the_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModelError, match=r"pip install 'unsmear\[hub\]'"):
        load_model("hf://owner/name")
    monkeypatch.delitem(sys.modules, "unsmear.exchange.hub")
    with pytest.raises(UnsmearError, match=r"pip install 'unsmear\[hub\]'"):
        import unsmear.exchange.hub  # noqa: F401
