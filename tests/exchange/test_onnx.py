"""Exported networks, run in onnxruntime beside torch."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from unsmear.errors import InputError, ModelError, OutputError
from unsmear.exchange import onnx as door
from unsmear.exchange.onnx import compare, export_onnx, onnx_model
from unsmear.models import DeblurringNetwork, LMDViT, Restored, create_model, load_model

SIZES = ((1, 1, 1), (2, 48, 40), (1, 9, 150), (1, 130, 257))
THRESHOLDS = (0.0, 0.5, 1.0)


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def feed(blurred: torch.Tensor, threshold: float) -> dict[str, np.ndarray]:
    return {"blurred": blurred.numpy(), "threshold": np.array(threshold, np.float32)}


@torch.no_grad()
def expected(network: LMDViT, blurred: torch.Tensor, threshold: float) -> dict[str, torch.Tensor]:
    """What torch computes, under the names that a file gives its outputs."""
    out: Restored = network(blurred, threshold=threshold)
    names = [f"keep_{stage}{'_shifted' * (shift > 0)}" for stage, shift in network.predictor_places]
    plain = {"restored": out.restored, "gate": out.gate, "blur_map": out.blur_map}
    return plain | dict(zip(names, out.keep, strict=True))


@pytest.mark.parametrize(("pruned", "opset"), [(True, 18), (False, 23)])
def test_any_size_and_threshold_equals_torch(
    small_network: LMDViT, pruned: bool, opset: int
) -> None:
    session = session_of(onnx_model(small_network, pruned=pruned, opset=opset))
    names = [output.name for output in session.get_outputs()]
    some_are_pruned = False
    for batch, height, width in SIZES:
        blurred = torch.rand(batch, 3, height, width)
        for threshold in THRESHOLDS:
            wanted = expected(small_network, blurred, threshold)
            assert names == list(wanted)
            given = session.run(None, feed(blurred, threshold))
            for (name, tensor), array in zip(wanted.items(), given, strict=True):
                tolerance = 0.0 if name.startswith("keep") else 1e-5
                torch.testing.assert_close(
                    torch.from_numpy(array), tensor, rtol=0, atol=tolerance, msg=name
                )
            kept = torch.cat([one.flatten() for name, one in wanted.items() if "keep" in name])
            some_are_pruned |= bool(0.1 < kept.mean() < 0.9)
    assert some_are_pruned  # else nothing was tried


def test_only_kept_windows_are_computed(small_network: LMDViT) -> None:
    model = onnx_model(small_network)
    attentions = [node.output[0] for node in model.graph.node if node.op_type == "Softmax"]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in attentions)
    given = session_of(model).run(None, feed(torch.rand(1, 3, 200, 140), 0.5))
    outputs = dict(zip([output.name for output in model.graph.output], given, strict=True))
    kept = [
        int(outputs[f"keep_{number}{'_shifted' * (block.shift > 0)}"].sum())
        for number, stage in enumerate(small_network.stages, start=1)
        for block in stage.blocks
    ]
    # One window more stands in where none is kept.
    assert [len(outputs[name]) for name in attentions] == [count + 1 for count in kept]


def test_the_dense_form_has_sizes_of_the_picture_alone(small_network: LMDViT) -> None:
    kinds = {node.op_type for node in onnx_model(small_network, pruned=False).graph.node}
    assert kinds.isdisjoint({"NonZero", "ScatterND"})


@pytest.mark.parametrize("pruned", [True, False])
@pytest.mark.parametrize("changes", [{"pruned_stages": ()}, {"feed_forward": "leff"}])
def test_variants(tmp_path: Path, changes: dict, pruned: bool) -> None:
    sizes = {"embed_dim": 4, "depths": (1, 2, 1, 1, 1, 1, 1, 2, 1), "num_heads": (1,) * 9}
    torch.manual_seed(0)
    network = create_model("lmdvit", **sizes, **changes)
    found = export_onnx(network, tmp_path / "a.onnx", pruned=pruned)
    assert found is not None
    assert max(found) < 1e-5
    inputs = [one.name for one in onnx.load(tmp_path / "a.onnx").graph.input]
    assert inputs == (["blurred", "threshold"] if network.predictor_places else ["blurred"])


def test_the_bundled_network(tmp_path: Path) -> None:
    found = export_onnx(load_model(), tmp_path / "a.onnx", name="lmdvit-tiny", license="Apache-2.0")
    assert found is not None
    assert found.pictures < 1e-4
    assert found.decisions < 1e-4
    assert [file.name for file in tmp_path.iterdir()] == ["a.onnx"]
    model = onnx.load(tmp_path / "a.onnx")
    facts = {fact.key.removeprefix("unsmear."): fact.value for fact in model.metadata_props}
    assert (facts["model"], facts["license"]) == ("lmdvit-tiny", "Apache-2.0")
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", facts["version"])
    assert json.loads(facts["config"])["embed_dim"] == 16
    blurred, threshold = model.graph.input
    assert "RGB in [0, 1]" in blurred.doc_string
    assert "0.5" in threshold.doc_string


def assert_equals_torch_at_any_size(network: DeblurringNetwork) -> None:
    session = session_of(onnx_model(network))
    for batch, height, width in ((1, 1, 1), (2, 48, 40), (1, 33, 70)):
        blurred = torch.rand(batch, 3, height, width)
        with torch.no_grad():
            out = network(blurred)
        restored, blur_map = session.run(["restored", "blur_map"], {"blurred": blurred.numpy()})
        torch.testing.assert_close(torch.from_numpy(restored), out.restored, rtol=0, atol=1e-4)
        torch.testing.assert_close(torch.from_numpy(blur_map), out.blur_map, rtol=0, atol=1e-4)


def test_a_network_of_torchs_exporter() -> None:
    torch.manual_seed(0)
    assert_equals_torch_at_any_size(create_model("dmphn", embed_dim=2, levels=1))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lbag", "srn", "dmphn"])
def test_networks_of_torchs_exporter(little: Callable[[str], DeblurringNetwork], name: str) -> None:
    assert_equals_torch_at_any_size(little(name))


@pytest.mark.parametrize("name", ["saphn", "saphn-uniform", "srn-nu", "dmphn-nu"])
def test_networks_that_cannot_be_exported(
    little: Callable[[str], DeblurringNetwork], name: str
) -> None:
    with pytest.raises(ModelError, match="cannot be exported"):
        onnx_model(little(name))


@pytest.mark.parametrize("opset", [17, 24])
def test_an_opset_is_refused(small_network: LMDViT, opset: int) -> None:
    with pytest.raises(InputError, match="18 to 23"):
        onnx_model(small_network, opset=opset)


def test_a_folder_that_is_not_there(small_network: LMDViT, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no folder"):
        export_onnx(small_network, tmp_path / "none" / "a.onnx")


def test_the_check_sees_other_weights(small_network: LMDViT, tmp_path: Path) -> None:
    onnx.save(onnx_model(small_network), tmp_path / "a.onnx")
    with torch.no_grad():
        small_network.output_proj.bias += 0.1
    assert compare(tmp_path / "a.onnx", small_network).pictures > 0.01


def test_the_check_sees_what_is_no_number(small_network: LMDViT, tmp_path: Path) -> None:
    model = onnx_model(small_network)
    bias = small_network.output_proj.bias.detach().numpy()
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if np.array_equal(values, bias):
            poison = np.full_like(values, np.nan)
            tensor.CopyFrom(onnx.numpy_helper.from_array(poison, tensor.name))
    onnx.save(model, tmp_path / "a.onnx")
    assert compare(tmp_path / "a.onnx", small_network).pictures == np.inf


def test_weights_that_are_no_numbers_are_told(small_network: LMDViT, tmp_path: Path) -> None:
    with torch.no_grad():
        small_network.output_proj.bias.fill_(np.nan)
    with pytest.raises(ModelError, match="weights are no numbers"):
        export_onnx(small_network, tmp_path / "a.onnx")


def test_the_check_sees_other_decisions(small_network: LMDViT, tmp_path: Path) -> None:
    onnx.save(onnx_model(small_network), tmp_path / "a.onnx")
    assert compare(tmp_path / "a.onnx", small_network).decisions < 1e-5
    with torch.no_grad():
        small_network.stages[4].predictors[0].judge[-1].bias += torch.tensor([-9.0, 9.0])
    assert compare(tmp_path / "a.onnx", small_network).decisions > 0.01


def test_a_file_that_fails_the_check_is_not_left(
    small_network: LMDViT, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.onnx").write_text("before")
    monkeypatch.setattr(door, "TOLERANCE", -1.0)
    with pytest.raises(ModelError, match="no file was written"):
        export_onnx(small_network, tmp_path / "a.onnx")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["before"]


def test_what_onnxruntime_cannot_read(small_network: LMDViT, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_text("nonsense")
    with pytest.raises(ModelError, match="onnxruntime does not take"):
        compare(tmp_path / "a.onnx", small_network)
