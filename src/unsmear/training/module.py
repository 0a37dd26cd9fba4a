"""The Lightning module: it only wires network, loss and optimiser."""

from __future__ import annotations

import math
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from unsmear.data import BlurTriple
from unsmear.errors import UnsmearError
from unsmear.layers.pixel_filter import PixelFilter
from unsmear.metrics import kept_pixels, psnr, weighted_psnr, window_agreement
from unsmear.models import DEFAULT_MODEL, LMDViT, Restored, create_model, load_model
from unsmear.models.checkpoints import ABOUT_KEY
from unsmear.models.weights import describe
from unsmear.training.config import OptimizerConfig, Phase
from unsmear.training.losses import LossConfig
from unsmear.training.muon import MuonAdamW
from unsmear.training.objectives import objective_of

PICTURES = 4  # drawn at each validation
MOST_SKIPPED = 5  # steps in a row without a finite gradient before the run gives up
HIGHEST = 80  # dB that a validated picture can have; one that equals its goal has no number
LEAST_CHANNELS = 8  # of a matrix in Muon's sense, on either side


def masked_error(picture: Tensor, sharp: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error inside the masks of a batch: scalar."""
    return ((picture.float() - sharp).square() * mask).sum() / (3 * mask.sum())


class Deblurring(L.LightningModule):
    """Trains a network on :class:`unsmear.data.BlurTriple` batches.

    Args:
        network: name of a configuration in ``unsmear.models``.
        overrides: its fields to change, such as ``pruned_stages``.
        init: checkpoint to start from instead of fresh weights, such as one to fine-tune; an
            LMD-ViT grows to the depths and pruned stages of ``overrides``.
        loss: weights of the loss terms.
        optimizer: how the weights move.
        compile: have ``torch.compile`` translate the network first.

    Raises:
        ModelError: an unknown name or setting, or weights that do not fit.
    """

    def __init__(
        self,
        network: str = DEFAULT_MODEL,
        overrides: dict[str, Any] | None = None,
        init: str | None = None,
        loss: LossConfig = LossConfig(),  # noqa: B008 - frozen
        optimizer: OptimizerConfig = OptimizerConfig(),  # noqa: B008 - frozen
        compile: bool = False,
    ) -> None:
        super().__init__()
        if init is None:
            built = create_model(network, **(overrides or {}))
        else:
            built = load_model(init, grow=True, **(overrides or {}))
        self.network = built.train()
        self.loss = loss
        self.optimizer = optimizer
        self.objective = objective_of(self.network, loss)
        if isinstance(built, LMDViT):
            _limit_reach(built, loss.pruning_reach)
        self.progress = 0.0  # share of the run that is over, in [0, 1]
        self.skipped = 0  # steps in a row
        self._gains: dict[str, list[Tensor]] = {}  # of one validation, in dB
        if compile:
            self.network.compile()

    # --- how far the run is ---

    def _measure_progress(self) -> float:
        trainer = self.trainer
        shares = [trainer.global_step / trainer.max_steps if trainer.max_steps > 0 else 0.0]
        for timer in (c for c in trainer.callbacks if isinstance(c, Timer)):  # pyright: ignore
            spent, left = timer.time_elapsed(), timer.time_remaining() or 0.0
            shares.append(spent / (spent + left))
        # All processes follow one clock: their rates must be equal, or their weights drift apart.
        return min(1.0, trainer.strategy.broadcast(max(shares)))

    def on_train_batch_end(self, outputs: Any, batch: BlurTriple, batch_idx: int) -> None:
        """Look at the clock."""
        self.progress = self._measure_progress()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the clock and what the network is, so that :func:`unsmear.load_model` can build it.

        It may be saved before ``on_train_batch_end`` has looked at the clock.
        """
        checkpoint["progress"] = self._measure_progress()
        checkpoint[ABOUT_KEY] = describe(self.network)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on where the clock stood."""
        self.progress = checkpoint["progress"]

    # --- steps ---

    def training_step(self, batch: BlurTriple, batch_idx: int) -> Tensor:
        """One step: all losses on one batch."""
        phase: Phase = self.trainer.datamodule.phase  # pyright: ignore
        out, terms = self.objective(batch, phase)
        loss = sum(getattr(self.loss, name) * term for name, term in terms.items())
        self.log_dict({f"loss/{name}": term.detach() for name, term in terms.items()})
        blurred, sharp, mask = batch
        if mask.any():
            before, after = (masked_error(x.detach(), sharp, mask) for x in (blurred, out.restored))
            self.log("gain", 10 * torch.log10(before / after), prog_bar=True)
        self.log("loss/total", loss, prog_bar=True)
        self.log("rate", self.optimizers().param_groups[0]["lr"])  # pyright: ignore
        if self.network.predictor_places:
            self.log("kept", torch.stack([keep.detach().mean() for keep in out.keep]).mean())
        self.log("progress", self.progress, prog_bar=True)
        return loss  # pyright: ignore[reportReturnType]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Skip a step whose gradient is not finite, and stop after several in a row.

        By now the processes have averaged their gradients, so that all of them agree.

        Raises:
            UnsmearError: no step had a finite gradient for too long.
        """
        own = [p for p in self.parameters() if p.grad is not None]
        if torch.nn.utils.get_total_norm([p.grad for p in own if p.grad is not None]).isfinite():
            self.skipped = 0
            return
        self.skipped += 1
        if self.skipped >= MOST_SKIPPED:
            raise UnsmearError(
                f"The loss or its gradient was not finite {self.skipped} times in a row, at step "
                f"{self.global_step}: lower the learning rate, or go on from an older checkpoint."
            )
        rank_zero_warn(f"step {self.global_step} skipped: its loss or gradient is not finite")
        for parameter in own:
            parameter.grad = None  # optimisers pass over what has none

    def on_validation_epoch_start(self) -> None:
        """Forget the gains of the validation before."""
        self._gains = {"inside": [], "whole": []}

    def validation_step(self, batch: BlurTriple, batch_idx: int) -> None:
        """Judge the averaged weights on held-out samples, pruning on."""
        blurred, sharp, mask = batch
        out = self.network(blurred)
        pictures = out.restored, blurred
        after, before = (psnr(x, sharp).clamp(max=HIGHEST).mean() for x in pictures)
        self.log("val/psnr", after, batch_size=1)
        self._gains["whole"].append(after - before)
        if mask.any():
            after, before = (weighted_psnr(x, sharp, mask).clamp(max=HIGHEST) for x in pictures)
            self._gains["inside"].append((after - before).mean())
        if isinstance(self.network, LMDViT):
            self._judge_decisions(self.network, out, mask)
        if batch_idx < PICTURES and self.logger is not None:
            self._draw(batch_idx, batch, out)

    def on_validation_epoch_end(self) -> None:
        """Log what the best weights are chosen by: the gain inside the masks, if there are any."""
        gains = torch.stack(self._gains["inside"] or self._gains["whole"])
        self.log("val/gain", gains.mean(), prog_bar=True, sync_dist=True)

    def _judge_decisions(self, network: LMDViT, out: Restored, mask: Tensor) -> None:
        """Log how the kept windows of each stage's last predictor meet the mask."""
        side = network.config.window_size
        last = {stage: (n, shift) for n, (stage, shift) in enumerate(network.predictor_places)}
        for stage, (number, shift) in last.items():
            scale = network.scale_of(stage)
            keep = out.keep[number]
            pixels = kept_pixels(keep, side * scale, shift * scale, *mask.shape[-2:])
            share = window_agreement(pixels, mask, side * scale)
            self.log(f"val/kept_{stage}", keep.mean(), batch_size=1)
            for name in ("precision", "recall", "sharp_kept"):
                value = getattr(share, name)
                if not math.isnan(value):
                    self.log(f"val/{name}_{stage}", value, batch_size=1)

    def _draw(self, index: int, batch: BlurTriple, out: Any) -> None:
        board = getattr(self.logger, "experiment", None)
        if board is None or not hasattr(board, "add_image"):
            return
        maps = [batch.blur_mask, out.blur_map]
        if self.network.predictor_places:
            maps.append(F.interpolate(out.keep[-1], size=batch.blur_mask.shape[-2:]))
        grey = [x.float().expand(-1, 3, -1, -1) for x in maps]
        row = torch.cat([batch.blurred, out.restored.clamp(0, 1), batch.sharp, *grey], dim=-1)
        board.add_image(f"validation/{index}", row[0].float().cpu(), self.global_step)

    # --- optimiser ---

    def configure_optimizers(self) -> Any:
        """AdamW, or Muon with it, with a linear rise and a cosine fall over the run."""
        config = self.optimizer
        # Gradients of single weights deep inside are near Adam's usual epsilon of 1e-8.
        optimizer = MuonAdamW(
            self._parameter_groups(), lr=config.learning_rate, betas=(0.9, 0.999), eps=1e-10
        )

        def rate(step: int) -> float:
            rise = min(1.0, (step + 1) / max(1, config.warmup_steps))
            cosine = 0.5 * (1 + math.cos(math.pi * self.progress))
            return rise * (config.final_share + (1 - config.final_share) * cosine)

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Predictors and samplers, matrices that Muon steps, other weights, and biases and norms.

        Depthwise filters and the projections of the picture, with a handful of inputs to a row, are
        no matrices in Muon's sense.
        """
        config, network = self.optimizer, self.network
        orthogonal = {m.weight for m in network.modules() if _is_matrix(m)}
        orthogonal = orthogonal if config.name == "muon" else set()
        judges = ("predictors.", "samplers.")
        judging = {p for n, p in network.named_parameters() if any(j in n for j in judges)}
        decay = {"weight_decay": config.weight_decay}
        options = {
            "predictors": {**decay, "lr": config.predictor_rate or config.learning_rate},
            "matrices": {**decay, "orthogonal": True, "lr": config.matrix_rate},
            "weights": decay,
            "vectors": {"weight_decay": 0.0},
        }
        groups: dict[str, list[nn.Parameter]] = {kind: [] for kind in options}
        for p in network.parameters():
            kind = "matrices" if p in orthogonal else "weights" if p.ndim > 1 else "vectors"
            groups["predictors" if p in judging else kind].append(p)
        return [{"params": own, **options[kind]} for kind, own in groups.items() if own]


def _is_matrix(module: nn.Module) -> bool:
    if isinstance(module, _ConvNd) and module.groups > 1:
        return False
    kinds = (nn.Linear, _ConvNd, PixelFilter)
    return isinstance(module, kinds) and min(module.weight.shape[:2]) >= LEAST_CHANNELS


def _limit_reach(network: LMDViT, share: float) -> None:
    """Let only a share of the predictors' gradient through to the features."""

    def before(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        x, *others = args
        return torch.lerp(x.detach(), x, share), *others

    for stage in network.stages if share < 1 else ():
        for predictor in stage.predictors:
            predictor.register_forward_pre_hook(before)
