"""Blocks of a JPEG that nobody touched keep their coefficients."""

from __future__ import annotations

import heapq
import io
from itertools import product

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from unsmear.images import Picture, encode_picture, read_picture
from unsmear.images.jpeg_blocks import turn_blocks
from unsmear.images.jpeg_huffman import HuffmanTable
from unsmear.images.jpeg_scan import ZIGZAG, Scan, Unkept, shown_in, slots_of
from unsmear.images.jpeg_scan_reading import read_scan
from unsmear.images.jpeg_scan_writing import write_scan

from .makers import exif_block, pillow, scene

SUBSAMPLINGS = ["444", "422", "420", "440", "411"]


def photo(height: int, width: int) -> np.ndarray:
    """(H, W, 3) with edges, texture, and parts that are burnt out or black."""
    rgb = scene(height, width).astype(int)
    y, x = np.mgrid[:height, :width]
    rgb += np.where((x // 9 + y // 13) % 3 == 0, 90, -60)[..., None]
    rgb += np.random.default_rng(1).integers(-15, 16, rgb.shape)
    return np.clip(rgb, 0, 255).astype(np.uint8)


def scattered(picture: Picture, share: float = 0.18) -> Picture:
    """Change pixels in clumps of odd places and sizes."""
    height, width = picture.rgb.shape[:2]
    rng = np.random.default_rng(2)
    coarse = rng.random((-(-height // 19), -(-width // 23))) < share
    touched = np.kron(coarse, np.ones((19, 23), bool))[:height, :width]
    # Darker or lighter by much, so that it survives quantisation and every pixel has room for it.
    change = np.where(picture.rgb < 128, 60, -60) + np.arange(width)[:, None] % 5
    return picture.with_rgb((picture.rgb + change).astype(np.uint8), touched)


def any_in_tiles(mask: np.ndarray, high: int, wide: int) -> np.ndarray:
    """(H, W) bool -> one bool per tile, the last ones cut off by the border."""
    mask = np.pad(mask, ((0, -mask.shape[0] % high), (0, -mask.shape[1] % wide)))
    return mask.reshape(mask.shape[0] // high, high, -1, wide).any(axis=(1, 3))


def assert_only_touched_blocks_differ(before: Scan, after: Scan, touched: np.ndarray) -> None:
    down, across = before.unit
    for component, old, new in zip(before.components, before.grids(), after.grids(), strict=True):
        high, wide = 8 * down // component.down, 8 * across // component.across
        blocks = any_in_tiles(touched, high, wide)
        rows, columns = blocks.shape  # blocks wholly beyond the border come after these
        is_same = (old == new).all(axis=2)[:rows, :columns]
        assert is_same[~blocks].all()
    assert not (before.grids()[0] == after.grids()[0]).all()


def reach(touched: np.ndarray, before: Scan) -> np.ndarray:
    """The pixels that decoding can change: touched blocks, and a colour sample around them."""
    down, across = before.unit
    reached = any_in_tiles(touched, 8 * down, 8 * across)
    reached = np.kron(reached, np.ones((8 * down, 8 * across), bool))
    grown = reached.copy()
    for y in range(-down, down + 1):
        for x in range(-across, across + 1):
            grown |= np.roll(reached, (y, x), axis=(0, 1))
    return grown[: touched.shape[0], : touched.shape[1]]


def assert_kept(data: bytes) -> None:
    picture = read_picture(data)
    changed = scattered(picture)
    assert changed.touched is not None
    out = encode_picture(changed, "JPEG")
    before = read_scan(data)
    assert_only_touched_blocks_differ(before, read_scan(out), changed.touched)
    again = read_picture(out)
    far = ~reach(changed.touched, before)
    assert far.any()
    np.testing.assert_array_equal(again.samples.values[far], picture.samples.values[far])
    # And the change itself has arrived, as far as quantisation lets it.
    error = again.rgb[changed.touched].astype(int) - changed.rgb[changed.touched]
    change = changed.rgb[changed.touched].astype(int) - picture.rgb[changed.touched]
    assert np.abs(error).mean() < 0.8 * np.abs(change).mean()


@pytest.mark.parametrize("size", [(192, 256), (131, 187)])
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("quality", [75, 92, 100])
def test_untouched_blocks_keep_their_coefficients(
    quality: int, subsampling: str, size: tuple[int, int]
) -> None:
    assert_kept(imagecodecs.jpeg8_encode(photo(*size), level=quality, subsampling=subsampling))


@pytest.mark.parametrize("options", [{"optimize": True}, {"restart_marker_blocks": 3},
                                     {"restart_marker_rows": 1}, {"keep_rgb": True}])  # fmt: skip
def test_codings_keep_their_coefficients(options: dict[str, object]) -> None:
    assert_kept(pillow(Image.fromarray(photo(131, 187)), "JPEG", quality=95, **options))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_modes_keep_their_coefficients(mode: str) -> None:
    assert_kept(pillow(Image.fromarray(photo(131, 187)).convert(mode), "JPEG", quality=95))


def test_ycck_stays_ycck() -> None:
    cmyk = np.dstack([photo(131, 187), photo(131, 187)[..., 0] // 4])
    data = imagecodecs.jpeg8_encode(cmyk, level=95, colorspace="CMYK", outcolorspace="YCCK")
    assert_kept(data)
    out = encode_picture(scattered(read_picture(data)), "JPEG")
    with Image.open(io.BytesIO(out)) as image:
        assert image.info["adobe_transform"] == 2


def test_large_tables_stay() -> None:
    table = [1000 if i > 40 else 2 for i in range(64)]
    data = pillow(Image.fromarray(photo(131, 187)), "JPEG", qtables=[table])
    assert_kept(data)
    out = encode_picture(scattered(read_picture(data)), "JPEG")
    for before, after in zip(read_scan(data).tables, read_scan(out).tables, strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_turning_keeps_coefficients(orientation: int, subsampling: str) -> None:
    plain = imagecodecs.jpeg8_encode(photo(192, 256), level=95, subsampling=subsampling)
    exif = b"Exif\0\0" + exif_block(orientation)
    data = plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + plain[2:]
    picture = read_picture(data)
    changed = scattered(picture)
    assert changed.touched is not None
    out = encode_picture(changed, "JPEG")
    assert b"Exif\0\0" + exif_block(1)[:30] in out
    turned = turn_blocks(read_scan(data), orientation)
    assert_only_touched_blocks_differ(turned, read_scan(out), changed.touched)
    far = ~reach(changed.touched, turned)
    difference = np.abs(read_picture(out).rgb[far].astype(int) - picture.rgb[far])
    # Decoders round rows after columns, so a turned file is not decoded to the very same levels.
    assert difference.max() <= 4
    assert difference.mean() < 0.5


@pytest.mark.parametrize("size", [(192, 256), (131, 187), (1, 1)])
@pytest.mark.parametrize(
    "options",
    [
        *({"quality": quality, "subsampling": n} for quality in (40, 90) for n in (0, 1, 2)),
        {"quality": 90, "restart_marker_blocks": 3},
        {"quality": 90, "restart_marker_rows": 1},
    ],
    ids=str,
)
def test_a_progressive_file_holds_what_its_baseline_twin_does(
    options: dict[str, object], size: tuple[int, int]
) -> None:
    image = Image.fromarray(photo(*size))
    twin = read_scan(pillow(image, "JPEG", **options))
    scan = read_scan(pillow(image, "JPEG", progressive=True, **options))
    for ours, theirs, (high, wide) in zip(
        scan.grids(), twin.grids(), shown_in(scan.header, scan.components), strict=True
    ):
        np.testing.assert_array_equal(ours[:high, :wide], theirs[:high, :wide])


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("level", [50, 95])
def test_progressive_files_keep_their_coefficients(level: int, mode: str) -> None:
    image = Image.fromarray(photo(131, 187)).convert(mode)
    data = pillow(image, "JPEG", quality=level, progressive=True)
    assert_kept(data)
    out = encode_picture(scattered(read_picture(data)), "JPEG")
    assert read_scan(out).header == read_scan(data).header
    with Image.open(io.BytesIO(out)) as image:
        assert image.info["progressive"]


@pytest.mark.parametrize("progressive", [False, True])
def test_changing_nothing_changes_no_coefficient(progressive: bool) -> None:
    image = Image.fromarray(photo(600, 800))  # hundreds of lanes
    data = pillow(image, "JPEG", quality=97, progressive=progressive)
    scan = read_scan(data)
    again = b"\xff\xd8" + write_scan(scan)
    np.testing.assert_array_equal(read_scan(again).blocks, scan.blocks)
    with Image.open(io.BytesIO(again)) as new, Image.open(io.BytesIO(data)) as old:
        np.testing.assert_array_equal(np.asarray(new), np.asarray(old))


def test_coefficients_are_what_the_picture_is_made_of() -> None:
    data = pillow(Image.fromarray(photo(64, 80)).convert("L"), "JPEG", quality=60)
    scan = read_scan(data)
    spectrum = np.zeros((8, 10, 64))
    spectrum[..., ZIGZAG] = scan.grids()[0] * scan.tables[0]
    k, n = np.mgrid[:8, :8]
    basis = np.cos((2 * n + 1) * k * np.pi / 16) * np.where(k, 0.5, 0.125**0.5)
    samples = basis.T @ spectrum.reshape(8, 10, 8, 8) @ basis + 128
    decoded = read_picture(data).samples.values
    ours = np.clip(samples, 0, 255).swapaxes(1, 2).reshape(64, 80)
    np.testing.assert_allclose(ours, decoded, atol=1)


@pytest.mark.parametrize("progressive", [False, True])
def test_every_coefficient_can_be_written(progressive: bool) -> None:
    rng = np.random.default_rng(0)
    data = pillow(Image.fromarray(photo(256, 256)), "JPEG", subsampling=0, progressive=progressive)
    scan = read_scan(data)
    sparse = (
        rng.random(scan.blocks.shape)
        < rng.choice([0, 0.02, 0.2, 1], scan.blocks.shape[:3])[..., None]
    )
    blocks = (rng.integers(-1023, 1024, sparse.shape) * sparse).astype(np.int16)
    blocks[0, 0, 0] = 0
    blocks[0, 0, 0, 63] = -1023  # after three times sixteen zeros
    again = read_scan(b"\xff\xd8" + write_scan(Scan(
        scan.header, scan.selection, scan.components, scan.tables, blocks
    )))  # fmt: skip
    np.testing.assert_array_equal(again.blocks, blocks)
    assert len(slots_of(scan.components)) == blocks.shape[2]


@pytest.mark.parametrize(("progressive", "longer"), [(False, 1), (True, 1.1)])
def test_the_written_scan_is_as_short_as_an_optimised_one(progressive: bool, longer: float) -> None:
    image = Image.fromarray(photo(256, 256))
    data = pillow(image, "JPEG", quality=90, optimize=True, progressive=progressive)
    assert len(b"\xff\xd8" + write_scan(read_scan(data))) <= longer * len(data)


def optimal_length(frequencies: dict[int, int]) -> int:
    """Bits of a text in Huffman's code, whose lengths are not limited."""
    heap, total = list(frequencies.values()), 0
    heapq.heapify(heap)
    while len(heap) > 1:
        both = heapq.heappop(heap) + heapq.heappop(heap)
        total += both
        heapq.heappush(heap, both)
    return total


def bits_of(table: HuffmanTable, frequencies: dict[int, int]) -> int:
    lengths = dict(zip(table.symbols, table.lengths().tolist(), strict=True))
    return sum(lengths[symbol] * count for symbol, count in frequencies.items())


def test_codes_are_optimal_and_leave_out_all_ones() -> None:
    frequencies = {
        int(n): int(c) for n, c in enumerate(np.random.default_rng(3).integers(1, 99, 40))
    }
    table = HuffmanTable.best_for(frequencies)
    # One symbol more that never occurs takes the code of all ones.
    assert bits_of(table, frequencies) == optimal_length({**frequencies, 256: 0})
    codes = [f"{c:0{n}b}" for c, n in zip(table.codes(), table.lengths(), strict=True)]
    assert not any(a != b and b.startswith(a) for a in codes for b in codes)
    assert all("0" in code for code in codes)


def test_codes_are_never_longer_than_sixteen_bits() -> None:
    frequencies, a, b = {}, 1, 1
    for symbol in range(40):  # Fibonacci's numbers would make codes of 40 bits
        frequencies[symbol] = a
        a, b = b, a + b
    table = HuffmanTable.best_for(frequencies)
    assert sorted(table.symbols) == list(range(40))
    assert table.lengths().max() == 16


def test_a_single_symbol_has_a_code() -> None:
    table = HuffmanTable.best_for({7: 1000})
    assert (table.symbols, table.lengths().tolist()) == ((7,), [1])


def test_a_flat_picture() -> None:
    flat = np.full((64, 64, 3), 90, np.uint8)
    picture = read_picture(pillow(Image.fromarray(flat), "JPEG", quality=90))
    out = read_picture(encode_picture(scattered(picture, 0.5), "JPEG"))
    assert out.rgb.shape == flat.shape


@pytest.mark.parametrize(
    ("spoil", "progressive"),
    [("unfinished", True), *product(("short", "bits", "restart"), (False, True))],
)
def test_what_cannot_be_read_block_by_block_is_written_anew(spoil: str, progressive: bool) -> None:
    options: dict[str, object] = {"progressive": progressive}
    if spoil == "restart":
        options["restart_marker_rows"] = 1
    data = pillow(Image.fromarray(photo(131, 187)), "JPEG", quality=90, **options)
    if spoil == "unfinished":
        data = data[: data.rindex(b"\xff\xda")] + data[-2:]
    elif spoil == "short":
        data = data[:-40] + data[-2:]
    elif spoil == "bits":
        middle = 3 * len(data) // 4
        data = data[:middle] + b"\xfe" * 40 + data[middle + 40 :]
    elif spoil == "restart":
        at = data.index(b"\xff\xd1")
        data = data[:at] + data[at + 2 :]
    with pytest.raises(Unkept):
        read_scan(data)
    picture = read_picture(data)
    changed = scattered(picture)
    again, far = read_picture(encode_picture(changed, "JPEG")), ~changed.touched
    assert np.abs(again.rgb[far].astype(int) - picture.rgb[far]).mean() < 4


def test_a_file_without_a_frame_has_no_coefficients() -> None:
    data = pillow(Image.fromarray(photo(16, 16)), "JPEG")
    at = data.index(b"\xff\xc0")
    with pytest.raises(Unkept):
        read_scan(data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :])
