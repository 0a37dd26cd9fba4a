"""The fast forms in which layers compute without gradients, whatever the machine has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from unsmear import kernels, native
from unsmear.layers.confidence_pieces import PredictorInPieces
from unsmear.layers.folded import FoldedBlock, fold_block
from unsmear.layers.folded_predictor import fold_predictor
from unsmear.layers.pieces import BlockInPieces
from unsmear.layers.windows import WindowGrid

if TYPE_CHECKING:
    from unsmear.layers.adawpt import WindowBlock
    from unsmear.layers.confidence import ConfidencePredictor


class FastBlock(Protocol):
    """A window block whose weights are prepared for some way to compute."""

    def run(self, flat: Tensor, grid: WindowGrid, numbers: Tensor, *, feed: bool = True) -> None:
        """Compute some windows of a map in place, see :class:`BlockInPieces`."""
        ...


class FastPredictor(Protocol):
    """A confidence predictor whose weights are prepared for some way to compute."""

    def run(self, image: Tensor, mean: Tensor | None) -> tuple[Tensor, Tensor]:
        """Score one image, see :class:`PredictorInPieces`."""
        ...


class FusedBlock:
    """Triton's kernels; blocks that they do not take are computed in pieces.

    Args:
        folded: the block's weights, on a GPU.
    """

    def __init__(self, folded: FoldedBlock) -> None:
        self.folded = folded
        self.pieces = BlockInPieces(folded)

    def run(self, flat: Tensor, grid: WindowGrid, numbers: Tensor, *, feed: bool = True) -> None:
        """Compute some windows of a map in place, see :class:`BlockInPieces`."""
        from unsmear.kernels.window_block import can_run, run_windows

        if can_run(flat, grid, self.folded):
            run_windows(flat, grid, numbers, self.folded, feed=feed)
        else:
            self.pieces.run(flat, grid, numbers, feed=feed)


def fast_block(block: WindowBlock, x: Tensor) -> FastBlock:
    """The fastest form of a block for maps like ``x``, in their number type and on their device."""
    folded = fold_block(block, x.dtype)
    if kernels.can_fuse(x):
        return FusedBlock(folded)
    if native.PackedBlock.fits(folded):
        return native.PackedBlock(folded)
    return BlockInPieces(folded)


def fast_predictor(predictor: ConfidencePredictor, x: Tensor) -> FastPredictor:
    """The same for a predictor."""
    folded = fold_predictor(predictor, x.dtype)
    if native.PackedPredictor.fits(folded):
        return native.PackedPredictor(folded)
    return PredictorInPieces(folded)
