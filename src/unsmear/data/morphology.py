"""Cleaning of 0/1 masks: gaps closed, holes filled, specks dropped."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]
"""[H, W] of 0 and 1."""


def close_gaps(mask: Mask, radius: int) -> Mask:
    """Morphological closing by a disc of so many pixels; the outside counts as neither."""
    side = 2 * radius + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc), np.uint8)


def fill_holes(mask: Mask, largest: float) -> Mask:
    """Fill the enclosed zeros that hold at most `largest` pixels."""
    # A rim of zeros joins everything outside into one region, which is too large to be filled.
    padded = cv2.copyMakeBorder(1 - mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(padded, connectivity=4)
    fill = stats[:, cv2.CC_STAT_AREA] <= largest
    fill[[0, labels[0, 0]]] = False
    return mask | fill[np.asarray(labels, np.int32)][1:-1, 1:-1].astype(np.uint8)


def drop_specks(mask: Mask, smallest: float) -> Mask:
    """Drop the regions of ones, diagonal neighbours joined, of fewer than `smallest` pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    stays = stats[:, cv2.CC_STAT_AREA] >= smallest
    stays[0] = False
    return stays[np.asarray(labels, np.int32)].astype(np.uint8)


def keep_sure(mask: Mask, sure: Mask) -> Mask:
    """Keep the regions of ones, diagonal neighbours joined, that hold a pixel of `sure`."""
    count, labels = cv2.connectedComponents(mask, connectivity=8)
    labels = np.asarray(labels, np.int32)
    stays = np.zeros(count, np.uint8)
    stays[labels[sure > 0]] = 1
    stays[0] = 0
    return stays[labels]
