"""The user's own stills, cut-outs and clips, found on disk and decoded on demand."""

from __future__ import annotations

import csv
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from unsmear.data.degrade import linearise_bytes
from unsmear.errors import InputError

STILL_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
OBJECT_SUFFIXES = frozenset({".png", ".webp"})
CLIP_SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v"})

LARGE_PHOTO = 2000  # px on the long side; above it, photos are rarely sharp at pixel level
REDUCED_PHOTO = 1600  # px on the long side after reduction, at most
TRIES = 8  # crops looked at before the sharpest of them is taken as it is
DARKEST_MEAN = 16  # grey levels; a darker crop shows no blur

EXIF_ORIENTATION = 0x0112

# What an array in memory is, and which file it comes from.
Key: TypeAlias = tuple[str, Path]


@dataclass(frozen=True)
class CutOut:
    """An object on a transparent ground.

    Attributes:
        path: the RGBA file.
        cut_sides: those of "L", "R", "T", "B" where the edge of its photo cuts the object.
    """

    path: Path
    cut_sides: frozenset[str] = frozenset()


@dataclass
class MediaLibrary:
    """Material for synthesis: where it lies, and a bounded memory of what was decoded.

    Attributes:
        stills: photo files, by name.
        objects: cut-outs, by name.
        clips: video files of static cameras, by name.
        min_sharpness: Laplacian variance in squared grey levels that a crop must reach.
        cache_bytes: bytes of decoded pictures kept in memory, per process.
    """

    stills: tuple[Path, ...]
    objects: tuple[CutOut, ...] = ()
    clips: tuple[Path, ...] = ()
    min_sharpness: float = 60.0
    cache_bytes: int = 640_000_000
    _cache: OrderedDict[Key, NDArray[Any]] = field(
        default_factory=OrderedDict, init=False, repr=False
    )
    _cached_bytes: int = field(default=0, init=False, repr=False)
    _sizes: dict[Path, tuple[int, int]] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def from_folders(
        cls,
        stills: Sequence[str | Path],
        objects: Sequence[str | Path] = (),
        clips: Sequence[str | Path] = (),
        exclude: Iterable[str] = (),
        only: Iterable[str] | None = None,
        **options: Any,
    ) -> MediaLibrary:
        """Find the material in folders (not in their sub-folders).

        Args:
            stills: folders of photos.
            objects: folders of RGBA cut-outs, each with an optional `manifest.csv` whose columns
                `file` and `cut_by_photo_edge` name the sides cut by the photo's edge.
            clips: folders of videos taken by static cameras.
            exclude: file names to leave out, e.g. the validation split.
            only: file names to keep; all when left out.
            **options: further fields of the class.

        Returns:
            A library whose files are in the order of their names.

        Raises:
            InputError: if a folder is missing, or holds none of the wanted files.
        """
        excluded = frozenset(exclude)
        kept = None if only is None else frozenset(only)

        def find(folders: Sequence[str | Path], suffixes: frozenset[str], what: str) -> list[Path]:
            return [
                path
                for folder in folders
                for path in _list_files(Path(folder), suffixes, what)
                if path.name not in excluded and (kept is None or path.name in kept)
            ]

        library = cls(
            stills=tuple(find(stills, STILL_SUFFIXES, "photos")),
            objects=tuple(
                CutOut(path, _read_cut_sides(path.parent).get(path.name, frozenset()))
                for path in find(objects, OBJECT_SUFFIXES, "cut-outs")
            ),
            clips=tuple(find(clips, CLIP_SUFFIXES, "clips")),
            **options,
        )
        if not library.stills:
            raise InputError(
                f"no photos left in {[str(folder) for folder in stills]}: name a folder of stills, "
                "or leave fewer of them out"
            )
        return library

    @property
    def fingerprint(self) -> tuple[tuple[str, int], ...]:
        """Names and sizes in bytes of all files: changes when the material does."""
        paths = [*self.stills, *(each.path for each in self.objects), *self.clips]
        return tuple((path.name, path.stat().st_size) for path in paths)

    def still(self, path: Path) -> NDArray[np.uint8]:
        """Decode a photo upright and sharp at pixel level: [H, W, 3] RGB bytes."""
        return self.remember(("still", path), lambda: _decode_still(path))

    def cut_out(self, path: Path) -> NDArray[np.uint16]:
        """Decode a cut-out: [H, W, 4] linear premultiplied RGBA, 16 bits, cropped to its alpha."""
        return self.remember(("object", path), lambda: _decode_cut_out(path))

    def random_crop(
        self,
        rng: np.random.Generator,
        height: int,
        width: int,
        path: Path | None = None,
        *,
        textured: bool = True,
    ) -> NDArray[np.uint8]:
        """Draw a piece of a photo.

        The photo is reduced by a random factor from 0.5 to 1 as far as its size allows, cropped
        anywhere and mirrored by chance.

        Args:
            rng: source of randomness.
            height: height in pixels.
            width: width in pixels.
            path: the photo; any when left out.
            textured: draw flat, dark and unfocused crops again.

        Returns:
            [height, width, 3] RGB bytes.
        """
        wanted = self.min_sharpness if textured else 0.0
        best, best_sharpness = None, -1.0
        for _ in range(TRIES):
            photo = self.still(path or self._random_still(rng, height, width))
            crop = _random_view(rng, photo, height, width)
            grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
            sharpness = (
                float(cv2.Laplacian(grey, cv2.CV_32F).var()) if grey.mean() >= DARKEST_MEAN else 0.0
            )
            if sharpness > best_sharpness:
                best, best_sharpness = crop, sharpness
            if sharpness >= wanted:
                break
        assert best is not None, "at least one crop was drawn"
        return best

    def remember(self, key: Key, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Give back a decoded array, made on first use and dropped when long unused."""
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        value = make()
        self._cache[key] = value
        self._cached_bytes += value.nbytes
        while self._cached_bytes > self.cache_bytes and len(self._cache) > 1:
            _, dropped = self._cache.popitem(last=False)
            self._cached_bytes -= dropped.nbytes
        return value

    def _random_still(self, rng: np.random.Generator, height: int, width: int) -> Path:
        """Draw a photo, of those that need no enlargement where there are any."""
        choice = self.stills[rng.integers(len(self.stills))]
        if self._fits(choice, height, width):
            return choice
        fitting = [path for path in self.stills if self._fits(path, height, width)]
        return fitting[rng.integers(len(fitting))] if fitting else choice

    def _fits(self, path: Path, height: int, width: int) -> bool:
        if path not in self._sizes:
            self._sizes[path] = _decoded_size(path)
        photo_width, photo_height = self._sizes[path]
        return photo_height >= height and photo_width >= width

    def __getstate__(self) -> dict[str, Any]:
        """Leave the decoded pictures behind: a worker process fills its own memory."""
        return {**self.__dict__, "_cache": OrderedDict(), "_cached_bytes": 0}


def _list_files(folder: Path, suffixes: frozenset[str], what: str) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"no folder {folder}: name an existing folder of {what}")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    if not found:
        raise InputError(f"no {what} in {folder}: expected files ending in {sorted(suffixes)}")
    return found


def _read_cut_sides(folder: Path) -> dict[str, frozenset[str]]:
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        return {}
    with manifest.open(newline="", encoding="utf-8") as rows:
        return {
            row["file"]: frozenset(row.get("cut_by_photo_edge") or "")
            for row in csv.DictReader(rows)
        }


def _reduced_size(width: int, height: int) -> tuple[int, int]:
    """Width and height after the reduction that large photos need."""
    longest = max(width, height)
    if longest <= LARGE_PHOTO:
        return width, height
    factor = max(2.0, longest / REDUCED_PHOTO)
    return round(width / factor), round(height / factor)


def _decoded_size(path: Path) -> tuple[int, int]:
    """Width and height of a photo once decoded, from its header alone."""
    with _open(path) as photo:
        width, height = _reduced_size(*photo.size)
        turned = photo.getexif().get(EXIF_ORIENTATION, 1) >= 5
    return (height, width) if turned else (width, height)


def _open(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except OSError as error:
        raise InputError(f"cannot read {path} as a picture ({error}): remove it") from error


def _decode_still(path: Path) -> NDArray[np.uint8]:
    with _open(path) as photo:
        wanted = _reduced_size(*photo.size)
        photo.draft("RGB", wanted)  # JPEGs decode at a half or a quarter, never below `wanted`
        pixels = np.asarray(photo.convert("RGB"))
        if pixels.shape[1::-1] != wanted:
            pixels = np.asarray(cv2.resize(pixels, wanted, interpolation=cv2.INTER_AREA))
        upright = Image.fromarray(pixels)
        upright.getexif()[EXIF_ORIENTATION] = photo.getexif().get(EXIF_ORIENTATION, 1)
        return np.ascontiguousarray(ImageOps.exif_transpose(upright))


def _decode_cut_out(path: Path) -> NDArray[np.uint16]:
    with _open(path) as photo:
        pixels = np.asarray(photo.convert("RGBA"))
    alpha = pixels[..., 3]
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    if not len(rows):
        raise InputError(f"{path} is fully transparent: remove it")
    pixels = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    coverage = pixels[..., 3:].astype(np.float32) / 255
    # Premultiplied, so that reducing and turning mix light and never the hidden colours behind
    # transparent pixels: no halos.
    premultiplied = np.concatenate([linearise_bytes(pixels[..., :3]) * coverage, coverage], axis=2)
    return np.round(premultiplied * 65535).astype(np.uint16)


def _random_view(
    rng: np.random.Generator, photo: NDArray[np.uint8], height: int, width: int
) -> NDArray[np.uint8]:
    """Crop, reduce and mirror a [H, W, 3] photo at random to [height, width, 3]."""
    # The largest piece of the right shape bounds the reduction; below 1 the photo is enlarged.
    room = min(photo.shape[0] / height, photo.shape[1] / width)
    factor = min(1 / rng.uniform(0.5, 1.0), room)
    piece_height = min(max(int(height * factor), 1), photo.shape[0])
    piece_width = min(max(int(width * factor), 1), photo.shape[1])
    top = rng.integers(photo.shape[0] - piece_height + 1)
    left = rng.integers(photo.shape[1] - piece_width + 1)
    piece = photo[top : top + piece_height, left : left + piece_width]
    if piece.shape[:2] != (height, width):
        way = cv2.INTER_AREA if factor >= 1 else cv2.INTER_CUBIC
        piece = np.asarray(cv2.resize(piece, (width, height), interpolation=way), np.uint8)
    return np.ascontiguousarray(piece[:, ::-1] if rng.random() < 0.5 else piece)
