"""What a step asks of a network: one objective for each way in which networks learn.

All of them judge the restored pictures alike. Beside that LMD-ViT's predictors learn the blur mask,
LBAG's gates too, and samplers of pixels learn from what their draws earned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from unsmear.data import BlurTriple
from unsmear.layers.pixel_sampling import (
    budget_loss,
    policy_gradient_loss,
    sampling_reward,
)
from unsmear.models import DeblurringNetwork, LMDViT
from unsmear.models.lbag import LBAG
from unsmear.models.staged import SampledPixels
from unsmear.training.config import Phase
from unsmear.training.losses import (
    LossConfig,
    gate_term,
    pruning_term,
    reconstruction_terms,
    resized,
)

LARGEST_DILATION = 24  # px the mask may grow: a predictor, too, keeps more than the blur


class Judged(NamedTuple):
    """What a network made of a batch, and how it is judged.

    Attributes:
        out: what the network returned.
        terms: of the loss, by their names in :class:`LossConfig`, unweighted.
    """

    out: Any
    terms: dict[str, Tensor]


class Objective:
    """Restoration alone: every picture that a network supervises is compared with the sharp one.

    Args:
        network: what learns.
        loss: which terms.
    """

    def __init__(self, network: DeblurringNetwork, loss: LossConfig) -> None:
        self.network = network
        self.loss = loss

    def __call__(self, batch: BlurTriple, phase: Phase) -> Judged:
        """Run the network on a batch and judge it."""
        out = self.network(batch.blurred)
        return Judged(out, self.restoration(out, batch) | self.decisions(out, batch, phase))

    def restoration(self, out: Any, batch: BlurTriple) -> dict[str, Tensor]:
        """Terms of the restored picture, and a share of those of the pictures on the way to it."""
        *earlier, last = out.supervised
        terms = reconstruction_terms(last, batch.sharp, batch.blur_mask, self.loss)
        for picture in earlier if self.loss.earlier else ():
            sharp, mask = (resized(one, picture) for one in (batch.sharp, batch.blur_mask))
            for name, term in reconstruction_terms(picture, sharp, mask, self.loss).items():
                terms[name] = terms[name] + self.loss.earlier * term
        return terms

    def decisions(self, out: Any, batch: BlurTriple, phase: Phase) -> dict[str, Tensor]:
        """Terms of what the network decided; none here."""
        del out, batch, phase
        return {}


class PruningObjective(Objective):
    """LMD-ViT: its predictors learn where the blur mask is (section 3.4)."""

    network: LMDViT

    def __call__(self, batch: BlurTriple, phase: Phase) -> Judged:
        """Run the network with the phase's decisions and judge it."""
        out = self.network(
            batch.blurred,
            decisions=_steering(batch.blur_mask, phase),
            compute_all=phase.decisions == "sampled",
        )
        return Judged(out, self.restoration(out, batch) | self.decisions(out, batch, phase))

    def decisions(self, out: Any, batch: BlurTriple, phase: Phase) -> dict[str, Tensor]:
        """The pruning loss, where there are predictors."""
        scales = [self.network.scale_of(stage) for stage, _ in self.network.predictor_places]
        if not scales:
            return {}
        blurred = self.loss.pruning_blurred
        return {"pruning": pruning_term(out.scores, batch.blur_mask, scales, blurred)}


class GateObjective(Objective):
    """LBAG: its gates learn to open where the blur mask is."""

    def decisions(self, out: Any, batch: BlurTriple, phase: Phase) -> dict[str, Tensor]:
        """The gates' loss."""
        return {"gate": gate_term((*out.stage_gates, out.gate), batch.blur_mask)}


class SamplingObjective(Objective):
    """Networks with pixel-adaptive sampling: samplers learn what their draws earned (SAPHN 3.1)."""

    def decisions(self, out: Any, batch: BlurTriple, phase: Phase) -> dict[str, Tensor]:
        """The policy gradient's loss, a mean over the samplers; none while they are to wait."""
        if not phase.samplers_learn:
            return {}
        losses = [self._policy(one, out.supervised, batch) for one in out.sampling]
        return {"policy": torch.stack(losses).mean()}

    def _policy(
        self, sampled: SampledPixels, pictures: Sequence[Tensor], batch: BlurTriple
    ) -> Tensor:
        """Of one sampler, by the pictures of the stage before and of its own (eq. 5)."""
        pair = pictures[sampled.stage - 2 : sampled.stage]
        if len(pair) < 2:  # without progressive supervision
            pair = (batch.blurred, pictures[-1])
        before, after, sharp = (resized(one, sampled.logits) for one in (*pair, batch.sharp))
        logits, drawn = sampled.logits.float(), sampled.drawn.float()
        if not self.loss.baseline:
            reward = sampling_reward((before, after), sharp, drawn, sampled.share)
            return policy_gradient_loss(logits, drawn, reward)
        earned, unchanged = (
            sampling_reward([picture], sharp, drawn, sampled.share, excess_weight=0.0)
            for picture in (after, before)
        )
        mended = policy_gradient_loss(logits, drawn, earned, unchanged)
        return mended + budget_loss(logits, sampled.share)


def objective_of(network: DeblurringNetwork, loss: LossConfig) -> Objective:
    """The objective by which a network learns."""
    if isinstance(network, LMDViT):
        return PruningObjective(network, loss)
    if isinstance(network, LBAG):
        return GateObjective(network, loss)
    return (SamplingObjective if network.takes_budget else Objective)(network, loss)


def _steering(mask: Tensor, phase: Phase) -> Tensor | str | None:
    if phase.decisions in ("sampled", "pruned"):
        return None
    if phase.decisions == "all":
        return "all"
    reach = int(torch.randint(0, LARGEST_DILATION + 1, ()))
    grown = F.max_pool2d(mask, (2 * reach + 1, 1), stride=1, padding=(reach, 0))
    return F.max_pool2d(grown, (1, 2 * reach + 1), stride=1, padding=(0, reach))
