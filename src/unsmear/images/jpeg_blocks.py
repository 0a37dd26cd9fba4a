"""Changing some blocks of a JPEG and none of the others.

What happened to a pixel is added to the samples that its blocks store; no sample is ever made anew
from decoded pixels, so nothing that decoding rounds, clips or smooths comes back into the file. A
block without a changed pixel keeps its coefficients as they are.
"""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np

from unsmear.images.jpeg_scan import ZIGZAG, Component, Scan, Unkept
from unsmear.images.jpeg_segments import Segment

_BATCH = 8192  # blocks

_LUMA = np.array([0.299, 0.587, 0.114])
_YCC = np.stack([_LUMA, ([0, 0, 1] - _LUMA) / 1.772, ([1, 0, 0] - _LUMA) / 1.402])
_RANGE = 1023  # of a quantised coefficient of 8-bit samples


def _cosines() -> np.ndarray:
    """(8, 8) orthonormal: frequencies of 8 samples."""
    frequency, place = np.mgrid[:8, :8]
    waves = np.cos((2 * place + 1) * frequency * np.pi / 16) / 2
    waves[0] /= np.sqrt(2)
    return waves.astype(np.float32)


_COSINES = _cosines()


def component_weights(channels: int, *, is_ycc: bool) -> np.ndarray:
    """How stored components change with pixels, (C, C): components = weights @ pixels + constant.

    Args:
        channels: 1 grey, 3 RGB, 4 CMYK (0 is no ink; stored the other way round).
        is_ycc: Brightness and colour are stored, in place of RGB or of CMY.
    """
    weights = np.eye(channels) if channels < 4 else -np.eye(4)
    if is_ycc and channels > 1:
        weights[:3, :3] = _YCC
    return weights


def change_blocks(scan: Scan, change: np.ndarray, weights: np.ndarray) -> Scan:
    """Add a change of pixels to the blocks it falls into.

    Args:
        scan: The coefficients before.
        change: (H, W, C) int16, new minus old pixels.
        weights: See `component_weights`.

    Returns:
        The coefficients after; the very same in each block whose pixels are all unchanged.
    """
    down, across = scan.unit
    height, width = (
        8 * count * side for count, side in zip(scan.blocks.shape, (down, across), strict=False)
    )
    # What lies beyond the picture's border goes with the border.
    beyond = ((0, height - change.shape[0]), (0, width - change.shape[1]), (0, 0))
    change = np.pad(change, beyond, mode="edge")
    is_changed = change.any(axis=2)

    grids = scan.grids()
    for i, component in enumerate(scan.components):
        grid, table, weight = grids[i], scan.tables[i], weights[i].astype(np.float32)
        high, wide = down // component.down, across // component.across  # pixels to a sample
        tiles = change.reshape(grid.shape[0], 8 * high, grid.shape[1], 8 * wide, -1)
        rows, columns = np.any(is_changed.reshape(tiles.shape[:-1]), axis=(1, 3)).nonzero()
        for start in range(0, len(rows), _BATCH):
            here = rows[start : start + _BATCH], columns[start : start + _BATCH]
            pixels = tiles[here[0], :, here[1]] @ weight  # [N, 8 high, 8 wide]
            samples = pixels.reshape(-1, 8, high, 8, wide).mean(axis=(2, 4))
            grid[here] = _with_samples(grid[here], table, samples)
    return scan.with_grids(grids)


def _with_samples(blocks: np.ndarray, table: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Add (N, 8, 8) changes of samples to (N, 64) quantised coefficients."""
    spectrum = (_COSINES @ change @ _COSINES.T).reshape(-1, 64)[:, ZIGZAG]
    changed = np.rint(blocks + spectrum / table)
    return np.clip(changed, -_RANGE, _RANGE).astype(np.int16)


def turn_blocks(scan: Scan, orientation: int) -> Scan:
    """Turn coefficients upright without decoding them.

    Args:
        scan: The coefficients as stored.
        orientation: The EXIF value, 1..8.

    Raises:
        Unkept: The part of a block that lies beyond a border would come to lie inside.
    """
    if orientation == 1:
        return scan
    height, width = struct.unpack_from(">HH", scan.header.payload, 1)
    grids = [grid[..., np.argsort(ZIGZAG)].reshape(*grid.shape[:2], 8, 8) for grid in scan.grids()]
    if orientation >= 5:
        scan, height, width = _transposed(scan, width, height), width, height
        grids = [grid.transpose(1, 0, 3, 2) for grid in grids]
    down, across = scan.unit
    odd = np.array([1, -1] * 4, np.int16)  # mirrored, waves of odd frequencies change their signs
    if orientation in (3, 4, 7, 8):
        if height % (8 * down):
            raise Unkept("its last row of blocks is not whole")
        grids = [grid[::-1] * odd[:, None] for grid in grids]
    if orientation in (2, 3, 6, 7):
        if width % (8 * across):
            raise Unkept("its last column of blocks is not whole")
        grids = [grid[:, ::-1] * odd for grid in grids]
    flat = [grid.reshape(*grid.shape[:2], 64)[..., ZIGZAG] for grid in grids]
    return scan.with_grids(flat)


def _transposed(scan: Scan, height: int, width: int) -> Scan:
    """Rows and columns change places in all but the blocks."""
    payload = bytearray(scan.header.payload)
    struct.pack_into(">HH", payload, 1, height, width)
    for at in range(7, len(payload), 3):
        payload[at] = payload[at] >> 4 | (payload[at] & 15) << 4
    components = tuple(
        Component(each.down, each.across, each.table, each.dc, each.ac) for each in scan.components
    )
    order = np.argsort(ZIGZAG).reshape(8, 8).T.ravel()[ZIGZAG]
    return replace(
        scan,
        header=Segment(scan.header.marker, bytes(payload)),
        components=components,
        tables=tuple(table[order] for table in scan.tables),
    )
