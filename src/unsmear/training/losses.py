"""Losses of LMD-ViT: reconstruction (L1, SSIM, FFT) and pruning (section 3.4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unsmear.errors import InputError
from unsmear.metrics import masked_mean, ssim_map
from unsmear.metrics.ssim import BORDER, WINDOW

LEAST_BLURRED = 0.005  # share of a picture
LEAST_ERROR = 1e-5  # mean squared: beyond 50 dB there is nothing to gain

_SHIFTS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]


@dataclass(frozen=True)
class LossConfig:
    """Weights of the loss terms.

    Attributes:
        l1: of the mean absolute difference.
        l2: of the mean squared difference.
        ssim: of the negative structural similarity.
        fft: of the mean absolute difference of spectra.
        inside: of a second L1 term taken inside the blur mask only; local blur covers little of a
            picture, so the first term hardly sees it.
        psnr: of the negative PSNR in dB inside the blur mask, a mean over the pictures. Where L1
            follows those that are blurred most, every picture counts the same here; short runs
            learn to restore two to three times sooner by it.
        pruning: lambda_0 of the paper.
        pruning_reach: share of the pruning loss's gradient that goes on from the predictors into
            the features; 1 is the paper's. Early in training that gradient is some fifty times
            the reconstruction's and would leave the features little else to learn from.
        pruning_blurred: weight of a blurred token in the pruning loss against 1 for a sharp one;
            1 is the paper's. Missed blur stays blurred while a sharp window kept costs time only:
            at 12 the predictors keep what is more likely than 1 in 13 to be blurred.
        earlier: share of all these that the pictures of earlier stages or scales are judged by,
            in networks that have any; 1 is SAPHN's and SRN's progressive supervision, 0 judges
            the last picture alone, as DMPHN does.
        gate: of the mean squared difference between gates and blur mask (LBAG).
        policy: of the samplers' policy gradient (SAPHN eq. 7). No other term moves a sampler.
        baseline: subtract there what the pixel would have earned had its stage changed nothing,
            and work out the gradient of the budget's penalty instead of drawing it, which lowers
            the estimate's variance and leaves its mean alone; without, it is the paper's plain
            form.
        weighted: weight L1, L2 and SSIM by the blur mask (images with an empty mask count whole).
        shift_invariant: compare with the best of nine one-pixel shifts of the sharp picture, for
            pairs whose cameras are not aligned to the pixel.

    Raises:
        InputError: a weight below 0 or not finite, or a `pruning_reach` above 1.
    """

    l1: float = 1.0
    l2: float = 0.0
    ssim: float = 1.0
    fft: float = 0.1
    inside: float = 0.0
    psnr: float = 0.0
    pruning: float = 0.01
    pruning_reach: float = 1.0
    pruning_blurred: float = 1.0
    earlier: float = 1.0
    gate: float = 0.0
    policy: float = 1.0
    baseline: bool = True
    weighted: bool = False
    shift_invariant: bool = False

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value < math.inf:  # nor nan
                raise InputError(f"The loss's `{name}` is 0 or more, got {value}.")
        if self.pruning_reach > 1:
            raise InputError(f"The loss's `pruning_reach` ends at 1, got {self.pruning_reach}.")


def l1_term(restored: Tensor, sharp: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute difference, weighted: [B, 3, H, W] twice, [B, 1, H, W] -> scalar."""
    return masked_mean((restored - sharp).abs(), weight).mean()


def l2_term(restored: Tensor, sharp: Tensor, weight: Tensor) -> Tensor:
    """Mean squared difference, weighted: same shapes."""
    return masked_mean((restored - sharp).square(), weight).mean()


def ssim_term(restored: Tensor, sharp: Tensor, weight: Tensor) -> Tensor:
    """Negative mean SSIM in [-1, 1], weighted: same shapes.

    Raises:
        InputError: pictures smaller than its window.
    """
    if min(restored.shape[-2:]) < WINDOW:
        raise InputError(
            f"The loss's ssim needs pictures from {WINDOW} pixels a side, got "
            f"{tuple(restored.shape[-2:])}: choose larger patches, or leave it out (ssim: 0)."
        )
    inner = weight[..., BORDER:-BORDER, BORDER:-BORDER]
    return -masked_mean(ssim_map(restored, sharp), inner + 1e-12).mean()


