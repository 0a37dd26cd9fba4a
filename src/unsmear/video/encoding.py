"""How a clip is encoded again: the codec it had, its colour tags, a high quality."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import av
import numpy as np
from av.codec import Codec
from av.codec.context import Flags
from av.error import FFmpegError
from av.sidedata.sidedata import Type

from unsmear.errors import InputError
from unsmear.video.clip import Clip, Frame


class Encoder(NamedTuple):
    """An encoder and how it is asked for quality.

    Attributes:
        name: FFmpeg's name of it.
        crf: constant rate factor where none is wished for: hardly a visible loss; None where
            quality is not set by one.
        lossless: options that lose nothing; None where it cannot.
        options: that it always gets.
    """

    name: str
    crf: int | None = None
    lossless: Mapping[str, str] | None = None
    options: Mapping[str, str] = {}


ENCODERS = {
    "h264": Encoder("libx264", 16, {"qp": "0"}),
    "hevc": Encoder("libx265", 16, {"x265-params": "lossless=1"}),
    "vp8": Encoder("libvpx", 6, None, {"b": "100M"}),
    "vp9": Encoder("libvpx-vp9", 18, {"lossless": "1"}, {"b": "0", "row-mt": "1"}),
    "av1": Encoder("libsvtav1", 18, {"svtav1-params": "lossless=1"}, {"preset": "6"}),
    "ffv1": Encoder("ffv1", None, {}, {"level": "3"}),
    "prores": Encoder("prores_ks", None, None, {"vendor": "apl0"}),
}
FALLBACK = "h264"


@dataclass(frozen=True)
class Recipe:
    """All that an encoder is told; the same recipe makes the same stream.

    Attributes:
        encoder: its name.
        width: in pixels.
        height: likewise.
        pixels: pixel format.
        time_base: of the timestamps, the input's.
        rate: frames a second, for rate control and for formats that store one.
        aspect: of a pixel, its width to its height; 0 where it is not known.
        colour: numbers of H.273 for matrix, primaries and transfer, and FFmpeg's of the range.
        options: of the encoder.
        global_header: headers go into the file's own header instead of the stream.
    """

    encoder: str
    width: int
    height: int
    pixels: str
    time_base: Fraction
    rate: Fraction
    aspect: Fraction
    colour: tuple[int, int, int, int]
    options: tuple[tuple[str, str], ...]
    global_header: bool

    def dress(self, context: Any) -> None:
        """Tell it to an encoder that is not open yet."""
        context.width, context.height, context.pix_fmt = self.width, self.height, self.pixels
        context.time_base, context.framerate = self.time_base, self.rate
        context.sample_aspect_ratio = self.aspect
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = (
            self.colour
        )
        context.options = dict(self.options)
        if self.global_header:
            context.flags |= Flags.global_header

    def open(self) -> Any:
        """An encoder that is ready.

        Raises:
            InputError: it refuses, such as x264 does odd sides.
        """
        os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 writes to the terminal by itself
        context: Any = av.CodecContext.create(self.encoder, "w")
        self.dress(context)
        try:
            context.open()
        except (FFmpegError, ValueError):
            raise InputError(
                f"{self.encoder} cannot encode {self.width}x{self.height} pixels of "
                f"{self.pixels}: crop the clip to even sides, or convert it to FFV1 first."
            ) from None
        return context


def recipe_for(
    clip: Clip,
    *,
    crf: int | None = None,
    lossless: bool = False,
    global_header: bool = True,
    b_frames: bool = True,
) -> Recipe:
    """How to encode what becomes of a clip.

    The codec is the clip's own where there is an encoder for it, else H.264.

    Args:
        clip: the input.
        crf: constant rate factor; None is the encoder's in :data:`ENCODERS`.
        lossless: the encoder loses nothing.
        global_header: headers go into the file's own header instead of the stream.
        b_frames: whether frames may be stored in another order than they are shown in.

    Raises:
        InputError: a pixel format that no encoder here keeps, transparency that is not decoded, or
            a wish that cannot be met.
    """
    frame = clip.first
    encoder = _encoder_of(clip.stream.codec_context.name)
    if _has_hidden_alpha(clip.stream):
        raise InputError(
            f"The transparency of {clip.path} cannot be read: convert it to FFV1 first, with "
            f"ffmpeg -c:v {encoder.name} -i {clip.path} -c:v ffv1 OUT.mkv."
        )
    known = {form.name for form in Codec(encoder.name, "w").video_formats or []}
    # Packed RGB has been sorted into planes; an encoder may know it as it was stored only.
    stored = (frame.picture.format.name, clip.stream.codec_context.pix_fmt)
    pixels = next((name for name in stored if name in known), None)
    if pixels is None:
        raise InputError(
            f"{encoder.name} does not keep the clip's pixel format {stored[0]}"
            f"{' with its transparency' if _has_alpha(frame) else ''}: convert it to FFV1 in a "
            ".mkv file first."
        )
    options = {**encoder.options}
    if lossless:
        if encoder.lossless is None:
            raise InputError(f"{encoder.name} always loses something: leave --lossless out.")
        options |= encoder.lossless
    elif encoder.crf is not None:
        options["crf"] = str(encoder.crf if crf is None else crf)
    elif crf is not None:
        raise InputError(f"The quality of {encoder.name} is not set by --crf: leave it out.")
    if not b_frames:
        options["bf"] = "0"
    if encoder.name == "libx265":
        quiet = ["log-level=error", *_light_levels(frame.picture.side_data)]
        options["x265-params"] = ":".join([*filter(None, [options.get("x265-params")]), *quiet])
    picture, context = frame.picture, clip.stream.codec_context
    return Recipe(
        encoder.name,
        picture.width,
        picture.height,
        pixels,
        clip.time_base,
        clip.rate,
        clip.stream.sample_aspect_ratio or Fraction(0),  # not known
        (
            picture.colorspace,
            context.color_primaries,
            context.color_trc,
            2 if pixels.startswith("yuvj") else picture.color_range,
        ),
        tuple(sorted(options.items())),
        global_header,
    )


def _encoder_of(codec: str) -> Encoder:
    """By the decoder's name, such as libdav1d for AV1."""
    name = {"libdav1d": "av1", "libvpx-vp9": "vp9", "libvpx": "vp8"}.get(codec, codec)
    for each in (name, FALLBACK):
        if each in ENCODERS and ENCODERS[each].name in av.codecs_available:
            return ENCODERS[each]
    raise InputError(
        "This build of PyAV encodes no H.264: install one from PyPI (pip install --force-reinstall "
        "av)."
    )


