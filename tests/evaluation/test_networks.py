"""Our networks as restorers: the engine's results, and what was really computed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from unsmear.errors import InputError
from unsmear.evaluation import NetworkRestorer, Setting, as_written, evaluate
from unsmear.inference import Deblurrer
from unsmear.models import load_model

from .makers import opened, stored


def restorer(model: Path, tile: int | None = None, **setting: object) -> NetworkRestorer:
    return NetworkRestorer(model, Setting(**setting), device="cpu", dtype="float32", tile=tile)


@pytest.fixture
def picture() -> torch.Tensor:
    """[1, 3, 100, 200], of 8 bits."""
    torch.manual_seed(1)
    coarse = torch.rand(1, 3, 10, 20)
    return as_written(torch.nn.functional.interpolate(coarse, scale_factor=10, mode="bilinear"))


@pytest.mark.usefixtures("plain_operations")
@pytest.mark.parametrize("setting", [{}, {"threshold": 0.4}, {"dense": True}])
def test_multiply_adds_are_what_torch_ran(
    tiny: Path, picture: torch.Tensor, setting: dict[str, object]
) -> None:
    ours = restorer(tiny, **setting)
    with FlopCounterMode(display=False) as counter:
        answer = ours(picture)
    assert answer.multiply_adds_spent == counter.get_total_flops() // 2
    assert (answer.multiply_adds_spent == answer.multiply_adds_dense) == bool(setting.get("dense"))


def test_the_result_is_the_raw_output(tiny: Path, picture: torch.Tensor) -> None:
    with torch.inference_mode():
        wanted = load_model(tiny)(picture, threshold=0.4).restored
    assert torch.equal(restorer(tiny, threshold=0.4)(picture).restored, wanted)


@pytest.mark.parametrize("dense", [False, True])
def test_composite_is_what_a_user_gets(tiny: Path, pairs: Path, dense: bool) -> None:
    from unsmear.inference import Steering

    sample = next(iter(opened(pairs)))
    found = restorer(tiny, composite=True, dense=dense)(sample.blurred).restored
    engine = Deblurrer(tiny, device="cpu", dtype="float32")
    given = Image.open(pairs / "p0_blur.png")
    wanted = engine.deblur(given, Steering(dense=dense)).picture.rgb
    assert np.array_equal((found[0] * 255).round().byte().permute(1, 2, 0).numpy(), wanted)


def test_tiles_are_counted_with_their_overlaps(tiny: Path, picture: torch.Tensor) -> None:
    whole, tiled = restorer(tiny)(picture), restorer(tiny, tile=128)(picture)
    assert tiled.multiply_adds_spent > whole.multiply_adds_spent
    assert tiled.multiply_adds_dense == whole.multiply_adds_dense
    for mine, theirs in zip(tiled.decisions, whole.decisions, strict=True):
        assert mine.keep.shape == theirs.keep.shape
    assert tiled.last_kept is not None
    assert tiled.last_kept.shape == (1, 1, 100, 200)


def test_stages_equal_arithmetic(tiny: Path, pairs: Path) -> None:
    network = load_model(tiny)
    run = evaluate(restorer(tiny), opened(pairs))
    rows = []
    for number in range(3):
        sample = list(opened(pairs))[number]
        mask = stored(pairs, f"p{number}_mask") > 0
        with torch.inference_mode():
            keep = network(sample.blurred).keep
        rows.append(
            [
                by_hand(decision[0, 0].numpy(), network.scale_of(stage), shift, mask)
                for decision, (stage, shift) in zip(keep, network.predictor_places, strict=True)
            ]
        )
    for place, found in enumerate(run.stages):
        assert (found.stage, found.shift) == network.predictor_places[place]
        three = [row[place] for row in rows]
        assert found.kept == pytest.approx(np.mean([each["kept"] for each in three]))
        assert found.kept_on_sharp == pytest.approx(three[2]["kept"])
        for name in ("accuracy", "precision", "recall"):
            values = [each[name] for each in three[:2] if not math.isnan(each[name])]
            wanted = np.mean(values) if values else math.nan
            assert getattr(found, name) == pytest.approx(wanted, rel=1e-5, nan_ok=True)
    partial = [stage for stage in run.stages if 0 < stage.kept < 1]
    assert any(stage.shift for stage in partial)


def by_hand(keep: np.ndarray, scale: int, shift: int, mask: np.ndarray) -> dict[str, float]:
    pixels = np.kron(keep, np.ones((8 * scale, 8 * scale))) > 0
    pixels = np.roll(pixels, (shift * scale, shift * scale), (0, 1))
    pixels = pixels[: mask.shape[0], : mask.shape[1]]
    hits = (pixels & mask).sum()
    return {
        "kept": float(keep.mean()),
        "accuracy": float((pixels == mask).mean()),
        "precision": float(hits / pixels.sum()) if pixels.any() else math.nan,
        "recall": float(hits / mask.sum()) if mask.any() else math.nan,
    }


def test_the_last_stage_joins_its_blocks(tiny: Path, picture: torch.Tensor) -> None:
    answer = restorer(tiny, pruned_stages=(2, 8), threshold=0.48)(picture)
    both = [decision.pixels(100, 200) for decision in answer.decisions if decision.stage == 8]
    assert len(both) == 2
    assert answer.last_kept is not None
    assert torch.equal(answer.last_kept, torch.stack(both).any(dim=0))  # pyright: ignore


def test_fewer_pruned_stages_have_fewer_parameters(tiny: Path, picture: torch.Tensor) -> None:
    all_of_them, none = restorer(tiny), restorer(tiny, pruned_stages=())
    assert none.parameters < all_of_them.parameters
    assert none(picture).decisions == ()
    assert none(picture).last_kept is None
    assert all_of_them.setting == Setting(pruned_stages=tuple(range(1, 10)))


def test_stages_without_predictors_cannot_be_pruned(tiny: Path, tmp_path: Path) -> None:
    from unsmear.models import save_model

    fewer = save_model(load_model(tiny, pruned_stages=(4, 5)), tmp_path / "fewer.safetensors")
    with pytest.raises(InputError, match="4-5 and cannot prune 3-5"):
        restorer(fewer, pruned_stages=(3, 4, 5))
