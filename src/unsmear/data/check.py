"""What is wrong with a data set, found before hours of training are spent on it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unsmear.data.sources import FileSource, Pair
from unsmear.data.sources.files import size_problem
from unsmear.data.sources.splits import split_of
from unsmear.errors import InputError

Problem = Literal["missing", "unreadable", "size", "mask", "shift", "duplicate"]

# Pairs of two cameras are off by up to a pixel, and the shift-invariant loss forgives that much.
FORGIVEN_SHIFT = 1.0
# Pixels by which a measured shift may be off: one of exactly a pixel is forgiven.
MEASURED_TO = 0.25
# A shift counts only when undoing it takes this share of the difference away: a smear to one side
# looks shifted too, but fits no better when it is moved.
EXPLAINED_BY_SHIFT = 0.25
# Share of a picture that has to be still for a shift to be told from motion.
LEAST_STILL = 0.2
# Share of a picture that must differ before an empty mask is called wrong: noise and JPEG alone
# reach half of it.
OVERLOOKED_BLUR = 0.1


class Finding(NamedTuple):
    """Something wrong with a pair.

    Attributes:
        source: name of the data set, as it was given.
        name: name of the pair.
        problem: what kind of thing.
        detail: what exactly, in words.
    """

    source: str
    name: str
    problem: Problem
    detail: str


class Checked(NamedTuple):
    """What was seen of one pair.

    Attributes:
        source: name of its data set.
        name: name of the pair.
        findings: what is wrong with it alone.
        prints: what it was recognised by: "blurred" and "sharp" to a digest of the pixels.
    """

    source: str
    name: str
    findings: Sequence[Finding]
    prints: Mapping[str, bytes]


def check_pairs(
    sources: Mapping[str, FileSource], forgiven_shift: float = FORGIVEN_SHIFT
) -> Iterator[Checked]:
    """Look at every pair of some data sets, several at a time.

    Args:
        sources: the data sets, by the names to call them.
        forgiven_shift: pixels by which a pair may be misaligned.

    Yields:
        What was seen, pair after pair.
    """
    look = partial(_check_pair, forgiven_shift=forgiven_shift)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for name, source in sources.items():
            yield from pool.map(partial(look, name, source), range(len(source)))


def find_duplicates(checked: Sequence[Checked]) -> list[Finding]:
    """Find pictures that stand in two data sets, or in two splits of one, pixel for pixel.

    A picture that is repeated within a split is nothing wrong: a burst may share its sharp one.
    """
    seen: dict[bytes, dict[tuple[str, str], Checked]] = defaultdict(dict)
    findings = []
    for pair in checked:
        place = (pair.source, split_of(pair.name))
        for kind, digest in pair.prints.items():
            others = [other for where, other in seen[digest].items() if where != place]
            if others:
                detail = f"its {kind} picture is also in {others[0].source}: {others[0].name}"
                findings.append(Finding(pair.source, pair.name, "duplicate", detail))
            seen[digest].setdefault(place, pair)
    return findings


def measure_shift(blurred: Tensor, sharp: Tensor) -> tuple[float, float]:
    """Measure by phase correlation how far a blurred picture lies beside its sharp twin.

    Args:
        blurred: [3, H, W] uint8, RGB.
        sharp: [3, H, W] uint8, RGB.

    Returns:
        Pixels to the right and pixels down.
    """
    twins = [_grey(picture) for picture in (sharp, blurred)]
    height, width = twins[0].shape
    if min(height, width) < 2:
        return 0.0, 0.0
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    (right, down), _ = cv2.phaseCorrelate(twins[0], twins[1], window)
    return right, down


def _check_pair(name: str, source: FileSource, index: int, forgiven_shift: float) -> Checked:
    files = source.files[index]
    if files.missing:
        found = [Finding(name, files.name, "missing", f"{path}") for path in files.missing]
        return Checked(name, files.name, found, {})
    try:
        pair = source.load(index)
    except InputError as error:
        return Checked(name, files.name, [Finding(name, files.name, "unreadable", f"{error}")], {})
    prints = {kind: _print_of(getattr(pair, kind)) for kind in ("blurred", "sharp")}
    problems: dict[Problem, str | None] = {"size": size_problem(pair)}
    if problems["size"] is None:
        right, down = _misalignment(pair)
        # What lies beside its twin differs everywhere, and most where the detail is.
        sharp = pair.sharp.roll((round(down), round(right)), dims=(1, 2))
        problems["mask"] = _mask_problem(pair._replace(sharp=sharp))
        problems["shift"] = _shift_problem(right, down, forgiven_shift)
    found = [Finding(name, pair.name, kind, text) for kind, text in problems.items() if text]
    return Checked(name, pair.name, found, prints)


def _mask_problem(pair: Pair) -> str | None:
    """Say what is wrong with a pair's mask; None where nothing is, or there is no mask."""
    if pair.blur_mask is None:
        return None
    marked = pair.blur_mask[0].numpy() > 0
    if not marked.any():
        # Needed for empty masks alone, and slow.
        from unsmear.data.pair_mask import pair_blur_mask

        share = float(pair_blur_mask(pair.blurred, pair.sharp).float().mean())
        if share < OVERLOOKED_BLUR:
            return None
        return f"the mask is empty, yet {share:.0%} of the picture is blurred"
    if marked.all():
        return None
    difference = cv2.absdiff(_grey(pair.blurred), _grey(pair.sharp))
    inside, outside = (float(difference[where].mean()) for where in (marked, ~marked))
    if inside > outside:
        return None
    return (
        f"the pictures differ by {inside:.1f} grey levels in the mask and by {outside:.1f} outside:"
        " it marks the wrong part, or is inverted"
    )


def _misalignment(pair: Pair) -> tuple[float, float]:
    """Pixels to the right and down by which the pair is shifted; 0 where that fits no better."""
    right, down = measure_shift(pair.blurred, pair.sharp)
    if _explained_by_shift(pair, round(right), round(down)) < EXPLAINED_BY_SHIFT:
        return 0.0, 0.0
    return right, down


def _shift_problem(right: float, down: float, forgiven: float) -> str | None:
    if np.hypot(right, down) <= forgiven + MEASURED_TO:
        return None
    return f"the blurred picture lies {right:+.1f} px to the right and {down:+.1f} px down"


def _explained_by_shift(pair: Pair, right: int, down: int) -> float:
    """The share of the still part's difference that goes when the shift is undone."""
    margin = max(abs(right), abs(down))
    sharp, blurred = _grey(pair.sharp), _grey(pair.blurred)
    inner = np.s_[margin : sharp.shape[0] - margin, margin : sharp.shape[1] - margin]
    still = np.ones_like(sharp, bool)
    if pair.blur_mask is not None:
        still = pair.blur_mask[0].numpy() == 0
    moved = np.roll(sharp, (down, right), axis=(0, 1))
    before, after = (cv2.absdiff(each, blurred)[inner][still[inner]] for each in (sharp, moved))
    if before.size < LEAST_STILL * sharp.size or not before.any():
        return 0.0
    return 1 - float(after.mean() / before.mean())


def _grey(picture: Tensor) -> NDArray[np.float32]:
    """[3, H, W] uint8 -> [H, W] mean of the channels, from 0 to 255."""
    # Not by torch, whose threads would compete with ours.
    return picture.numpy().mean(axis=0, dtype=np.float32)


def _print_of(picture: Tensor) -> bytes:
    """A digest of a picture's size and pixels."""
    digest = hashlib.sha256(repr(tuple(picture.shape)).encode())
    digest.update(picture.numpy().tobytes())
    return digest.digest()
