"""Colours agree with FFmpeg's own conversion, and unchanged samples stay."""

from __future__ import annotations

import av
import numpy as np
import pytest
import torch

from unsmear.errors import InputError
from unsmear.video.colours import (
    Box,
    Coding,
    add_change,
    in_planes,
    planar_format,
    planes_of,
    to_rgb,
)

from .makers import ffmpeg

MATRICES = {"bt709": 1, "bt601": 6, "bt2020": 9}
H, W = 32, 48
WHOLE = Box(0, 0, H, W)


def smooth(bits: int, count: int, height: int = H, width: int = W) -> list[np.ndarray]:
    """Planes of gentle waves; none of their colours is out of range."""
    y, x = np.mgrid[0:height, 0:width] / 12
    waves = [np.sin(x + k) * np.cos(y * (k + 1) / 2) for k in range(count)]
    unit = 1 << (bits - 8)
    return [
        np.rint((128 + amount * wave) * unit).astype(np.uint8 if bits == 8 else np.uint16)
        for wave, amount in zip(waves, (50, 20, 20), strict=False)
    ]


def frame_of(planes: list[np.ndarray], form: str, matrix: int = 1, full: bool = False):
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, form)
    for own, plane in zip(planes_of(frame), planes, strict=True):
        own[:] = plane
    frame.colorspace, frame.color_range = matrix, 2 if full else 1
    return frame


def by_ffmpeg(frame: av.VideoFrame, matrix: str, full: bool) -> np.ndarray:
    """FFmpeg's own conversion, in levels of 255."""
    raw = b"".join(plane.tobytes() for plane in planes_of(frame))
    ranges = "full" if full else "limited"
    out = ffmpeg(
        *("-f", "rawvideo", "-pix_fmt", frame.format.name, "-s", f"{frame.width}x{frame.height}"),
        *("-color_range", "pc" if full else "tv", "-i", "-", "-vf"),
        f"scale=in_color_matrix={matrix}:in_range={ranges}:out_range=full"
        ":flags=bilinear+accurate_rnd+full_chroma_int+full_chroma_inp",
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-"),
        stdin=raw,
    )
    return np.frombuffer(out, np.uint8).reshape(frame.height, frame.width, 3).astype(float)


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", MATRICES)
def test_rgb_is_what_ffmpeg_makes_of_it(matrix: str, full: bool, bits: int) -> None:
    ending = "" if bits == 8 else "10le"
    frame = frame_of(smooth(bits, 3), f"yuv444p{ending}", MATRICES[matrix], full)
    ours = to_rgb(planes_of(frame), Coding.of(frame), WHOLE).astype(float) / 257
    theirs = by_ffmpeg(frame, matrix, full)
    # FFmpeg rounds to 8 bits; in full range of 10 bits it takes 1020 for white, H.273 says 1023.
    assert abs(ours - theirs).max() < 1.6
    assert abs(ours - theirs).mean() < 0.6


def test_a_wrong_matrix_or_range_would_show() -> None:
    frame = frame_of(smooth(8, 3), "yuv444p", 1, full=False)
    ours = to_rgb(planes_of(frame), Coding.of(frame), WHOLE).astype(float) / 257
    for matrix, full in (("bt601", False), ("bt709", True)):
        theirs = by_ffmpeg(frame, matrix, full)
        assert abs(ours - theirs).max() > 5


@pytest.mark.parametrize("form", ["yuv420p", "yuv422p", "yuv420p10le"])
def test_shared_chroma_is_interpolated(form: str) -> None:
    bits = 10 if "10" in form else 8
    luma, cb, cr = smooth(bits, 3)
    down = 2 if "420" in form else 1
    # Chroma of a full picture, sampled where these formats have it.
    planes = [luma, *(plane[::down, ::2] for plane in (cb, cr))]
    frame = frame_of([np.ascontiguousarray(plane) for plane in planes], form)
    ours = to_rgb(planes_of(frame), Coding.of(frame), WHOLE).astype(float) / 257
    theirs = by_ffmpeg(frame, "bt709", full=False)
    # Where chroma lies between luma's places is a matter of convention: half a sample at most.
    assert abs(ours - theirs).mean() < 1.5
    inside = Box(8, 16, 24, 40)
    part = to_rgb(planes_of(frame), Coding.of(frame), inside).astype(float) / 257
    assert abs(part - ours[8:24, 16:40])[2:-2, 2:-2].max() == 0


