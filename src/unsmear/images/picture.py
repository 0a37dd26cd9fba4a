"""A picture: what a network sees of it, and all that is needed to write the same kind of file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image

from unsmear.errors import InputError
from unsmear.images.metadata import Metadata
from unsmear.images.samples import Kind, Samples, convert, replace_touched, to_rgb


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture, upright.

    Attributes:
        rgb: (H, W, 3) uint8 or uint16, what a network sees; alpha is left out. Treat as read-only.
        samples: The same pixels in the file's own mode, with alpha.
        format: The file's format, one of "JPEG", "PNG", "TIFF", "WEBP", "BMP"; None for arrays.
        metadata: Colour profile, EXIF, XMP and resolution.
        settings: How the file was made (quantisation tables, compression and such), private to the
            codec of `format`.
        original_bytes: The file as it was read.
        touched: (H, W) bool, the pixels that `with_rgb` has changed; None while there are none.
    """

    rgb: np.ndarray
    samples: Samples
    format: str | None = None
    metadata: Metadata = field(default_factory=Metadata)
    settings: Any = None
    original_bytes: bytes | None = field(default=None, repr=False)
    touched: np.ndarray | None = None

    @property
    def max_value(self) -> int:
        """The value of white: 255 or 65535."""
        return self.samples.max_value

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.samples.size

    @property
    def kind(self) -> Kind:
        """The file's colour mode: "grey", "rgb", "cmyk" or "palette"."""
        return self.samples.kind

    @property
    def alpha(self) -> np.ndarray | None:
        """(H, W) alpha channel, where the file has one."""
        return self.samples.alpha

    @property
    def is_changed(self) -> bool:
        """Whether any pixel differs from the file that was read."""
        return self.touched is not None

    @classmethod
    def from_samples(cls, samples: Samples, **others: Any) -> Picture:
        """A picture of native pixels; `others` are the remaining attributes."""
        return cls(rgb=to_rgb(samples), samples=samples, **others)

    @classmethod
    def from_array(cls, array: np.ndarray) -> Picture:
        """A picture of an array.

        Args:
            array: uint8 or uint16 of shape (H, W) or (H, W, 1) grey, (H, W, 2) grey and alpha,
                (H, W, 3) RGB or (H, W, 4) RGB and alpha. It is copied.

        Raises:
            InputError: The array is of another type or shape, or has no pixels.
        """
        array = np.asarray(array)
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        if array.dtype not in (np.uint8, np.uint16):
            raise InputError(
                f"the array holds {array.dtype}, a picture holds uint8 or uint16:"
                " scale it to 0..255 and convert it first"
            )
        if array.ndim == 2:
            array = array[..., None]
        if array.ndim != 3 or not 1 <= array.shape[2] <= 4 or 0 in array.shape:
            raise InputError(
                f"the array has shape {array.shape}, a picture has (H, W), (H, W, 3) or (H, W, 4):"
                " move or drop axes first"
            )
        channels = array.shape[2]
        colours = array[..., 0] if channels < 3 else array[..., :3]
        return cls.from_samples(
            Samples(
                "grey" if channels < 3 else "rgb",
                colours.copy(),
                alpha=None if channels % 2 else array[..., -1].copy(),
                bit_depth=8 * array.dtype.itemsize,
            )
        )

    @classmethod
    def from_pil(cls, image: Image.Image) -> Picture:
        """A picture of a Pillow image, turned as its EXIF or XMP asks.

        Raises:
            InputError: The image is of a mode without a place here (float, 32-bit integers above
                65535), or cannot be loaded.
        """
        try:
            samples = _samples_of(image)
        except (OSError, ValueError, SyntaxError) as error:
            raise InputError(
                f"the image cannot be loaded ({error}): check the file it comes from"
            ) from error
        info = image.info
        dpi = info.get("dpi")
        exif = info.get("exif")
        metadata = Metadata(
            icc=info.get("icc_profile") or None,
            exif=exif.removeprefix(b"Exif\0\0") if isinstance(exif, bytes) and exif else None,
            xmp=xmp if isinstance(xmp := info.get("xmp"), bytes) else None,
            dpi=(float(dpi[0]), float(dpi[1])) if dpi else None,
        )
        return cls.from_samples(
            samples.oriented(metadata.orientation),
            metadata=metadata.upright(),
        )

    def to_pil(self) -> Image.Image:
        """The picture as a Pillow image in its own mode.

        Returns:
            Mode 1, L, LA, P, RGB, RGBA, CMYK, or I;16 for 16-bit grey. Pillow has no 16-bit colour:
            that is rounded to 8 bits.
        """
        samples = self.samples
        whole = samples.kind == "grey" and samples.alpha is None and samples.key is None
        samples = convert(
            samples,
            kinds=("grey", "rgb", "cmyk", "palette"),
            alpha=("grey", "rgb", "palette"),
            sixteen_bit=whole,
            format="Pillow",
        )
        image = pil_image(samples)
        carried = {
            "icc_profile": self.metadata.icc,
            "exif": self.metadata.exif and b"Exif\0\0" + self.metadata.exif,
            "xmp": self.metadata.xmp,
            "dpi": self.metadata.dpi,
        }
        image.info.update({name: value for name, value in carried.items() if value is not None})
        return image

    def with_rgb(self, restored: np.ndarray, touched: np.ndarray) -> Picture:
        """The picture with some pixels replaced.

        A touched pixel whose colour comes back as it was does not count as touched, so that it
        keeps its native bits too.

        Args:
            restored: (H, W, 3), the dtype of `rgb`. Only its touched pixels are looked at.
            touched: (H, W) bool.

        Returns:
            A new picture in the same mode. Pixels outside `touched` have the same native bits.
            Without any change it is the same picture, which writes the file it came from.

        Raises:
            InputError: A shape or dtype is not the picture's.
        """
        if restored.shape != self.rgb.shape or restored.dtype != self.rgb.dtype:
            raise InputError(
                f"restored pixels are {restored.dtype} {restored.shape}, the picture is"
                f" {self.rgb.dtype} {self.rgb.shape}: bring them to its size and type"
            )
        if touched.shape != self.rgb.shape[:2] or touched.dtype != np.bool_:
            raise InputError(
                f"the touched map is {touched.dtype} {touched.shape}, wanted bool"
                f" {self.rgb.shape[:2]}: threshold it, or bring it to the picture's size"
            )
        changed = touched & (restored != self.rgb).any(axis=2)
        if not changed.any():
            return self
        samples = replace_touched(self.samples, restored, changed)
        if self.touched is not None:
            changed |= self.touched
        return replace(self, rgb=to_rgb(samples), samples=samples, touched=changed)


