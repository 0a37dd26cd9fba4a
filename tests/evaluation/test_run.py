"""Figures of a run, against numpy and scikit-image."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from unsmear.errors import InputError
from unsmear.evaluation import FunctionRestorer, evaluate

from .makers import BOX, arithmetic, make_pairs, opened, stored

PARTS = ("blur", "sharp", "mask")


def darker(picture: Tensor) -> Tensor:
    return picture * 0.9317 + 0.0103


def test_figures_equal_arithmetic(pairs: Path) -> None:
    samples = opened(pairs)
    run = evaluate(FunctionRestorer("darker", darker), samples)
    wanted, given = [], []
    for number, image in enumerate(run.images):
        blurred, sharp, mask = (stored(pairs, f"p{number}_{part}") for part in PARTS)
        restored = np.round((blurred * 0.9317 + 0.0103) * 255) / 255
        wanted.append(arithmetic(restored, sharp, mask))
        given.append(arithmetic(blurred, sharp, mask))
        for name, value in wanted[-1].items():
            assert getattr(image.restored, name) == pytest.approx(value, rel=1e-5)
            assert getattr(image.given, name) == pytest.approx(given[-1][name], rel=1e-5)
        outside = mask == 0
        change = np.abs(restored - blurred)[outside].mean()
        assert image.static_change == pytest.approx(change, rel=1e-5)
    for name in ("psnr", "ssim", "wpsnr", "wssim"):
        found = [figures[name] for figures in wanted if name in figures]
        assert getattr(run.mean, name) == pytest.approx(np.mean(found), rel=1e-5)
        found = [figures[name] for figures in given if name in figures]
        assert getattr(samples.input_quality(), name) == pytest.approx(np.mean(found), rel=1e-5)


def test_the_sharp_picture_has_no_weighted_figures(pairs: Path) -> None:
    last = evaluate(FunctionRestorer("as it was", torch.clone), opened(pairs)).images[-1]
    assert last.blurred_share == 0
    assert math.isnan(last.restored.wpsnr)
    assert last.as_dict()["wpsnr"] is None
    assert last.restored.psnr > 40


def test_better_counts_what_rose_inside_the_mask(pairs: Path) -> None:
    def brighten(picture: Tensor) -> Tensor:
        """Helps the first picture, whose box is lighter, and harms the second."""
        picture = picture.clone()
        first = torch.equal(picture, nearest)
        picture[..., BOX[0], BOX[1]] = truth[..., BOX[0], BOX[1]] if first else 0
        return picture

    first = next(iter(opened(pairs)))
    nearest, truth = first.blurred, first.sharp
    run = evaluate(FunctionRestorer("helps one", brighten), opened(pairs))
    assert run.better_share == 0.5
    assert [image.static_change for image in run.images[:2]] == [0, 0]


def test_a_perfect_picture_is_counted_and_left_out_of_the_mean(tmp_path: Path) -> None:
    pairs = make_pairs(tmp_path / "pairs", [True, True])
    first = next(iter(opened(pairs)))

    def cheat(picture: Tensor) -> Tensor:
        return first.sharp if torch.equal(picture, first.blurred) else picture

    run = evaluate(FunctionRestorer("cheat", cheat), opened(pairs))
    assert math.isinf(run.images[0].restored.psnr)
    assert run.mean.psnr == pytest.approx(run.images[1].restored.psnr)
    assert run.as_dict()["equal_to_sharp"] == 1


def test_pairs_without_masks_have_the_plain_figures(pairs: Path) -> None:
    for path in pairs.glob("*_mask.png"):
        path.unlink()
    figures = evaluate(FunctionRestorer("darker", darker), opened(pairs)).as_dict()
    assert figures["mean"]["psnr"] > 0
    assert figures["mean"]["wpsnr"] is None
    assert figures["static_change"] is None


def test_time_is_a_median_after_an_untimed_run(pairs: Path) -> None:
    Image.new("RGB", (40, 30)).save(pairs / "q_blur.png")
    Image.new("RGB", (40, 30), "white").save(pairs / "q_sharp.png")
    seen = []

    def count(picture: Tensor) -> Tensor:
        seen.append(picture.shape)
        return picture

    run = evaluate(FunctionRestorer("count", count), opened(pairs))
    assert len(seen) == 4 + 2  # two sizes
    assert seen[0] == seen[1]
    assert seen[-1] == seen[-2] == (1, 3, 30, 40)
    assert run.cost.seconds == np.median([image.taken.seconds for image in run.images])


def test_limit_takes_the_first(pairs: Path) -> None:
    assert [sample.name for sample in opened(pairs, 2)] == ["p0", "p1"]
    with pytest.raises(InputError, match="--limit"):
        opened(pairs, 0)
