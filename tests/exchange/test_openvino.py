"""Exported networks in OpenVINO, on the CPU, beside torch."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch
from PIL import Image

from cli.makers import make_photo
from unsmear.exchange.onnx import export_onnx
from unsmear.models import LMDViT, load_model

DOCS = Path(__file__).parents[2] / "docs" / "other-tools.md"
# As many threads as are needed, and no core of their own: other programs run beside the tests.
SETTINGS = {
    "INFERENCE_PRECISION_HINT": "f32",
    "INFERENCE_NUM_THREADS": 1,
    "ENABLE_CPU_PINNING": False,
}


@pytest.mark.parametrize("pruned", [True, False])
def test_sizes_and_thresholds_equal_torch(
    small_network: LMDViT, tmp_path: Path, pruned: bool
) -> None:
    export_onnx(small_network, tmp_path / "a.onnx", pruned=pruned, check=False)
    core = openvino.Core()
    model = core.compile_model(core.read_model(tmp_path / "a.onnx"), "CPU", SETTINGS)
    places = small_network.predictor_places
    for batch, height, width in ((1, 48, 40), (2, 64, 96), (1, 9, 150)):
        blurred = torch.rand(batch, 3, height, width)
        for threshold in (0.0, 0.5, 1.0):
            given = model({"blurred": blurred.numpy(), "threshold": np.float32(threshold)})
            with torch.no_grad():
                wanted = small_network(blurred, threshold=threshold)
            for name in ("restored", "gate", "blur_map"):
                result = torch.from_numpy(given[name])
                torch.testing.assert_close(result, getattr(wanted, name), rtol=0, atol=1e-3)
            for (stage, shift), keep in zip(places, wanted.keep, strict=True):
                own = given[f"keep_{stage}_shifted" if shift else f"keep_{stage}"]
                assert torch.equal(torch.from_numpy(own), keep)


def test_the_snippet_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = DOCS.read_text().split("\n## OpenVINO\n")[1].split("\n## ")[0]
    (snippet,) = re.findall(r"^```python\n(.*?)^```", section, re.M | re.S)
    monkeypatch.chdir(tmp_path)
    photo = np.asarray(Image.open(make_photo(Path("photo.jpg"))).convert("RGB"), np.float32) / 255
    given: dict[str, np.ndarray] = {}
    exec(compile(snippet, DOCS.name, "exec"), given)
    with torch.no_grad():
        wanted = load_model()(torch.from_numpy(photo).permute(2, 0, 1)[None])
    restored = torch.from_numpy(given["restored"])
    torch.testing.assert_close(restored, wanted.restored, rtol=0, atol=1e-3)