def fft_term(restored: Tensor, sharp: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute difference of unnormalised spectra; place has no meaning, so no weight."""
    del weight
    return (torch.fft.rfft2(restored) - torch.fft.rfft2(sharp)).abs().mean()


_TERMS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "l1": l1_term,
    "l2": l2_term,
    "ssim": ssim_term,
    "fft": fft_term,
}


def reconstruction_terms(
    restored: Tensor, sharp: Tensor, blur_mask: Tensor, config: LossConfig
) -> dict[str, Tensor]:
    """Every reconstruction term that has a weight, unweighted, in float32.

    Args:
        restored: [B, 3, H, W].
        sharp: [B, 3, H, W] in [0, 1].
        blur_mask: [B, 1, H, W] in [0, 1].
        config: which terms, and in which form.
    """
    restored, sharp, mask = restored.float(), sharp.float(), blur_mask.float()
    ones = torch.ones_like(mask)
    filled = torch.where(mask.sum(dim=(1, 2, 3), keepdim=True) > 0, mask, ones)
    weight = filled if config.weighted else ones
    targets = _shifted(sharp) if config.shift_invariant else [sharp]
    terms = {
        name: torch.stack([term(restored, target, weight) for target in targets]).amin()
        for name, term in _TERMS.items()
        if getattr(config, name)
    }
    if config.inside:
        # Per picture, as all terms are: parts of a batch on several devices must add up to it.
        area = 3 * mask.sum(dim=(1, 2, 3)).clamp(min=1)
        inside = ((restored - sharp).abs() * mask).sum(dim=(1, 2, 3))
        terms["inside"] = (inside / area).mean()
    if config.psnr:
        terms["psnr"] = psnr_term(restored, sharp, mask)
    return terms


def psnr_term(restored: Tensor, sharp: Tensor, blur_mask: Tensor) -> Tensor:
    """Negative PSNR in dB inside the mask, a mean over the batch: scalar.

    Pictures with next to no blur count as 0: a few pixels would weigh as much as a whole subject.
    """
    area = blur_mask.sum(dim=(1, 2, 3))
    error = ((restored - sharp).square() * blur_mask).sum(dim=(1, 2, 3)) / (3 * area + 1)
    counted = area > LEAST_BLURRED * blur_mask[0].numel()
    return (10 * torch.log10(error + LEAST_ERROR) * counted).mean()


def _shifted(sharp: Tensor) -> list[Tensor]:
    h, w = sharp.shape[-2:]
    padded = F.pad(sharp, (1, 1, 1, 1), mode="reflect")
    return [padded[..., 1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w] for dy, dx in _SHIFTS]


def pruning_term(
    scores: Sequence[Tensor], blur_mask: Tensor, scales: Sequence[int], blurred: float = 1.0
) -> Tensor:
    """Sum over predictors of the cross-entropy between scores and blur mask.

    Args:
        scores: one [B, h, w, 2] a predictor (keep, prune), h and w of the padded picture.
        blur_mask: [B, 1, H, W] in [0, 1]; resized to each map by area, so that a token is as
            blurred as its pixels are on average.
        scales: pixels of the picture in one token of each score map, a side.
        blurred: weight of a blurred token against 1 for a sharp one.
    """
    total = torch.zeros((), device=blur_mask.device)
    for score, scale in zip(scores, scales, strict=True):
        target = F.avg_pool2d(blur_mask.float(), scale, ceil_mode=True)[:, 0]  # [B, <=h, <=w]
        own = score[:, : target.shape[1], : target.shape[2]].float().log_softmax(dim=-1)
        total = total - (blurred * target * own[..., 0] + (1 - target) * own[..., 1]).mean()
    return total


def gate_term(gates: Sequence[Tensor], blur_mask: Tensor) -> Tensor:
    """Mean squared difference between gates and blur mask, a mean over their sizes.

    Args:
        gates: each [B, 1, H / s, W / s] in [0, 1], sides rounded up.
        blur_mask: [B, 1, H, W] in [0, 1]; resized to each by area.
    """
    errors = [F.mse_loss(gate.float(), resized(blur_mask, gate)) for gate in gates]
    return torch.stack(errors).mean()


def resized(x: Tensor, like: Tensor) -> Tensor:
    """Maps [B, C, H, W] in the size of others, by area: float32 [B, C, h, w]."""
    height, width = like.shape[-2:]
    return F.adaptive_avg_pool2d(x.float(), (height, width))
