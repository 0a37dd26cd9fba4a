"""Several small pictures through the network at once."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch

from unsmear.images import Picture
from unsmear.inference import Deblurred, Deblurrer, Steering
from unsmear.inference.deblurrer import as_tensor
from unsmear.inference.restoration import Request, Restoration, restoration_of
from unsmear.models import LMDViT
from unsmear.models.padding import pad_to_multiple


class BatchDeblurrer(Deblurrer):
    """A `Deblurrer` that can also run its network once for several pictures.

    A picture's sides are padded for the network anyway. So pictures of different sizes whose padded
    sizes agree share a batch, and each gets what it would get alone.
    """

    @property
    def step(self) -> int | None:
        """Sides are padded to multiples of so many pixels; None where a batch is not to be had."""
        # Only these judge each picture of a batch by itself, whatever it is asked.
        return self.network.size_step if isinstance(self.network, LMDViT) else None

    def deblur_together(
        self, pictures: Sequence[Picture], steerings: Sequence[Steering]
    ) -> list[Deblurred]:
        """Deblur pictures of one padded size.

        Args:
            pictures: small ones: nothing is done here for want of memory.
            steerings: of each picture; without regions, thresholds and dense alike.
        """
        started = time.perf_counter()
        restorations = self._restore_together([each.rgb for each in pictures], steerings[0])
        share = (time.perf_counter() - started) / len(pictures)
        return [
            self.finish(picture, restored, steering, time.perf_counter() - share)
            for picture, steering, restored in zip(pictures, steerings, restorations, strict=True)
        ]

    def _restore_together(
        self, pictures: Sequence[np.ndarray], steering: Steering
    ) -> list[Restoration]:
        images = [as_tensor(rgb) for rgb in pictures]
        padded = torch.cat([pad_to_multiple(each[None], self.network.size_step) for each in images])
        out = self.restore(
            padded,
            threshold=steering.threshold,
            decisions="all" if steering.dense else None,
        )
        request = Request(steering.threshold, dense=steering.dense)
        return [
            restoration_of(self.network, out, index, image, request)
            for index, image in enumerate(images)
        ]