@pytest.mark.parametrize("form", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "gbrp", "gray"])
@pytest.mark.parametrize("size", [(H, W), (H - 1, W - 1)])
def test_nothing_changes_without_a_change(form: str, size: tuple[int, int]) -> None:
    frame = av.VideoFrame(size[1], size[0], form)
    rng = np.random.default_rng(0)
    for plane in planes_of(frame):
        plane[:] = rng.integers(0, 1 << Coding.of(frame).bits, plane.shape)
    before = [plane.copy() for plane in planes_of(frame)]
    box = Box(0, 0, *size)
    assert to_rgb(planes_of(frame), Coding.of(frame), box).shape == (*size, 3)
    add_change(planes_of(frame), Coding.of(frame), box, torch.zeros(3, *size))
    assert all(map(np.array_equal, before, planes_of(frame)))


@pytest.mark.parametrize("form", ["yuv420p", "yuv444p", "yuv420p10le", "gbrp"])
@pytest.mark.parametrize("full", [False, True])
def test_a_change_is_what_is_seen_afterwards(form: str, full: bool) -> None:
    bits = 10 if "10" in form else 8
    planes = smooth(bits, 3)
    shapes = [own.shape for own in planes_of(av.VideoFrame(W, H, form))]
    planes = [
        plane[: shape[0], : shape[1]] // 2 for plane, shape in zip(planes, shapes, strict=True)
    ]
    planes = [planes[0] + (40 << (bits - 8)), *(p // 4 + (112 << (bits - 8)) for p in planes[1:])]
    frame = frame_of(planes, form, full=full)
    coding = Coding.of(frame)
    before = to_rgb(planes_of(frame), coding, WHOLE).astype(float) / 65535
    change = torch.zeros(3, H, W)
    change[:, 8:24, 16:32] = torch.tensor([0.10, 0.05, -0.03])[:, None, None]
    add_change(planes_of(frame), coding, WHOLE, change)
    after = to_rgb(planes_of(frame), coding, WHOLE).astype(float) / 65535
    moved = after - before
    assert np.allclose(moved[10:22, 18:30], [0.10, 0.05, -0.03], atol=2.5 / 255)
    assert abs(moved[:6]).max() == 0
    assert abs(moved[:, 36:]).max() == 0


def test_packed_formats_are_sorted_into_planes() -> None:
    for form, wanted in {
        "nv12": "yuv420p",
        "p010le": "yuv420p10le",
        "yuyv422": "yuv422p",
        "rgb24": "gbrp",
        "bgra": "gbrap",
        "pal8": "gbrp",
        "gray": "gray",
        "gray10le": "gray10le",
        "yuv420p": "yuv420p",
        "yuva420p": "yuva420p",
        "yuvj420p": "yuvj420p",
        "monob": "gray",
        "gbrp10le": "gbrp10le",
    }.items():
        assert planar_format(av.VideoFormat(form, 16, 16)) == wanted, form
    packed = av.VideoFrame.from_ndarray(np.arange(48 * 32, dtype=np.uint8).reshape(48, 32), "nv12")
    sorted_out = in_planes(packed)
    assert np.array_equal(planes_of(sorted_out)[0], packed.to_ndarray()[:32])
    assert np.array_equal(planes_of(sorted_out)[1].ravel(), packed.to_ndarray()[32:].ravel()[::2])


def test_an_untagged_clip_is_taken_as_players_take_it() -> None:
    large, small = (av.VideoFrame(*size, "yuv420p") for size in ((1280, 720), (720, 576)))
    assert Coding.of(large).red == pytest.approx(0.2126)
    assert Coding.of(small).red == pytest.approx(0.299)


def test_an_unknown_matrix_is_refused() -> None:
    frame = av.VideoFrame(16, 16, "yuv444p")
    frame.colorspace = 8  # YCgCo
    with pytest.raises(InputError, match="matrix"):
        Coding.of(frame)
