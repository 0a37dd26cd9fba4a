import math

import pytest
import torch

from unsmear.errors import InputError
from unsmear.metrics import MaskAgreement, mask_agreement, mean_agreement


def strip(first: int, last: int) -> torch.Tensor:
    mask = torch.zeros(1, 4, 10, dtype=torch.uint8)
    mask[..., first:last] = 1
    return mask


def test_agreement_by_hand():
    # Columns 0 to 5 found, 2 to 9 given: 4 in both, 10 in either.
    found = mask_agreement(strip(0, 6), strip(2, 10))
    assert found == pytest.approx((4 / 10, 4 / 6, 4 / 8))


def test_type_of_masks_does_not_matter():
    assert mask_agreement(strip(0, 4).bool().float(), strip(0, 4) > 0) == (1, 1, 1)


def test_empty_masks():
    empty = mask_agreement(strip(0, 0), strip(0, 0))
    assert all(math.isnan(share) for share in empty)
    missed = mask_agreement(strip(0, 0), strip(0, 3))
    assert (missed.iou, missed.recall) == (0, 0)
    assert math.isnan(missed.precision)
    invented = mask_agreement(strip(0, 3), strip(0, 0))
    assert (invented.iou, invented.precision) == (0, 0)
    assert math.isnan(invented.recall)


def test_mean_leaves_out_what_is_not_there():
    rows = [MaskAgreement(0.5, math.nan, 1.0), MaskAgreement(1.0, math.nan, math.nan)]
    mean = mean_agreement(rows)
    assert (mean.iou, mean.recall) == (0.75, 1.0)
    assert math.isnan(mean.precision)
    assert all(math.isnan(share) for share in mean_agreement([]))


def test_masks_of_other_sizes_are_refused():
    with pytest.raises(InputError, match="one size"):
        mask_agreement(strip(0, 4), strip(0, 4)[..., :9])
