"""What many tests share."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

# Before torch is imported: threads that spin while they wait take the cores of other programs.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if processes := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):  # they share the cores
    share = (os.cpu_count() or 1) // int(processes)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, share)))

import pytest
import torch
from safetensors.torch import load_file

from unsmear.models import DeblurringNetwork, LMDViT, create_model, load_model

DATA = Path(__file__).parent / "data"

# Started in the background, the suite inherits an ignored Ctrl-C; what it starts must not.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Do not spell out whole files in the names of tests."""
    return argname if isinstance(val, bytes) and len(val) > 64 else None


@pytest.fixture
def one_thread() -> Iterator[None]:
    """What is so small is faster without threads, above all beside other programs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def reference_weights() -> Path:
    """A small network of the released architecture, under the released names."""
    return DATA / "lmdvit_dim4_official_names.safetensors"


@pytest.fixture(scope="session")
def reference_io() -> dict[str, torch.Tensor]:
    """What the authors' code computes with those weights."""
    return load_file(DATA / "lmdvit_dim4_io.safetensors")


@pytest.fixture
def reference_network(reference_weights: Path) -> LMDViT:
    return load_model(reference_weights)


@pytest.fixture(scope="session")
def expected_metrics() -> dict:
    return json.loads((DATA / "losses_metrics_expected.json").read_text())


@pytest.fixture(scope="session")
def metric_inputs() -> dict[str, torch.Tensor]:
    return load_file(DATA / "losses_metrics_io.safetensors")


@pytest.fixture
def small_network() -> LMDViT:
    """A network of a few thousand parameters with decisions that differ from window to window."""
    torch.manual_seed(0)
    network = create_model(
        "lmdvit", embed_dim=4, depths=(1, 2, 1, 1, 2, 1, 1, 2, 1), num_heads=(1,) * 9
    )
    for stage in network.stages:
        for predictor in stage.predictors:
            for layer in (*predictor.embed, *predictor.judge):
                if isinstance(layer, torch.nn.Linear):
                    torch.nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
                    torch.nn.init.zeros_(layer.bias)
    return network


LITTLE = {
    "lmdvit": {"embed_dim": 4, "depths": (1,) * 9, "num_heads": (1,) * 9},
    "saphn": {"widths": (4, 4, 8), "maps": 2},
    "dmphn": {"embed_dim": 2},
    "srn": {"embed_dim": 2, "blocks": 1, "kernel_size": 3},
    "lbag": {"embed_dim": 4, "blocks": 1},
}


@pytest.fixture
def little() -> Callable[[str], DeblurringNetwork]:
    """Makes any named network with so few channels that it runs in no time."""

    def make(name: str) -> DeblurringNetwork:
        torch.manual_seed(0)
        return create_model(name, **LITTLE[name.split("-")[0]])

    return make


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what needs a GPU where there is none."""
    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture
def plain_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute window blocks in torch's own operations, which its counter sees, and no more."""
    monkeypatch.setattr("unsmear.layers.adawpt._round_up", lambda numbers: numbers)
    monkeypatch.setattr("torch.is_grad_enabled", lambda: True)