def _has_alpha(frame: Frame) -> bool:
    return any(part.is_alpha for part in frame.picture.format.components)


def _has_hidden_alpha(stream: Any) -> bool:
    """Whether there is transparency that the decoder leaves out, as FFmpeg's own of VP8 and VP9."""
    tags = {name.lower(): text for name, text in stream.metadata.items()}
    return stream.codec_context.name in ("vp8", "vp9") and tags.get("alpha_mode") == "1"


def _light_levels(sides: Any) -> list[str]:
    """HDR10's mastering display and light levels as x265 takes them."""
    settings = []
    if display := sides.get(Type.MASTERING_DISPLAY_METADATA):
        numbers = np.frombuffer(bytes(display), np.int32)[:20].reshape(10, 2)
        (rx, ry, gx, gy, bx, by, wx, wy), (low, high) = _scaled(numbers)
        settings.append(
            f"master-display=G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({high},{low})"
        )
    if light := sides.get(Type.CONTENT_LIGHT_LEVEL):
        most, mean = np.frombuffer(bytes(light), np.uint32)[:2]
        settings.append(f"max-cll={most},{mean}")
    return settings


def _scaled(numbers: Any) -> tuple[list[int], list[int]]:
    """Chromaticities in steps of 0.00002, luminances in steps of 0.0001 cd/m²."""
    values = [Fraction(int(a), int(b) or 1) for a, b in numbers]
    return [round(v * 50000) for v in values[:8]], [round(v * 10000) for v in values[8:]]
