"""The pixels as the file stores them, and the way between them and the RGB a network sees.

Everything here is integer arithmetic on what is touched; the other samples are never computed anew.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Kind = Literal["grey", "rgb", "cmyk", "palette"]


@dataclass(frozen=True, eq=False)
class Samples:
    """Pixels in the mode of the file.

    Attributes:
        kind: What `values` mean.
        values: uint8 or uint16, (H, W) for grey and palette, (H, W, 3) for rgb, (H, W, 4) for cmyk
            (0 is no ink). Grey of less than 8 bits is stretched to 0..255; palette values are
            indices.
        alpha: (H, W) like `values`, 0 is transparent. None where there is none.
        bit_depth: Bits per sample in the file: 1, 2, 4, 8 or 16.
        palette: (256, 3) uint8 colours, only for palette pictures.
        palette_size: How many of them the file has.
        palette_alpha: (256,) uint8, where palette entries can be transparent.
        key: The one colour that is transparent (PNG tRNS), in units of `values`.
        premultiplied: The colours are already multiplied with alpha (TIFF associated alpha).
    """

    kind: Kind
    values: np.ndarray
    alpha: np.ndarray | None = None
    bit_depth: int = 8
    palette: np.ndarray | None = None
    palette_size: int = 256
    palette_alpha: np.ndarray | None = None
    key: tuple[int, ...] | None = None
    premultiplied: bool = False

    @property
    def max_value(self) -> int:
        """255 or 65535."""
        return int(np.iinfo(self.values.dtype).max)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.values.shape[1], self.values.shape[0]

    @property
    def has_transparency(self) -> bool:
        """Whether any pixel could be transparent, however the file says so."""
        return not (self.alpha is None and self.palette_alpha is None and self.key is None)

    def oriented(self, orientation: int) -> Samples:
        """The same pixels turned as EXIF orientation 1..8 asks."""
        if orientation == 1:
            return self
        alpha = None if self.alpha is None else orient(self.alpha, orientation)
        return replace(self, values=orient(self.values, orientation), alpha=alpha)


def orient(array: np.ndarray, orientation: int) -> np.ndarray:
    """Turn (H, W, ...) stored pixels upright.

    Args:
        array: The pixels as stored.
        orientation: The EXIF value, 1..8: where the stored first row and column belong.

    Returns:
        A contiguous array, (W, H, ...) for 5..8.
    """
    if orientation >= 5:
        array = np.swapaxes(array, 0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def to_rgb(samples: Samples) -> np.ndarray:
    """Show native pixels as RGB; alpha is left out of it.

    Returns:
        (H, W, 3) uint8 or uint16. For rgb these are the native values themselves, not a copy.
    """
    if samples.kind == "rgb":
        return samples.values
    if samples.kind == "grey":
        return np.repeat(samples.values[..., None], 3, axis=2)
    if samples.kind == "palette":
        assert samples.palette is not None
        return samples.palette[samples.values]
    return _cmyk_to_rgb(samples.values)


def replace_touched(samples: Samples, restored: np.ndarray, touched: np.ndarray) -> Samples:
    """Write restored colours into the touched pixels, in the file's own mode.

    Args:
        samples: The pixels before.
        restored: (H, W, 3), the dtype of `samples.values`.
        touched: (H, W) bool.

    Returns:
        New samples, the same bits wherever `touched` is False. Alpha is the same everywhere.
    """
    values = samples.values.copy()
    colours = restored[touched]  # (N, 3)
    if samples.premultiplied and samples.alpha is not None:
        colours = np.minimum(colours, samples.alpha[touched][:, None])
    if samples.kind == "palette":
        values[touched] = _nearest_index(samples, colours, values[touched])
    elif samples.kind == "cmyk":
        values[touched] = _rgb_to_cmyk(colours, values[touched])
    else:
        new = _on_levels(_luma(colours), samples.bit_depth) if samples.kind == "grey" else colours
        values[touched] = new if samples.key is None else _off_key(samples, new, values[touched])
    return replace(samples, values=values)


def _luma(colours: np.ndarray) -> np.ndarray:
    # The weights are 0.299, 0.587, 0.114 in 1/65536: their sum is exact, so grey stays what it was.
    red, green, blue = (colours[:, i].astype(np.uint32) for i in range(3))
    luma = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
    return luma.astype(colours.dtype)


def _on_levels(grey: np.ndarray, bit_depth: int) -> np.ndarray:
    if bit_depth >= 8:
        return grey
    top = (1 << bit_depth) - 1
    return ((grey.astype(np.uint16) * top + 127) // 255 * (255 // top)).astype(np.uint8)


def _off_key(samples: Samples, new: np.ndarray, old: np.ndarray) -> np.ndarray:
    # With a transparent colour, transparency follows from colour: transparent pixels keep theirs,
    # and no other pixel may become that colour by chance.
    assert samples.key is not None
    key = np.array(samples.key, dtype=new.dtype)
    new, old = new.reshape(len(new), -1).copy(), old.reshape(len(old), -1)
    step = 255 // ((1 << samples.bit_depth) - 1) if samples.bit_depth < 8 else 1
    clash = (new == key).all(axis=1)
    new[clash, -1] = key[-1] - step if key[-1] >= step else key[-1] + step
    hidden = (old == key).all(axis=1)
    new[hidden] = old[hidden]
    return new if samples.kind == "rgb" else new[:, 0]


def _cmyk_to_rgb(cmyk: np.ndarray) -> np.ndarray:
    # The plain conversion Pillow also makes: what ink C leaves of the light that K lets through.
    full = np.uint32(np.iinfo(cmyk.dtype).max)
    light = full - cmyk[..., 3].astype(np.uint32)
    rgb = np.empty((*cmyk.shape[:-1], 3), dtype=cmyk.dtype)
    for i in range(3):
        rgb[..., i] = light - (cmyk[..., i] * light + full // 2) // full
    return rgb


def _rgb_to_cmyk(colours: np.ndarray, old: np.ndarray) -> np.ndarray:
    # K stays as the file has it wherever the new colour is not too bright for it, so black text
    # stays black ink; only the coloured inks move.
    full = np.uint32(np.iinfo(old.dtype).max)
    colours = colours.astype(np.uint32)
    light = np.maximum(full - old[:, 3], colours.max(axis=1))
    new = old.copy()
    new[:, 3] = full - light
    lit = light > 0
    light = light[lit][:, None]
    new[lit, :3] = ((light - colours[lit]) * full + light // 2) // light
    return new


def _nearest_index(samples: Samples, colours: np.ndarray, old: np.ndarray) -> np.ndarray:
    assert samples.palette is not None
    size = samples.palette_size
    palette = samples.palette[:size].astype(np.int32)
    alpha = np.full(size, 255, np.uint8)
    if samples.palette_alpha is not None:
        alpha = samples.palette_alpha[:size]
    # An index past the palette's end is a file's mistake; such a pixel is left alone.
    old_alpha = np.append(alpha, 0)[np.minimum(old.astype(np.intp), size)]
    result = old.copy()
    for level in np.unique(alpha):  # a new colour never changes how transparent a pixel is
        entries = np.flatnonzero(alpha == level)
        mine = (old_alpha == level) & (old < size)
        if not mine.any():
            continue
        distinct, back = np.unique(colours[mine], axis=0, return_inverse=True)
        nearest = np.empty(len(distinct), dtype=old.dtype)
        for start in range(0, len(distinct), 16384):  # bounds the distance table to 50 MB
            part = distinct[start : start + 16384, None].astype(np.int32) - palette[entries]
            nearest[start : start + 16384] = entries[(part * part).sum(axis=2).argmin(axis=1)]
        result[mine] = nearest[back.reshape(-1)]
    return result


def convert(
    samples: Samples,
    *,
    kinds: Collection[Kind],
    alpha: Collection[Kind] = (),
    sixteen_bit: bool = False,
    format: str,
) -> Samples:
    """Bring pixels into something a format can hold, changing as little as possible.

    Args:
        samples: Any pixels.
        kinds: The kinds the format has. "rgb" must be among them.
        alpha: The kinds that may carry alpha. For "palette" that means transparent entries; for
            "grey" and "rgb" a whole channel.
        sixteen_bit: Whether the format has 16 bits per sample.
        format: Its name, for the warnings when transparency or inks are lost.

    Returns:
        Samples of one of `kinds`.
    """
    if samples.kind == "palette" and (
        "palette" not in kinds or (samples.palette_alpha is not None and "palette" not in alpha)
    ):
        channel = None
        if samples.palette_alpha is not None:
            channel = samples.palette_alpha[samples.values]
        elif samples.alpha is not None:
            channel = samples.alpha
        samples = Samples("rgb", to_rgb(samples), alpha=channel)
    if samples.key is not None and format != "PNG":
        shape = (*samples.values.shape[:2], -1)
        clear = (samples.values.reshape(shape) == samples.key).all(axis=2)
        channel = np.where(clear, 0, samples.max_value).astype(samples.values.dtype)
        samples = replace(samples, key=None, alpha=channel, bit_depth=max(samples.bit_depth, 8))
    if samples.premultiplied and format != "TIFF":
        samples = _unmultiplied(samples)
    if samples.kind == "cmyk" and "cmyk" not in kinds:
        warnings.warn(
            f"{format} cannot hold CMYK: the inks become RGB without a colour profile, and may look"
            " different",
            stacklevel=2,
        )
    if samples.kind not in kinds or (samples.alpha is not None and samples.kind not in alpha):
        wants_alpha = samples.alpha is not None and "rgb" in alpha
        if samples.kind not in kinds or wants_alpha:
            samples = replace(
                samples, kind="rgb", values=to_rgb(samples), bit_depth=max(samples.bit_depth, 8)
            )
    if samples.values.dtype == np.uint16 and not sixteen_bit:
        channel = None if samples.alpha is None else to_eight_bit(samples.alpha)
        samples = replace(samples, values=to_eight_bit(samples.values), alpha=channel, bit_depth=8)
    if samples.alpha is not None and samples.kind not in alpha:
        if (samples.alpha != samples.max_value).any():
            warnings.warn(
                f"{format} cannot hold transparency: the picture is laid over white", stacklevel=2
            )
        samples = replace(samples, values=_over_white(samples), alpha=None)
    return samples


def to_eight_bit(values: np.ndarray) -> np.ndarray:
    """Round 16-bit samples to 8 bits: 65535 becomes 255, 257 becomes 1."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _unmultiplied(samples: Samples) -> Samples:
    if samples.alpha is None:
        return replace(samples, premultiplied=False)
    alpha = samples.alpha.astype(np.uint32)
    alpha = alpha.reshape(*alpha.shape, *[1] * (samples.values.ndim - 2))
    full = np.uint32(samples.max_value)
    whole = (np.minimum(samples.values, alpha) * full + alpha // 2) // np.maximum(alpha, 1)
    values = np.where(alpha == 0, 0, whole).astype(samples.values.dtype)
    return replace(samples, values=values, premultiplied=False)


def _over_white(samples: Samples) -> np.ndarray:
    assert samples.alpha is not None
    white = 0 if samples.kind == "cmyk" else samples.max_value
    alpha = samples.alpha.astype(np.uint32)
    alpha = alpha.reshape(*alpha.shape, *[1] * (samples.values.ndim - 2))
    full = np.uint32(samples.max_value)
    blend = samples.values * alpha + np.uint32(white) * (full - alpha)
    return ((blend + full // 2) // full).astype(samples.values.dtype)


def pack_bits(values: np.ndarray, depth: int) -> np.ndarray:
    """Pack (H, W) small numbers into bytes, the first pixel in the highest bits."""
    if depth == 8:
        return values
    per_byte = 8 // depth
    width = -(-values.shape[1] // per_byte)
    padded = np.zeros((values.shape[0], width * per_byte), np.uint8)
    padded[:, : values.shape[1]] = values
    packed = np.zeros((values.shape[0], width), np.uint8)
    for place in range(per_byte):
        packed |= padded[:, place::per_byte] << np.uint8(8 - depth * (place + 1))
    return packed
