"""What a camera does to light: the sRGB curve, sensor noise, rounding and JPEG."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Sensor noise of strength 1, in linear light: about 2.5 grey levels at mid grey.
SHOT_VARIANCE = 6e-4
READ_DEVIATION = 2.5e-3


def _linear_table() -> NDArray[np.float32]:
    encoded = np.arange(256) / 255
    low, high = encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4
    return np.where(encoded <= 0.04045, low, high).astype(np.float32)


LINEAR_OF_BYTE = _linear_table()


def linearise_bytes(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Undo the sRGB curve: bytes of any shape to linear light in [0, 1]."""
    return LINEAR_OF_BYTE[picture]


def encode_srgb(linear: Tensor) -> Tensor:
    """Apply the sRGB curve: linear light of any shape, clipped to [0, 1], to values in [0, 1]."""
    linear = linear.clamp(0, 1)
    low = linear * 12.92
    high = linear.clamp(min=0.003).pow(1 / 2.4).mul(1.055).sub(0.055)
    return torch.where(linear <= 0.0031308, low, high)


def linearise(encoded: Tensor) -> Tensor:
    """Undo the sRGB curve: values of any shape in [0, 1] to linear light in [0, 1]."""
    high = encoded.add(0.055).div(1.055).clamp(min=0).pow(2.4)
    return torch.where(encoded <= 0.04045, encoded / 12.92, high)


def add_sensor_noise(linear: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Add shot noise (grows with the light) and read noise (does not).

    Args:
        linear: linear light of any shape, in [0, 1].
        strength: 0 for none, 1 for about 2.5 grey levels at mid grey.
        rng: source of randomness.

    Returns:
        Noisy linear light of the same shape; may leave [0, 1] a little.
    """
    if strength <= 0:
        return linear
    # Drawn by numpy on the CPU, so that a sample is the same on every device.
    noise = torch.from_numpy(rng.standard_normal(tuple(linear.shape), dtype=np.float32))
    variance = linear.clamp(0, 1) * (SHOT_VARIANCE * strength**2) + (READ_DEVIATION * strength) ** 2
    return linear + variance.sqrt() * noise.to(linear.device)


def round_to_bytes(picture: Tensor) -> Tensor:
    """Round values in [0, 1] to the 256 levels of an 8-bit picture; shape and range stay."""
    return picture.clamp(0, 1).mul(255).round().div(255)


def compress_jpeg(picture: Tensor, quality: int) -> Tensor:
    """Send a picture through JPEG and back.

    Args:
        picture: [3, H, W] RGB in [0, 1].
        quality: JPEG quality from 1 to 100.

    Returns:
        [3, H, W] RGB in [0, 1] with the compression's errors.
    """
    pixels = picture.clamp(0, 1).mul(255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    written, stream = cv2.imencode(
        ".jpg", np.ascontiguousarray(pixels[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    assert written, "JPEG of an 8-bit RGB array cannot fail"
    decoded = np.ascontiguousarray(np.asarray(cv2.imdecode(stream, cv2.IMREAD_COLOR))[..., ::-1])
    return torch.from_numpy(decoded).to(picture.device).permute(2, 0, 1).float().div(255)