def pil_image(samples: Samples) -> Image.Image:
    """A Pillow image of native pixels; 16-bit only as grey without alpha."""
    values = samples.values
    if samples.alpha is not None:
        values = np.dstack([values, samples.alpha])
    mode = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK", "palette": "P"}[samples.kind]
    if samples.values.dtype == np.uint16:
        mode = "I;16"
        values = values.astype("<u2", copy=False)
    elif samples.alpha is not None:
        mode += "A"
    image = Image.frombytes(mode, samples.size, np.ascontiguousarray(values).tobytes())
    if samples.palette is not None:
        image.putpalette(samples.palette[: samples.palette_size].tobytes())
        if samples.palette_alpha is not None:
            image.info["transparency"] = samples.palette_alpha[: samples.palette_size].tobytes()
    elif samples.bit_depth == 1:
        image = image.convert("1", dither=Image.Dither.NONE)
    if samples.key is not None:
        image.info["transparency"] = samples.key[0] if len(samples.key) == 1 else samples.key
    return image


def full_palette(colours: np.ndarray) -> np.ndarray:
    """Pad (N, 3) palette colours with black to (256, 3), so that every index has a colour."""
    palette = np.zeros((256, 3), np.uint8)
    palette[: min(len(colours), 256)] = colours[:256]
    return palette


def _samples_of(image: Image.Image) -> Samples:
    mode = image.mode
    if 0 in image.size:
        raise InputError("the image has no pixels: check where it comes from")
    if mode == "I" or mode.startswith("I;16"):
        values = np.asarray(image)
        if values.size and not (values.min() >= 0 and values.max() <= 65535):
            raise InputError(
                "the image holds integers beyond 16 bits: scale them to 0..65535 first"
            )
        return Samples("grey", values.astype(np.uint16), bit_depth=16)
    if mode == "F":
        raise InputError("the image holds floats: scale it to 8 or 16-bit integers first")
    if mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK"):
        mode = "RGBA" if mode in ("PA", "La", "RGBa") else "RGB"
        image = image.convert(mode)
    transparency = image.info.get("transparency")
    if mode == "1":
        return Samples("grey", np.asarray(image).astype(np.uint8) * np.uint8(255), bit_depth=1)
    if mode == "P":
        return _palette_samples_of(image, transparency)
    values = np.array(image)
    alpha = None
    if mode in ("LA", "RGBA"):
        alpha = values[..., -1].copy()
        values = values[..., 0].copy() if mode == "LA" else values[..., :3].copy()
    key = None
    if alpha is None and mode in ("L", "RGB") and transparency is not None:
        key = tuple(np.atleast_1d(transparency).tolist())
        key = key if len(key) == (1 if mode == "L" else 3) else None
    kind: Kind = "cmyk" if mode == "CMYK" else "grey" if mode[0] == "L" else "rgb"
    return Samples(kind, values, alpha=alpha, key=key)


def _palette_samples_of(image: Image.Image, transparency: object) -> Samples:
    colours = np.array(image.getpalette("RGBA"), np.uint8).reshape(-1, 4)
    if (colours[:, 3] < 255).any():  # Pillow says it there when it made the palette itself
        transparency = colours[:, 3].tobytes()
    palette_alpha = None
    if isinstance(transparency, (bytes, int)):
        palette_alpha = np.full(256, 255, np.uint8)
        if isinstance(transparency, int):
            palette_alpha[transparency] = 0
        else:
            part = np.frombuffer(transparency[:256], np.uint8)
            palette_alpha[: len(part)] = part
    return Samples(
        "palette",
        np.array(image),
        palette=full_palette(colours[:, :3]),
        palette_size=max(1, min(len(colours), 256)),
        palette_alpha=palette_alpha,
    )
