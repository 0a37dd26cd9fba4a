from __future__ import annotations

import numpy as np
import pytest
import torch

from unsmear.data.degrade import (
    add_sensor_noise,
    compress_jpeg,
    encode_srgb,
    linearise,
    linearise_bytes,
    round_to_bytes,
)


def test_encoding_undoes_linearising() -> None:
    encoded = torch.linspace(0, 1, 256)
    torch.testing.assert_close(encode_srgb(linearise(encoded)), encoded, atol=1e-5, rtol=0)
    table = torch.from_numpy(linearise_bytes(np.arange(256, dtype=np.uint8)))
    torch.testing.assert_close(table, linearise(encoded), atol=1e-6, rtol=0)


def test_srgb_curve_by_hand() -> None:
    expected = torch.tensor([0.0, 0.0031308 * 12.92, 0.7354, 1.0, 1.0])
    light = torch.tensor([-1.0, 0.0031308, 0.5, 1.0, 7.0])
    torch.testing.assert_close(encode_srgb(light), expected, atol=1e-4, rtol=0)


def test_noise_grows_with_light_and_strength() -> None:
    def deviation(light: float, strength: float) -> float:
        flat = torch.full((3, 64, 64), light)
        return float(add_sensor_noise(flat, strength, np.random.default_rng(0)).std())

    assert deviation(0.5, 0.0) == 0.0
    assert deviation(0.0, 1.0) == pytest.approx(2.5e-3, rel=0.05)
    assert deviation(0.5, 1.0) == pytest.approx((3e-4 + 2.5e-3**2) ** 0.5, rel=0.05)
    assert deviation(0.5, 0.5) == pytest.approx(0.5 * deviation(0.5, 1.0), rel=1e-3)


def test_rounding_gives_byte_levels() -> None:
    levels = round_to_bytes(torch.rand(3, 8, 8) * 1.2 - 0.1) * 255
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
    assert 0 <= levels.min() <= levels.max() <= 255


def test_jpeg_keeps_colours_and_loses_detail_with_quality() -> None:
    picture = torch.rand(3, 32, 32)
    fine, coarse = compress_jpeg(picture, 100), compress_jpeg(picture, 40)
    assert fine.shape == picture.shape
    assert (fine - picture).abs().mean() < (coarse - picture).abs().mean()
    red = torch.zeros(3, 16, 16)
    red[0] = 1
    assert (compress_jpeg(red, 90) - red).abs().max() < 0.05
