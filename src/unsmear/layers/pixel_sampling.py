"""Pixel-adaptive sampling: work only on the pixels that need it (SAPHN section 3.1, eqs. 1-7).

Shapes: B images, C channels, H x W pixels, L sampled pixels. Nothing here knows a network: any
network that can hand over a feature map can choose, gather, work on and put back its pixels.

In memory a pixel is best one row of C numbers, read and written at once: maps that are channels
last are gathered from without a copy and stay so, and sampled pixels, [B, C, L], lie likewise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unsmear.errors import InputError, ModelError

LOWEST_BUDGET, HIGHEST_BUDGET = -0.5, 1.0


@dataclass(frozen=True)
class Selection:
    """Which pixels of a map were sampled: psi of eqs. 1-3, by number.

    Attributes:
        index: [B, L] int64, y * W + x, ascending within an image.
        valid: [B, L] bool, or None where all are. Images whose samples differ in number are
            filled up with pixels that are not sampled; these are False and never put back.
        height: H.
        width: W.
    """

    index: Tensor
    valid: Tensor | None
    height: int
    width: int

    @property
    def positions(self) -> tuple[Tensor, Tensor]:
        """Row y and column x of every sampled pixel: two int64 [B, L]."""
        return self.index // self.width, self.index % self.width

    @property
    def rows(self) -> Tensor:
        """Number of every sampled pixel among those of all images: int64 [B, L]."""
        images = torch.arange(len(self.index), device=self.index.device)
        return self.index + images[:, None] * (self.height * self.width)

    @property
    def coordinates(self) -> Tensor:
        """psi: (x, y) of every sampled pixel, both in [0, 1]: float [B, L, 2]."""
        y, x = self.positions
        return torch.stack([x / max(1, self.width - 1), y / max(1, self.height - 1)], dim=-1)


class Sampling(NamedTuple):
    """What a sampler decided.

    Attributes:
        selection: the pixels to work on.
        logits: [B, 1, H, W], pi of eq. 4; its sigmoid is G, the probability of being sampled.
        drawn: [B, 1, H, W], 1 where a pixel was sampled, 0 elsewhere.
        share: L / (H * W), the share of pixels that the budget pays for.
    """

    selection: Selection
    logits: Tensor
    drawn: Tensor
    share: float


class PixelSampler(nn.Module):
    """Finds the pixels that are hard to restore.

    In eval mode the L likeliest pixels of each image are taken. In train mode each pixel is drawn
    by itself with probability G; no gradient passes through the draw, and none leaves for the
    features: what the sampler learns comes from :func:`policy_gradient_loss`.

    Args:
        dim: C, channels of the features it looks at.
        share: L / (H * W) of the plain budget, in (0, 1): 1 / r^2 at the scale of factor r. A
            fresh sampler draws about this share.
        hidden: channels between its three convolutions.

    Raises:
        ModelError: a share outside (0, 1).
    """

    def __init__(self, dim: int, share: float, hidden: int = 8) -> None:
        super().__init__()
        if not 0 < share < 1:
            raise ModelError(f"A sampler's share lies between 0 and 1, got {share}.")
        self.share = share
        last = nn.Conv2d(hidden, 1, 3, padding=1)
        nn.init.constant_(last.get_parameter("bias"), math.log(share / (1 - share)))
        self.policy = nn.Sequential(
            nn.Conv2d(dim, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(),
            last,
        )

    def forward(self, features: Tensor, budget: float = 0.0) -> Sampling:
        """Choose pixels.

        Args:
            features: [B, C, H, W] of the previous stage, at the resolution to sample from.
            budget: how many more pixels to take than planned, from -0.5 (half) to 1 (twice); in
                train mode it moves only the share that ``reward`` compares with.

        Raises:
            InputError: a budget outside [-0.5, 1].
        """
        check_budget(budget)
        logits = self.policy(features.detach())
        h, w = logits.shape[-2:]
        count = min(h * w, max(1, round(self.share * (1 + budget) * h * w)))
        if self.training:
            drawn = torch.bernoulli(logits.detach().sigmoid())
            selection = selection_of(drawn)
        else:
            index = logits.flatten(1).topk(count, dim=1).indices.sort(dim=1).values
            selection = Selection(index, None, h, w)
            drawn = torch.zeros_like(logits.flatten(1)).scatter(1, index, 1.0).view_as(logits)
        return Sampling(selection, logits, drawn, count / (h * w))


def check_budget(budget: float) -> None:
    """Refuse a budget outside [-0.5, 1] with an InputError."""
    if not LOWEST_BUDGET <= budget <= HIGHEST_BUDGET:
        raise InputError(
            f"The budget lies in [{LOWEST_BUDGET:g}, {HIGHEST_BUDGET:g}] (-50 % to +100 % of the "
            f"sampled pixels), got {budget}."
        )


def selection_of(drawn: Tensor) -> Selection:
    """The pixels that are 1 in a map of 0 and 1: [B, 1, H, W] -> L of the fullest image."""
    flat = drawn.flatten(1)
    counts = flat.sum(dim=1)
    longest = max(1, int(counts.max()))
    index = flat.topk(longest, dim=1).indices.sort(dim=1).values
    return Selection(index, flat.gather(1, index) > 0, drawn.shape[-2], drawn.shape[-1])


def pixel_rows(x: Tensor) -> Tensor:
    """A map as one row a pixel, image after image: [B, C, H, W] -> [B * H * W, C].

    A view where the map is channels last.
    """
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]).contiguous()


def gather_pixels(x: Tensor, selection: Selection | None) -> Tensor:
    """Sample (s of eqs. 1 and 2): [B, C, H, W] -> [B, C, L]; None: every pixel in order."""
    if selection is None:
        return x.flatten(2)
    # The way back of an embedding is many times faster than that of index_select.
    return F.embedding(selection.rows, pixel_rows(x)).transpose(1, 2)


def put_back(
    pixels: Tensor, onto: Tensor, selection: Selection | None, *, overwrite: bool = False
) -> Tensor:
    """Undo :func:`gather_pixels` (s' of eq. 3).

    Args:
        pixels: [B, C, L].
        onto: [B, C, H, W], what the pixels that were not sampled keep.
        selection: where ``pixels`` came from; None: every pixel in order.
        overwrite: change ``onto`` itself where it can be, instead of a copy of the whole map; not
            for gradients.

    Returns:
        [B, C, H, W]; a new one unless ``overwrite``.
    """
    b, c, h, w = onto.shape
    if selection is None:
        return pixels.transpose(1, 2).reshape(b, h, w, c).permute(0, 3, 1, 2)
    if selection.valid is not None:
        kept = gather_pixels(onto, selection)
        pixels = torch.where(selection.valid[:, None], pixels, kept)
    rows = pixels.transpose(1, 2).reshape(-1, c).to(onto.dtype)
    every = pixel_rows(onto)
    copy = every.index_copy_ if overwrite else every.index_copy
    out = copy(0, selection.rows.flatten(), rows)
    return out.view(b, h, w, c).permute(0, 3, 1, 2)


@torch.no_grad()
def sampling_reward(
    outputs: Sequence[Tensor],
    sharp: Tensor,
    drawn: Tensor,
    share: float,
    error_weight: float = 1.0,
    excess_weight: float = 0.5,
) -> Tensor:
    """What each pixel's decision earned (eq. 5): -alpha * (sum of errors) - beta * [L' > L].

    Args:
        outputs: restored pictures of the stages to judge, each [B, 3, H, W].
        sharp: [B, 3, H, W].
        drawn: [B, 1, H, W], the decisions; L' is their sum, image by image.
        share: L / (H * W).
        error_weight: alpha.
        excess_weight: beta.

    Returns:
        R, [B, 1, H, W], at most 0, without gradient. Errors are means over the colours.
    """
    errors = [(output - sharp).abs().mean(dim=1, keepdim=True) for output in outputs]
    excess = drawn.double().mean(dim=(1, 2, 3), keepdim=True) > share
    return -error_weight * torch.stack(errors).sum(dim=0) - excess_weight * excess.to(sharp)


def budget_loss(logits: Tensor, share: float, excess_weight: float = 0.5) -> Tensor:
    """A loss whose gradient is what the budget's part of eq. 7 is on average over the draws.

    One draw says little of it: a whole picture is fined or not, which drowns what single pixels
    earned. Worked out beforehand it has no noise at all.

    Args:
        logits: [B, 1, H, W] of the sampler.
        share: L / (H * W).
        excess_weight: beta.

    Returns:
        A scalar: beta times the chance that more than L pixels of a picture are drawn, shared among
        its pixels as :func:`policy_gradient_loss` does, averaged over the pictures. The chance is
        that of the normal distribution with the mean and the variance of L'.
    """
    probability = logits.double().sigmoid()
    pixels = probability[0].numel()
    over = share * pixels + 0.5 - probability.sum(dim=(1, 2, 3))
    variance = (probability * (1 - probability)).sum(dim=(1, 2, 3))
    # below a quarter of a pixel L' is all but sure; at 0 the root would have no gradient
    chance = 0.5 * torch.erfc(over / (2 * variance.clamp(min=0.25)).sqrt())
    return (excess_weight / pixels * chance.mean()).to(logits.dtype)


def policy_gradient_loss(
    logits: Tensor, drawn: Tensor, reward: Tensor, baseline: Tensor | float = 0.0
) -> Tensor:
    """A loss whose gradient is one sample of minus eq. 7, averaged over pixels and images.

    Args:
        logits: [B, 1, H, W] of the sampler.
        drawn: [B, 1, H, W], 0 or 1, drawn from the logits' sigmoid.
        reward: R, [B, 1, H, W].
        baseline: subtracted from R: a number, or anything that broadcasts to its shape. As long
            as it does not depend on the pixel's own draw it leaves the gradient's mean alone and
            lowers its variance; 0 is the paper's form.

    Returns:
        A scalar.
    """
    log_probability = -F.binary_cross_entropy_with_logits(logits, drawn, reduction="none")
    return -((reward - baseline).detach() * log_probability).mean()
